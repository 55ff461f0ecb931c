"""Where each need stands while rows are generated for it."""

from dataclasses import dataclass, field

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
    yields: list[int] = field(default_factory=list)
    """Accepted rows of each reply, surplus included."""

    def expected(self, batch: int) -> float:
        """Accepted rows to expect of the requests in flight: the mean of what was seen, half a batch before that."""
        seen = sum(self.yields) / len(self.yields) if self.yields else batch / 2
        return self.flying * max(seen, 0.5)
