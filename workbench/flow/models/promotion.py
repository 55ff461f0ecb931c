"""Which training run is in use: an operation in the ledger, and a pointer file that a running server can watch.

`promoted.json` in the bench holds {"run": name}. It is replaced whole inside the transaction of the operation, so that a kill
leaves at most a pointer that is one step ahead of the ledger; `rollback` then goes to what the ledger knows.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.flow.models.checkpoint import find_model
from workbench.runs import find_run, read_json, write_json

POINTER = "promoted.json"


@dataclass(frozen=True, slots=True)
class _Promotion:
    """A promotion that was not taken back: the number of its operation, the run, and what was in use before."""

    operation: int
    run: str
    before: str | None


def promote(bench: Bench, run: str, *, before: str = "") -> str:
    """Take a finished training run into use, and return its name (for a run outside the bench: its path).

    Args:
        bench: where the pointer and the ledger are.
        run: name of a run or of a checkpoint (`RUN@STEP`), `last`, or the path of a run folder.
        before: what `rollback` brings back where nothing was promoted so far, as the run that an incremental one continues.

    Raises:
        DataError: there is no such run.
    """
    name = _name(bench, find_model(bench, run))
    now = promoted(bench)
    if now == name and any(standing.run == name for standing in _standing(bench)[-1:]):
        return name
    earlier = now if now != name else None
    if earlier is None and before:
        earlier = _name(bench, find_run(bench.runs, before, "train"))
    with bench.ledger.write("train", "promote", {"run": name, "before": earlier}):
        _point(bench, name)
    return name


def promoted(bench: Bench) -> str | None:
    """The run in use, by name or path; None where none was ever promoted, or where the first promotion was taken back.

    Raises:
        DataError: the pointer file is damaged.
    """
    path = bench.root / POINTER
    try:
        run = read_json(path)["run"]
    except FileNotFoundError:
        standing = _standing(bench) if (bench.root / "wb.db").is_file() else []
        return standing[-1].run if standing else None
    except (json.JSONDecodeError, KeyError, TypeError) as exc:
        raise DataError(
            f"{path} does not name a run.", "Delete it: the ledger knows which run was promoted last."
        ) from exc
    return str(run) if run is not None else None


def rollback(bench: Bench) -> str:
    """Bring back the run that was in use before the newest promotion, and return its name.

    Raises:
        DataError: nothing was promoted, nothing was in use before, or the earlier run is gone.
    """
    standing = _standing(bench)
    if not standing:
        raise DataError("No run of this bench was promoted.", "Promote one with: wb models promote RUN")
    newest = standing[-1]
    now = promoted(bench)
    target = newest.before if now == newest.run else newest.run
    if target is None:
        raise DataError(f"Nothing was in use before {newest.run}.", "Choose a run yourself with: wb models promote RUN")
    find_run(bench.runs, target, "train")
    undoes = newest.operation if now == newest.run else None
    with bench.ledger.write("train", "rollback", {"run": target, "before": now}, undoes=undoes):
        _point(bench, target)
    return target


def _standing(bench: Bench) -> list[_Promotion]:
    """Promotions that were not taken back, oldest first."""
    return [
        _Promotion(operation.id, operation.details["run"], operation.details.get("before"))
        for operation in bench.ledger.operations()
        if operation.stage == "train" and operation.kind == "promote" and not operation.undone
    ]


def _point(bench: Bench, name: str) -> None:
    write_json(bench.root / POINTER, {"run": name})


def _name(bench: Bench, folder: Path) -> str:
    """The name of a run of this bench; the whole path of any other."""
    return folder.name if folder.resolve().parent == bench.runs.resolve() else str(folder.resolve())
