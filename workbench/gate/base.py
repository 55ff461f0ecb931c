"""What a gate rule is: its settings and one method."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from workbench.config import Strict
from workbench.records import Sample

POOLED = ""
"""Key of what small classes share."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples and what is known of them, row by row."""

    samples: Sequence[Sample]
    vectors: Floats
    """[n, d] unit vectors, centred on the real rows."""
    probabilities: Floats
    """[n, classes]; for real rows out of fold, so that no row vouches for itself."""
    labels: Sequence[str]
    """Column names of `probabilities`."""

    def __len__(self) -> int:
        return len(self.samples)

    def pick(self, index: Sequence[int]) -> Self:
        """Some of the rows, in the order of `index`."""
        rows = [self.samples[i] for i in index]
        return type(self)(rows, self.vectors[index], self.probabilities[index], self.labels)

    def joined(self, other: Self) -> Self:
        """These rows, then those."""
        return type(self)(
            [*self.samples, *other.samples],
            np.vstack([self.vectors, other.vectors]),
            np.vstack([self.probabilities, other.probabilities]),
            self.labels,
        )


class Rule(Strict):
    """Base of all rules. The name in `gate.rules` is the kind, unless `kind:` says another one."""

    kind: str


class Check(Rule):
    """A rule that knows by itself what is wrong: give `reason`, nothing else. It is not calibrated, but it is measured."""

    @abstractmethod
    def reason(self, sample: Sample) -> str:
        """A slug for what is wrong with the sample, empty where nothing is."""


class Score(Rule):
    """A rule with a scale: rows above a threshold go. The threshold is calibrated on real rows, where not given."""

    against: ClassVar[Literal["real", "siblings"]] = "real"
    """What rows are compared with: the real rows, or the synthetic rows of the class that were accepted before."""
    floor: ClassVar[float] = -np.inf
    """Calibration never goes below this: what scores less is plainly fine, however rare it is among real rows."""

    threshold: float | None = None
    """Rows with a score above it are dropped; calibrated on the real rows where not given."""

    @abstractmethod
    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] higher is more suspicious, NaN where the rule has nothing to say; a row is never compared with itself."""

    def why(self, sample: Sample, others: Rows) -> str:
        """The slug for a row above the threshold; `others` are the rows it was compared with."""
        return self.kind
