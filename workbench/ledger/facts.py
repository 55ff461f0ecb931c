"""What the ledger gives out beside the records: operations, replies, candidates, runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.records import Review, Sample, Turn, Verdict


@dataclass(frozen=True, slots=True)
class Operation:
    """One command that changed the bench."""

    id: int
    stage: str
    kind: str
    details: Mapping[str, Any]
    at: str
    undoes: int | None
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered to one request. `cost` is a decimal string, empty where the price is unknown."""

    id: str
    label: str
    against: str
    strategy: str
    draw: int
    rows: int
    """Rows that were asked for."""
    prompt: str
    parents: tuple[str, ...]
    seed: int
    messages: tuple[Mapping[str, str], ...]
    model: str
    endpoint: str
    text: str
    finish: str
    tokens_in: int
    tokens_out: int
    cost: str
    at: str = ""


Outcome = Literal["reply", "free", "lost"]
"""How a call ended: answered; without an answer and without a bill; without an answer, but it may have been billed."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A call that went out. `reserved` is the most that it can cost, a decimal string, empty where the price is unknown."""

    id: str
    request: str
    """The id that its reply has."""
    label: str
    against: str
    strategy: str
    seed: int
    draw: int
    endpoint: str
    reserved: str
    at: str = ""
    lost: bool = False
    """It ended without an answer; else nothing is known of its end."""


State = Literal["unseen", "approve", "edit", "relabel", "reject", "skipped", "disputed", "withheld"]
"""What people have come to: nobody looked; a decision; nobody could decide; they disagree; it waits for someone to look."""
USABLE: tuple[State, ...] = ("unseen", "approve", "edit", "relabel")


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the reviews of one row come to."""

    state: State
    review: Review | None = None
    """The one that stands, where there is one."""


def judgement(reviews: Sequence[Review]) -> Judgement:
    """What reviews come to, oldest first: a final one stands, else what all say; of each person the newest counts.

    A skip stands only where nobody decided.
    """
    finals = [review for review in reviews if review.final]
    if finals:
        return _of(([review for review in finals if review.decision != "skip"] or finals)[-1])
    newest = {review.reviewer: review for review in reviews if review.decision != "hold"}
    decided = [review for review in newest.values() if review.decision != "skip"]
    if len({(review.decision, review.text, review.label) for review in decided}) > 1:
        return Judgement("disputed")
    if newest:
        return _of((decided or list(newest.values()))[-1])
    return Judgement("withheld" if reviews else "unseen")


def _of(review: Review) -> Judgement:
    if review.decision == "skip" or review.decision == "hold":
        return Judgement("skipped")
    return Judgement(review.decision, review)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A synthetic row with the verdicts of its newest gating (none where it has not been gated) and its reviews."""

    sample: Sample
    verdicts: tuple[Verdict, ...]
    reviews: tuple[Review, ...] = ()

    @property
    def passed(self) -> bool:
        """Gated, and no rule against it."""
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)

    @property
    def judgement(self) -> Judgement:
        """What people have come to."""
        return judgement(self.reviews)

    @property
    def refused(self) -> bool:
        """People are against it, at odds over it, could not decide, or have yet to look."""
        return self.judgement.state not in USABLE

    @property
    def accepted(self) -> bool:
        """Neither a rule nor a person is against it."""
        return self.passed and not self.refused


Kind = Literal["review", "dialogues", "rating"]
"""What people are asked to do: judge candidates, tag the turns of dialogues, rate answers of models."""


@dataclass(frozen=True, slots=True)
class Project:
    """Where tasks of a kind go."""

    place: str
    """What tells it from every other one: numbers are used again when a project is deleted."""
    kind: Kind
    url: str
    number: int
    """Its number in that Label Studio."""
    config: str
    """Fingerprint of the label config that it was given last."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A task for people."""

    kind: Kind
    uid: str
    sample: str
    """The row that it is about; empty where it is about none of the bench."""
    queue: str
    """Why it is asked: `sample`, `share`, `doubtful`, `all`, `full`, `audit`, `adjudicate`."""
    lot: str
    reviewers: tuple[str, ...]
    """Who shall do it; empty for anyone."""
    shown: Mapping[str, Any]
    """What it shows of the row."""

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The row's turns, as they were put to people."""
        return tuple(Turn(role, text, tags) for role, text, tags in self.shown["turns"])


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a person submitted for a task, in its newest state."""

    id: str
    kind: Kind
    uid: str
    place: str
    number: int
    """Its number in that Label Studio."""
    annotator: str
    created: str
    updated: str
    seconds: float | None
    skipped: bool
    result: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Lot:
    """A row as member of a lot: candidates of one class that were made with one prompt, and gated before the same push."""

    sample: str
    lot: str
    label: str
    prompt: str
    forced: bool
    """It is looked at in any case, so that it says nothing of the others."""


@dataclass(frozen=True, slots=True)
class Run:
    """A training or evaluation run."""

    id: str
    kind: str
    version: str | None
    summary: Mapping[str, Any]
    at: str
