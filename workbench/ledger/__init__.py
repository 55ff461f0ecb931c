"""The store: every fact of a bench in one file, `wb.db`. Facts are appended, never rewritten."""

from workbench.ledger.facts import (
    Annotation,
    Asked,
    Candidate,
    Judgement,
    Kind,
    Lot,
    Operation,
    Outcome,
    Project,
    Reply,
    Run,
    Sent,
    State,
    judgement,
)
from workbench.ledger.outbox import Outbox
from workbench.ledger.people import People
from workbench.ledger.store import Ledger

__all__ = [
    "Annotation",
    "Asked",
    "Candidate",
    "Judgement",
    "Kind",
    "Ledger",
    "Lot",
    "Operation",
    "Outbox",
    "Outcome",
    "People",
    "Project",
    "Reply",
    "Run",
    "Sent",
    "State",
    "judgement",
]
