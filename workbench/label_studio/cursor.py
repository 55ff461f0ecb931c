"""How far a pull came: a moment of the server's clock, and what of the time just before it is stored already. Pure.

How Label Studio 1.23 keeps time (tried on a server): `updated_at` of a task, in microseconds, is set when an annotation of it
is made, changed, skipped or deleted, singly or in bulk; imports and predictions do not touch it after the task is made, nor do
drafts. It is taken before the change is committed, so that a change may become visible with a time that lies before one already
seen. So every look goes back by `OVERLAP`, and passes over what the cursor says is stored: nothing is missed, nor sent twice.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Self

from workbench.errors import DataError

OVERLAP = timedelta(seconds=120)
"""How long before its commit a change may have been dated: a writer waits for SQLite for at most 60 seconds, a bulk action of
10,000 tasks takes about 10."""
_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"
_BYTES = 6
"""Of a trace: two of 10,000 changes are taken for each other with a probability of 2e-7."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where to go on."""

    moment: str = ""
    """The newest change that was seen; empty at the beginning."""
    stored: frozenset[bytes] = frozenset()
    """Traces of the changes within `OVERLAP` before the moment."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The inverse of `text`; a bare moment will do.

        Raises:
            DataError: it is none.
        """
        moment, _, packed = text.partition("~")
        if not moment:
            return cls()
        try:
            traces = urlsafe_b64decode(packed.encode("ascii"))
        except ValueError as exc:
            raise DataError(
                f"{text[:60]!r} is no place in a pull to go on from.", "Pull everything anew: nothing is doubled."
            ) from exc
        return cls(stamp(moment), frozenset(traces[i : i + _BYTES] for i in range(0, len(traces), _BYTES)))

    def text(self) -> str:
        """The form that is stored: the moment first, so that later ones sort behind earlier ones."""
        packed = urlsafe_b64encode(b"".join(sorted(self.stored))).decode("ascii")
        return f"{self.moment}~{packed}" if packed else self.moment

    def since(self) -> str:
        """The moment from which to look so that nothing is missed; empty for everything."""
        return back(self.moment) if self.moment else ""

    def after(self, moment: str, stored: Mapping[bytes, str]) -> "Cursor":
        """The cursor once everything until `moment` is stored, of which `stored` gives trace -> moment; never goes back."""
        newest = max(self.moment, moment)
        return Cursor(newest, frozenset(trace for trace, when in stored.items() if when >= back(newest)))


def trace(task: int, moment: str) -> bytes:
    """What stands for one change of one task."""
    return blake2b(f"{task}@{moment}".encode(), digest_size=_BYTES).digest()


def stamp(text: str) -> str:
    """A moment in the only form that Label Studio's filters read, which its own answers leave where microseconds are 0.

    Raises:
        DataError: it is no moment.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise DataError(f"{text!r} is not a moment.", "Pull everything anew: nothing is doubled.") from exc
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime(_FORM)


def back(moment: str) -> str:
    """The moment `OVERLAP` earlier."""
    return (datetime.strptime(moment, _FORM) - OVERLAP).strftime(_FORM)
