"""Acceptance sampling: what is promised of unseen rows holds, by brute force over all lots and by exact probabilities."""

from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import ConfigError, DataError
from workbench.review import sampling as s
from workbench.review.hypergeometric import at_most, exactly, least_bad, log_choose, most_bad, most_bad_each
from workbench.review.plans import design, expected, walk, worst_error

CONFIG = s.SamplingConfig()
ORDER = {"accept": 0, "draw": 1, "review": 2}


def lots():
    """Lots with counts that can be: size, seen, defects."""
    return st.integers(1, 300).flatmap(
        lambda size: st.integers(0, size).flatmap(
            lambda seen: st.tuples(st.just(size), st.just(seen), st.integers(0, seen))
        )
    )


@given(lots(), st.integers(0, 300))
def test_probabilities_are_those_of_whole_numbers(lot, bad):
    size, drawn, found = lot
    bad = min(bad, size)
    ways = comb(bad, found) * (comb(size - bad, drawn - found) if drawn >= found else 0)
    assert float(exactly(found, size, bad, drawn)) == pytest.approx(float(Fraction(ways, comb(size, drawn))), abs=1e-11)
    assert float(at_most(drawn, size, bad, drawn)) == pytest.approx(1.0)
    assert log_choose(3, 4) == log_choose(3, -1) == -np.inf


@given(lots(), st.sampled_from([0.01, 0.05, 0.2]))
def test_limits_are_where_the_exact_test_changes_its_mind(lot, error):
    size, drawn, found = lot
    high, low = most_bad(size, drawn, found, error), least_bad(size, drawn, found, error)
    assert found <= low <= high <= size - drawn + found
    assert at_most(found, size, high, drawn) > error
    if high < size - drawn + found:
        assert at_most(found, size, high + 1, drawn) <= error
    assert most_bad_each(size, drawn, found, error)[-1] == high
    assert [most_bad(size, drawn, d, error) for d in range(min(found, 3) + 1)] == most_bad_each(
        size, drawn, found, error
    )[:4].tolist()


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_of_a_fixed_sample_covers_every_lot(sides, confidence):
    for size in (1, 2, 7, 12, 25):
        for seen in {0, 1, size // 3, size // 2, size - 1} - {size}:
            said = [s.unseen(size, seen, d, confidence, sides=sides) for d in range(seen + 1)]
            for bad in range(size + 1):
                covered = 0.0
                for d in range(max(0, seen + bad - size), min(seen, bad) + 1):
                    share = (bad - d) / (size - seen)
                    chance = float(exactly(d, size, bad, seen))
                    covered += chance * (said[d].low - 1e-12 <= share <= said[d].high + 1e-12)
                assert covered >= confidence - 1e-9, (size, seen, bad)


def test_an_estimate_of_nothing_or_everything_seen_says_so():
    assert s.unseen(30, 0, 0, 0.95).json() == {"value": 0.0, "low": 0.0, "high": 1.0, "n": 0}
    assert s.unseen(30, 30, 4, 0.95).json() == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 30}
    assert s.pooled([s.Looked(30, 0, 0)], 0.95).json() == {"value": 0.0, "low": 0.0, "high": 1.0, "n": 0}
    assert s.pooled([], 0.95).json() == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 0}


# 59 rows without a defect bound the defects of a large lot at 5 %, 29 at 10 %: the textbook "rule of three" (Hanley &
# Lippman-Hand 1983) and the zero-acceptance plans. Of a single stage the plan must come to the same.
@pytest.mark.parametrize(("bound", "rows"), [(0.05, 59), (0.1, 29)])
def test_a_single_stage_for_a_huge_lot_is_the_textbooks(bound, rows):
    config = s.SamplingConfig(bound=bound, stages=1, usual=(0.0,))
    (point,) = s.stages(1_000_000, config)
    assert (point.sample, point.accept) == (rows, 0)


CASES = [
    (10, s.SamplingConfig(bound=0.5, confidence=0.8, stages=3, usual=(0.1,))),
    (13, s.SamplingConfig(bound=0.4, confidence=0.7, stages=3, usual=(0.1, 0.2))),
    (14, s.SamplingConfig(bound=0.5, confidence=0.9, stages=2, usual=(0.0, 0.2))),
    (15, s.SamplingConfig(bound=0.45, confidence=0.75, stages=4, usual=(0.2,))),
]


plan = cache(s.plan)


def run(bad, config):
    """What happens to a lot whose rows, in random order, are defective or not; the last step, the rows drawn, the defects."""
    step, seen, defects = plan(len(bad), 0, 0, 0, config), 0, 0
    while step.action == "draw":
        seen, defects = step.sample, sum(bad[: step.sample])
        step = plan(len(bad), seen, defects, step.stage, config)
    return step, seen, defects


@pytest.mark.parametrize(("size", "config"), CASES)
def test_over_all_lots_and_all_orders_the_promises_hold(size, config):
    error = 1 - config.confidence
    assert s.stages(size, config), "a plan of several stages is what this is about"
    ends = cache(lambda seen, defects: s.pooled([s.Looked(size, seen, defects)], config.confidence))
    accepted_ever = 0
    for count in range(size + 1):
        failed = broken = outside = orders = 0
        for places in combinations(range(size), count):
            bad = [i in places for i in range(size)]
            step, seen, defects = run(bad, config)
            share = (count - defects) / (size - seen)
            accepted = step.action == "accept"
            failed += accepted and share > config.bound + 1e-12
            broken += accepted and share > step.unseen.high + 1e-12
            span = ends(seen, defects)
            outside += not span.low - 1e-12 <= share <= span.high + 1e-12
            orders += 1
            accepted_ever += accepted
        assert failed <= broken <= error * orders + 1e-9, count
        assert outside <= error * orders + 1e-9, count
    assert accepted_ever


@pytest.mark.parametrize("size", [60, 100, 237, 500, 1500])
def test_the_exact_error_of_a_plan_is_within_what_was_asked_for_every_number_of_defects(size):
    points = s.stages(size, CONFIG)
    assert worst_error(size, points) <= 0.05
    for point in points:
        most = most_bad(size, point.sample, point.accept, point.error) - point.accept
        assert most <= CONFIG.bound * (size - point.sample) + 1e-9
    assert all(a.sample < b.sample and a.accept < b.accept and a.reject <= b.reject for a, b in pairwise(points))
    assert all(p.accept < p.reject for p in points)
    # The whole grid of defects, not only the stretch that `worst_error` takes to be the hardest.
    bad = np.arange(size + 1)
    limits = [[most_bad(size, p.sample, d, p.error) for d in range(points[-1].accept + 1)] for p in points]
    wrong = sum(
        (f * (bad[:, None] > np.array(m))).sum(axis=1) for f, m in zip(walk(size, points, bad), limits, strict=True)
    )
    assert wrong.max() == pytest.approx(worst_error(size, points))


def test_a_sequential_plan_looks_at_fewer_rows_than_a_single_stage():
    bad = np.array([0, 20, 50])
    three, one = (design(1000, 0.1, 0.05, k, (0.0, 0.02, 0.05)) for k in (3, 1))
    assert expected(1000, three, bad) < 0.9 * expected(1000, one, bad)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([25, 60, 100, 200, 500]), st.integers(0, 4), st.data())
def test_more_defects_never_bring_a_milder_step(size, stage, data):
    points = s.stages(size, CONFIG)
    likely = [p.sample for p in points] or [size]
    seen = data.draw(st.sampled_from([*likely, size]) | st.integers(0, size))
    found = [s.plan(size, seen, d, stage, CONFIG) for d in range(seen + 1)]
    steps = [ORDER[step.action] for step in found]
    assert steps == sorted(steps)
    assert all(seen <= step.sample <= size for step in found)
    assert all(step.sample > seen for step in found if step.action != "accept")
    assert found == [s.plan(size, seen, d, stage, CONFIG) for d in range(seen + 1)]


@pytest.mark.parametrize("size", range(21))
def test_small_lots_are_looked_at_in_full(size):
    step = s.plan(size, 0, 0, 0, CONFIG)
    assert (step.action, step.sample) == (("review", size) if size else ("accept", 0))


def test_the_steps_of_a_lot_say_what_is_to_be_done():
    first = s.plan(500, 0, 0, 0, CONFIG)
    assert (first.action, first.sample, first.stage) == ("draw", 34, 1)
    assert first.say.startswith("Look at 34 of 500 rows (stage 1): the lot is accepted with 0 or fewer in 34,")
    part = s.plan(500, 20, 1, 1, CONFIG)
    assert (part.action, part.sample, part.stage) == ("draw", 34, 1)
    good = s.plan(500, 34, 0, 1, CONFIG)
    assert (good.action, good.unseen.value, good.unseen.low, good.unseen.n) == ("accept", 0.0, 0.0, 34)
    assert 0.09 < good.unseen.high <= 0.1
    assert good.say == (
        "Accepted: none of 34 rows is defective; with 95 % confidence at most 9.9 % of the 466 rows that nobody looked at are "
        "(46 rows)."
    )
    more = s.plan(500, 34, 1, 1, CONFIG)
    assert (more.action, more.stage) == ("draw", 2)
    assert "1 of 34 rows is defective" in more.say
    hopeless = s.plan(500, 25, 9, 1, CONFIG)
    assert (hopeless.action, hopeless.sample) == ("review", 500)
    assert "9 of 25 rows are defective, too many to promise at most 10 % of the unseen rows" in hopeless.say
    assert s.plan(500, 500, 60, 1, CONFIG).say == "All 500 rows were looked at, 60 are defective."
    assert "no sample that is much smaller can promise" in s.plan(20, 0, 0, 0, CONFIG).say


def test_rows_beyond_the_plan_never_make_a_lot_look_better_than_its_own_limit():
    # Somebody looked at more rows than were drawn: accepted only where the limit for these numbers is within the bound.
    for seen in range(34, 117):
        step = s.plan(500, seen, 0, 1, CONFIG)
        assert step.action == "draw" or step.unseen.high <= CONFIG.bound + 1e-9
    assert s.plan(500, 40, 0, 1, CONFIG).action == "accept"


@pytest.mark.parametrize("counts", [(10, 11, 0), (10, 5, 6), (10, -1, 0), (-1, 0, 0), (10, 4, -1)])
def test_counts_that_contradict_each_other_are_refused(counts):
    with pytest.raises(
        DataError, match=f"A lot of {counts[0]} rows cannot have {counts[2]} defects in {counts[1]} rows"
    ) as e:
        s.plan(*counts, 0, CONFIG)
    assert "defects <= rows looked at <= rows of the lot" in e.value.hint
    with pytest.raises(DataError, match="and 2 in all"):
        s.Looked(10, 5, 3, bad=2)
    with pytest.raises(DataError, match="and 9 in all"):
        s.Looked(10, 5, 3, bad=9)


@pytest.mark.parametrize(
    ("values", "name"),
    [({"bound": 0}, "bound"), ({"confidence": 1}, "confidence"), ({"stages": 0}, "stages"), ({"usual": []}, "usual")],
)
def test_settings_that_cannot_be_are_refused_by_name(values, name):
    with pytest.raises(ConfigError, match=f"review.sampling: {name}"):
        s.SamplingConfig.read(values, where="review.sampling")


IDS = st.sets(st.text(max_size=6), max_size=40)


@given(IDS, IDS, st.integers(0, 40), st.integers(0, 40), st.integers(0, 3))
def test_drawing_more_goes_on_and_new_rows_do_not_reshuffle(ids, new, k, more, seed):
    rows = sorted(ids)
    order = s.pick(rows, len(rows), seed, "退订|p|1")
    assert sorted(order) == rows
    assert s.pick(rows[::-1], k, seed, "退订|p|1") == order[:k]
    assert s.pick(rows, k + more, seed, "退订|p|1")[:k] == s.pick(rows, k, seed, "退订|p|1")
    grown = s.pick(sorted(ids | new), len(ids | new), seed, "退订|p|1")
    assert [row for row in grown if row in ids] == order


def test_lots_and_seeds_are_drawn_independently_and_every_row_alike():
    ids = [f"r{i}" for i in range(30)]
    assert len({tuple(s.pick(ids, 30, seed, lot)) for seed in (0, 1) for lot in ("a", "b")}) == 4
    first = [s.pick(ids, 3, seed, "lot") for seed in range(2000)]
    counts = np.bincount([ids.index(row) for rows in first for row in rows], minlength=30)
    assert ((counts - 200) ** 2 / 200).sum() < 59.7  # chi-squared with 29 degrees of freedom: 0.1 %


def test_a_class_whose_bad_lots_were_rejected_is_not_called_clean():
    """Of many lots with 9 % defects some are accepted by chance; their own limits, taken for themselves, would be too low."""
    random = np.random.default_rng(1)
    inside = naive = rounds = 0
    for _ in range(60):
        known, left, rest = [], 0, 0
        for _ in range(40):
            bad = np.arange(150) < 13
            random.shuffle(bad)
            step, seen, _ = run(bad.tolist(), CONFIG)
            seen = seen if step.action == "accept" else 150
            known.append(s.looked(150, bad[:seen].tolist(), CONFIG))
            left, rest = left + int(bad[seen:].sum()), rest + 150 - seen
        if rest:
            span = s.pooled(known, 0.95)
            inside += span.low - 1e-12 <= left / rest <= span.high + 1e-12
            naive += left / rest <= s.pooled([lot for lot in known if lot.bad is None], 0.95).high
            rounds += 1
    assert inside == rounds > 40
    assert naive < 0.5 * rounds


@settings(deadline=None, max_examples=40)
@given(st.lists(lots(), min_size=1, max_size=6), st.sampled_from([0.8, 0.95]))
def test_a_pooled_rate_lies_in_its_interval_and_more_confidence_is_wider(found, confidence):
    known = [s.Looked(*lot) for lot in found]
    metric = s.pooled(known, confidence)
    assert 0 <= metric.low <= metric.value <= metric.high <= 1
    assert metric.n == sum(lot.seen for lot in known)
    wider = s.pooled(known, 0.999)
    assert wider.low <= metric.low + 1e-12
    assert metric.high <= wider.high + 1e-12


def test_lots_that_are_alike_tell_more_together_than_alone():
    alone, together = (s.pooled([s.Looked(200, 34, 0)] * k, 0.95) for k in (1, 10))
    assert together.high < alone.high / 4
    # The sum over strata of few rows: against the binomial limit of all 340 rows together (0.9 %), it pays for the mixture.
    assert 0.009 < together.high < 0.03


def test_where_sampling_ended_is_found_again_in_a_lot_that_was_looked_at_in_full():
    bad = [i % 10 == 0 for i in range(500)]
    step, seen, defects = run(bad, CONFIG)
    assert step.action == "review"
    assert s.looked(500, bad, CONFIG) == s.Looked(500, seen, defects, 50)
    assert s.looked(500, bad[:34], CONFIG) == s.Looked(500, 34, 4)
    assert s.looked(20, [True] * 20, CONFIG) == s.Looked(20, 20, 20)
    with pytest.raises(DataError, match="cannot have 0 defects in 5 rows"):
        s.looked(4, [False] * 5, CONFIG)
