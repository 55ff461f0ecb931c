"""Rows to files: CSV with the input's own columns, JSON Lines, Parquet, and the chat formats that trainers read."""

import csv
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from workbench.data.formats import Columns
from workbench.records import Sample, by_label, digest

SYSTEM = "你是意图分类助手。阅读对话，回答它的意图，格式：意图：{编号}：{名称}"


@dataclass(frozen=True, slots=True)
class Layout:
    """How the input's own table looked, so that CSV can be given back as it came."""

    columns: Columns
    order: tuple[str, ...]
    label_ids: Mapping[str, str]


Writer = Callable[[Sequence[Sample], Layout], str]


def _csv(samples: Sequence[Sample], layout: Layout) -> str:
    where, own = layout.columns, layout.columns.format == "table"
    text, label = (where.text, where.label or "label") if own else ("text", "label")
    order = list(layout.order) if own else [text, label]
    extra = ["split", "source"] if any(sample.source != "human" for sample in samples) else []
    order += [name for name in (label, *extra) if name not in order]
    file = StringIO(newline="")
    writer = csv.DictWriter(file, order, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for sample in samples:
        values: dict[str, Any] = dict(sample.meta) | {"split": sample.split, "source": sample.source}
        values |= {text: sample.text, label: sample.label}
        if where.label_id:
            values[where.label_id] = layout.label_ids.get(sample.label, "")
        if where.speakers:
            values[where.speakers] = "|".join(turn.role for turn in sample.turns)
        writer.writerow({name: values.get(name, "") for name in order})
    return file.getvalue()


def record(sample: Sample) -> dict[str, Any]:
    """A sample as one JSON object, as `--format jsonl` writes it and `wb data add` reads it."""
    return {
        "turns": [{"role": t.role, "text": t.text} | ({"tags": dict(t.tags)} if t.tags else {}) for t in sample.turns],
        "label": sample.label,
        "split": sample.split,
        "source": sample.source,
        **{key: value for key, value in sample.meta.items() if key not in ("turns", "label", "split", "source")},
    }


def _lines(make: Callable[[Sample, Layout], Any]) -> Writer:
    def write(samples: Sequence[Sample], layout: Layout) -> str:
        return "".join(json.dumps(make(sample, layout), ensure_ascii=False) + "\n" for sample in samples)

    return write


def _answer(sample: Sample, layout: Layout) -> str:
    number = layout.label_ids.get(sample.label)
    return f"意图：{number}：{sample.label}" if number is not None else f"意图：{sample.label}"


def _glm4(sample: Sample, layout: Layout) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"对话：{sample.text}"},
            {"role": "assistant", "content": _answer(sample, layout)},
        ]
    }


def _sharegpt(sample: Sample, layout: Layout) -> dict[str, Any]:
    turns = [("human", f"对话：{sample.text}"), ("gpt", _answer(sample, layout))]
    return {"conversations": [{"from": who, "value": said} for who, said in turns], "system": SYSTEM}


def _alpaca(sample: Sample, layout: Layout) -> dict[str, Any]:
    return {"instruction": SYSTEM, "input": f"对话：{sample.text}", "output": _answer(sample, layout)}


_WRITERS: Mapping[str, tuple[str, Writer]] = {
    "csv": (".csv", _csv),
    "jsonl": (".jsonl", _lines(lambda sample, _: record(sample))),
    "glm4": (".jsonl", _lines(_glm4)),
    "sharegpt": (".jsonl", _lines(_sharegpt)),
    "alpaca": (".jsonl", _lines(_alpaca)),
}
FORMATS = (*_WRITERS, "parquet")


def export(samples: Sequence[Sample], path: Path, form: str, layout: Layout) -> None:
    """Write samples to `path` in one of `FORMATS`, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    if form == "parquet":
        import pandas as pd

        rows = [record(sample) | {"text": sample.text, "id": sample.id} for sample in samples]
        pd.DataFrame(rows).drop(columns="turns").to_parquet(partial)
    else:
        partial.write_text(_WRITERS[form][1](samples, layout), encoding="utf-8", newline="")
    partial.replace(path)


def balanced(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """As many rows of each class as the smallest has, human rows before synthetic ones; a seeded choice."""
    classes = by_label(samples)
    size = min(len(rows) for rows in classes.values())
    choice = random.Random(seed)
    kept: set[str] = set()
    for rows in classes.values():
        ranked = sorted(choice.sample(rows, len(rows)), key=lambda row: row.source != "human")
        kept |= {row.id for row in ranked[:size]}
    return [sample for sample in samples if sample.id in kept]


def card(samples: Sequence[Sample], path: Path, history: Sequence[str]) -> str:
    """A dataset card in Markdown: what is in the file, and how much of it no person ever said."""
    synthetic = [sample for sample in samples if sample.source != "human"]
    share = len(synthetic) / len(samples) if samples else 0.0
    makers = Counter(
        f"{s.origin.model or 'unknown model'}, prompt {s.origin.prompt or 'unknown'}" for s in synthetic if s.origin
    )
    lines = [
        f"# {path.name}",
        "",
        f"{len(samples)} rows, {len(by_label(samples))} classes. **{len(synthetic)} rows ({share:.1%}) are synthetic**: "
        "written by a language model, not by a person.",
        "",
        f"Content hash: `{digest(*(f'{s.text_id}:{s.label}' for s in samples))}`",
        "",
        "| class | human | synthetic |",
        "| --- | ---: | ---: |",
    ]
    for label, rows in sorted(by_label(samples).items(), key=lambda item: -len(item[1])):
        made = sum(row.source != "human" for row in rows)
        lines.append(f"| {label or '(none)'} | {len(rows) - made} | {made} |")
    splits = Counter(sample.split for sample in samples)
    lines += ["", "Splits: " + ", ".join(f"{name} {n}" for name, n in splits.items()), ""]
    if makers:
        lines += [
            "Synthetic rows were made by:",
            "",
            *(f"- {maker}: {n} rows" for maker, n in makers.most_common()),
            "",
        ]
    if history:
        lines += ["What was done to the rows:", "", *(f"- {line}" for line in history), ""]
    return "\n".join(lines)
