"""Annotated dialogues of a file or of the bench: look at their tags, render them, parse them back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.errors import DataError, UsageError
from workbench.flow.data import human_rows
from workbench.records import Sample
from workbench.text import shorten
from workbench.tokens import (
    TOPIC,
    Coverage,
    Dialogue,
    Place,
    Vocabulary,
    coverage,
    from_line,
    to_dialogue,
    to_line,
    topic_key,
    vocabulary_of,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One dialogue, wherever it comes from."""

    id: str
    """The user's own id where there is one; else the id of the row in the bench, or the line in the file."""
    record: Mapping[str, Any]
    """As in a file of dialogues."""
    sample: str = ""
    """Id of the row in the bench; empty where the dialogue is from a file."""


@dataclass(frozen=True, slots=True)
class Dialogues:
    """What a command works on."""

    entries: tuple[Entry, ...]
    vocabulary: Vocabulary
    key: str
    """Column with the topics; empty where there is none."""

    def read(self) -> Iterator[Dialogue]:
        """Each as a dialogue, with all texts of a turn that may be tags.

        Raises:
            DataError: a record is no dialogue.
        """
        for entry in self.entries:
            yield to_dialogue(entry.record, entry.id, self.key, self.vocabulary, others=True)


def vocabulary(bench: Bench, tags: Path | None = None) -> Vocabulary:
    """The vocabulary of a tags file that was named, else of the bench.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    return vocabulary_of(bench.config.tokens, bench.root, tags)


def load(bench: Bench, text: tuple[str, str] | None, tags: Path | None = None) -> Dialogues:
    """The dialogues of a file, or the human rows of the bench.

    Args:
        bench: where rows and settings are.
        text: name and content of a file of dialogues, one JSON object a line; None for the bench.
        tags: a tags file, where not that of the bench.

    Raises:
        DataError: a line is no JSON object, or there is nothing.
        ConfigError: the vocabulary cannot be used.
    """
    known = vocabulary(bench, tags)
    if text is None:
        rows = human_dialogues(bench)
        labelled = any(row.label in known.topics for row in rows)
        entries = tuple(entry_of(row, labelled=labelled) for row in rows)
    else:
        entries = tuple(Entry(_id(value, f"of line {line}"), value) for line, value in _objects(*text))
    return Dialogues(entries, known, topic_key((entry.record for entry in entries), known))


def human_dialogues(bench: Bench) -> list[Sample]:
    """Human rows of more than one turn, or with tags.

    Raises:
        DataError: there are none.
    """
    rows = [row for row in human_rows(bench) if len(row.turns) > 1 or any(turn.tags for turn in row.turns)]
    if not rows:
        raise DataError("This bench has no dialogues.", "Add some with: wb data add dialogues.jsonl, or name a file.")
    return rows


def entry_of(row: Sample, *, labelled: bool) -> Entry:
    """A row of the bench as a record: its own columns, and its tags beside the texts.

    Args:
        row: human or synthetic.
        labelled: the classes of the bench are the topics; a column `topic` goes before.
    """
    own = dict(row.meta)
    record: dict[str, Any] = {"id": own.pop("id", row.id)}
    topic = own.pop(TOPIC, row.label if labelled else None)
    if topic is not None:
        record[TOPIC] = topic
    if row.label and not labelled:
        record["label"] = row.label
    record["turns"] = [{"role": turn.role, "text": turn.text, **turn.tags} for turn in row.turns]
    return Entry(_id(record, row.id), record | own, row.id)


def _id(record: Mapping[str, Any], other: str) -> str:
    """The id of a record; an empty or strange one names nothing."""
    value = record.get("id")
    return str(value) if isinstance(value, str | int) and str(value).strip() else other


def read_text(file: Path) -> str:
    """A file of dialogues.

    Raises:
        DataError: it is missing, cannot be read, or is not in UTF-8.
    """
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise DataError(f"{file} does not exist.", "Check the path.") from exc
    except OSError as exc:
        raise DataError(f"{file} cannot be read: {exc.strerror}.", "Check the path and its permissions.") from exc
    except UnicodeDecodeError as exc:
        line = exc.object[: exc.start].count(b"\n") + 1
        raise DataError(f"{file} is not in UTF-8: line {line} has other bytes.", "Save it as UTF-8.") from exc


def _objects(name: str, text: str) -> list[tuple[int, dict[str, Any]]]:
    """The JSON objects of the lines, each with its number.

    Raises:
        DataError: a line is none, or there is no line.
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as exc:
            why = _why(exc)
            raise DataError(f"{name}, line {number} is not JSON: {why}.", LINES) from exc
        if not isinstance(value, dict):
            raise DataError(f"{name}, line {number} is no JSON object: {shorten(line, 30)!r}.", LINES)
        found.append((number, value))
    if not found:
        raise DataError(f"{name} is empty.", LINES)
    return found


def _why(exc: Exception) -> str:
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at column {exc.colno}"
    return "a number has thousands of digits" if isinstance(exc, ValueError) else "nested too deeply"


LINES = "Give JSON Lines, one dialogue a line; `wb data add` takes other files into a bench."


def cover(found: Dialogues, contradictions: Sequence[Place] = ()) -> Coverage:
    """What the dialogues have of the vocabulary.

    Raises:
        DataError: a record is no dialogue, or has a role that the vocabulary does not know.
    """
    return coverage(found.read(), found.vocabulary, contradictions)


def rendered(found: Dialogues) -> list[dict[str, Any]]:
    """A line for each dialogue: `id`, `text` and the further columns.

    Raises:
        DataError: a dialogue cannot be rendered.
    """
    return [to_line(entry.record, entry.id, found.key, found.vocabulary) for entry in found.entries]


def parsed(name: str, text: str, known: Vocabulary) -> Iterator[dict[str, Any]]:
    """The records of rendered lines.

    Raises:
        DataError: a line is no rendered dialogue.
    """
    for number, value in _objects(name, text):
        yield from_line(value, f"{name}, line {number}", known)


def no_file_with(option: str, file: Path | None) -> None:
    """What asks a model works on rows of the bench: answers are kept there.

    Raises:
        UsageError: a file is named.
    """
    if file is not None:
        raise UsageError(
            f"{option} asks about dialogues of the bench, and a file is named.",
            f"Take it in first: wb data add {file}, then: wb tokens coverage {option}",
        )
