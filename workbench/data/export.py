"""Rows to files: CSV with the input's own columns, JSON Lines, Parquet, and the chat formats that trainers read."""

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.data.formats import SPLIT_NAMES, Columns, split_turns
from workbench.errors import DataError
from workbench.records import Sample, by_label

SYSTEM = "你是意图分类助手。阅读对话，回答它的意图，格式：意图：{编号}：{名称}"
OWN = ("id", "turns", "label", "split", "source", "origin")
"""Keys of `record` that are ours; a column of the user's with the same name gives way."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the input's own table looked, so that CSV can be given back as it came."""

    columns: Columns
    order: tuple[str, ...]
    label_ids: Mapping[str, str]
    first_role: str = "agent"
    system: str = ""
    """The input's own system prompt."""
    line_end: str = "\n"
    bom: bool = False
    """Whether the input began with a byte order mark, as Excel wants it."""


def _csv(samples: Sequence[Sample], path: Path, layout: Layout) -> None:
    where, own = layout.columns, layout.columns.format == "table"
    text, label = (where.text, where.label or "label") if own else ("text", "label")
    order = dict.fromkeys([*(layout.order if own else ()), text, label])
    for sample in samples:
        order |= dict.fromkeys(sample.meta)
    speakers = where.speakers or "speakers"
    if any(_roles_needed(sample, layout) for sample in samples):
        order[speakers] = None
    if len({sample.split for sample in samples}) > 1:
        order["split"] = None
    if any(sample.source != "human" for sample in samples):
        order |= dict.fromkeys(("split", "source"))
    rows = [_csv_row(sample, layout, text, label, speakers) for sample in samples]
    # A lone carriage return is only quoted where it is part of the line end.
    ending = "\r\n" if any("\r" in str(value) for row in rows for value in row.values()) else layout.line_end
    with path.open("w", encoding="utf-8-sig" if layout.bom else "utf-8", newline="") as file:
        delimiter = "\t" if path.with_suffix("").suffix == ".tsv" else ","  # of `name.tsv.partial`
        writer = csv.DictWriter(file, list(order), "", "ignore", delimiter=delimiter, lineterminator=ending)
        writer.writeheader()
        writer.writerows(rows)


def _csv_row(sample: Sample, layout: Layout, text: str, label: str, speakers: str) -> dict[str, Any]:
    where = layout.columns
    values = {key: _cell(value) for key, value in sample.meta.items()}
    values |= {"source": sample.meta.get("source", sample.source), "split": _own_split(sample)}
    values |= {text: where.sep.join(turn.text for turn in sample.turns), label: sample.label}
    if where.label_id:
        values[where.label_id] = layout.label_ids.get(sample.label, "")
    if _roles_needed(sample, layout):
        values[speakers] = "|".join(turn.role for turn in sample.turns)
    return values


def _roles_needed(sample: Sample, layout: Layout) -> bool:
    """Whether reading the text would give other roles than the turns have, so that they must be written."""
    speakers = str(sample.meta.get(layout.columns.speakers) or "") if layout.columns.speakers else ""
    text = layout.columns.sep.join(turn.text for turn in sample.turns)
    read = split_turns(text, speakers, layout.first_role, layout.columns.sep)
    return [turn.role for turn in read] != [turn.role for turn in sample.turns]


def _own_split(sample: Sample) -> str:
    """The user's own name of the split (`valid`), as long as the row is still in it."""
    own = sample.meta.get("split")
    return str(own) if SPLIT_NAMES.get(str(own or "").strip().lower()) == sample.split else sample.split


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def record(sample: Sample) -> dict[str, Any]:
    """A sample as one JSON object, as `--format jsonl` writes it and `wb data add` reads it."""
    own = {key: value for key, value in sample.meta.items() if key not in OWN}
    return {
        "id": sample.meta.get("id", sample.id),
        "turns": [{"role": t.role, "text": t.text} | ({"tags": dict(t.tags)} if t.tags else {}) for t in sample.turns],
        "label": sample.label,
        "split": sample.split,
        "source": sample.source,
        **({"origin": asdict(sample.origin)} if sample.origin else {}),
        **own,
    }


def _lines(make: Callable[[Sample, Layout], Any]) -> "Writer":
    def write(samples: Sequence[Sample], path: Path, layout: Layout) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(json.dumps(make(sample, layout), ensure_ascii=False) + "\n" for sample in samples)

    return write


def _text(sample: Sample, layout: Layout) -> str:
    return "对话：" + layout.columns.sep.join(turn.text for turn in sample.turns)


def _answer(sample: Sample, layout: Layout) -> str:
    number = layout.label_ids.get(sample.label, "")
    return f"意图：{number}：{sample.label}" if number.isdecimal() else f"意图：{sample.label}"


def _glm4(sample: Sample, layout: Layout) -> dict[str, Any]:
    said = [
        ("system", layout.system or SYSTEM),
        ("user", _text(sample, layout)),
        ("assistant", _answer(sample, layout)),
    ]
    return {"messages": [{"role": role, "content": text} for role, text in said]}


def _sharegpt(sample: Sample, layout: Layout) -> dict[str, Any]:
    turns = [("human", _text(sample, layout)), ("gpt", _answer(sample, layout))]
    return {"conversations": [{"from": who, "value": said} for who, said in turns], "system": layout.system or SYSTEM}


def _alpaca(sample: Sample, layout: Layout) -> dict[str, Any]:
    return {"instruction": layout.system or SYSTEM, "input": _text(sample, layout), "output": _answer(sample, layout)}


def _parquet(samples: Sequence[Sample], path: Path, layout: Layout) -> None:
    """The keys of `record`, with `text` beside `turns`; columns of several types become text, tags lists of pairs."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"text": sample.text} | _flat(record(sample)) for sample in samples]
    names = list(dict.fromkeys(key for row in rows for key in row))
    mixed = {name for name in names if len({type(row.get(name)) for row in rows} - {type(None)}) > 1}
    columns = {n: [_as_text(row.get(n)) if n in mixed else row.get(n) for row in rows] for n in names}
    parquet.write_table(pa.table(columns), path)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turns stay a list of structs; any other list or mapping becomes JSON text, as its shape may change by row."""
    turns = [turn | {"tags": json.dumps(turn.get("tags", {}), ensure_ascii=False)} for turn in values["turns"]]
    return {key: _cell(value) for key, value in values.items()} | {"turns": turns}


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value)


Writer = Callable[[Sequence[Sample], Path, Layout], None]
_WRITERS: Mapping[str, Writer] = {
    "csv": _csv,
    "jsonl": _lines(lambda sample, _: record(sample)),
    "parquet": _parquet,
    "glm4": _lines(_glm4),
    "sharegpt": _lines(_sharegpt),
    "alpaca": _lines(_alpaca),
}
FORMATS = tuple(_WRITERS)
CHAT_FORMATS = ("glm4", "sharegpt", "alpaca")
"""Formats whose rows are a question and its answer: a row without a label cannot be one."""


def export(samples: Sequence[Sample], path: Path, form: str, layout: Layout) -> None:
    """Write samples to `path` in one of `FORMATS`, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        _WRITERS[form](samples, partial, layout)
        partial.replace(path)
    except OSError as exc:
        raise DataError(f"{path} cannot be written: {exc.strerror}.", "Check the folder and its permissions.") from exc
    finally:
        partial.unlink(missing_ok=True)


def balanced(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """As many rows of each class as the smallest has, human rows before synthetic ones; a seeded choice.

    Rows without a label are of no class and left out.
    """
    classes = by_label([sample for sample in samples if sample.label])
    size = min((len(rows) for rows in classes.values()), default=0)
    choice = random.Random(seed)
    kept: set[str] = set()
    for rows in classes.values():
        ranked = sorted(choice.sample(rows, len(rows)), key=lambda row: row.source != "human")
        kept |= {row.id for row in ranked[:size]}
    return [sample for sample in samples if sample.id in kept]
