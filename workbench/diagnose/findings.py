"""What the figures mean, as sentences with a severity, and what to do about each."""

import shlex
from collections.abc import Mapping, Sequence

from workbench.diagnose.confusion import Confusion
from workbench.diagnose.imbalance import Imbalance
from workbench.diagnose.issues import LabelIssue
from workbench.diagnose.leakage import Leak
from workbench.records import Finding, Sample

STRONG_RATE, STRONG_ROWS, STRONG_PAIRS = 0.2, 5, 10
"""A pair is worth a sentence from this rate on, in classes of at least so many rows; so many pairs at most."""


def findings(
    histogram: Imbalance,
    pairs: Sequence[Confusion],
    issues: Sequence[LabelIssue],
    doubles: Sequence[Sequence[Sample]],
    leaked: Sequence[Leak],
) -> tuple[Finding, ...]:
    """Findings, worst first; `pairs` are the strong ones."""
    found = [*_imbalance(histogram), *map(_pair, pairs[:STRONG_PAIRS])]
    if leaked:
        ids = tuple(leak.sample.id for leak in leaked)
        say = f"{_rows(len(leaked))} repeat{'s' * (len(leaked) == 1)} a row of a held-out split: scores will look too good."
        found.append(Finding("leakage", {}, 0.9, ids, say))
    if doubles:
        ids = tuple(row.id for rows in doubles for row in rows)
        say = "1 text stands" if len(doubles) == 1 else f"{len(doubles)} texts stand"
        found.append(Finding("conflict", {}, 0.7, ids, f"{say} under more than one label ({_rows(len(ids))})."))
    if issues:
        ids = tuple(issue.sample.id for issue in issues)
        say = f"{_rows(len(issues))} look{'s' * (len(issues) == 1)} mislabelled."
        found.append(Finding("label_issue", {}, 0.5, ids, say))
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _imbalance(histogram: Imbalance) -> list[Finding]:
    found = []
    for label in histogram.minority:
        severity = 1.0 if label in histogram.ultra_minority else 0.6
        wanted = histogram.targets.get(label, 0)
        more = f"; {wanted} accepted synthetic rows would bring it near the others" if wanted else ""
        say = f"{label} has {_rows(histogram.counts[label])}{more}."
        found.append(Finding("minority", {"class": label}, severity, (), say))
    return found


def _pair(pair: Confusion) -> Finding:
    say = f"{pair.rate:.0%} of the {pair.n} rows of {pair.source} are taken for {pair.target}."
    return Finding("confusion", {"from": pair.source, "to": pair.target}, min(0.95, 0.5 + pair.rate / 2), (), say)


def advice(finding: Finding, ids: Mapping[str, str]) -> str:
    """The command that mends what was found. `ids` are the numbers that the data give classes, where they give any."""
    where = finding.where
    if finding.kind == "minority":
        return f"wb generate --class {_named(ids, where['class'])}"
    if finding.kind == "confusion":
        return f"wb generate --pair {_named(ids, where['from'], where['to'])}"
    if finding.kind == "leakage":
        return "wb data clean"
    return f"wb why {finding.evidence[0]}"


def _named(ids: Mapping[str, str], *labels: str) -> str:
    """Classes as one word of a command line: by number where it is theirs alone."""
    numbers = list(ids.values())
    return shlex.quote(":".join(ids[x] if x in ids and numbers.count(ids[x]) == 1 else x for x in labels))


def _rows(n: int) -> str:
    return f"{n:,} row{'s' * (n != 1)}"
