"""How many calls fly at one endpoint at once: fewer after 429s, slowly more while it answers (AIMD)."""

import asyncio
import time
from collections import deque

CUT, GROW_AFTER = 0.75, 25
KNOWN, BURST = 10, 0.2
"""With fewer than `KNOWN` answers seen any 429 begins a burst; later only where more than this share of answers are 429s."""
MEMORY = 100
PAUSE, LONGEST_PAUSE = 2.0, 60.0


class Pace:
    """Slots for calls. A burst of 429s takes a quarter of them and stops sending for as long as the server asks.

    A burst is judged by the share of 429s among the last answers: a server that turns away a few calls at random would
    else be asked by one at a time, though it bears as many as before.
    """

    def __init__(self, most: int) -> None:
        self.most = self.limit = most
        self.flying = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._seen: deque[bool] = deque(maxlen=MEMORY)
        self._successes = self._bursts = 0
        self._cut_at = float("-inf")
        self._ready = 0.0

    @property
    def room(self) -> bool:
        """Whether a call could be sent now."""
        return self.flying < self.limit and time.monotonic() >= self._ready

    async def enter(self) -> float:
        """Wait for a slot and take it. Returns when it was taken, for `limited`."""
        if self._waiting or not self.room:
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            self._wake_later()
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled() and place.exception() is None:
                    self.leave()  # the slot came together with the cancellation
                raise
        else:
            self.flying += 1
        return time.monotonic()

    def leave(self) -> None:
        """Give a slot back."""
        self.flying -= 1
        self._wake()

    def answered(self) -> None:
        """The endpoint answered a call."""
        self._seen.append(True)
        self._bursts = 0
        self._successes += 1
        if self._successes >= GROW_AFTER:
            self._successes = 0
            self.limit = min(self.most, self.limit + 1)
            self._wake()

    def limited(self, entered: float, wait: float | None) -> None:
        """The endpoint answered 429 to a call that entered then. Calls sent before the last cut belong to its burst."""
        self._seen.append(False)
        if entered < self._cut_at:
            return
        if len(self._seen) >= KNOWN and self._seen.count(False) <= BURST * len(self._seen):
            return
        now = time.monotonic()
        self.limit = max(1, int(self.limit * CUT))
        self._cut_at, self._successes = now, 0
        self._ready = now + (min(PAUSE * 2.0**self._bursts, LONGEST_PAUSE) if wait is None else wait)
        self._bursts += 1

    def give_up(self, error: Exception) -> None:
        """Send away all who wait for a slot."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(error)

    def _wake(self) -> None:
        while self._waiting and (self._waiting[0].done() or self.room):
            place = self._waiting.popleft()
            if not place.done():
                self.flying += 1
                place.set_result(None)
        if self._waiting:
            self._wake_later()

    def _wake_later(self) -> None:
        pause = self._ready - time.monotonic()
        if pause > 0:
            asyncio.get_running_loop().call_later(pause + 0.001, self._wake)
