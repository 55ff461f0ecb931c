"""What a gate rule is: its settings and one method."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.config import Strict
from workbench.records import Sample, Turn
from workbench.text import normal

POOLED = ""
"""Key of what small classes share."""

Floats = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples and what is known of them, row by row."""

    samples: Sequence[Sample]
    vectors: Floats
    """[n, d] unit vectors, centred on the real rows."""
    probabilities: Floats
    """[n, classes] of a classifier that had not seen the row, so that no row vouches for itself."""
    labels: Sequence[str]
    """Column names of `probabilities`."""
    marks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Scores that were asked for elsewhere, as of a language model: name -> sample id -> score."""
    _memo: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.samples)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, computed once for these rows."""
        if key not in self._memo:
            self._memo[key] = make()
        found: T = self._memo[key]
        return found

    @property
    def names(self) -> npt.NDArray[np.object_]:
        """[n] the class of each row."""
        return self.once("names", lambda: np.array([sample.label for sample in self.samples], dtype=object))

    @property
    def ids(self) -> npt.NDArray[np.object_]:
        """[n] the id of each row."""
        return self.once("ids", lambda: np.array([sample.id for sample in self.samples], dtype=object))

    @property
    def texts(self) -> list[str]:
        """[n] texts as rules compare them: blind to width, case and punctuation."""
        return self.once("texts", lambda: [normal(sample.text) for sample in self.samples])

    def pick(self, index: Sequence[int] | npt.NDArray[Any]) -> Self:
        """Some of the rows, in the order of `index`."""
        rows = [self.samples[i] for i in index]
        index = np.asarray(index, dtype=np.int64)
        return type(self)(rows, self.vectors[index], self.probabilities[index], self.labels, self.marks)

    def joined(self, other: Self) -> Self:
        """These rows, then those. Made to be called row after row: what is known of these is kept, and vectors get room to grow."""
        vectors, probabilities = self._memo.pop("room", (None, None))
        vectors = _appended(vectors, self.vectors, other.vectors)
        probabilities = _appended(probabilities, self.probabilities, other.probabilities)
        n = len(self) + len(other)
        rows = [*self.samples, *other.samples]
        found = type(self)(rows, vectors[:n], probabilities[:n], self.labels, self.marks)
        found._memo["room"] = (vectors, probabilities)
        found._memo["texts"] = [*self.texts, *other.texts]
        found._memo["names"] = np.concatenate([self.names, other.names])
        found._memo["ids"] = np.concatenate([self.ids, other.ids])
        return found


def _appended(room: Floats | None, old: Floats, new: Floats) -> Floats:
    """An array that begins with the rows of `old` and `new`: `room`, which begins with `old`, where it is long enough."""
    n = len(old) + len(new)
    if room is None or len(room) < n:
        room = np.empty((2 * n, *old.shape[1:]), dtype=np.float32)
        room[: len(old)] = old
    room[len(old) : n] = new
    return room


class Rule(Strict):
    """Base of all rules. The name in `gate.rules` is the kind, unless `kind:` says another one."""

    kind: str


class Check(Rule):
    """A rule that knows by itself what is wrong: give `reason`, nothing else. It is not calibrated, but it is measured."""

    strict: bool = False
    """Hold a reason against candidates even where it is usual (above 2 %) among the real rows."""

    @abstractmethod
    def reason(self, sample: Sample) -> str:
        """A slug for what is wrong with the sample, empty where nothing is."""

    def reasons(self, sample: Sample) -> tuple[str, ...]:
        """All slugs, for a rule that knows several: where the first is usual among the real rows, the next one counts."""
        found = self.reason(sample)
        return (found,) if found else ()

    def mend(self, sample: Sample) -> tuple[Turn, ...]:
        """The turns as they should be: a rule may mend a row instead of dropping it. The same turns where nothing is to do."""
        return sample.turns


class Score(Rule):
    """A rule with a scale: rows above a threshold go. The threshold is calibrated on real rows, where not given."""

    against: ClassVar[Literal["real", "siblings", "held"]] = "real"
    """What rows are compared with: the real training rows, the synthetic rows of the class that were accepted before, or
    the rows of dev and test (which a rule may look at only to remove candidates)."""
    floor: ClassVar[float] = -np.inf
    """Calibration never goes below this: what scores less is plainly fine, however rare it is among real rows."""
    uses_classifier: ClassVar[bool] = False
    """Whether the score comes from `Rows.probabilities`, which get better the more candidates are known."""

    threshold: float | None = None
    """Rows with a score above it are dropped; calibrated on the real rows where not given."""
    class_rows: int = Field(default=0, ge=0)
    """Real rows that a class needs for a threshold of its own; 0 for `gate.class_rows`."""
    weight: float = Field(default=1.0, gt=0)
    """How much of the shared budget the rule may use, beside the other rules."""

    @abstractmethod
    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] higher is more suspicious, NaN where the rule has nothing to say; a row is never compared with itself."""

    def why(self, sample: Sample, others: Rows) -> str:
        """The slug for a row above the threshold; `others` are the rows it was compared with."""
        return self.kind

    def say(self, row: Rows, others: Rows) -> str:
        """What one row (a single one in `row`) was compared with, for people; empty where the score says it all."""
        return ""
