"""`wb loop`: rounds, their end, going on after a kill, one opening of the test split."""

from pathlib import Path

import pytest

import workbench
from workbench.bench import Bench
from workbench.errors import DataError, UsageError
from workbench.flow.loop import Options, loop

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
