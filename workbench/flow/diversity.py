"""How varied the accepted synthetic rows of each class are, beside its real rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.flow.signals import vectors
from workbench.generate.diversity import Diversity, coverage
from workbench.generate.diversity import diversity as measure
from workbench.records import Sample, by_label
from workbench.similarity import centred
from workbench.text import language


@dataclass(frozen=True, slots=True)
class Spread:
    """A class: real training rows and accepted synthetic ones, the same number of each, evenly spaced where there are more."""

    label: str
    real_rows: int
    synthetic_rows: int
    real: Diversity
    synthetic: Diversity
    coverage: float | None
    """Share of the real rows that have a synthetic row as near as half of them have another real row; of all rows."""

    def json(self) -> dict[str, object]:
        """The form that `--json` prints."""
        facts = {"class": self.label, "real_rows": self.real_rows, "synthetic_rows": self.synthetic_rows}
        return facts | {
            "real": self.real.json(),
            "synthetic": self.synthetic.json(),
            "coverage": self.coverage,
        }


def diversity(bench: Bench) -> list[Spread]:
    """Measures of every class that has accepted synthetic rows, in order of the classes' first real row.

    Raises:
        DataError: no synthetic row is accepted, or there are no real ones.
    """
    real, made = bench.ledger.samples(split="train"), by_label(bench.ledger.accepted())
    if not made or not real:
        raise DataError("There are no accepted synthetic rows to measure.", "Make some with: wb generate")
    tongue = language(sample.text for sample in real)
    mean = vectors(bench, real).mean(axis=0)

    def measured(rows: Sequence[Sample], count: int) -> Diversity:
        some = [rows[i] for i in np.linspace(0, len(rows) - 1, count).round().astype(int)]
        return measure([row.text for row in some], centred(vectors(bench, some), mean), tongue)

    found = []
    for label, rows in by_label(real).items():
        new = made.get(label, [])
        if new:
            count = min(len(rows), len(new))
            near = coverage(centred(vectors(bench, new), mean), centred(vectors(bench, rows), mean))
            found.append(Spread(label, len(rows), len(new), measured(rows, count), measured(new, count), near))
    return found
