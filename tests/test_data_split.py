"""Splitting: shares, small classes, what may not be torn apart, and what may not be touched."""

from collections import Counter, defaultdict
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.data import SplitConfig, split
from workbench.errors import DataError
from workbench.records import Sample, Turn

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS = count()
HAN = "一丁七万丈三上下不与丐丑专且丕世丘丙业丛东丝丞两严丧个中丰串临丸丹为主丽举乃久么义之乌乍乎乏乐乒乓"


def row(label="x", text=None, where="train", **meta):
    n = next(ROWS)
    own = "".join(HAN[(n // len(HAN) ** i * 7 + n * i) % len(HAN)] for i in range(8)) + str(n * 7919)
    return Sample(f"r{n}", (Turn("user", text or own),), label, where, meta=meta)


def after(rows, result):
    """Split of each row afterwards."""
    moved = {change.sample: change.value for change in result.changes}
    return {sample.id: moved.get(sample.id, sample.split) for sample in rows}


def test_shares_are_kept_per_class():
    rows = [row(label) for label, n in (("a", 100), ("b", 20)) for _ in range(n)]
    places = after(rows, split(rows, SplitConfig(), seed=0))
    assert Counter((r.label, places[r.id]) for r in rows) == {
        ("a", "train"): 80, ("a", "dev"): 10, ("a", "test"): 10,
        ("b", "train"): 16, ("b", "dev"): 2, ("b", "test"): 2,
    }  # fmt: skip


def test_classes_of_one_to_three_rows_are_handled_and_said():
    rows = [row(label) for label, n in (("one", 1), ("two", 2), ("three", 3), ("four", 4)) for _ in range(n)]
    result = split(rows, SplitConfig(), seed=0)
    places = after(rows, result)
    got = defaultdict(list)
    for sample in rows:
        got[sample.label].append(places[sample.id])
    assert {label: sorted(some) for label, some in got.items()} == {
        "one": ["train"],
        "two": ["test", "train"],
        "three": ["dev", "test", "train"],
        "four": ["dev", "test", "train", "train"],
    }
    assert result.notes == [
        "1 class with 1 row: now in train (one)",
        "1 class with 2 rows: now in train, test (two)",
        "1 class with 3 rows: now in train, dev, test (three)",
    ]


def test_the_seed_decides_and_nothing_else():
    rows = [row() for _ in range(50)]
    assert split(rows, SplitConfig(), seed=1) == split(rows, SplitConfig(), seed=1)
    assert after(rows, split(rows, SplitConfig(), seed=1)) != after(rows, split(rows, SplitConfig(), seed=2))


def test_near_duplicates_stay_on_one_side():
    twins = [row(text=f"我想要查询一下这个月的话费余额{end}") for end in ("", "。", "吧", "呢")]
    rows = [row() for _ in range(16)] + twins
    for seed in range(10):
        result = split(rows, SplitConfig(dev=0.25, test=0.25), seed)
        assert len({after(rows, result)[sample.id] for sample in twins}) == 1
    assert "4 rows nearly equal another, or share its dialogue, and stay on one side with it" in result.notes


def test_a_heap_of_near_duplicates_does_not_fill_the_test_split():
    heap = [row(text="我想要查询一下这个月的话费余额" + "。" * n) for n in range(10)]
    rows = [row() for _ in range(90)] + heap
    for seed in range(10):
        places = after(rows, split(rows, SplitConfig(), seed))
        assert {places[sample.id] for sample in heap} == {"train"}
        assert Counter(places.values()) == {"train": 80, "dev": 10, "test": 10}


def test_rows_of_one_dialogue_stay_together_whatever_their_classes():
    rows = [row(f"c{(dialogue + turn) % 5}", dialogue_id=dialogue) for dialogue in range(100) for turn in range(4)]
    result = split(rows, SplitConfig(), seed=0)
    places = after(rows, result)
    sides = defaultdict(set)
    for sample in rows:
        sides[sample.meta["dialogue_id"]].add(places[sample.id])
    assert {len(side) for side in sides.values()} == {1}
    counts = Counter(places.values())
    assert 36 <= counts["dev"] <= 44
    assert 36 <= counts["test"] <= 44
    for part in ("train", "dev", "test"):
        assert {r.label for r in rows if places[r.id] == part} == {f"c{i}" for i in range(5)}


def test_a_column_to_group_by_can_be_named_and_a_wrong_one_is_answered():
    rows = [row(call=n // 2) for n in range(40)]
    places = after(rows, split(rows, SplitConfig(group_by="call"), seed=0))
    assert all(places[a.id] == places[b.id] for a, b in zip(rows[::2], rows[1::2], strict=True))
    with pytest.raises(DataError, match=r"No row has the column 'cal' \(data.split.group_by\)") as caught:
        split(rows, SplitConfig(group_by="cal"), seed=0)
    assert caught.value.hint == "Did you mean 'call'? Known: call"


def test_a_test_split_that_is_there_stays_and_dev_is_filled():
    rows = [row() for _ in range(40)] + [row(where="test") for _ in range(3)] + [row(where="pool")]
    result = split(rows, SplitConfig(), seed=0)
    assert {change.value for change in result.changes} == {"dev"}
    assert result.counts == {"train": 36, "dev": 4, "test": 3, "pool": 1}
    assert result.notes[0] == "test has 3 rows already and stays as it is; --redo draws it anew"


def test_a_row_like_one_in_test_does_not_go_to_dev_and_is_said():
    text = "我想要查询一下这个月的话费余额"
    twin = row(text=text + "。")
    rows = [twin, row(), row(), row(text=text, where="test")]
    for seed in range(10):
        result = split(rows, SplitConfig(dev=0.4), seed)
        assert after(rows, result)[twin.id] == "train"
    assert "1 rows of train hang together with rows of test; `wb data clean` drops copies" in result.notes


def test_redo_draws_everything_but_the_pool_anew():
    rows = [row(where=where) for where in ["test"] * 30 + ["train"] * 10 + ["pool"] * 5]
    result = split(rows, SplitConfig(), seed=0, redo=True)
    assert result.counts == {"train": 32, "dev": 4, "test": 4, "pool": 5}
    assert {change.reason for change in result.changes} == {"redrawn"}
    assert Counter(after(rows, result).values()) == result.counts


def test_without_a_test_share_two_rows_serve_dev():
    rows = [row() for _ in range(2)]
    assert split(rows, SplitConfig(test=0), seed=0).counts == {"train": 1, "dev": 1, "test": 0, "pool": 0}


def test_no_rows_are_no_changes():
    assert split([], SplitConfig(), seed=0).changes == []
    assert split([row(where="pool")], SplitConfig(), seed=0).changes == []


@CALM
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=40),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.integers(0, 3),
)
def test_no_class_leaves_train_and_no_dialogue_is_torn(drawn, dev, test, seed):
    rows = [row(f"c{label}", dialogue_id=f"d{dialogue}") for label, dialogue in drawn]
    result = split(rows, SplitConfig(dev=dev, test=test), seed)
    places = after(rows, result)
    assert {r.label for r in rows if places[r.id] == "train"} == {r.label for r in rows}
    for dialogue in {r.meta["dialogue_id"] for r in rows}:
        assert len({places[r.id] for r in rows if r.meta["dialogue_id"] == dialogue}) == 1
    assert +Counter(places.values()) == +Counter(result.counts)
