"""One writer per server, over processes, and a note of what it had under way when it died.

Two imports at once into an SQLite of Label Studio lose predictions and annotations, though both are answered with 201.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workbench.errors import ServiceError
from workbench.label_studio import install
from workbench.records import digest

SETTLED = 30.0
"""Seconds after which an import whose sender died has ended: 1,000 tasks take one or two, waiting for the database up to 22."""
_PATIENCE = 900.0
"""Seconds to wait for another writer: 10,000 tasks take about ten."""


def cache() -> Path:
    """The user's cache folder for what concerns servers that are written to."""
    return install.cache() / "label-studio"


@contextmanager
def alone(url: str, progress: Callable[[str], None], folder: Path | None = None) -> Iterator[None]:
    """Be the only one of this user's processes that writes tasks to the server.

    Raises:
        ServiceError: another one does not come to its end, or the cache cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = folder or cache()
    lock = FileLock(folder / f"{digest(url)}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"another process is writing to {url}: waiting for its end")
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout as exc:
            say = f"Another process has been writing to Label Studio at {url} for {_PATIENCE / 60:.0f} minutes."
            raise ServiceError(say, "Wait for its end, or stop it, then run this again.") from exc
    except OSError as exc:
        say = f"{folder} cannot be written: {exc.strerror or exc}."
        raise ServiceError(say, "Set XDG_CACHE_HOME to a folder that you may write.") from exc
    try:
        yield
    finally:
        lock.release()


class Journal:
    """The uids of the import that is under way, on disk until it stands: a sender that is killed leaves them behind."""

    def __init__(self, url: str, project: int, folder: Path | None = None) -> None:
        self._path = (folder or cache()) / f"{digest(url)}-{project}.json"

    def open(self, uids: Sequence[str]) -> None:
        """Note that these are being sent from now on."""
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps({"at": time.time(), "uids": list(uids)}), encoding="utf-8")
        part.replace(self._path)

    def close(self) -> None:
        """Nothing is under way."""
        self._path.unlink(missing_ok=True)

    def left(self) -> tuple[list[str], float]:
        """What a former writer had under way, and for how many seconds it may still be; no uids where all had ended."""
        try:
            noted = json.loads(self._path.read_text(encoding="utf-8"))
            uids, at = [str(uid) for uid in noted["uids"]], float(noted["at"])
        except (OSError, ValueError, KeyError, TypeError):
            return [], 0.0
        # A clock that was set back must not make anybody wait for long.
        return uids, min(SETTLED, max(0.0, at + SETTLED - time.time()))
