"""Success criteria as `macro_f1>=0.85`, `latency_p95<=1s`, `memory<=8GB`: parsed, and held against what was measured."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.errors import UsageError, one_of
from workbench.records import Metric

On = Literal["value", "bound"]
Kind = Literal["share", "seconds", "bytes", "rate"]
KINDS: Mapping[str, Kind] = {
    "accuracy": "share",
    "macro_f1": "share",
    "weighted_f1": "share",
    "worst_f1": "share",
    "worst_recall": "share",
    "ece": "share",
    "success": "share",
    "latency_p50": "seconds",
    "latency_p95": "seconds",
    "throughput": "rate",
    "memory": "bytes",
    "cuda_memory": "bytes",
}
"""What can be asked for, and what kind of number it is; beside these `f1[CLASS]`, `precision[CLASS]`, `recall[CLASS]`."""
UNITS: Mapping[Kind, Mapping[str, float]] = {
    "share": {"": 1.0, "%": 0.01},
    "seconds": {"ms": 1e-3, "s": 1.0},
    "bytes": {"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
    "rate": {"": 1.0, "/s": 1.0},
}
_OF_CLASS = ("f1", "precision", "recall")
_FORM = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*(?:\[(.+)\])?\s*(>=|<=|>|<)\s*([^<>=]+?)\s*", re.DOTALL)
_NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(/s|%|[A-Za-z]*)")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One measure with its limit."""

    metric: str
    """A name in `KINDS`, or `f1[CLASS]` and its like."""
    relation: Literal[">=", "<=", ">", "<"]
    limit: float
    """Shares from 0 to 1, seconds, bytes, texts per second."""
    said: str
    """As the user wrote it."""

    @property
    def more_is_better(self) -> bool:
        """Whether the criterion asks for at least its limit."""
        return self.relation.startswith(">")

    def holds(self, value: float) -> bool:
        """Whether a number keeps the limit."""
        at_limit = value == self.limit and self.relation.endswith("=")
        return at_limit or (value > self.limit if self.more_is_better else value < self.limit)


@dataclass(frozen=True, slots=True)
class Judged:
    """A criterion with what was measured."""

    criterion: Criterion
    metric: Metric
    held: bool
    sure: bool
    """Whether the whole interval says the same: it is on one side of the limit."""

    def json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "criterion": self.criterion.said,
            "metric": self.criterion.metric,
            "limit": self.criterion.limit,
            **self.metric.json(),
            "held": self.held,
            "sure": self.sure,
        }


def is_criterion(text: str) -> bool:
    """Whether a word of the command line is meant as one: no name of a run has such signs."""
    return bool(re.search(r"[<>]", text))


def parse(text: str) -> Criterion:
    """A criterion from its text.

    Raises:
        UsageError: it is not of the form METRIC>=NUMBER, names no known metric, or has no or another metric's unit.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(
            f"The criterion {text!r} is not of the form METRIC>=NUMBER or METRIC<=NUMBER.",
            'Write, in quotes: --gate "macro_f1>=0.85" "latency_p95<=1s" "memory<=8GB"',
        )
    name, of_class, relation, amount = found.groups()
    metric, kind = _metric(name, of_class)
    limit = _limit(text, amount, kind)
    return Criterion(metric, relation, limit, text.strip())  # type: ignore[arg-type]  # one of the four, by the pattern


def _metric(name: str, of_class: str | None) -> tuple[str, Kind]:
    if of_class is not None and name in _OF_CLASS:
        return f"{name}[{of_class}]", "share"
    if of_class is None and name in KINDS:
        return name, KINDS[name]
    shown = f"{name}[{of_class}]" if of_class is not None else name
    known = [*KINDS, *(f"{one}[CLASS]" for one in _OF_CLASS)]
    raise UsageError(f"There is no metric {shown!r} to set a limit for.", one_of(name, known))


def _limit(text: str, amount: str, kind: Kind) -> float:
    units = UNITS[kind]
    number = _NUMBER.fullmatch(amount)
    if number is None:
        raise UsageError(f"{amount!r} in the criterion {text!r} is no number.", "Write, as an example: macro_f1>=0.85")
    value, unit = float(number[1]), number[2]
    known = {name.lower(): factor for name, factor in units.items()}
    if unit.lower() not in known:
        listing = ", ".join(name or "(none)" for name in units)
        what = f"the unit {unit!r}" if unit else "no unit"
        raise UsageError(f"The limit in {text!r} has {what}.", f"Units that fit here: {listing}")
    limit = value * known[unit.lower()]
    if kind == "share" and limit > 1:
        raise UsageError(f"The limit in {text!r} is more than 1, which no share can be.", "Write 0.85 or 85%.")
    return limit


def judge(criteria: Sequence[Criterion], facts: Mapping[str, Metric], on: On = "value") -> list[Judged]:
    """Hold criteria against what was measured.

    Args:
        criteria: what is demanded.
        facts: metric -> what was measured.
        on: `value` compares the estimate with the limit; `bound` the worse end of its 95 % interval, so that a criterion
            holds only where the data are enough to say so.

    Raises:
        UsageError: something that was not measured is demanded, as the memory of a GPU where there is none.
    """
    found: list[Judged] = []
    for criterion in criteria:
        if criterion.metric not in facts:
            raise UsageError(
                f"{criterion.metric} was not measured here, so {criterion.said!r} cannot be held against it.",
                f"Measured: {', '.join(name for name in facts if '[' not in name)}, and each of "
                f"{', '.join(_OF_CLASS)} for the classes of these rows.",
            )
        metric = facts[criterion.metric]
        ends = {criterion.holds(end) for end in (metric.low, metric.high)}
        worse = metric.low if criterion.more_is_better else metric.high
        held = criterion.holds(worse if on == "bound" else metric.value)
        found.append(Judged(criterion, metric, held, ends == {held}))
    return found


def amount(metric: str, value: float) -> str:
    """A measured number as people read it: `0.853`, `120 ms`, `1.4 GB`."""
    kind = KINDS.get(metric, "share")
    if kind == "seconds":
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
    if kind == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
    return f"{value:.1f}/s" if kind == "rate" else f"{value:.3f}"
