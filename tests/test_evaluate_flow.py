"""`wb evaluate` for runs: samples, files, several models, criteria, rows without an answer, and what is counted."""

import csv
import json

import numpy as np
import pytest

from workbench.errors import DataError
from workbench.flow.evaluate import ask as evaluate_ask
from workbench.flow.evaluate import run as flow
from workbench.flow.models import predictors
from workbench.records import SEP
from workbench.runs import MANIFEST, finish, new_run

ASKS = {"查余额": "请问我的{}这个月还剩多少呢", "退订": "把那个{}业务给我取消掉", "投诉": "你们的{}太差了我要投诉"}
THINGS = ("话费", "流量", "积分", "余额", "套餐", "短信", "彩铃", "会员", "阅读", "宽带", "视频", "漫游")
MEASURED = {"ece", "success", "latency_p50", "latency_p95", "throughput", "memory", "worst_f1", "worst_recall"}


def rows(things):
    return [(ask.format(thing), label) for label, ask in ASKS.items() for thing in things]


def table(path, some):
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in some), encoding="utf-8")
    return path


@pytest.fixture
def filled(bench, tmp_path, wb):
    """Three classes of six training, six test and four dev rows each; two trained runs."""
    table(tmp_path / "train.csv", rows(THINGS[:6]))
    table(tmp_path / "test.csv", rows(THINGS[6:]))
    table(tmp_path / "dev.csv", rows([f"{thing}的" for thing in THINGS[6:10]]))
    for split in ("train", "test", "dev"):
        assert wb("data", "add", f"{split}.csv", "--split", split).code == 0
    bench.runs.mkdir(exist_ok=True)
    return bench


@pytest.fixture
def trained(filled, wb):
    done = wb("train", "--json", "--set", "train.replicas=2")
    assert done.code == 0, done.err
    return done.json["run"]


class Scripted:
    """A model whose answers are said beforehand, behind the protocol of all models."""

    labels = tuple(ASKS)
    version = "scripted"

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def predict(self, texts):
        self.asked.append(len(texts))
        return np.array([self.answer(text.rstrip(), len(texts)) for text in texts], dtype=np.float32)


def right(text, n):
    label = next(label for label, ask in ASKS.items() if ask.split("{}")[1] in text)
    return [0.8 if label == one else 0.1 for one in ASKS]


@pytest.fixture
def scripted(filled, monkeypatch):
    """Makes a run of a method of its own."""

    def make(answer, name="scripted", **more):
        model = Scripted(answer)
        for key, value in more.items():
            setattr(model, key, value)
        monkeypatch.setattr(predictors, "OPENERS", {**predictors.OPENERS, name: lambda *_: model})
        folder = new_run(filled.runs, "train")
        finish(
            folder, "train", {"method": name, "labels": list(model.labels), "rows": 18, "synthetic": 0, "version": "v"}
        )
        return model, folder.name

    return make


def openings(bench):
    return len(bench.ledger.openings())


def test_a_run_is_scored_measured_and_written(filled, trained, wb):
    found = wb("evaluate", trained, "--json").json
    assert found.keys() >= {"run", "split", "openings", "accuracy", "macro_f1", "per_class", "pairs", *MEASURED}
    for name in MEASURED:
        assert found[name].keys() == {"value", "low", "high", "n"}
    assert (found["cut"], found["retries"], found["failed"]) == (0, 0, 0)
    assert found["success"]["value"] == 1
    assert 0 < found["latency_p50"]["value"] <= found["latency_p95"]["value"]
    assert found["memory"]["value"] > 20e6
    folder = filled.runs / found["run"]
    assert (folder / "confusion.png").is_file()
    page = (folder / "report.html").read_text("utf-8")
    assert "Calibration, answers, time and memory" in page
    assert "latency_p95" in page
    assert "Most confused" in page


def test_a_quick_look_is_a_sample_by_class_that_says_so_and_is_counted(filled, trained, wb):
    found = wb("evaluate", "--quick", "--samples", "9", "--json").json
    assert (found["accuracy"]["n"], found["openings"]) == (9, 1)
    assert [row["recall"]["n"] for row in found["per_class"]] == [3, 3, 3]
    assert "A quick look: 9 of 18 rows, drawn by class (seed 12345)" in found["notes"][0]
    again = wb("evaluate", "--samples", "9", "--json").json  # a number of rows is a quick look
    same = [json.loads(line)["id"] for line in predictions(filled, found)]
    assert same == [json.loads(line)["id"] for line in predictions(filled, again)]
    other = wb("evaluate", "--quick", "--samples", "9", "--seed", "7", "--json").json
    assert same != [json.loads(line)["id"] for line in predictions(filled, other)]
    small = wb("evaluate", "--quick", "--samples", "2", "--split", "dev", "--json").json
    assert "1 of 3 classes are not among them" in small["notes"][0]
    assert (openings(filled), small["openings"]) == (3, 3)
    whole = wb("evaluate", "--quick", "--split", "dev", "--json").json
    assert (whole["accuracy"]["n"], whole["notes"]) == (12, [])  # 50 of 12 rows are all of them


def predictions(bench, found):
    return (bench.runs / found["run"] / "predictions.jsonl").read_text("utf-8").splitlines()


def test_a_file_is_scored_instead_of_a_split(filled, trained, wb, tmp_path):
    lines = [f"{i},{text},{label}\n" for i, (text, label) in enumerate(rows(["手机", "短信包"]))]
    (tmp_path / "mine.csv").write_text("n,say,what\n" + "".join(lines) + "9,,退订\n", encoding="utf-8")
    found = wb("evaluate", "--file", "mine.csv", "--text", "say", "--label", "what", "--json").json
    assert (found["split"], found["accuracy"]["n"], found["openings"]) == ("mine.csv", 6, 0)
    assert "1 rows of mine.csv cannot be used" in found["notes"][0]
    wrong = wb("evaluate", "--file", "mine.csv", "--text", "nothing", "--label", "what")
    assert wrong.code == 1
    assert "nothing" in wrong.err
    assert wb("evaluate", "--text", "say").code == 2


def test_a_file_with_rows_of_the_test_split_is_an_opening(filled, trained, wb, tmp_path):
    table(tmp_path / "some.csv", [*rows(THINGS[6:7]), *rows(["手机"])])
    found = wb("evaluate", "--file", "some.csv", "--json").json
    assert found["openings"] == 1
    assert "3 rows of some.csv are rows of this bench's test split" in found["notes"][0]


def test_a_run_is_scored_on_a_file_without_a_bench(filled, trained, wb, tmp_path, monkeypatch):
    table(tmp_path / "some.csv", rows(["手机"]))
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run, file = filled.runs / trained, tmp_path / "some.csv"
    done = wb("evaluate", run, "--file", file, "--json", "--set", "encoder.name=hashed")
    assert done.code == 0, done.err
    assert done.json["accuracy"]["n"] == 3
    assert not (elsewhere / "wb.db").exists()
    assert "No such" not in wb("evaluate", run).err  # no bench, no file: the usual sentence


def test_checkpoints_stand_side_by_side(filled, trained, scripted, wb):
    _, other = scripted(right)
    done = wb("evaluate", "--checkpoint", trained, other, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert list(found["checkpoints"]) == [trained, other]
    assert "verdict" not in found
    assert found["accuracy"] == found["checkpoints"][other]["accuracy"]
    folder = filled.runs / found["run"]
    assert {path.name for path in folder.glob("failures*")} == {"failures.csv", f"failures.{trained}.csv"}
    repeated = wb("evaluate", "--checkpoint", trained, "--checkpoint", other, "--split", "dev")
    assert repeated.code == 0, repeated.err
    assert trained[:12] in repeated.out
    assert openings(filled) == 1


def test_choosing_among_three_on_the_test_split_is_warned_of(filled, trained, scripted, wb):
    _, other = scripted(right)
    third = filled.runs / "third"
    third.mkdir()
    finish(third, "train", json.loads((filled.runs / other / MANIFEST).read_text("utf-8")) | {"kind": "train"})
    found = wb("evaluate", trained, other, "third", "--json").json
    assert any("choose on dev" in note for note in found["notes"])


def test_a_model_without_replicas_gets_a_verdict_on_test_rows_only_that_says_so(filled, trained, scripted, wb):
    _, other = scripted(right)
    verdict = wb("evaluate", other, "--baseline", trained, "--json").json["verdict"]
    assert verdict["seeds"] == 0
    assert "test rows only: another training run may differ by more" in verdict["say"]


def test_criteria_make_the_exit_code(filled, scripted, wb):
    _, run = scripted(right)
    held = wb("evaluate", run, "--gate", "macro_f1>=0.85", "latency_p95<=5s", "memory<=64GB", "success>=0.999")
    assert held.code == 0, held.err
    assert held.out.count("holds") == 4
    failed = wb("evaluate", "--gate", "macro_f1>=0.85", "--gate", "latency_p95<=1ns".replace("1ns", "0.000001ms"), run)
    assert failed.code == 1
    assert "FAILS" in failed.out
    strict = wb("evaluate", run, "--gate", "success>=0.999", "--gate-on", "bound", "--json")
    assert strict.code == 1  # 18 rows cannot say 99.9 %
    gate = strict.json["gate"]
    assert (gate["on"], gate["passed"], gate["criteria"][0]["held"]) == ("bound", False, False)
    by_class = wb("evaluate", run, "--gate", "recall[投诉]>=0.9", "--json").json["gate"]
    assert by_class["criteria"][0]["n"] == 6


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        ("makro_f1>=1", "Did you mean 'macro_f1'"),
        ("cuda_memory<=8GB", "was not measured"),
        ("f1[无]>0.5", "was not measured"),
    ],
)
def test_a_criterion_that_cannot_be_judged_opens_nothing(filled, scripted, wb, criterion, words):
    _, run = scripted(right)
    done = wb("evaluate", run, "--gate", criterion)
    assert done.code == 2
    assert words in done.err
    assert openings(filled) == 0


def test_rows_without_a_class_count_as_wrong_and_are_listed_with_their_text(filled, scripted, wb):
    _, run = scripted(
        lambda text, n: [0, 0, 0] if "彩铃" in text else right(text, n),
        written={ASKS["退订"].format("彩铃"): "unknown: 我不知道"},
    )
    done = wb("evaluate", run, "--json")
    found = done.json
    assert found["failed"] == 3
    assert found["success"]["value"] == pytest.approx(15 / 18)
    assert found["accuracy"]["value"] == pytest.approx(15 / 18)
    assert found["labels"] == sorted(ASKS)  # having no class is no class
    assert "3 of 18 rows were not answered with a class" in found["notes"][0]
    with (filled.runs / found["run"] / "failures.csv").open(encoding="utf-8-sig", newline="") as file:
        failures = list(csv.DictReader(file))
    assert {(row["y_true"], row["y_pred"], row["why"]) for row in failures} == {
        ("查余额", "", "no answer"),
        ("退订", "", "unknown: 我不知道"),
        ("投诉", "", "no answer"),
    }
    assert all("彩铃" in row["text"] for row in failures)


def test_where_memory_is_short_batches_get_smaller_and_a_row_that_never_fits_is_named(filled, scripted, wb):
    def short(text, n):
        if n > 4 or "漫游" in text:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return right(text, n)

    model, run = scripted(short)
    found = wb("evaluate", run, "--json").json
    assert found["retries"] >= 3  # 18 -> 9 -> 5 -> 3 ...
    assert found["failed"] == 3
    assert max(model.asked) > 4
    assert any("memory was short" in note for note in found["notes"])
    lines = [json.loads(line) for line in predictions(filled, found)]
    assert {line["why"] for line in lines if "漫游" in line["text"]} == {"memory"}


def test_over_long_inputs_are_cut_by_turns_and_counted(filled, scripted, wb, tmp_path):
    seen = []

    def answer(text, n):
        seen.append(text)
        return right(text, n)

    _, run = scripted(answer, fits=lambda text: len(text) <= 30)
    long = f"客服{'好' * 40}{SEP}{ASKS['退订'].format('彩铃')}"
    table(tmp_path / "long.csv", [(long, "退订"), *rows(["手机"])])
    found = wb("evaluate", run, "--file", "long.csv", "--json").json
    assert found["cut"] == 1
    assert "1 texts were too long; their oldest turns were left out." in found["notes"]
    assert all(len(text) <= 30 for text in seen)
    assert found["accuracy"]["value"] == 1


def test_batch_size_reaches_the_model(filled, scripted, wb, monkeypatch):
    model, run = scripted(right)
    opened = []
    monkeypatch.setattr(predictors, "OPENERS", {"scripted": lambda bench, run, size: opened.append(size) or model})
    assert wb("evaluate", run, "--batch-size", "5", "--json").code == 0
    assert opened == [5]


def test_confused_pairs_for_generation_come_from_dev_and_never_from_test(filled, scripted, wb):
    _, run = scripted(lambda text, n: [0.9, 0.1, 0.0])
    assert wb("evaluate", run, "--json").code == 0
    with pytest.raises(DataError, match="looked at the test split") as caught:
        flow.confused(filled)
    assert "--split dev" in caught.value.hint
    assert wb("evaluate", run, "--split", "dev", "--json").code == 0
    assert flow.confused(filled) == [("投诉", "查余额"), ("退订", "查余额")] or len(flow.confused(filled)) == 2
    assert len(flow.confused(filled, count=1)) == 1


def test_a_sure_class_without_probabilities_says_nothing_of_calibration(filled, scripted, wb):
    _, run = scripted(lambda text, n: [float(p > 0.5) for p in right(text, n)], decided=True)
    found = wb("evaluate", run, "--json").json
    assert any("its calibration error says nothing" in note for note in found["notes"])


def test_latency_is_measured_on_texts_that_no_cache_knows(filled, trained):
    samples = filled.ledger.samples(split="dev")
    known = filled.root / "cache" / "vectors"
    answers = evaluate_ask.ask(filled, filled.runs / trained, samples)
    stored = sorted(known.rglob("*.npz"))
    assert answers.cost.p50.n == len(samples)
    evaluate_ask.ask(filled, filled.runs / trained, samples)
    assert sorted(known.rglob("*.npz")) == stored  # timed texts are not kept
