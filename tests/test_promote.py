"""Promotion and rollback: the ledger has the facts, the file what a server looks at."""

import json
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.flow.promote import POINTER, mend, pointed, promote, promoted, rollback
from workbench.runs import finish


def run(bench, name):
    folder = bench.runs / name
    folder.mkdir(parents=True)
    finish(folder, "train", {"method": "classifier", "labels": ["a", "b"]})
    return name


def test_a_promotion_is_a_fact_in_the_ledger_and_a_file_beside_the_runs(bench):
    run(bench, "one")
    assert promote(bench, "one", "better").run == "one"
    assert (promoted(bench).run, promoted(bench).former, pointed(bench)) == ("one", "", "one")
    (operation,) = bench.ledger.operations()
    assert (operation.stage, operation.kind) == ("train", "promote")
    assert operation.details == {"run": "one", "former": "", "why": "better"}
    assert json.loads((bench.runs / POINTER).read_text("utf-8"))["run"] == "one"


def test_a_rollback_brings_the_former_one_back_and_a_second_the_one_before(bench):
    for name in ("one", "two", "three"):
        promote(bench, run(bench, name))
    assert (rollback(bench).run, pointed(bench)) == ("two", "two")
    assert (rollback(bench).run, pointed(bench)) == ("one", "one")
    with pytest.raises(DataError, match="Before one no run was promoted"):
        rollback(bench)
    assert promote(bench, "three").former == "one"
    assert rollback(bench).run == "one"


def test_what_cannot_be_promoted_or_taken_back_is_two_sentences(bench, tmp_path):
    with pytest.raises(DataError, match="nothing to take back"):
        rollback(bench)
    promote(bench, run(bench, "one"))
    with pytest.raises(DataError, match="in use already"):
        promote(bench, "one")
    with pytest.raises(DataError, match="There is no train run 'onne'") as caught:
        promote(bench, "onne")
    assert "Did you mean 'one'?" in caught.value.hint
    other = tmp_path / "elsewhere"
    other.mkdir()
    finish(other, "train", {})
    with pytest.raises(DataError, match="outside of this bench"):
        promote(bench, str(other))
    assert promoted(bench).run == "one"


def test_a_former_run_that_is_gone_is_not_gone_back_to(bench):
    for name in ("one", "two"):
        promote(bench, run(bench, name))
    (bench.runs / "one" / "manifest.json").unlink()
    with pytest.raises(DataError, match="no longer in"):
        rollback(bench)
    assert (promoted(bench).run, pointed(bench)) == ("two", "two")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"run": "old"}', None])
def test_a_file_that_differs_from_the_ledger_is_written_anew(bench, damage):
    promote(bench, run(bench, "one"))
    path = bench.runs / POINTER
    path.unlink() if damage is None else path.write_text(damage, encoding="utf-8")
    assert mend(bench).run == "one"
    assert pointed(bench) == "one"


def test_promotions_at_once_leave_file_and_ledger_in_agreement(bench, tmp_path):
    names = [run(bench, f"r{i}") for i in range(6)]
    _ = bench.ledger
    threads = [threading.Thread(target=promote, args=(Bench.find(tmp_path), name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bench.ledger.operations()) == 6
    assert promoted(bench).run == pointed(bench)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["a", "b", "c", "back"]), max_size=8))
def test_any_sequence_behaves_like_a_stack(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("bench")
    (folder / "wb.yaml").write_text("encoder: {name: hashed}\n", encoding="utf-8")
    bench = Bench.find(folder)
    for name in "abc":
        run(bench, name)
    stack = []
    for step in steps:
        try:
            if step == "back":
                rollback(bench)
                stack.pop()
            else:
                promote(bench, step)
                stack.append(step)
        except DataError:
            assert (len(stack) < 2) if step == "back" else (stack[-1:] == [step])
        assert promoted(bench).run == pointed(bench) == (stack[-1] if stack else "")
    bench.ledger.close()
