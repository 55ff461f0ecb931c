"""The line that tells how a generation goes: at most one a second, and none where nothing changed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

EVERY = 1.0
"""Seconds between two lines."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a generation stands."""

    accepted: int
    wanted: int
    replies: int
    dropped: int
    in_flight: int
    cost: Decimal | None
    """Of this command; None where a price is unknown."""
    currency: str


class Pulse:
    """Reports the state now and then, with the speed since the start and the time that is left at that speed."""

    def __init__(self, report: Callable[[str], None], state: Callable[[], State]) -> None:
        self._report, self._state = report, state
        self._began = self._last = 0.0
        self._before = 0
        self._said = ""

    def start(self) -> None:
        """Speed is counted from here; nothing is reported before."""
        self._began = self._last = time.monotonic()
        self._before = self._state().accepted

    def beat(self, *, last: bool = False) -> None:
        """Report, if it is time to, or the last time."""
        now = time.monotonic()
        if not self._began or not (last or now - self._last >= EVERY):
            return
        self._last = now
        said = line(self._state(), self._before, now - self._began)
        if said != self._said:
            self._report(said)
        self._said = said


def line(state: State, before: int, seconds: float) -> str:
    """A state as a line; `before` rows were accepted when it began, `seconds` ago."""
    speed = (state.accepted - before) / max(seconds, 1e-9)
    short = state.wanted - state.accepted
    left = f", about {short / speed:.0f} s to go" if speed > 0 and short > 0 else ""
    cost = "price unknown" if state.cost is None else f"cost {state.cost:.4f} {state.currency}".strip()
    return (
        f"accepted {state.accepted} of {state.wanted} ({speed:.1f}/s), {state.replies} replies, "
        f"{state.dropped} rows dropped, {state.in_flight} in flight, {cost}{left}"
    )
