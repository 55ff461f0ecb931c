"""What an evaluation finds: of every model before anybody has seen it, and as the finished folder holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.evaluate import Scores, Verdict
from workbench.evaluate.criteria import Judged
from workbench.flow.evaluate.ask import Answers
from workbench.records import Metric


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation."""

    folder: Path
    arms: Mapping[str, Any]
    """Name of an arm -> its scores as JSON, the baseline first, the run in question last."""
    verdicts: Mapping[str, Any]
    """Name of an arm -> its verdict against the baseline as JSON."""
    main: str
    split: str
    """`test`, `dev`, or the name of a file."""
    openings: int
    """How often the test split was opened in this bench, this time included."""
    notes: tuple[str, ...]
    counted: bool = True
    """Whether this look is one of the openings."""
    gate: Mapping[str, Any] = field(default_factory=dict)
    """Name of an arm -> which criteria it holds, as JSON; empty without criteria."""
    gate_on: str = "value"

    @property
    def passed(self) -> bool:
        """Whether every criterion holds, in every model that they were held against."""
        return all(one["held"] for judged in self.gate.values() for one in judged)

    def json(self) -> dict[str, Any]:
        """The form that `wb evaluate --json` prints."""
        found = {"run": self.folder.name, "split": self.split, "openings": self.openings, **self.arms[self.main]}
        if self.main in self.verdicts:
            found |= {"verdict": self.verdicts[self.main], "baseline": next(iter(self.arms.values()))}
        if self.gate:
            judged = self.gate[self.main]
            found["gate"] = {"on": self.gate_on, "passed": self.passed, "criteria": judged}
        if len(self.arms) > 1 and not self.verdicts:
            found["checkpoints"] = {
                name: arm | ({"gate": self.gate[name]} if name in self.gate else {}) for name, arm in self.arms.items()
            }
        return found | {"notes": list(self.notes)}


@dataclass(frozen=True, slots=True)
class Arms:
    """Everything that was found out of all models, before anybody has seen it."""

    runs: Mapping[str, Path]
    answers: Mapping[str, Answers]
    scores: Mapping[str, Scores]
    measures: Mapping[str, Mapping[str, Metric]]
    """Name of an arm -> metric -> what was measured."""
    verdicts: Mapping[str, Verdict]
    judged: Mapping[str, Sequence[Judged]]

    @property
    def main(self) -> str:
        """The arm in question."""
        return list(self.runs)[-1]

    def json(self) -> dict[str, Any]:
        """Scores, measures and counts of each arm."""
        found: dict[str, Any] = {}
        for name, scores in self.scores.items():
            measures = {n: m.json() for n, m in self.measures[name].items() if "[" not in n}
            answers = self.answers[name]
            counts = {"cut": answers.counts["cut"], "retries": answers.counts["retries"], "failed": len(answers.why)}
            found[name] = {**measures, **scores.json(), **counts}
        return found
