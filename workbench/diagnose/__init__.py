"""Find where it hurts: imbalance, confusion, wrong labels, conflicts, leakage. Pure: rows in, findings out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from workbench.classify import OutOfFold
from workbench.config import Strict
from workbench.diagnose.confusion import Confusion, Confusions
from workbench.diagnose.findings import STRONG_RATE, STRONG_ROWS, advice, findings
from workbench.diagnose.imbalance import Imbalance, ImbalanceConfig, imbalance
from workbench.diagnose.issues import LabelIssue, label_issues
from workbench.diagnose.leakage import Leak, conflicts, leaks
from workbench.keywords import keywords
from workbench.records import Finding, Sample
from workbench.similarity import Vectors

__all__ = [
    "Confusion",
    "Confusions",
    "DiagnoseConfig",
    "Diagnosis",
    "Imbalance",
    "ImbalanceConfig",
    "LabelIssue",
    "Leak",
    "Rows",
    "advice",
    "diagnose",
    "histogram",
    "imbalance",
]


class DiagnoseConfig(Strict):
    """Settings of `wb diagnose`."""

    imbalance: ImbalanceConfig = ImbalanceConfig()
    confusions: int = Field(default=20, ge=0)
    """Pairs listed."""
    issue_rows: int = Field(default=20, ge=2)
    """Rows that a class needs to be judged by cleanlab; smaller ones are judged by neighbours."""
    neighbours: int = Field(default=3, ge=1)
    """Neighbours that a tail row is judged by."""
    leak: float = Field(default=0.9, gt=0, le=1)
    """Character ratio from which a training row counts as a copy of a dev or test row."""
    keywords: int = Field(default=8, ge=0)
    """Words listed per class."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What is diagnosed."""

    samples: Sequence[Sample]
    """Human rows of all splits. Of dev and test only likeness to other rows is looked at; conflicts also look at dev's labels."""
    found: OutOfFold
    """Out-of-fold probabilities of the labelled training rows, in their order."""
    vectors: Vectors
    """[n, d] centred unit vectors of the same rows."""
    labels: Sequence[str]
    """Classes that must be there, with no row perhaps."""
    group_by: str = ""
    """Column of the user's whose equal values must stay on one side of a split."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found; of a histogram alone only the first two fields are filled."""

    imbalance: Imbalance
    label_ids: Mapping[str, str] = field(default_factory=dict)
    """Class -> the number that the data give it."""
    confusions: tuple[Confusion, ...] = ()
    matrix: Confusions | None = None
    issues: tuple[LabelIssue, ...] = ()
    conflicts: tuple[tuple[Sample, ...], ...] = ()
    leaks: tuple[Leak, ...] = ()
    keywords: Mapping[str, Sequence[str]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    """What hurts, worst first."""

    @property
    def targets(self) -> Mapping[str, int]:
        """Minority class -> accepted synthetic rows that it should get."""
        return self.imbalance.targets

    @property
    def say(self) -> str:
        """One line."""
        i = self.imbalance
        n = len(i.minority)
        small = "no class is" if not n else "1 class is" if n == 1 else f"{n} classes are"
        return (
            f"{sum(i.counts.values()):,} rows, {len(i.counts)} classes; largest to smallest {i.ratio:,.4g}:1, "
            f"Gini {i.gini:.3f}, as varied as {i.effective_classes:.1f} equal classes; {small} too small."
        )

    def json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        i = self.imbalance
        return {
            "rows": sum(i.counts.values()),
            "classes": len(i.counts),
            "gini": i.gini,
            "imbalance_ratio": i.ratio,
            "effective_classes": i.effective_classes,
            "minority": list(i.minority),
            "ultra_minority": list(i.ultra_minority),
            "targets": dict(i.targets),
            "confusions": [pair.json() for pair in self.confusions],
            "histogram": [
                {"label": label, "id": self.label_ids.get(label), "count": n, "effective": i.effective_rows[label]}
                for label, n in i.counts.items()
            ],
            "label_issues": [issue.json() for issue in self.issues],
            "conflicts": [[{"id": row.id, "label": row.label} for row in rows] for rows in self.conflicts],
            "leaks": [leak.json() for leak in self.leaks],
            "keywords": {label: list(words) for label, words in self.keywords.items()},
            "findings": [
                {
                    "kind": x.kind,
                    "where": dict(x.where),
                    "severity": x.severity,
                    "say": x.say,
                    "do": advice(x, self.label_ids),
                }
                for x in self.findings
            ],
        }


def histogram(counts: Mapping[str, int], config: ImbalanceConfig, label_ids: Mapping[str, str]) -> Diagnosis:
    """Diagnose counts of classes alone; `counts` must not be empty."""
    found = imbalance(counts, config)
    return Diagnosis(found, label_ids, findings=findings(found, (), (), (), ()))


def diagnose(rows: Rows, config: DiagnoseConfig, label_ids: Mapping[str, str]) -> Diagnosis:
    """Diagnose rows; at least one is a labelled training row. `label_ids` are the numbers that the data give classes."""
    train = [sample for sample in rows.samples if sample.split == "train" and sample.label]
    counts = dict.fromkeys(rows.labels, 0)
    for sample in train:
        counts[sample.label] = counts.get(sample.label, 0) + 1
    balance = imbalance(counts, config.imbalance)
    matrix = Confusions.of(rows.found)
    issues = label_issues(train, rows.found, rows.vectors, class_rows=config.issue_rows, neighbours=config.neighbours)
    doubles = conflicts([sample for sample in rows.samples if sample.split in ("train", "dev") and sample.label])
    leaked = leaks(rows.samples, config.leak, rows.group_by)
    return Diagnosis(
        balance,
        label_ids,
        tuple(matrix.top(config.confusions)),
        matrix,
        tuple(issues),
        tuple(tuple(same) for same in doubles),
        tuple(leaked),
        keywords(train, config.keywords),
        findings(balance, matrix.strong(STRONG_RATE, STRONG_ROWS), issues, doubles, leaked),
    )
