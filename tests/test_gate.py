"""The gate: each rule keeps and drops with its reason; the stack keeps its budget on real rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.encode import HashedNgrams
from workbench.errors import ConfigError
from workbench.gate import Check, Compared, GateConfig, Rows, Score, Stack, calibrate
from workbench.gate.kinds import kinds, read_rules
from workbench.gate.rules.artefact import Artefact
from workbench.gate.rules.format import Format
from workbench.gate.rules.label_agreement import LabelAgreement
from workbench.gate.rules.leakage import Leakage
from workbench.gate.rules.length import Length
from workbench.gate.rules.near_copy import NearCopy
from workbench.gate.rules.sibling import Sibling
from workbench.records import SEP, Sample, Turn, Verdict

LABELS = ("查余额", "退订")


def sample(text, label="查余额", row_id=None):
    turns = tuple(Turn("customer", part) for part in text.split(SEP))
    return Sample(row_id or f"id-{text}-{label}", turns, label)


def rows(*samples, probabilities=None):
    n = len(samples)
    p = np.full((n, 2), 0.5, np.float32) if probabilities is None else np.asarray(probabilities, np.float32)
    return Rows(list(samples), HashedNgrams().encode([row.text for row in samples]), p, LABELS)


def stack_of(rules, real=None, held=None):
    compared = Compared(REAL if real is None else real, held)
    return Stack(rules, compared, calibrate(rules, compared, 0.08, 20))


REAL = rows(
    *(sample(f"帮我查一下{thing}还剩多少") for thing in ("话费", "流量", "积分", "余额", "套餐")),
    *(sample(f"把那个{thing}给我退了", "退订") for thing in ("彩铃", "会员", "流量包", "天气预报", "阅读")),
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("帮我查一下话费", ""),
        ("退订", ""),
        ("好👍", ""),
        ("how much is left?", ""),
        ("您好[SEP]查话费[SEP]好的", ""),
        ("", "empty"),
        ("……！！", ""),
        ("您好[SEP]  ", "empty_turn"),
        ("鎮ㄥソ\ufffd", "control_characters"),
        ("查\u200b话费", "control_characters"),
    ],
)
def test_format(text, reason):
    assert Format().reason(sample(text)) == reason


def test_format_counts_turns():
    assert Format(min_turns=2).reason(sample("查话费")) == "too_few_turns"
    assert Format(min_turns=2).reason(sample("您好[SEP]查话费")) == ""


def test_length_drops_rows_unlike_the_real_ones_and_says_which_way():
    stack = stack_of({"length": Length()})
    verdicts = [row[0] for row in stack.check(rows(sample("查"), sample("查一下话费剩多少"), sample("查" * 300)))]
    assert [verdict.reason for verdict in verdicts] == ["too_short", "", "too_long"]


def test_length_has_hard_bounds_whatever_the_calibration():
    scores = Length(max_chars=5).score(rows(sample("查一下话费"), sample("查一下话费吧")), REAL)
    assert np.isfinite(scores[0])
    assert scores[1] == np.inf


def test_near_copy_is_blind_to_width_and_punctuation():
    scores = NearCopy().score(rows(sample("帮我查一下话费，还剩多少？！"), sample("我的卡丢了要补一张")), REAL)
    assert scores[0] == np.inf
    assert scores[1] < 0.5


def test_near_copy_never_compares_a_row_with_itself():
    alone = rows(sample("帮我查一下话费还剩多少"))
    assert NearCopy().score(alone, alone)[0] == 0


def test_of_two_like_siblings_the_first_stays():
    stack = stack_of({"sibling": Sibling()})
    twice = stack.check(rows(sample("我的号还有几块钱", row_id="a"), sample("我的号还有几块钱呀", row_id="b")))
    assert [row[0].reason for row in twice] == ["", "sibling"]
    again = stack.check(rows(sample("我的号还有几块钱。", row_id="c")))
    assert again[0][0].reason == "sibling"


def test_siblings_are_rows_of_the_same_class():
    stack = stack_of({"sibling": Sibling()})
    both = stack.check(rows(sample("我的号还有几块钱", row_id="a"), sample("我的号还有几块钱", "退订", row_id="b")))
    assert [row[0].passed for row in both] == [True, True]


def test_a_dropped_row_is_no_sibling():
    rules = {"artefact": Artefact(), "sibling": Sibling()}
    stack = stack_of(rules)
    found = stack.check(rows(sample("查一下**话费**还剩", row_id="a"), sample("查一下话费还剩", row_id="b")))
    assert not found[0][0].passed
    assert all(verdict.passed for verdict in found[1])


def test_label_agreement_is_the_log_odds_of_the_best_other_class():
    found = LabelAgreement().score(rows(sample("x"), sample("y"), probabilities=[[0.9, 0.1], [0.2, 0.8]]), REAL)
    assert found == pytest.approx([np.log(0.1 / 0.9), np.log(0.8 / 0.2)], rel=1e-3)


def test_label_agreement_is_silent_on_classes_that_the_classifier_does_not_know():
    assert np.isnan(LabelAgreement().score(rows(sample("x", "开通")), REAL)[0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.01, 0.3))
def test_the_stack_never_drops_more_real_rows_than_the_budget(values, budget):
    class Given(Score):
        kind: str = "given"

        def score(self, rows, others):
            return np.array([float(row.meta["score"]) for row in rows.samples], np.float32)

    real = rows(*(Sample(str(i), (Turn("user", "x"),), LABELS[i % 2], meta={"score": v}) for i, v in enumerate(values)))
    found = calibrate({"one": Given(), "two": Given()}, Compared(real), budget, 20)
    assert found.stack <= budget
    assert max(found.dropped.values()) <= found.stack


def test_a_given_threshold_is_kept_and_measured():
    found = calibrate({"near_copy": NearCopy(threshold=0.1)}, Compared(REAL), 0.08, 20)
    assert found.threshold("near_copy", "退订") == 0.1
    assert found.dropped["near_copy"] == 1.0


def test_every_shipped_rule_is_found_without_being_listed():
    assert {"format", "length", "near_copy", "sibling", "label_agreement"} <= set(kinds())


def test_rules_are_settings_and_off_removes_one():
    found = GateConfig.read({"rules": {"length": {"max_chars": 9}, "sibling": "off"}}, where="x").rules
    assert found["length"].max_chars == 9
    assert "sibling" not in found
    assert "near_copy" in found


def test_rules_about_siblings_come_last():
    assert list(read_rules({"extra": {"kind": "near_copy"}}))[-1] == "sibling"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"lenght": {}}, ["no rule of kind 'lenght'", "Did you mean 'length'?"]),
        ({"length": 5}, ["'length' is neither settings nor `off`"]),
        ({"length": {"max_char": 5}}, ["gate.rules.length", "max_char"]),
    ],
)
def test_a_wrong_rule_is_answered_with_the_right_ones(rules, words):
    with pytest.raises(ConfigError) as caught:
        GateConfig.read({"rules": rules}, where="wb.yaml")
    for word in words:
        assert word in caught.value.message + caught.value.hint


def test_a_rule_of_ones_own_is_one_class():
    class NoPrice(Check):
        """Drop rows that name a price."""

        kind: str = "no_price"

        def reason(self, sample):
            return "names_a_price" if "元" in sample.text else ""

    rules = {"no_price": NoPrice()}
    found = Stack(rules, REAL, calibrate(rules, Compared(REAL), 0.08, 20)).check(
        rows(sample("五元一个月"), sample("多少钱"))
    )
    assert [row[0].reason for row in found] == ["names_a_price", ""]


def test_a_gate_without_rules_lets_everything_pass():
    assert stack_of({}).check(rows(sample("x"))) == [[Verdict("gate", True)]]


def test_held_out_rows_move_no_threshold_but_that_of_leakage():
    rules = {"length": Length(), "near_copy": NearCopy(), "leakage": Leakage()}
    unlike = calibrate(rules, Compared(REAL, rows(sample("明天的天气好不好", "", "t"))), 0.08, 20)
    copies = rows(*(sample(row.text, "", f"t{i}") for i, row in enumerate(REAL.samples[:4])))
    alike = calibrate(rules, Compared(REAL, copies), 0.08, 20)
    assert alike.dropped["leakage"] == 0.4
    assert unlike.dropped["leakage"] == 0
    for rule in ("length", "near_copy"):
        assert alike.thresholds[rule] == unlike.thresholds[rule]
    assert "leakage" not in alike.scores
