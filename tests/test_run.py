"""The whole loop on the shipped rows: every stage leaves its result in the ledger, a second run repeats nothing."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from workbench.bench import Bench
from workbench.cli import main
from workbench.flow import run as loop
from workbench.flow.gate.run import Judge
from workbench.runs import read_json

HASHED = ("--set", "encoder.name=hashed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished demo; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("demo") / "bench"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "argv", ["wb", "demo", str(folder), *HASHED])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return folder


@pytest.fixture
def demo(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "copy"))


def opened(folder):
    return Bench.find(folder, [HASHED[1]])


def state(folder):
    bench = opened(folder)
    ledger = bench.ledger
    found = {
        "samples": len(ledger.samples(source=None)),
        "replies": len(ledger.replies()),
        "accepted": sorted(sample.id for sample in ledger.accepted()),
        "runs": [run.id for run in ledger.runs()],
        "openings": ledger.openings(),
        "folders": sorted(path.name for path in bench.runs.iterdir()),
    }
    ledger.close()
    return found


@pytest.mark.slow
def test_every_stage_leaves_its_result(made):
    bench = opened(made)
    ledger = bench.ledger
    assert [len(ledger.samples(split=split)) for split in ("train", "dev", "test")] == [276, 64, 224]
    candidates = ledger.candidates()
    assert candidates
    assert all(candidate.verdicts for candidate in candidates)
    assert 0 < len(ledger.accepted()) < len(candidates)
    assert not ledger.replies(unparsed=True)
    assert {reply.model for reply in ledger.replies()} == {"recorded"}
    trained = {run.summary["rows_from"]: run for run in ledger.runs("train")}
    assert set(trained) == {"human", "ungated", "gated"}
    assert trained["gated"].summary["synthetic"] == len(ledger.accepted())
    assert trained["ungated"].summary["synthetic"] == len(candidates)
    assert len(ledger.runs("evaluate")) == len(ledger.openings()) == 1
    assert {operation.stage for operation in ledger.operations()} >= {"data", "generate", "train", "evaluate"}
    for run in ledger.runs():
        assert (bench.runs / run.id / "manifest.json").is_file()
    ledger.close()


@pytest.mark.slow
def test_the_evaluation_folder_holds_what_the_page_says(made):
    folder = next(made.glob("runs/*-evaluate"))
    facts = read_json(folder / "metrics.json")
    assert list(facts["arms"]) == ["no augmentation", "ungated", "gated"]
    assert list(facts["verdicts"]) == ["ungated", "gated"]
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|src=|href=|https?://", html)
    for name, scores in facts["arms"].items():
        assert name in html
        assert f"{scores['macro_f1']['value']:.3f}" in html
    assert "has been opened once" in html
    assert (folder / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    predictions = [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]
    wrong = [row for row in predictions if row["y_true"] != row["y_pred"]]
    assert len(predictions) == 224
    right = 1 - len(wrong) / 224
    assert facts["arms"]["gated"]["accuracy"]["value"] == pytest.approx(right)
    assert len((folder / "failures.csv").read_text("utf-8-sig").splitlines()) >= len(wrong) + 1


@pytest.mark.slow
def test_a_second_run_repeats_nothing(demo, wb):
    before = state(demo)
    again = wb("demo", demo, *HASHED)
    assert again.code == 0, again.err
    assert state(demo) == before
    assert "opened once" in again.out
    assert "0 new rows, 276 there already" in again.err


@pytest.mark.slow
def test_the_demo_says_that_its_completions_are_recorded_and_shows_three_models(demo, wb):
    done = wb("demo", demo, *HASHED)
    assert "RECORDED" in done.err
    for words in ("no augmentation", "ungated", "gated", "macro-F1 over 16 classes (union)", "report.html"):
        assert words in done.out


@pytest.mark.slow
def test_a_run_that_was_stopped_before_the_verdict_goes_on_there(demo, wb, monkeypatch):
    before = state(demo)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop.evaluate, "evaluate", stop)
        stopped = wb("demo", demo, *HASHED, "--set", "train.replicas=3")
    assert stopped.code == 130
    assert "goes on from there" in stopped.err
    between = state(demo)
    assert len(between["runs"]) == len(before["runs"]) + 3  # other replicas are another training
    assert wb("demo", demo, *HASHED, "--set", "train.replicas=3").code == 0
    after = state(demo)
    assert len(after["runs"]) == len(between["runs"]) + 1
    assert after["replies"] == before["replies"]
    assert len(after["openings"]) == 2


@pytest.mark.slow
def test_every_look_at_the_test_split_is_counted_and_a_look_at_dev_is_not(demo, wb):
    first = wb("evaluate", "--json", "--bench", demo, *HASHED).json
    assert (first["split"], first["openings"]) == ("test", 2)
    dev = wb("evaluate", "--split", "dev", "--json", "--bench", demo, *HASHED).json
    assert (dev["split"], dev["openings"], dev["accuracy"]["n"]) == ("dev", 2, 64)
    refused = wb("evaluate", "--split", "train", "--bench", demo, *HASHED)
    assert refused.code == 2
    assert len(state(demo)["openings"]) == 2


@pytest.mark.slow
def test_a_model_of_another_encoder_opens_nothing(demo, wb):
    bench = opened(demo)
    model = next(bench.runs.glob("*-train")) / "model"
    facts = next(path for path in model.glob("*.json") if bench.encoder.fingerprint in path.read_text("utf-8"))
    facts.write_text(facts.read_text("utf-8").replace(bench.encoder.fingerprint, "other"), encoding="utf-8")
    done = wb("evaluate", model.parent.name, "--bench", demo, *HASHED)
    assert done.code == 1
    assert "trained with another encoder" in done.err
    assert len(state(demo)["openings"]) == 1


@pytest.mark.slow
def test_a_verdict_between_two_runs_on_the_command_line(demo, wb):
    runs = {run.summary["rows_from"]: run.id for run in opened(demo).ledger.runs("train")}
    facts = read_json(next(demo.glob("runs/*-evaluate")) / "metrics.json")
    done = wb("evaluate", runs["gated"], "--baseline", runs["human"], "--json", "--bench", demo, *HASHED)
    assert done.json["verdict"] == facts["verdicts"]["gated"]
    assert done.json["accuracy"] == facts["arms"]["gated"]["accuracy"]
    assert wb("report", "--bench", demo, *HASHED).out.strip().endswith("report.html")


@pytest.mark.model
def test_with_shuffled_classes_the_demo_does_not_say_improved(tmp_path, wb):
    done = wb("demo", tmp_path / "shuffled", "--shuffle-labels")
    assert done.code == 0, done.err
    assert "SHUFFLED" in done.err
    verdicts = read_json(next((tmp_path / "shuffled").glob("runs/*-evaluate")) / "metrics.json")["verdicts"]
    assert {"ungated", "gated"} == set(verdicts)
    assert all(verdict["overall"] != "improved" for verdict in verdicts.values())
    assert wb("demo", tmp_path / "shuffled").code == 2  # not mixed with the true recording


@pytest.mark.slow
def test_rows_of_shuffled_classes_bring_nothing_without_the_gate(tmp_path, wb):
    # With the gate they may: it finds those that are like their new class, some of which are right by chance.
    assert wb("demo", tmp_path / "shuffled", "--shuffle-labels", *HASHED).code == 0
    verdicts = read_json(next((tmp_path / "shuffled").glob("runs/*-evaluate")) / "metrics.json")["verdicts"]
    assert verdicts["ungated"]["overall"] != "improved"


@pytest.mark.slow
def test_the_test_split_changes_no_plan_prompt_or_threshold(made, tmp_path):
    """The same bench with other test rows asks for the same rows, and judges them by the same thresholds."""
    (tmp_path / "wb.yaml").write_text((made / "wb.yaml").read_text("utf-8"), encoding="utf-8")
    (tmp_path / "test.csv").write_text("text,label\n信号一直不好怎么办,投诉（含抱怨）网络问题\n", encoding="utf-8")
    pipeline = Path(loop.__file__).parents[2] / "pipelines" / "demo.yaml"
    bench = Bench.find(
        tmp_path, [HASHED[1], "run.files.test=test.csv", "run.ungated=false", "train.replicas=2"], pipeline=pipeline
    )
    loop.run(bench, lambda _: None)
    other = opened(made)
    mine, theirs = Judge.of(bench).calibration, Judge.of(other).calibration
    assert {**mine.thresholds, "leakage": {}} == {**theirs.thresholds, "leakage": {}}
    assert mine.share == theirs.share
    assert {r.id: r.messages for r in bench.ledger.replies()} == {r.id: r.messages for r in other.ledger.replies()}
    assert {c.sample.id for c in bench.ledger.candidates()} == {c.sample.id for c in other.ledger.candidates()}
    bench.ledger.close()
    other.ledger.close()


def test_a_pipeline_that_is_not_there_is_named(bench, wb):
    done = wb("run", "nowhere.yaml")
    assert done.code == 1
    assert "nowhere.yaml" in done.err
    assert "What to do" in done.err


def test_a_pipeline_lies_over_the_settings_of_the_bench(bench, wb, tmp_path):
    (tmp_path / "train.csv").write_text(
        "text,label\n" + "\n".join(f"查{x}还有多少,查\n退掉{x}业务,退" for x in "甲乙丙丁戊己庚辛壬癸子丑"),
        encoding="utf-8",
    )
    (tmp_path / "p.yaml").write_text(
        "run: {files: {'': train.csv}, minority: false}\ntrain: {replicas: 2}\n", encoding="utf-8"
    )
    done = wb("run", "p.yaml")
    assert done.code == 0, done.err
    # Nothing was wanted, so both models are the same one, and no better than itself.
    assert [run.summary["rows_from"] for run in bench.ledger.runs("train")] == ["human"]
    assert "improved" not in done.out
    assert len(bench.ledger.openings()) == 1
    again = wb("run", "p.yaml")
    assert again.code == 0, again.err
    assert len(bench.ledger.runs("train")) == len(bench.ledger.openings()) == 1
