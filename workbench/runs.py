"""Run folders: one can read them with `less`. The manifest is written last, so a folder without one was not finished."""

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.errors import DataError, one_of
from workbench.text import encodable

MANIFEST = "manifest.json"


def new_run(root: Path, kind: str) -> Path:
    """A new, empty folder `root/<time>-<kind>`; never one that exists."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for n in range(1, 1000):
        folder = root / (f"{stamp}-{kind}" if n == 1 else f"{stamp}-{kind}-{n}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise DataError(f"{root} has 999 runs of this second.", "Wait a second.")


AT = "@"
"""Between the name of a run and the step of a checkpoint of it."""


def find_run(root: Path, name: str, kind: str) -> Path:
    """The finished run called `name`, or the newest of this kind for `last`; a path to a run folder serves too.

    Raises:
        DataError: there is none; the hint lists what is there.
    """
    if name != "last" and (Path(name) / MANIFEST).is_file():
        if (found := read_json(Path(name) / MANIFEST)["kind"]) != kind:
            raise DataError(f"{name} is a run of {found}, not of {kind}.", f"Name a {kind} run.")
        return Path(name)
    manifests = sorted(root.glob(f"*/{MANIFEST}"), key=lambda path: _order(path.parent.name))
    finished = [path.parent for path in manifests if read_json(path)["kind"] == kind]
    if name == "last" and (whole := [folder for folder in finished if AT not in folder.name]):
        return whole[-1]
    for folder in finished:
        if folder.name == name:
            return folder
    if not finished:
        raise DataError(f"There is no finished {kind} run in {root}.", f"Make one with: wb {kind}")
    raise DataError(f"There is no {kind} run {name!r}.", one_of(name, [folder.name for folder in finished]))


def _order(name: str) -> tuple[str, int]:
    """Time, then number within the second: `-10` comes after `-2`."""
    stamp, _, number = name.rpartition("-")
    return (stamp, int(number)) if number.isdigit() and stamp.count("-") > 1 else (name, 1)


def finish(folder: Path, kind: str, values: Mapping[str, Any]) -> None:
    """Write the manifest, which marks the run as finished; it is called as its folder where `values` says nothing else."""
    write_json(folder / MANIFEST, {"kind": kind, "run": folder.name, **values})


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, allow_nan=False)
            file.write((line if encodable(line) else json.dumps(row)) + "\n")
    partial.replace(path)


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read one JSON object a line."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
