"""What the ledger gives out beside the records: operations, replies, candidates, runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.records import Sample, Verdict


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A synthetic row with the verdicts of its newest gating; none where it has not been gated."""

    sample: Sample
    verdicts: tuple[Verdict, ...]

    @property
    def accepted(self) -> bool:
        """Gated, and no rule against it."""
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Run:
    """A training or evaluation run."""

    id: str
    kind: str
    version: str | None
    summary: Mapping[str, Any]
    at: str
