"""Which run is in use: promoted, taken back, and found again after a kill."""

import pytest

from workbench.errors import DataError
from workbench.flow.models.promotion import promote, promoted, rollback
from workbench.runs import finish, read_json, write_json


def run(root, name, kind="train"):
    folder = root / name
    folder.mkdir(parents=True)
    finish(folder, kind, {"labels": ["a", "b"]})
    return folder


@pytest.fixture
def three(bench):
    """A bench with the runs a, b and c."""
    for name in "abc":
        run(bench.runs, name)
    return bench


def kinds(bench):
    return [(o.kind, o.details["run"], o.details["before"]) for o in bench.ledger.operations() if o.stage == "train"]


def test_a_promotion_is_an_operation_and_a_pointer(three):
    assert promoted(three) is None
    assert promote(three, "a") == "a"
    assert promote(three, "b") == "b"
    assert promoted(three) == "b"
    assert read_json(three.root / "promoted.json") == {"run": "b"}
    assert kinds(three) == [("promote", "a", None), ("promote", "b", "a")]


def test_a_rollback_goes_back_step_by_step_and_can_be_followed_by_a_promotion(three):
    for name in "abc":
        promote(three, name)
    assert [rollback(three), promoted(three), rollback(three), promoted(three)] == ["b", "b", "a", "a"]
    promote(three, "c")
    assert rollback(three) == "a"


def test_the_first_promotion_can_name_what_was_in_use_before(three):
    promote(three, "b", before="a")
    assert kinds(three) == [("promote", "b", "a")]
    assert rollback(three) == "a"
    promote(three, "c", before="b")  # what the pointer says counts more
    assert rollback(three) == "a"


def test_promoting_the_same_run_again_changes_nothing(three):
    promote(three, "a")
    promote(three, "b")
    promote(three, "b")
    assert len(kinds(three)) == 2
    assert rollback(three) == "a"


def test_a_kill_between_pointer_and_ledger_is_mended_by_either_command(three):
    promote(three, "a")
    write_json(three.root / "promoted.json", {"run": "b"})  # the pointer went ahead; the operation was lost
    assert promoted(three) == "b"
    assert rollback(three) == "a"
    write_json(three.root / "promoted.json", {"run": "b"})
    promote(three, "b", before="a")
    assert kinds(three)[-1] == ("promote", "b", "a")
    assert rollback(three) == "a"


def test_a_lost_pointer_is_read_from_the_ledger(three):
    promote(three, "a")
    promote(three, "b")
    (three.root / "promoted.json").unlink()
    assert promoted(three) == "b"


def test_a_run_outside_the_bench_is_named_by_its_path(three, tmp_path):
    folder = run(tmp_path / "elsewhere", "x")
    assert promote(three, str(folder)) == str(folder.resolve())
    promote(three, "a")
    assert rollback(three) == str(folder.resolve())


def test_what_cannot_be_promoted_or_brought_back_is_said(three):
    with pytest.raises(DataError, match="No run of this bench was promoted"):
        rollback(three)
    with pytest.raises(DataError, match="no train run 'd'"):
        promote(three, "d")
    run(three.runs, "e", kind="evaluate")
    with pytest.raises(DataError, match="no train run 'e'"):
        promote(three, "e")
    promote(three, "a")
    with pytest.raises(DataError, match="Nothing was in use before a"):
        rollback(three)
    (three.root / "promoted.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="does not name a run"):
        promoted(three)


def test_an_earlier_run_that_is_gone_is_not_brought_back(three):
    promote(three, "a")
    promote(three, "b")
    (three.runs / "a" / "manifest.json").unlink()
    with pytest.raises(DataError, match="no train run 'a'"):
        rollback(three)
    assert promoted(three) == "b"
