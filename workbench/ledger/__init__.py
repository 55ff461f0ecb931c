"""The store: every fact of a bench in one file, `wb.db`. Facts are appended, never rewritten."""

from workbench.ledger.facts import Candidate, Operation, Outcome, Reply, Run, Sent
from workbench.ledger.outbox import Outbox
from workbench.ledger.store import Ledger

__all__ = ["Candidate", "Ledger", "Operation", "Outbox", "Outcome", "Reply", "Run", "Sent"]
