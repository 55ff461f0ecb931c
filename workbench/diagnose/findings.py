"""What the figures mean, as sentences with a severity, and what to do about each."""

from collections.abc import Sequence

from workbench.diagnose.confusion import Confusion
from workbench.diagnose.imbalance import Imbalance
from workbench.diagnose.issues import LabelIssue
from workbench.diagnose.leakage import Leak
from workbench.records import Finding, Sample


def findings(
    histogram: Imbalance,
    pairs: Sequence[Confusion],
    issues: Sequence[LabelIssue],
    doubles: Sequence[Sequence[Sample]],
    leaked: Sequence[Leak],
) -> tuple[Finding, ...]:
    """Findings, worst first."""
    found = [*_imbalance(histogram), *_pairs(pairs)]
    if leaked:
        ids = tuple(leak.train.id for leak in leaked)
        say = f"{len(leaked)} training rows nearly repeat a dev or test row: scores will look better than they are."
        found.append(Finding("leakage", {}, 0.9, ids, say))
    if doubles:
        ids = tuple(row.id for rows in doubles for row in rows)
        found.append(Finding("conflict", {}, 0.7, ids, f"{len(doubles)} texts stand under more than one label."))
    if issues:
        ids = tuple(issue.sample.id for issue in issues)
        found.append(Finding("label_issue", {}, 0.5, ids, f"{len(issues)} rows look mislabelled."))
    return tuple(sorted(found, key=lambda finding: -finding.severity))


def _imbalance(histogram: Imbalance) -> list[Finding]:
    found = []
    for label in histogram.minority:
        n = histogram.counts[label]
        severity = 1.0 if label in histogram.ultra_minority else 0.6
        wanted = histogram.targets.get(label, 0)
        say = f"{label}: {n} row{'s' * (n != 1)}; {wanted} accepted synthetic rows would bring it near the others."
        found.append(Finding("minority", {"class": label}, severity, (), say))
    return found


def _pairs(pairs: Sequence[Confusion]) -> list[Finding]:
    strong = [pair for pair in pairs if pair.rate >= 0.2 and pair.n >= 5][:5]
    return [
        Finding(
            "confusion",
            {"from": pair.source, "to": pair.target},
            min(0.95, 0.5 + pair.rate / 2),
            (),
            f"{pair.rate:.0%} of the {pair.n} rows of {pair.source} are taken for {pair.target}.",
        )
        for pair in strong
    ]
