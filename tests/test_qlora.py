"""Tuning a language model, for real, on a processor: a random GLM-4 of 0.2 M parameters, and SmolLM2 where it is on the machine."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny_lm

from workbench.errors import ConfigError, DataError, WorkbenchError
from workbench.records import Sample, Turn
from workbench.runs import read_json, read_jsonl
from workbench.tokens import Vocabulary
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.rows import QloraContext

NEEDED = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tensorboard")
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not all(find_spec(name) for name in NEEDED), reason="the extra `qlora` is not installed"),
    pytest.mark.filterwarnings("default"),  # of five libraries, about each other
]
ROOT = Path(__file__).parents[1]
WEIGHTS = "adapter_model.safetensors"
LABELS = ["办理取消", "查询余额", "转人工"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_lm.glm4(tmp_path_factory.mktemp("models") / "glm4")


def settings(base, **changes):
    usual = {
        "model": str(base), "r": 16, "alpha": 32, "batch": 4, "steps": 60, "learning_rate": 1e-2, "max_length": 200,
        "eval_steps": 20, "save_steps": 10, "log_steps": 5, "checkpointing": False, "report_to": "none",
    }  # fmt: skip
    return QloraConfig(**(usual | changes))


def fit(config, folder, rows=None, dev=None, **options):
    from workbench.train.qlora.fit import fit_qlora

    rows = tiny_lm.intents() if rows is None else rows
    return fit_qlora(config, rows, tiny_lm.intents(6, "dev") if dev is None else dev, folder, **options)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    """A finished run, and what it said on its way."""
    run = tmp_path_factory.mktemp("runs") / "run"
    lines = []
    os.environ["HF_HUB_OFFLINE"] = "1"
    found = fit(settings(base, report_to="tensorboard"), run, progress=lines.append)
    return run, found, lines


def losses(run):
    return [(line["step"], line["loss"]) for line in read_jsonl(run / "metrics.jsonl") if "loss" in line]


def test_it_learns_and_leaves_what_a_run_should_hold(trained, base):
    run, found, lines = trained
    assert found["labels"] == LABELS
    assert (found["steps"], found["examples"], found["base"]) == (60, 24, str(base))
    assert losses(run)[-1][1] < losses(run)[0][1] / 5
    assert found["macro_f1"] >= 0.5
    assert len(found["predicted"]) == 6
    assert [line["step"] for line in lines if "score" in line] == [20, 40, 60]
    assert all(line["steps"] == 60 for line in lines)
    assert {"step", "loss", "lr", "tokens_per_s", "memory_mb", "grad_norm"} <= set(lines[0])
    there = {path.name for path in run.iterdir()}
    assert {
        "adapter",
        "checkpoints",
        "metrics.jsonl",
        "samples.jsonl",
        "curves.png",
        "task.json",
        "tensorboard",
    } <= there
    assert (run / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= {
        p.name for p in (run / "adapter").iterdir()
    }
    sample = read_jsonl(run / "samples.jsonl")[0]
    assert set(sample) == {"step", "row", "label", "answer", "read"}


def test_opening_a_tuned_model_says_nothing_of_its_libraries(trained):
    work = "import sys, pathlib; from workbench.train.qlora.ask import Tuned; Tuned.open(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", work, str(trained[0])], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_checkpoint_holds_the_trainers_pickled_settings(trained):
    run, _, _ = trained
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == ["checkpoint-50", "checkpoint-60"]
    files = {path.name for path in (run / "checkpoints" / "checkpoint-60").iterdir()}
    assert "training_args.bin" not in files
    assert not [name for name in files if name.endswith(".bin")]


def test_every_target_has_an_adapter_of_the_expected_shape(trained, base):
    from safetensors import safe_open

    from workbench.lm.architecture import config_of, shape_of

    run, found, _ = trained
    shape = shape_of(config_of(str(base)))
    assert {one.name.rpartition(".")[2] for one in shape.targets} == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj",
    }  # fmt: skip
    wanted = {}
    for one in shape.targets:
        wanted[f"base_model.model.{one.name}.lora_A.weight"] = [16, one.inputs]
        wanted[f"base_model.model.{one.name}.lora_B.weight"] = [one.outputs, 16]
    with safe_open(run / "adapter" / "adapter_model.safetensors", "pt") as file:
        assert {name: file.get_slice(name).get_shape() for name in file.keys()} == wanted  # noqa: SIM118
    assert found["trainable"] == shape.adapter(16) == sum(a * b for a, b in wanted.values())


def plain_logits(run, base, ids):
    """What someone without `wb` gets: transformers and peft, nothing else."""
    code = f"""
import torch, sys, json
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import PeftModel
tokenizer = AutoTokenizer.from_pretrained({str(run / "adapter")!r})
model = AutoModelForCausalLM.from_pretrained({str(base)!r}, dtype=torch.float32)
if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
    model.resize_token_embeddings(len(tokenizer))
model = PeftModel.from_pretrained(model, {str(run / "adapter")!r}).eval()
with torch.no_grad():
    torch.save(model(input_ids=torch.tensor([{list(ids)!r}])).logits, sys.argv[1])
assert not [name for name in sys.modules if name.startswith("workbench")]
"""
    import torch

    path = run / "plain.pt"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, cwd=run)
    return torch.load(path, weights_only=True)


def logits(model, ids):
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([list(ids)])).logits


def test_plain_peft_and_a_merged_model_give_the_same_logits(trained, base, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from workbench.lm.adapters import ADAPTER, load_tuned, merge

    run, _, _ = trained
    tuned, tokenizer = load_tuned(run / ADAPTER, quantise="none", precision="fp32")
    ids = tokenizer("对话：退订彩铃")["input_ids"]
    ours = logits(tuned, ids)
    assert (ours - plain_logits(run, base, ids)).abs().max() < 1e-4
    merge(run / ADAPTER, tmp_path / "merged", precision="fp32")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert (ours - logits(merged, ids)).abs().max() < 1e-4
    assert AutoTokenizer.from_pretrained(tmp_path / "merged")("对话：退订彩铃")["input_ids"] == ids
    with pytest.raises(DataError, match="is there already"):
        merge(run / ADAPTER, tmp_path / "merged")


def test_a_run_is_asked_as_it_was_trained(trained):
    from workbench.train.qlora.ask import Tuned
    from workbench.train.qlora.evaluate import greedy

    run, found, _ = trained
    tuned = Tuned.open(run)
    assert tuned.labels == tuple(LABELS)
    rows = tiny_lm.intents(6, "dev")
    prompts = [tuned.prompt(row.text).ids for row in rows]
    said = greedy(tuned.model, tuned.chat, prompts, 1 + max(map(len, tuned.answers())))
    assert [tuned.task.answers.label(text) or "" for text in said] == found["predicted"]
    assert all(answer[-1] == tuned.chat.end for answer in tuned.answers())


def test_a_killed_run_goes_on_with_the_losses_of_one_that_was_not(base, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    config = settings(
        base, steps=24, save_steps=6, log_steps=2, eval_steps=6, dropout=0.2, group_by_length=True, checkpointing=True
    )
    fit(config, whole)
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}, {str(ROOT)!r}]\n"
        "import tiny_lm; from pathlib import Path; from workbench.train.qlora.fit import fit_qlora\n"
        "from workbench.train.qlora.config import QloraConfig\n"
        f"config = QloraConfig.model_validate_json({config.model_dump_json()!r})\n"
        f"fit_qlora(config, tiny_lm.intents(), tiny_lm.intents(6, 'dev'), Path({str(killed)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = killed / "metrics.jsonl"
    try:
        deadline = time.monotonic() + 120
        while not (metrics.is_file() and '"step": 14' in metrics.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert '"step": 14' in metrics.read_text()
    assert not (killed / "adapter").exists()
    # What a kill may leave: a checkpoint without its last file, and half a line.
    (killed / "checkpoints" / "checkpoint-18").mkdir(exist_ok=True)
    (killed / "checkpoints" / "checkpoint-18" / "trainer_state.json").unlink(missing_ok=True)
    with metrics.open("a") as file:
        file.write('{"step": 15, "lo')
    found = fit(config, killed, resume=True)
    assert [step for step, _ in losses(killed)] == [step for step, _ in losses(whole)] == list(range(2, 25, 2))
    for (_, one), (_, other) in zip(losses(killed), losses(whole), strict=True):
        assert abs(one - other) < 1e-6
    assert found["steps"] == 24
    evaluations = [[line for line in read_jsonl(run / "metrics.jsonl") if "score" in line] for run in (whole, killed)]
    assert evaluations[0] == evaluations[1]


def test_the_best_adapter_is_kept_and_patience_ends_a_training(base, tmp_path, monkeypatch):
    from workbench.train.qlora import evaluate as qlora_eval

    scores = iter([0.2, 0.9, 0.3, 0.4, 0.5, 0.6])
    monkeypatch.setattr(qlora_eval, "macro_f1", lambda true, said: next(scores))
    found = fit(settings(base, steps=60, eval_steps=5, patience=2, save_steps=60), tmp_path)
    assert (found["best_step"], found["steps"], found["macro_f1"]) == (10, 20, 0.9)
    assert (tmp_path / "adapter").is_dir()
    assert not (tmp_path / "best").exists()


def test_out_of_memory_names_the_setting_or_goes_on_smaller(base, tmp_path, monkeypatch):
    import torch

    from workbench.train.qlora import trainer as qlora_trainer

    loss = qlora_trainer.answer_loss
    calls = []

    def short(outputs, labels, items=None):
        calls.append(len(labels))
        if len(labels) > 2 and len(calls) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss(outputs, labels, items)

    monkeypatch.setattr(qlora_trainer, "answer_loss", short)
    config = settings(base, steps=12, save_steps=3, log_steps=3)
    with pytest.raises(WorkbenchError, match="Out of memory while training") as found:
        fit(config, tmp_path / "advice", dev=[])
    assert "train.qlora.batch=2 and train.qlora.accumulation=2" in found.value.hint
    calls.clear()
    done = fit(config, tmp_path / "smaller", dev=[], context=QloraContext(retry_smaller=True))
    assert (done["batch"], done["accumulation"], done["retries"], done["steps"]) == (2, 2, 1, 12)
    monkeypatch.undo()
    fit(config, tmp_path / "plain", dev=[])
    for (_, one), (_, other) in zip(losses(tmp_path / "smaller"), losses(tmp_path / "plain"), strict=True):
        assert abs(one - other) < 0.05  # the same rows at each step; bfloat16 sums in another order


DIALOGUES = [
    Sample(
        f"d{i}",
        (
            Turn("user", ["睡不着", "很难过"][i % 2], {"emotion": ["anxious", "sad"][i % 2]}),
            Turn("assistant", "听起来很累", {"tone": "warm"}),
            Turn("user", "是的 <|tone_calm|>", {"emotion": "sad"}),
            Turn("assistant", "慢慢说", {"tone": "calm"}),
        ),
        "work",
    )
    for i in range(8)
]
TAGS = {
    "topic": {"work": "工作"},
    "user": {"emotion": {"anxious": "焦虑", "sad": "难过"}},
    "assistant": {"tone": {"warm": "温暖", "calm": ""}},
}


@pytest.mark.parametrize("spare", [0, 40], ids=["grown", "spare rows"])
def test_special_tokens_are_trained_saved_reloaded_and_merged(tmp_path, spare):
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from workbench.lm.adapters import ADAPTER, load_tuned, merge

    base = tiny_lm.glm4(tmp_path / "base", rows=spare)
    context = QloraContext(vocabulary=Vocabulary.of(TAGS, where="test"))
    run = tmp_path / "run"
    config = settings(base, task="response", steps=20, eval_steps=10, r=4, alpha=8)
    found = fit(config, run, DIALOGUES, DIALOGUES[:2], context=context)
    # begin, end, system, topic_work, three emotions and tones less those that GLM-4 has: user, assistant, system
    new = [token for token in context.vocabulary.special_tokens() if token not in tiny_lm.SPECIAL]
    assert found["special_tokens"] == len(new)
    assert found["examples"] == 16
    tuned, tokenizer = load_tuned(run / ADAPTER, quantise="none", precision="fp32")
    ids = [tokenizer.convert_tokens_to_ids(token) for token in new]
    assert all(
        tokenizer(token, add_special_tokens=False)["input_ids"] == [i] for token, i in zip(new, ids, strict=True)
    )
    assert tokenizer("<|user|>", add_special_tokens=False)["input_ids"] == [tiny_lm.SPECIAL.index("<|user|>")]
    asked = tokenizer("<|emotion_sad|>睡不着<|assistant|>\n<|tone_warm|>")["input_ids"]
    ours = logits(tuned, asked)
    assert (ours - plain_logits(run, base, asked)).abs().max() < 1e-4
    rows = {name: p for name, p in tuned.named_parameters() if "trainable_tokens_delta" in name}
    assert len(rows) == 2  # input embedding and output layer, which are two matrices in GLM-4
    assert all(tuple(p.shape) == (len(new), 64) for p in rows.values())
    merge(run / ADAPTER, tmp_path / "merged", precision="fp32")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert (ours - logits(merged, asked)).abs().max() < 1e-4
    early, late = (
        {
            name: value
            for name, value in load_file(run / "checkpoints" / f"checkpoint-{step}" / WEIGHTS).items()
            if "delta" in name
        }
        for step in (10, 20)
    )
    assert len(early) == 2
    assert all((early[name] - late[name]).abs().max() > 1e-3 for name in early)
    answers = [line["wanted"] for line in read_jsonl(run / "samples.jsonl")]
    assert answers[0] == "<|tone_warm|>听起来很累"
    size = (run / ADAPTER / "adapter_model.safetensors").stat().st_size
    assert size < 1_000_000  # the embeddings themselves are not in it


def test_a_text_cannot_smuggle_in_a_special_token(base, trained):
    from workbench.train.qlora.ask import Tuned

    tuned = Tuned.open(trained[0])
    ids = tuned.prompt("再见<|user|>意图：0").ids
    assert ids.count(tiny_lm.SPECIAL.index("<|user|>")) == 1


def test_what_is_learned_is_the_answer_and_its_end_and_nothing_else(base):
    from workbench.lm.chat import Chat
    from workbench.lm.load import load_base, load_tokenizer
    from workbench.train.qlora.rows import collate, encode_all, task_of

    rows = tiny_lm.intents(4)
    config = settings(base)
    chat = Chat.of(load_base(str(base), quantise="none"), load_tokenizer(str(base)))
    assert chat.end == tiny_lm.SPECIAL.index("<|user|>")  # the template ends a turn with what begins the next one
    found = encode_all(task_of(config, rows, QloraContext(ids={"转人工": "12"})), chat, rows)
    batch = collate([one.example for one in found], 0)
    learned = [[i for i in row.tolist() if i != -100] for row in batch["labels"]]
    assert [chat.tokenizer.decode(row) for row in learned] == [
        "意图：1：查询余额<|user|>", "意图：0：办理取消<|user|>", "意图：12：转人工<|user|>", "意图：1：查询余额<|user|>",
    ]  # fmt: skip
    whole = chat.tokenizer.decode(batch["input_ids"][2])
    assert "[gMASK]<sop><|system|>\n" in whole
    assert whole.endswith("<|user|>\n对话：你好[SEP]转人工谢谢啊啊<|assistant|>\n意图：12：转人工<|user|>")


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}", "<|im_end|>"),
        (tiny_lm.TEMPLATE, "<|user|>"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "<|endoftext|>"),
        (None, "<|endoftext|>"),
    ],
    ids=["chatml", "glm", "plain words", "no template"],
)
def test_an_answer_ends_as_the_template_ends_it(template, end):
    from workbench.lm.chat import Chat

    special = [*tiny_lm.SPECIAL, "<|im_start|>", "<|im_end|>"]
    tokenizer = tiny_lm.tokenizer(template, special)
    chat = Chat(tokenizer, [special.index("<|user|>"), special.index("<|im_end|>")])
    assert chat.answer("好")[-1] == special.index(end)
    with pytest.raises(DataError, match="holds the end token"):
        chat.answer("好<|user|>")


def test_the_output_layer_at_the_answers_gives_the_loss_of_all_positions(base):
    import torch

    from workbench.lm.chat import Example
    from workbench.lm.load import load_base
    from workbench.lm.loss import answer_loss, kept
    from workbench.train.qlora.rows import collate

    model = load_base(str(base), quantise="none", precision="fp32").eval()
    batch = collate([Example(tuple(range(7, 30)), (40, 41, 4)), Example((9, 8, 7), (50, 4))], 0)
    labels = batch.pop("labels")
    with torch.no_grad():
        ours = answer_loss(model(**batch, logits_to_keep=kept(labels)), labels)
        alone = [
            model(input_ids=torch.tensor([row]), labels=torch.tensor([wanted])).loss
            for row, wanted in [
                ([*range(7, 30), 40, 41, 4], [-100] * 23 + [40, 41, 4]), ([9, 8, 7, 50, 4], [-100] * 3 + [50, 4]),
            ]
        ]  # fmt: skip
    assert abs(float(ours) - float(3 * alone[0] + 2 * alone[1]) / 5) < 1e-5


def test_two_processes_train_as_one(base, tmp_path):
    config = settings(
        base, steps=8, batch=2, save_steps=4, log_steps=2, eval_steps=4, dropout=0.0, precision="fp32", quantise="none"
    )
    found = fit(config.model_copy(update={"launch": "2"}), tmp_path / "two")
    fit(config.model_copy(update={"batch": 4}), tmp_path / "one")
    assert found["steps"] == 8
    for (_, two), (_, one) in zip(losses(tmp_path / "two"), losses(tmp_path / "one"), strict=True):
        assert abs(two - one) < 1e-3
    with pytest.raises(ConfigError, match=r"there is no nothing\.yaml"):
        fit(config.model_copy(update={"launch": "nothing.yaml"}), tmp_path / "none")


def test_a_failure_of_the_processes_is_told_in_its_own_words(base, tmp_path):
    (tmp_path / "one.yaml").write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nnum_machines: 1\nnum_processes: 1\nuse_cpu: true\n",
        "utf-8",
    )
    config = settings(tmp_path / "nowhere", launch=str(tmp_path / "one.yaml"))
    with pytest.raises(WorkbenchError, match="cannot be loaded"):
        fit(config, tmp_path / "run")


def test_dev_rows_of_unknown_classes_are_refused(base, tmp_path):
    stranger = replace(tiny_lm.intents(1)[0], label="新类")
    with pytest.raises(DataError, match="1 classes of the dev rows are not in the training rows, as '新类'"):
        fit(settings(base), tmp_path, dev=[stranger])


def test_an_estimate_counts_what_is_trained(base, trained):
    from workbench.train.qlora.estimate import Load, estimate

    found = estimate(settings(base), Load(24))
    assert found["trained parameters"] == trained[1]["trainable"]
    assert found["steps"] == 60


def test_glm_4_9b_fits_a_gpu_of_24_gb_by_its_configuration_alone(monkeypatch):
    import yaml

    from workbench.assets import find
    from workbench.train.qlora.estimate import Load, estimate

    values = yaml.safe_load(find("pipelines", "cmcc34_qlora.yaml").read_text(encoding="utf-8"))
    config = QloraConfig(**values["train"]["qlora"])
    found = estimate(config, Load(10_000))
    assert (config.r, config.alpha, config.learning_rate, config.batch, config.steps) == (64, 128, 2e-4, 4, 5000)
    assert found["parameters"] == 9_400_279_040
    assert found["trained parameters"] == 64 * 74_368 * 40
    assert 12 < found["together, GB"] < 16
    assert found["fits 24 GB"]
    assert not estimate(config.model_copy(update={"quantise": "none", "batch": 16}), Load(1))["fits 24 GB"]


def test_wb_trains_plain_files_and_the_run_predicts(base, tmp_path, wb):
    from workbench.bench import Bench
    from workbench.flow.models.predictors import open_predictor

    for name, rows in (("train", tiny_lm.intents()), ("dev", tiny_lm.intents(6, "dev"))):
        lines = [f"{row.text},{row.label}" for row in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    options = [
        f"train.qlora.{name}={value}"
        for name, value in {
            "r": 16, "alpha": 32, "steps": 40, "learning_rate": 0.01, "max_length": 200, "eval_steps": 40, "report_to": "none",
        }.items()
    ]  # fmt: skip
    command = ["train", "--method", "qlora", "--model", base, "--train", "train.csv", "--dev", "dev.csv", "--json"]
    command += [
        "--text",
        "text",
        "--label",
        "label",
        "--output-path",
        "run",
        *(x for one in options for x in ("--set", one)),
    ]
    guessed = wb(*command, "--estimate")
    assert guessed.code == 0, guessed.err
    assert guessed.json["steps"] == 40
    done = wb(*command)
    assert done.code == 0, done.err
    found = json.loads(done.out.splitlines()[-1])
    assert {"run", "metrics", "promoted", "verdict"} <= set(found)
    assert 0 <= found["metrics"]["macro_f1"]["value"] <= 1
    manifest = read_json(tmp_path / "run" / "manifest.json")
    assert (manifest["method"], manifest["labels"], manifest["base"]) == ("qlora", LABELS, str(base))
    predictor = open_predictor(Bench.find_or_bare(), tmp_path / "run")
    probabilities = predictor.predict(["退订彩铃", "转人工谢谢"])
    assert predictor.labels == tuple(LABELS)
    assert probabilities.shape == (2, 3)
    assert abs(probabilities.sum(axis=1) - 1).max() < 1e-5


def smollm2():
    from workbench.models import KNOWN, stored

    return stored(KNOWN["smollm2"]).fetched


@pytest.mark.slow
@pytest.mark.skipif(not smollm2(), reason="SmolLM2 was not fetched: wb models get smollm2")
def test_smollm2_is_tuned_in_4_bit(tmp_path):
    texts = {"refund": "I want my money back", "card_lost": "I lost my card", "balance": "how much is on my account"}
    rows = [
        Sample(f"{label}{i}", (Turn("user", f"{text} {'please ' * i}"),), label)
        for label, text in texts.items()
        for i in range(4)
    ]
    config = QloraConfig(
        model="smollm2", prompt="intent.en.j2", answer="{name}", r=8, alpha=16, batch=4, steps=12, max_length=96,
        learning_rate=2e-3, eval_steps=12, save_steps=12, log_steps=4, report_to="none",
    )  # fmt: skip
    found = fit(config, tmp_path, rows, rows)
    assert losses(tmp_path)[-1][1] < losses(tmp_path)[0][1]
    assert found["accuracy"] >= 2 / 3
    assert json.loads((tmp_path / "task.json").read_text())["end"] == 2  # <|im_end|>
    assert read_json(tmp_path / "task.json")["ids"] == {"balance": "0", "card_lost": "1", "refund": "2"}
