"""`wb loop`: rounds, their end, going on after a kill, one opening of the test split."""

from dataclasses import replace
from pathlib import Path

import pytest

import workbench
from workbench.bench import Bench
from workbench.errors import DataError, UsageError
from workbench.flow.loop import Options, loop
from workbench.runs import read_json

DEMO = Path(workbench.__file__).parent / "demo" / "telecom"
SETTINGS = "encoder: {name: hashed}\nllm: {endpoints: [{kind: recorded, path: 'demo:telecom'}]}\ntrain: {replicas: 5}\n"
pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path, wb):
    (tmp_path / "wb.yaml").write_text(SETTINGS, encoding="utf-8")
    for split in ("train", "dev", "test"):
        assert wb("data", "add", DEMO / f"{split}.csv", "--split", split).code == 0
    return tmp_path


def openings(folder):
    bench = Bench.find(folder)
    try:
        return len(bench.ledger.openings())
    finally:
        bench.ledger.close()


def test_a_loop_opens_the_test_split_once_and_shows_its_rounds(home, wb):
    done = wb("loop", "--rounds", "2", "--rows", "4", "--pairs", "0", "--patience", "2", "--json")
    assert done.code == 0, done.err
    found = done.lines[-1]
    assert [one["round"] for one in found["rounds"]] == [0, 1, 2]
    assert found["rounds"][0]["asked"] == []
    assert len(found["rounds"][1]["asked"]) == 3
    assert found["stopped_by"] == "rounds"
    assert found["best"] == max(found["rounds"], key=lambda one: (one["macro_f1"], -one["round"]))["round"]
    assert openings(home) == (1 if found["best"] else 0)
    (folder,) = (home / "runs").glob("*-loop")
    assert {path.name for path in folder.iterdir()} >= {"rounds.jsonl", "rounds.png", "loop.json", "manifest.json"}


def test_a_killed_loop_goes_on_where_it_was_and_buys_nothing_twice(home):
    options = Options(rounds=2, pairs=0, rows=4, patience=5)

    def stop_at(word):
        def progress(line):
            if line.startswith(word):
                raise KeyboardInterrupt

        return progress

    bench = Bench.find(home)
    for word in ("round 0", "accepted", "round 1"):
        with pytest.raises(KeyboardInterrupt):
            loop(bench, options, stop_at(word))
    result = loop(bench, options, lambda _: None)
    draws = [(reply.label, reply.draw) for reply in bench.ledger.replies()]
    assert len(draws) == len(set(draws))
    plans = [o.details["round"] for o in bench.ledger.operations() if (o.stage, o.kind) == ("run", "round")]
    assert plans == sorted(set(plans))
    assert [one.number for one in result.rounds] == list(range(len(result.rounds)))
    bench.ledger.close()


def test_it_ends_when_nothing_gets_better(home):
    bench = Bench.find(home, ["generate.accept=1"])
    result = loop(bench, Options(rounds=9, classes=1, pairs=0, rows=1, patience=1), lambda _: None)
    assert result.stopped_by in ("no_better", "no_rows")
    assert len(result.rounds) < 10
    bench.ledger.close()


def test_without_a_dev_split_it_says_so(tmp_path, wb):
    (tmp_path / "wb.yaml").write_text(SETTINGS, encoding="utf-8")
    assert wb("data", "add", DEMO / "train.csv", "--split", "train").code == 0
    bench = Bench.find(tmp_path)
    with pytest.raises(DataError, match="dev split after each round"):
        loop(bench, Options(), lambda _: None)
    bench.ledger.close()


def test_a_cap_that_is_no_money_is_refused(home, wb):
    done = wb("loop", "--max-cost", "much")
    assert done.code == UsageError.exit_code
    assert "'much' is not an amount of money" in done.err


def manifests(folder, rounds):
    return [read_json(folder / "runs" / one["run"] / "manifest.json") for one in rounds]


def test_each_round_continues_the_model_of_the_last_good_one_without_opening_the_test_split(home, wb):
    done = wb("loop", "--rounds", "2", "--rows", "4", "--pairs", "0", "--patience", "3", "--json")
    assert done.code == 0, done.err
    rounds = done.lines[-1]["rounds"]
    start, first, second = manifests(home, rounds)
    assert (start["method"], first["method"], second["method"]) == ("classifier", "incremental", "incremental")
    assert first["parent"] == rounds[0]["run"]
    assert second["parent"] == (rounds[1]["run"] if rounds[1]["kept"] else rounds[0]["run"])
    assert first["new_rows"] == rounds[1]["accepted"]
    assert set(first["verdict"]["parts"]) == {"dev_split"}
    assert not (home / "promoted.json").exists()
    listed = {one["name"]: one["macro_f1"] for one in wb("models", "list", "--json").lines[-1] if one["kind"] == "run"}
    assert listed[rounds[1]["run"]] == pytest.approx(rounds[1]["macro_f1"])
    assert openings(home) == (1 if done.lines[-1]["best"] else 0)


def test_a_round_that_makes_something_worse_on_dev_is_neither_kept_nor_best(home, monkeypatch):
    from workbench.flow.train import incremental

    def refused(parts, config):
        return replace(plain(parts, config), promoted=False)

    plain = incremental.regression
    monkeypatch.setattr(incremental, "regression", refused)
    bench = Bench.find(home)
    said = []
    result = loop(bench, Options(rounds=2, pairs=0, rows=4, patience=2), said.append)
    bench.ledger.close()
    assert [one.kept for one in result.rounds] == [True, False, False]
    assert result.best.number == 0
    assert result.evaluation is None
    assert any("not kept: significantly worse on dev" in line for line in said)
    parents = [read_json(home / "runs" / one.run / "manifest.json")["parent"] for one in result.rounds[1:]]
    assert parents == [result.rounds[0].run] * 2


def test_anew_trains_from_nothing_in_each_round(home, wb):
    done = wb("loop", "--rounds", "1", "--rows", "4", "--pairs", "0", "--anew", "--json")
    assert done.code == 0, done.err
    assert [one["method"] for one in manifests(home, done.lines[-1]["rounds"])] == ["classifier", "classifier"]
