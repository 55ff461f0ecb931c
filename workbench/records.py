"""The types that flow from stage to stage. Standard library only; frozen, so that a stage cannot change another's rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

SEP = "[SEP]"
"""Joins the turns of a dialogue where it must be one string (CMCC-34's own separator)."""

Split = Literal["train", "dev", "test", "pool"]
Source = Literal["human", "synthetic", "pseudo"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test", "pool")
NO_META: Mapping[str, Any] = {}


def digest(*parts: str) -> str:
    """16 hex digits that identify the parts, in order."""
    return sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. `tags` are what becomes special tokens, as {"intent": "seek_advice"}."""

    role: str
    text: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a synthetic row was made: enough to explain it and to make it again."""

    strategy: str
    model: str
    prompt: str
    """Name and fingerprint of the prompt file, as `minority.zh.j2@1f3a...`."""
    parents: tuple[str, ...]
    """Ids of the real rows shown in the prompt."""
    seed: int
    reply: str
    """Id of the stored reply that it was parsed from; empty for rows made elsewhere."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled text or dialogue; a single text is a dialogue of one turn."""

    id: str
    """The row: hash of file and row number, or of reply and position."""
    turns: tuple[Turn, ...]
    label: str
    split: Split = "train"
    source: Source = "human"
    origin: Origin | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    """The user's own columns, as they came."""

    @property
    def text(self) -> str:
        """All turns as one string, joined by `[SEP]`."""
        return SEP.join(turn.text for turn in self.turns)

    @property
    def text_id(self) -> str:
        """Hash of the content without the label: equal for exact duplicates."""
        return digest(self.text)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row or part of a reply that could not become a sample. `reason` is a slug, `say` a sentence."""

    place: str
    """File name, or id of the reply."""
    line: int
    """Line in the file (from 1), or position in the reply (from 0)."""
    reason: str
    say: str
    raw: str


@dataclass(frozen=True, slots=True)
class Change:
    """A new value for one field of a sample (`turns`, `label`, `meta`, `split`, `dropped`), and why."""

    sample: str
    field: Literal["turns", "label", "meta", "split", "dropped"]
    value: Any
    reason: str
    """A slug: `exact_duplicate`, `control_characters`, `stratified` ..."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate rule says of one row. `reason` is a slug, empty where the row passed."""

    rule: str
    passed: bool
    reason: str = ""
    score: float | None = None
    """Higher is more suspicious; None where the rule has no scale."""
    tail: float | None = None
    """Share of the real rows (of the class, or of the small classes) that are as suspicious or more; None where it says nothing."""


Decision = Literal["approve", "edit", "relabel", "reject"]
DECISIONS: tuple[Decision, ...] = ("approve", "edit", "relabel", "reject")


@dataclass(frozen=True, slots=True)
class Review:
    """What one person said of one row."""

    sample: str
    task: str
    """The `uid` of the task that was put to the person."""
    decision: Decision | Literal["skip", "hold"]
    """`skip`: the person could not decide. `hold`: nobody looked, but a sample of its lot failed; it waits for someone to look."""
    reviewer: str
    at: str
    """When, as ISO 8601 in UTC."""
    seconds: float | None = None
    """Time spent on it, as the labelling page measured it."""
    text: str = ""
    """The corrected text, as typed; empty unless the decision is `edit`."""
    label: str = ""
    """The correct class; empty unless the decision is `relabel`."""
    reasons: tuple[str, ...] = ()
    """Why it was rejected, as slugs."""
    naturalness: int | None = None
    """1 to 5."""
    final: bool = False
    """It settles a disagreement of others."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis."""

    kind: str
    where: Mapping[str, str]
    severity: float
    """0 (note) to 1 (mend first)."""
    evidence: tuple[str, ...]
    """Ids of rows that show it."""
    say: str


@dataclass(frozen=True, slots=True)
class Need:
    """One line of the generation plan: `count` is the total of accepted synthetic rows wanted for the class."""

    label: str
    count: int
    strategy: str
    against: str = ""
    """The partner of a confusion pair; empty otherwise."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number with its interval and the number of rows behind it; it never travels without them."""

    name: str
    value: float
    low: float
    high: float
    n: int
    where: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, float | int]:
        """The form that `--json` prints."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def version_of(samples: Sequence[Sample]) -> str:
    """Name of a training set: a hash of its rows, their texts and labels, in any order."""
    return digest(*sorted(f"{sample.id}:{sample.text_id}:{sample.label}" for sample in samples))


def by_label(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples grouped by label, in order of first appearance."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.label, []).append(sample)
    return groups
