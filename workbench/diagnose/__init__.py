"""Find where it hurts: imbalance, confusion, wrong labels, conflicts, leakage. Pure: rows in, findings out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.classify import OutOfFold
from workbench.config import Strict
from workbench.diagnose.confusion import Confusion, confusions
from workbench.diagnose.findings import findings
from workbench.diagnose.imbalance import Imbalance, ImbalanceConfig, imbalance
from workbench.diagnose.issues import LabelIssue, label_issues
from workbench.diagnose.keywords import keywords
from workbench.diagnose.leakage import Leak, conflicts, leaks
from workbench.records import Finding, Sample
from workbench.similarity import Vectors

__all__ = ["Confusion", "DiagnoseConfig", "Diagnosis", "Imbalance", "LabelIssue", "Leak", "diagnose", "imbalance"]


class DiagnoseConfig(Strict):
    """Settings of `wb diagnose`."""

    imbalance: ImbalanceConfig = ImbalanceConfig()
    confusions: int = 20
    """Pairs listed."""
    issue_rows: int = 20
    """Rows that a class needs to be judged by cleanlab; smaller ones are judged by neighbours."""
    neighbours: int = 3
    """Neighbours that a tail row is judged by."""
    leak: float = 0.9
    """Character ratio from which a training row counts as a copy of a dev or test row."""
    keywords: int = 8
    """Words listed per class."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found."""

    imbalance: Imbalance
    confusions: tuple[Confusion, ...]
    issues: tuple[LabelIssue, ...]
    conflicts: tuple[tuple[Sample, ...], ...]
    leaks: tuple[Leak, ...]
    keywords: Mapping[str, Sequence[str]]
    findings: tuple[Finding, ...]
    """What hurts, worst first."""

    @property
    def targets(self) -> Mapping[str, int]:
        """Minority class -> accepted synthetic rows that it should get."""
        return self.imbalance.targets

    @property
    def say(self) -> str:
        """One line."""
        i = self.imbalance
        return (
            f"{sum(i.counts.values())} rows, {len(i.counts)} classes, ratio {i.ratio:g}:1, Gini {i.gini:.3f}, "
            f"{len(i.minority)} classes too small"
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
                {"label": label, "count": n, "effective": i.effective_rows[label]} for label, n in i.counts.items()
            ],
            "label_issues": [
                {
                    "id": x.sample.id,
                    "label": x.sample.label,
                    "suggested": x.suggested,
                    "score": x.score,
                    "method": x.method,
                }
                for x in self.issues
            ],
            "conflicts": [[{"id": row.id, "label": row.label} for row in rows] for rows in self.conflicts],
            "leaks": [{"id": x.train.id, "of": x.held.id, "split": x.held.split, "score": x.score} for x in self.leaks],
            "keywords": {label: list(words) for label, words in self.keywords.items()},
            "findings": [
                {"kind": x.kind, "where": dict(x.where), "severity": x.severity, "say": x.say} for x in self.findings
            ],
        }


def diagnose(
    samples: Sequence[Sample], found: OutOfFold, vectors: Vectors, names: Sequence[str], config: DiagnoseConfig
) -> Diagnosis:
    """Diagnose rows.

    Args:
        samples: human rows of all splits. Of dev and test only likeness to training rows is looked at.
        found: out-of-fold probabilities of the training rows, in their order.
        vectors: [n, d] centred unit vectors of the training rows.
        names: classes that must be there, with no row perhaps.
        config: settings.
    """
    train = [sample for sample in samples if sample.split == "train"]
    counts = dict.fromkeys(names, 0)
    for sample in train:
        counts[sample.label] = counts.get(sample.label, 0) + 1
    histogram = imbalance(counts, config.imbalance)
    pairs = confusions(found, config.confusions)
    issues = label_issues(train, found, vectors, class_rows=config.issue_rows, neighbours=config.neighbours)
    doubles = conflicts([sample for sample in samples if sample.split in ("train", "dev") and sample.label])
    leaked = leaks(samples, config.leak)
    return Diagnosis(
        histogram,
        tuple(pairs),
        tuple(issues),
        tuple(tuple(rows) for rows in doubles),
        tuple(leaked),
        keywords(train, config.keywords),
        findings(histogram, pairs, issues, doubles, leaked),
    )
