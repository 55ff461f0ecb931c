"""The gate against people: counts, intervals, AUC and when a threshold is suggested, and when not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.metrics import roc_area, wilson
from workbench.records import Verdict
from workbench.review.compare import Judged, compare
from workbench.review.threshold import LEAST


def row(bad, weight=1.0, **rules):
    """A row; rules are given as `near_copy=False` (dropped) or `near_copy=(True, 0.3)` (passed with a score)."""
    verdicts = []
    for name, said in rules.items():
        passed, score = said if isinstance(said, tuple) else (said, None)
        verdicts.append(Verdict(name, passed, "" if passed else name, score))
    return Judged(bad, tuple(verdicts), weight)


def scored(n, share, shift, threshold, seed=0):
    """Rows with normal scores, those of bad rows higher by `shift`."""
    random = np.random.default_rng(seed)
    bad = random.random(n) < share
    scores = random.normal(size=n) + shift * bad
    return [row(bool(b), rule=(bool(x <= threshold), float(x))) for b, x in zip(bad, scores, strict=True)]


def test_shares_are_counted_with_their_intervals():
    rows = [row(True, copy=False, long=True)] * 6 + [row(True, copy=False, long=False)] * 2
    rows += [row(False, copy=False, long=True)] * 2 + [row(True, copy=True, long=True)] * 3
    rows += [row(False, copy=True, long=True)] * 37
    found = compare(rows)
    assert found.kept.json() == {"value": 3 / 40, "low": wilson(3, 40)[0], "high": wilson(3, 40)[1], "n": 40}
    assert found.dropped.json() == pytest.approx(
        {"value": 0.8, "low": wilson(8, 10)[0], "high": wilson(8, 10)[1], "n": 10}
    )
    copy, long = found.rules
    assert (copy.rule, long.rule) == ("copy", "long")
    assert (copy.dropped.value, copy.dropped.n) == (pytest.approx(0.8), 10)
    assert (copy.alone.value, copy.alone.n) == (pytest.approx(0.75), 8)
    assert (copy.passed.value, copy.passed.n) == (pytest.approx(3 / 40), 40)
    assert (long.dropped.n, long.dropped.value, long.dropped.high, long.alone.n) == (2, 1.0, 1.0, 0)
    assert (long.passed.n, long.passed.value) == (48, pytest.approx(9 / 48))
    assert found.say == (
        "Of 40 rows passed by the gate that people looked at, 3 were bad (8% [3%, 20%]). "
        "Of 10 rows dropped by it that people looked at, 8 were bad (80% [49%, 94%])."
    )
    assert long.say == (
        "Of 2 rows dropped by long that people looked at, 2 were bad (100% [34%, 100%]). "
        "People looked at no rows dropped by it alone. "
        "Of 48 rows that it let pass that people looked at, 9 were bad (19% [10%, 32%]). "
        "No threshold is suggested: it has no score."
    )


def test_without_audited_drops_the_comparison_says_that_it_knows_nothing_of_them():
    found = compare([row(False, copy=True)] * 3)
    assert found.dropped.json() == {"value": 0.0, "low": 0.0, "high": 1.0, "n": 0}
    assert "People looked at no rows dropped by it." in found.say
    assert "Of 3 rows passed by the gate that people looked at, none was bad (0% [0%, 56%])." in found.say
    nothing = compare([])
    assert (nothing.kept.n, nothing.rules) == (0, ())
    assert nothing.say == "People looked at no rows passed by the gate. People looked at no rows dropped by it."


SCORES = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=40)


@settings(deadline=None)
@given(SCORES)
def test_auc_is_scikit_learns_or_missing_with_too_few(pairs):
    sk = pytest.importorskip("sklearn.metrics")
    (rule,) = compare([row(bad, r=(True, float(score))) for bad, score in pairs]).rules
    bad = [b for b, _ in pairs]
    if min(sum(bad), len(bad) - sum(bad)) < 5:
        assert rule.auc is None
        assert (
            f"it scored only {sum(bad)} bad and {len(bad) - sum(bad)} good rows, and 5 of each are the least"
            in rule.say
        )
    else:
        assert rule.auc.value == pytest.approx(sk.roc_auc_score(bad, [score for _, score in pairs]))
        assert rule.auc.low <= rule.auc.value <= rule.auc.high
        assert rule.auc.n == len(pairs)


def test_the_area_of_many_draws_is_the_area_of_each():
    higher, lower = np.array([[0.0, 2, 1], [3, 0, 0]]), np.array([[1.0, 1, 0], [3, 0, 0]])
    assert roc_area(higher, lower).tolist() == [roc_area(h, low) for h, low in zip(higher, lower, strict=True)]
    assert roc_area(higher[1], lower[1]) == 0.5


def test_perfect_separation_is_no_certainty():
    rows = [row(True, r=(False, 2.0 + i)) for i in range(6)] + [row(False, r=(True, 1.0 - i)) for i in range(6)]
    (rule,) = compare(rows).rules
    assert (rule.auc.value, rule.auc.high) == (1.0, 1.0)
    assert rule.auc.low < 0.8
    assert rule.threshold is None
    assert "it scored 6 bad and 6 good rows, and 20 of each are the least" in rule.say


def test_a_threshold_that_is_far_off_gets_a_better_one_with_its_interval():
    rows = scored(400, 0.25, 2.0, 3.5)
    (rule,) = compare(rows, {"rule": [3.5]}).rules
    new = rule.threshold
    # Of two normal distributions of equal width, J is highest halfway between the means.
    assert new.threshold.low <= 1.0 <= new.threshold.high
    assert new.threshold.value == pytest.approx(1.0, abs=0.5)
    assert new.gain.low > 0
    drops = [r.verdicts[0].score > new.threshold.value for r in rows]
    for share, kind in ((new.bad_dropped, True), (new.good_dropped, False)):
        assert share == pytest.approx(np.mean([d for d, r in zip(drops, rows, strict=True) if r.bad == kind]))
    assert new.bad_dropped > 0.7 > 0.3 > new.good_dropped
    assert f"Suggested threshold {new.threshold.value:.3g} [" in rule.say
    assert "] instead of 3.5: it would drop" in rule.say
    assert "on rows that it was not chosen on" in rule.say
    assert "instead of 2 to 3.5, by class:" in compare(rows, {"rule": [2, 3.5, 3]}).rules[0].say
    assert compare(rows, {"rule": [3.5]}) == compare(rows, {"rule": [3.5]})


def test_a_threshold_that_is_right_or_a_score_of_pure_chance_gets_none():
    suggested = {"right": 0, "chance": 0}
    for seed in range(40):
        right, chance = (compare(scored(300, 0.3, shift, 0.75, seed)).rules[0] for shift in (1.5, 0.0))
        suggested["right"] += right.threshold is not None
        suggested["chance"] += chance.threshold is not None
        if right.threshold is None:
            assert "is not surely better than now (J higher by" in right.say
    assert suggested["right"] <= 2
    assert suggested["chance"] <= 2
    assert "its score may be no better than chance (the interval of its AUC begins at 0.4" in chance.say


def test_infinite_scores_are_beyond_all_others_and_the_threshold_stays_finite():
    rows = [row(True, r=(True, float("inf")))] * LEAST + [row(False, r=(True, float(i))) for i in range(LEAST)]
    (rule,) = compare(rows).rules
    assert rule.auc.value == 1.0
    assert LEAST - 1 <= rule.threshold.threshold.value < rule.threshold.threshold.high + 1e-9 < np.inf
    assert (rule.threshold.bad_dropped, rule.threshold.good_dropped) == (1.0, 0.0)


def test_rows_that_stand_for_many_are_weighted_and_their_interval_is_that_of_fewer():
    rows = [row(True, 1.0, r=(False, 3.0))] * 20 + [row(False, 1.0, r=(False, 3.0))] * 20
    even, odd = compare(rows), compare([replace(r, weight=4.0) for r in rows])
    assert even.dropped == odd.dropped
    mixed = compare([replace(r, weight=9.0 if r.bad else 1.0) for r in rows])
    assert mixed.dropped.value == pytest.approx(0.9)
    assert mixed.dropped.n == 40
    size = (20 * 9 + 20) ** 2 / (20 * 81 + 20)
    assert (mixed.dropped.low, mixed.dropped.high) == pytest.approx(wilson(0.9 * size, size))
    assert mixed.say.endswith("(rows weighted by how many they stand for).")
    assert "weighted" not in even.say


def test_weights_undo_that_few_of_the_drops_are_audited():
    """All passed rows and one in ten of the dropped were looked at: without weights, AUC and precision are of another gate."""
    whole = scored(6000, 0.2, 1.2, 1.0)
    random = np.random.default_rng(3)
    seen = [r if r.passed else replace(r, weight=10.0) for r in whole if r.passed or random.random() < 0.1]
    truth, weighted, naive = (
        compare(rows).rules[0].auc for rows in (whole, seen, [replace(r, weight=1.0) for r in seen])
    )
    assert weighted.low <= truth.value <= weighted.high
    assert abs(weighted.value - truth.value) < abs(naive.value - truth.value) / 2


def test_the_interval_of_the_auc_covers_in_at_least_nine_of_ten_simulations():
    # Normal scores, one standard deviation apart: the AUC is Phi(1 / sqrt(2)) = 0.760.
    found = [compare(scored(60, 0.3, 1.0, 9.0, seed)).rules[0].auc for seed in range(200)]
    assert sum(auc.low <= 0.760 <= auc.high for auc in found) >= 180
