"""Where each need stands while rows are generated for it."""

from dataclasses import dataclass

from workbench.records import Need


@dataclass
class Standing:
    """Where a need stands while a generation runs."""

    need: Need
    draws: set[int]
    """Draws that have a stored reply or are in flight."""
    flying: int = 0
    barren: int = 0
    """Replies in a row without an accepted row."""
    ended: str = ""
    replies: int = 0
    """Replies that were read."""
    rows: int = 0
    """Rows of them that were accepted, surplus included."""

    def count(self, rows: int, patience: int) -> None:
        """A reply was read, and so many of its rows were accepted."""
        self.replies += 1
        self.rows += rows
        self.barren = 0 if rows else self.barren + 1
        if self.barren >= patience:
            self.ended = "saturated"

    def expected(self, batch: int) -> float:
        """Accepted rows to expect of the requests in flight: the mean of what was seen, half a batch before that."""
        seen = self.rows / self.replies if self.replies else batch / 2
        return self.flying * max(seen, 0.5)
