"""Success criteria: every form is read, everything else is refused with a sentence; what holds, and how surely."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.evaluate.criteria import KINDS, UNITS, amount, is_criterion, judge, parse
from workbench.records import Metric

spaces = st.sampled_from(["", " ", "  "])


@given(st.sampled_from(sorted(KINDS)), st.sampled_from([">=", "<=", ">", "<"]), st.floats(0, 1), st.data(), spaces)
def test_what_is_written_is_read_back(metric, relation, number, data, space):
    unit, factor = data.draw(st.sampled_from(sorted(UNITS[KINDS[metric]].items())))
    written = f"{number:.6f}"
    found = parse(f"{space}{metric}{space}{relation}{space}{written}{space}{unit}")
    assert (found.metric, found.relation) == (metric, relation)
    assert found.limit == pytest.approx(float(written) * factor)
    assert is_criterion(found.said)


@given(st.text("投诉ab [](>=)/-", min_size=1, max_size=12), st.sampled_from(["f1", "precision", "recall"]))
def test_a_class_of_any_name_can_be_demanded(name, metric):
    assert parse(f"{metric}[{name}]>=0.6").metric == f"{metric}[{name}]"


@given(st.text(max_size=30))
def test_anything_else_is_refused_with_two_sentences(text):
    refused = None
    try:
        found = parse(text)
    except UsageError as error:
        refused = error
    if refused is None:
        assert found.metric.partition("[")[0] in (*KINDS, "f1", "precision", "recall")
    else:
        assert (refused.message and refused.hint) != ""


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("macro_f1", "not of the form", "--gate"),
        ("macro_f1==1", "not of the form", "--gate"),
        ("makro_f1>=0.8", "no metric 'makro_f1'", "Did you mean 'macro_f1'?"),
        ("speed>=1", "no metric 'speed'", "latency_p95"),
        ("latency_p95<=1", "no unit", "ms, s"),
        ("latency_p95<=1GB", "the unit 'GB'", "ms, s"),
        ("memory<=8", "no unit", "GB"),
        ("macro_f1>=85", "more than 1", "85%"),
        ("macro_f1>=high", "no number", "macro_f1>=0.85"),
        ("accuracy[x]>=0.5", "no metric 'accuracy[x]'", "f1[CLASS]"),
    ],
)
def test_the_error_says_what_to_write(text, message, hint):
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


FACTS = {
    "macro_f1": Metric("macro_f1", 0.86, 0.80, 0.90, 100),
    "latency_p95": Metric("latency_p95", 0.9, 0.8, 1.2, 50),
    "memory": Metric("memory", 3e9, 3e9, 3e9, 1),
    "recall[a]": Metric("recall", 0.5, 0.2, 0.8, 4),
}


@pytest.mark.parametrize(
    ("text", "value", "bound", "sure"),
    [
        ("macro_f1>=0.85", True, False, False),
        ("macro_f1>=0.8", True, True, True),
        ("macro_f1>0.8", True, False, False),
        ("macro_f1>=0.95", False, False, True),
        ("latency_p95<=1s", True, False, False),
        ("latency_p95<=1200ms", True, True, True),
        ("memory<=8GB", True, True, True),
        ("memory<3GB", False, False, True),
        ("recall[a]>=0.5", True, False, False),
    ],
)
def test_a_criterion_is_held_against_the_estimate_or_the_worse_end(text, value, bound, sure):
    (by_value,), (by_bound,) = judge([parse(text)], FACTS), judge([parse(text)], FACTS, "bound")
    assert (by_value.held, by_bound.held, by_value.sure) == (value, bound, sure)
    assert by_value.json().keys() == {"criterion", "metric", "limit", "value", "low", "high", "n", "held", "sure"}


def test_what_was_not_measured_cannot_be_demanded():
    with pytest.raises(UsageError, match="cuda_memory was not measured") as caught:
        judge([parse("cuda_memory<=8GB")], FACTS)
    assert "macro_f1, latency_p95, memory" in caught.value.hint


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("latency_p95", 0.1234, "123 ms"),
        ("latency_p50", 2.5, "2.5 s"),
        ("memory", 2.5e9, "2.50 GB"),
        ("memory", 3e8, "300 MB"),
        ("throughput", 12.34, "12.3/s"),
        ("f1[a]", 0.5, "0.500"),
    ],
)
def test_figures_are_shown_in_their_units(metric, value, text):
    assert amount(metric, value) == text
