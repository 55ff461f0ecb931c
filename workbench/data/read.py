"""A file to samples and rejects."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.data.formats import SOURCE_NAMES, SPLIT_NAMES, Columns, Parts, json_object, parts_of, recognise
from workbench.data.rows import Row, Table
from workbench.data.table import read_table
from workbench.errors import DataError
from workbench.records import Origin, Reject, Sample, Split, digest
from workbench.text import shorten


@dataclass(frozen=True, slots=True)
class Told:
    """What the user says of a file; None: find out."""

    text: str | None = None
    label: str | None = None
    label_id: str | None = None
    split: Split | None = None
    sep: str | None = None
    """What joins the turns of a dialogue; `[SEP]` where not told."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a file came to."""

    samples: list[Sample]
    rejects: list[Reject]
    label_ids: Mapping[str, str]
    """Label -> the number that the file gives it."""
    columns: Columns
    order: tuple[str, ...]
    """All columns of the file, in order."""
    encoding: str
    line_end: str
    fingerprint: str
    """SHA-256 of the file."""
    system: str
    """The system prompt of a chat file: the first that occurs."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one file's rows become samples."""

    file: str
    columns: Columns
    split: Split | None
    own_split: str
    """Column that tells the split; empty where there is none, or it is not used."""
    own_source: str
    first_role: str

    def sample(self, row: Row, key: str) -> tuple[Sample, Parts] | Reject:
        """The sample of a row, or why there is none."""
        if row.problem:
            return self._reject(row, row.problem, row.say)
        try:
            parts = parts_of(row.values, self.columns, self.first_role)
        except ValueError as exc:
            return self._reject(row, *exc.args)
        place = self._place(row.values)
        if not any(turn.text.strip() for turn in parts.turns):
            return self._reject(row, "empty_text", "The row has no text.")
        if not parts.label and place != "pool":
            return self._reject(row, "no_label", "The row has no label.")
        source = SOURCE_NAMES[str(row.values[self.own_source])] if self.own_source else "human"
        hidden = {*self.columns.used, *([self.own_source, "origin"] if self.own_source else [])}
        kept = {name: value for name, value in row.values.items() if name not in hidden}
        origin = None if source == "human" else _origin(row.values.get("origin"))
        sample = Sample(key, parts.turns, parts.label, place, source, origin, kept)
        if self.columns.format == "turns" and kept.get("text") == sample.text:  # said twice, as our Parquet files do
            sample = replace(sample, meta={name: value for name, value in kept.items() if name != "text"})
        return sample, parts

    def _place(self, values: Mapping[str, Any]) -> Split:
        return self.split or (SPLIT_NAMES[_name(values.get(self.own_split))] if self.own_split else "train")

    def _reject(self, row: Row, slug: str, say: str) -> Reject:
        raw = row.raw or json.dumps(row.values, ensure_ascii=False)
        return Reject(self.file, row.line, slug, say, raw)


def read(path: Path, told: Told, first_role: str = "agent") -> Batch:
    """Read a file of any known format; rows that cannot be used become rejects.

    Raises:
        DataError: the file cannot be read, or its columns are not understood.
    """
    table = read_table(path)
    if not table.columns:
        say = f" {table.rows[0].say}" if table.rows else ""
        raise DataError(f"{path} has no row that can be read.{say}", "Check what kind of file it is.")
    try:
        columns = recognise(table.columns, told.text, told.label, told.label_id)
    except DataError as exc:
        raise DataError(f"{path}: {exc.message}", exc.hint) from exc
    columns = replace(columns, sep=told.sep) if told.sep else columns
    own_split, notes = _own_split(table, told.split)
    meant = SPLIT_NAMES.get(path.stem.lower(), "train")
    if not told.split and not own_split and meant != "train":
        notes.append(f"the file is called {path.stem!r}, but goes to train; say --split {meant} if it is that")
    reader = _Reader(path.name, columns, told.split, own_split, _own_source(table), first_role)
    if not columns.label and columns.format in ("table", "turns") and told.split != "pool":
        _demand_label(path, table, own_split)
    return _batch(table, reader, [*table.notes, *notes])


def _batch(table: Table, reader: _Reader, notes: Sequence[str]) -> Batch:
    samples: list[Sample] = []
    rejects: list[Reject] = []
    label_ids: dict[str, str] = {}
    two_ids: Counter[str] = Counter()
    odd_speakers, system = 0, ""
    for number, row in enumerate(table.rows):
        found = reader.sample(row, digest(table.fingerprint, str(number)))
        if isinstance(found, Reject):
            rejects.append(found)
            continue
        sample, parts = found
        samples.append(sample)
        system = system or parts.system
        given = parts.label_id.removesuffix(".0")
        if given and parts.label and label_ids.setdefault(parts.label, given) != given:
            two_ids[parts.label] += 1
        odd_speakers += _speakers_differ(sample, reader.columns)
    said = _notes(label_ids, two_ids, odd_speakers, samples)
    return Batch(
        samples,
        rejects,
        label_ids,
        reader.columns,
        table.columns,
        table.encoding,
        table.line_end,
        table.fingerprint,
        system,
        (*notes, *said),
    )


def _own_split(table: Table, told: Split | None) -> tuple[str, list[str]]:
    """The column `split`, where all its values are names of splits; else a note that it is not used."""
    if told or "split" not in table.columns:
        return "", []
    values = dict.fromkeys(_name(row.values.get("split")) for row in table.rows if not row.problem)
    unknown = [value for value in values if value not in SPLIT_NAMES]
    if not unknown:
        return "split", []
    listed = ", ".join(repr(value) for value in unknown[:4])
    return "", [f"the column 'split' is not used, as it has {listed}; all rows go to train, or say --split"]


def _own_source(table: Table) -> str:
    """The column `source`, where all its values are those that `wb data export` writes."""
    if "source" not in table.columns:
        return ""
    return "source" if all(str(r.values.get("source")) in SOURCE_NAMES for r in table.rows if not r.problem) else ""


def _demand_label(path: Path, table: Table, own_split: str) -> None:
    if own_split and all(SPLIT_NAMES[_name(r.values.get("split"))] == "pool" for r in table.rows if not r.problem):
        return
    listed = shorten(", ".join(table.columns), 200)
    raise DataError(
        f"{path}: no column looks like a label; there are: {listed}.",
        "Name it: --label COLUMN. Rows without labels go in with --split pool.",
    )


def _speakers_differ(sample: Sample, columns: Columns) -> bool:
    speakers = str(sample.meta.get(columns.speakers) or "") if columns.speakers and columns.format == "table" else ""
    return bool(speakers) and speakers.count("|") + 1 != len(sample.turns)


def _notes(
    label_ids: Mapping[str, str], two_ids: Counter[str], odd_speakers: int, samples: Sequence[Sample]
) -> list[str]:
    notes = [
        f"{n} rows give {label!r} another number than {label_ids[label]}, its first" for label, n in two_ids.items()
    ]
    shared = [number for number, n in Counter(label_ids.values()).items() if n > 1]
    for number in shared:
        labels = ", ".join(repr(label) for label, given in label_ids.items() if given == number)
        notes.append(f"the number {number} stands for several classes: {labels}")
    if odd_speakers:
        notes.append(f"{odd_speakers} rows name more or fewer speakers than they have turns; they were taken in turn")
    made = sum(sample.source != "human" for sample in samples)
    if made:
        notes.append(f"{made} rows are marked as synthetic: they come in as candidates, which `wb gate` judges")
    return notes


def _origin(value: Any) -> Origin:
    """Where a synthetic row says it comes from; the reply is of another bench and not named."""
    known = json_object(value)
    parents = tuple(str(parent) for parent in known.get("parents") or ())
    seed = known.get("seed")
    strategy, model, prompt = (str(known.get(key) or "") for key in ("strategy", "model", "prompt"))
    return Origin(strategy or "external", model, prompt, parents, seed if isinstance(seed, int) else 0, "")


def _name(value: Any) -> str:
    return str(value or "").strip().lower()
