"""The store: every fact of a bench in one file, `wb.db`. Facts are appended, never rewritten."""

from workbench.ledger.store import Candidate, Ledger, Operation, Reply, Run

__all__ = ["Candidate", "Ledger", "Operation", "Reply", "Run"]
