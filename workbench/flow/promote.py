"""Which run of a bench is the one in use: a fact in the ledger, and a small file that running servers look at.

`promote` and `rollback` append facts; the run in use is that of the newest promotion which was not taken back. The file
`runs/promoted.json` repeats it, because a server looks every second, and a look at a file costs nothing. Where the two
differ, as after a kill between them, the ledger is right and the next command writes the file anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.ledger.facts import Operation
from workbench.runs import MANIFEST, find_run, read_json, write_json

POINTER = "promoted.json"
"""Name of the file in the runs folder."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """The run in use now, and the one before."""

    run: str
    former: str
    """Empty where there was none."""
    at: str
    """When, as ISO 8601 in UTC; empty where nothing was promoted."""


def promote(bench: Bench, name: str, why: str = "") -> Promotion:
    """Make a finished training run the one in use; running servers that follow load it.

    Args:
        bench: where the run is.
        name: name of a run of this bench, or `last`.
        why: what speaks for it, as the verdict of a comparison.

    Raises:
        DataError: there is no such run in this bench, or it is the one in use already.
    """
    run = find_run(bench.runs, name, "train")
    if run.resolve().parent != bench.runs.resolve():
        raise DataError(
            f"The run {run} lies outside of this bench.", f"Only runs in {bench.runs} can be promoted; copy it there."
        )
    with _alone(bench):
        former = _in_use(bench)
        if former and former.details["run"] == run.name:
            raise DataError(f"The run {run.name} is the one in use already.", "`wb models list` shows all runs.")
        details = {"run": run.name, "former": former.details["run"] if former else "", "why": why}
        with bench.ledger.write("train", "promote", details):
            pass
        return _point(bench)


def rollback(bench: Bench) -> Promotion:
    """Take the newest promotion back, so that the run before it is in use again.

    Raises:
        DataError: nothing was promoted, there was no run before, or its folder is gone.
    """
    with _alone(bench):
        now = _in_use(bench)
        if now is None:
            raise DataError("No run of this bench was promoted, so there is nothing to take back.", _HOW)
        former = _in_use(bench, before=now.id)
        if former is None:
            raise DataError(f"Before {now.details['run']} no run was promoted: there is none to go back to.", _HOW)
        if not (bench.runs / former.details["run"] / MANIFEST).is_file():
            raise DataError(
                f"The run {former.details['run']}, which was in use before, is no longer in {bench.runs}.",
                "Put its folder back, or promote another run: wb models promote RUN",
            )
        with bench.ledger.write("train", "rollback", {"run": now.details["run"]}, undoes=now.id):
            pass
        return _point(bench)


_HOW = "Promote a run with: wb models promote RUN"


def promoted(bench: Bench) -> Promotion:
    """The run in use as the ledger has it; its `run` is empty where none was promoted."""
    now = _in_use(bench)
    if now is None:
        return Promotion("", "", "")
    before = _in_use(bench, before=now.id)
    return Promotion(now.details["run"], before.details["run"] if before else "", now.at)


def pointed(bench: Bench) -> str:
    """The run in use as the file has it: what a running server asks; empty where there is none.

    Raises:
        DataError: the file is damaged.
    """
    path = bench.runs / POINTER
    try:
        found = read_json(path)
        return str(found["run"])
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError) as exc:
        raise DataError(f"{path} is damaged.", "`wb models list` writes it anew from the ledger.") from exc


def mend(bench: Bench) -> Promotion:
    """Write the file anew where it differs from the ledger."""
    now = promoted(bench)
    try:
        differs = pointed(bench) != now.run
    except DataError:
        differs = True
    if not differs:
        return now
    with _alone(bench):
        return _point(bench)


def _in_use(bench: Bench, before: int | None = None) -> Operation | None:
    """The newest promotion that was not taken back, of those older than operation `before`."""
    found = [
        operation
        for operation in bench.ledger.operations()
        if (operation.stage, operation.kind, operation.undone) == ("train", "promote", False)
        and (before is None or operation.id < before)
    ]
    return found[-1] if found else None


def _point(bench: Bench) -> Promotion:
    now = promoted(bench)
    path: Path = bench.runs / POINTER
    if now.run:
        path.parent.mkdir(parents=True, exist_ok=True)
        facts: dict[str, Any] = {"run": now.run, "former": now.former, "at": now.at}
        write_json(path, facts)
    else:
        path.unlink(missing_ok=True)
    return now


@contextmanager
def _alone(bench: Bench) -> Iterator[None]:
    """One promotion at a time; not the bench's own lock, which a generation may hold for hours."""
    from filelock import FileLock

    bench.runs.mkdir(parents=True, exist_ok=True)
    with FileLock(bench.runs / ".promoted.lock"):
        yield
