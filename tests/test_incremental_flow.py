"""`wb train --method incremental`: from files and from the ledger to a verdict, a promotion, or exit code 1."""

import pytest

from workbench.bench import Bench
from workbench.errors import DataError, UsageError
from workbench.evaluate import Arm, CompareConfig
from workbench.flow.models.predictors import open_predictor
from workbench.flow.models.promotion import promoted, rollback
from workbench.flow.train.incremental import continue_run
from workbench.flow.train.incremental_rows import Given
from workbench.flow.train.regression import Part, regression
from workbench.flow.train.run import train
from workbench.records import Sample, Turn
from workbench.runs import read_json, write_json

THINGS = list("话流积余套宽彩短漫号发账合副座信")
SAY = {"查询": "请帮我查一下{}还有多少", "退订": "把我的{}业务给取消掉", "投诉": "{}的服务太差我要投诉"}
HASHED = ("--set", "encoder.name=hashed", "--set", "train.replicas=0")


def lines(label, things=THINGS, say=SAY):
    return [(say[label].format(thing), label) for thing in things]


def csv_of(path, rows):
    path.write_text("\n".join(["user_input,intent_code", *(f"{a},{b}" for a, b in rows)]) + "\n", encoding="utf-8")
    return path


OLD = [row for label in SAY for row in lines(label)]
NEW = [(f"我不想再用{thing}了呀", "退订") for thing in THINGS[:8]] + [
    (f"{thing}怎么回事没人管", "投诉") for thing in THINGS[:8]
]


@pytest.fixture
def files(tmp_path, wb):
    """Old and new rows as plain files, and a run of the old ones in the folder `old`; no bench."""
    old, new = csv_of(tmp_path / "old.csv", OLD), csv_of(tmp_path / "new.csv", NEW)
    done = wb("train", "--train", old, "--output-path", "old", *HASHED, "--json")
    assert done.code == 0, done.err
    return ["--method", "incremental", "--new-data", new, "--old-data", old, "--model-path", "old", *HASHED]


def sample(i, text, label, split="train"):
    return Sample(f"{split}-{i}", (Turn("user", text),), label, split)


@pytest.fixture
def filled(tmp_path, bench):
    """A bench with old rows, a test split and a trained run."""
    rows = [sample(i, text, label) for i, (text, label) in enumerate(OLD)]
    rows += [sample(i, f"{text}啊", label, "test") for i, (text, label) in enumerate(OLD[::2])]
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows)
    opened = Bench.find(tmp_path, ["train.replicas=2"])
    return opened, train(opened)


def learn(bench, rows):
    with bench.ledger.write("data", "add") as writer:
        writer.samples([sample(1000 + i, text, label) for i, (text, label) in enumerate(rows)])


# --- plain files


def test_files_give_a_run_a_verdict_and_the_contract_as_json(files, wb, tmp_path):
    done = wb("train", *files, "--output-path", "out", "--json")
    assert done.code == 0, done.err
    found = done.lines[-1]
    assert found.keys() >= {"run", "metrics", "promoted", "verdict"}
    assert (found["promoted"], found["run"]) == (True, str(tmp_path / "out"))
    assert found["verdict"]["parts"].keys() == {"old_test", "new_test"}
    new = found["verdict"]["parts"]["new_test"]
    assert (new["rows"], new["errors_after"] < new["errors_before"]) == (16, True)
    assert found["metrics"]["old_test"]["macro_f1"]["n"] == 48
    assert "16 new rows in 2 classes (8 each), 48 old rows in 3 classes" in done.err
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert (manifest["method"], manifest["opens"], manifest["promoted"]) == ("incremental", "classifier", True)
    assert manifest["parent"] == str(tmp_path / "old")
    assert (manifest["new_rows"], manifest["replayed_rows"]) == (16, 16)
    assert not (tmp_path / "wb.db").exists()
    assert not (tmp_path / "promoted.json").exists()


def test_the_old_run_stays_as_it_is(files, wb, tmp_path):
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    assert wb("train", *files).code == 0
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == before


def test_forgetting_is_found_out_and_is_an_exit_code(files, wb, tmp_path):
    test = csv_of(tmp_path / "test.csv", [(f"{text}啊", label) for text, label in OLD])
    done = wb("train", *files, "--test", test, "--set", "train.incremental.guard=none", "--json")
    assert done.code == 1
    found = done.lines[-1]
    assert found["promoted"] is False
    assert "Not promoted: significantly worse is" in found["verdict"]["say"]
    assert any("查询" in name for name in found["verdict"]["worse"])
    kept = wb("train", *files, "--test", test, "--json").lines[-1]
    assert kept["promoted"] is True
    assert kept["verdict"]["parts"]["old_test"]["errors_after"] < found["verdict"]["parts"]["old_test"]["errors_after"]


def test_the_model_of_an_incremental_run_predicts_and_can_be_continued(files, wb, tmp_path):
    assert wb("train", *files, "--output-path", "out").code == 0
    bench = Bench.find_or_bare(None, ["encoder.name=hashed"])
    predictor = open_predictor(bench, tmp_path / "out")
    assert predictor.labels == ("投诉", "查询", "退订")
    more = csv_of(tmp_path / "more.csv", [(f"快点给我开通{thing}", "开通") for thing in THINGS])
    files[files.index("--model-path") + 1], files[files.index("--new-data") + 1] = "out", more
    done = wb("train", *files, "--output-path", "grown", "--json")
    assert done.code == 0, done.lines[-1]["verdict"]["say"]
    assert "the model gets a new class: 开通 (16 rows)" in done.err
    grown = open_predictor(bench, tmp_path / "grown")
    assert grown.labels == ("投诉", "查询", "退订", "开通")
    assert grown.labels[grown.predict(["快点给我开通亲情号"])[0].argmax()] == "开通"
    # The old model cannot name a class that it does not know; that is no reason to call it comparable there.
    assert done.lines[-1]["verdict"]["parts"]["new_test"]["errors_before"] == 16


def test_a_drowned_class_is_refused_before_anything_is_written(files, wb, tmp_path):
    done = wb("train", *files, "--output-path", "out", "--set", "train.incremental.max_ratio=0.4")
    assert done.code == 1
    assert "would drown '查询'" in done.err
    assert not (tmp_path / "out").exists()


def test_rows_that_are_in_two_files_are_said_and_count_once(files, wb, tmp_path):
    new = csv_of(tmp_path / "new.csv", [*NEW, (OLD[0][0], "退订"), OLD[1]])
    test = csv_of(tmp_path / "test.csv", [NEW[0], *OLD[2:20]])
    done = wb("train", *files, "--test", test, "--output-path", "out", "--json")
    assert "1 new rows stand among the test rows and are not trained on" in done.err
    assert "18 old rows stand among the test rows and are not replayed" in done.err
    assert "2 old rows have the text of a new row, 1 of them another class: the new row counts" in done.err
    assert (read_json(tmp_path / "out" / "manifest.json")["new_rows"], new.name) == (17, "new.csv")


def test_what_is_missing_is_said_with_the_option_that_brings_it(files, wb, tmp_path):
    done = wb("train", *files[:4], "--model-path", "old", *HASHED)
    assert (done.code, "--old-data FILE" in done.err) == (1, True)
    done = wb("train", "--method", "incremental", "--new-data", tmp_path / "none.csv", "--model-path", "old", *HASHED)
    assert (done.code, "none.csv" in done.err) == (1, True)
    done = wb("train", *files, "--output-path", "old")
    assert (done.code, "old is there already" in done.err) == (2, True)
    done = wb("train", *files, "--set", "train.incremental.guard=prayer")
    assert (done.code, "no guard 'prayer'" in done.err) == (1, True)


def test_a_method_that_cannot_be_continued_is_said(files, wb, tmp_path):
    write_json(tmp_path / "old" / "manifest.json", read_json(tmp_path / "old" / "manifest.json") | {"method": "qlora"})
    done = wb("train", *files)
    assert (done.code, "old is of method 'qlora', which cannot be continued" in done.err) == (2, True)


# --- the ledger


def test_what_was_approved_since_the_last_version_is_learned_and_promoted(filled, wb):
    bench, old = filled
    learn(bench, NEW)
    done = wb("train", "--method", "incremental", "--json", "--set", "train.replicas=2")
    assert done.code == 0, done.err
    name = done.lines[-1]["run"]
    assert promoted(bench) == name
    kinds = [(o.stage, o.kind) for o in bench.ledger.operations()][-3:]
    assert kinds == [("evaluate", "open"), ("train", "incremental"), ("train", "promote")]
    assert bench.ledger.operations()[-1].details == {"run": name, "before": old.run.name}
    manifest = read_json(bench.runs / name / "manifest.json")
    assert (manifest["parent"], manifest["rows"], manifest["verdict"]["parts"]["old_test"]["from"]) == (
        old.run.name, 64, "the test split",
    )  # fmt: skip
    assert manifest["verdict"]["parts"]["old_test"]["seeds"] == 2
    assert len(bench.ledger.openings()) == 1
    # The next one begins where this one ended.
    again = wb("train", "--method", "incremental")
    assert (again.code, "Nothing was approved since" in again.err, name in again.err) == (1, True, True)
    assert rollback(bench) == old.run.name


def test_a_model_that_got_worse_is_kept_beside_the_promoted_one(filled):
    _, old = filled
    bench = Bench.find(old.run.parents[1], ["train.incremental.guard=none", "train.replicas=2"])
    learn(bench, NEW)
    done = continue_run(bench, Given())
    assert done.promoted is False
    assert promoted(bench) is None
    assert (done.run / "verdict.json").is_file()
    assert bench.ledger.operations()[-1].details == {"run": done.run.name, "parent": old.run.name, "promoted": False}


def test_files_can_continue_a_run_of_the_bench_without_its_old_rows(filled, tmp_path):
    bench, old = filled
    done = continue_run(bench, Given(new=csv_of(tmp_path / "new.csv", NEW)))
    assert done.rows == 64
    assert promoted(bench) == done.run.name
    assert not bench.ledger.openings()  # files do not open the test split
    with pytest.raises(DataError, match="does not have the rows of the version"):
        continue_run(bench, Given())
    assert done.run.name != old.run.name


def test_old_data_without_new_data_is_an_error(filled, wb, tmp_path):
    done = wb("train", "--method", "incremental", "--old-data", csv_of(tmp_path / "o.csv", OLD))
    assert (done.code, "go with --new-data FILE" in done.err) == (2, True)


def test_the_output_folder_is_promoted_by_its_path(filled, tmp_path):
    bench, _ = filled
    learn(bench, NEW)
    done = continue_run(bench, Given(), output=tmp_path / "mine")
    assert promoted(bench) == str(tmp_path / "mine")
    with pytest.raises(UsageError, match="mine is there already"):
        continue_run(bench, Given(), parent="last", output=done.run)


# --- the verdict


def part(name, before, after, n=60):
    true = ["a", "b"] * (n // 2)
    said = [[t if i >= wrong else "b" if t == "a" else "a" for i, t in enumerate(true)] for wrong in (before, after)]
    return Part(name, true, Arm(said[0]), Arm(said[1]), "somewhere")


def test_one_set_that_got_worse_is_enough():
    found = regression([part("old test", 0, 20), part("new test", 30, 0)], CompareConfig())
    assert not found.promoted
    assert "macro_f1" in found.say
    assert {name.partition(":")[0] for name in found.json()["worse"]} == {"old test"}
    assert {name.partition(":")[0] for name in found.json()["better"]} == {"new test"}
    assert "0 errors before, 20 after, of 60 rows" in found.say


def test_a_test_too_small_to_tell_promotes_and_says_what_it_could_not_see():
    found = regression([part("old test", 0, 1, n=8), part("new test", 0, 0, n=0)], CompareConfig())
    assert found.promoted
    assert "a loss of macro-F1 is seen in 4 of 5 cases from" in found.say
    assert list(found.json()["parts"]) == ["old_test"]


def test_the_error_probability_is_shared_by_the_sets():
    alone = regression([part("old test", 4, 8)], CompareConfig()).parts[0][1].effects[1]
    shared = regression([part("old test", 4, 8), part("new test", 4, 8)], CompareConfig()).parts[0][1].effects[1]
    assert shared.high - shared.low > alone.high - alone.low
