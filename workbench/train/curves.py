"""metrics.jsonl of a run, and its curves as a picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.runs import read_jsonl, write_jsonl
from workbench.train.method import Progress

FILE = "metrics.jsonl"
_PANELS = (
    ("loss", ("loss", "dev_loss")),
    ("dev macro-F1", ("dev_macro_f1",)),
    ("learning rate", ("lr",)),
    ("tokens/s", ("tokens_per_s",)),
    ("peak memory, GB", ("memory_gb",)),
)
"""Title of a panel -> the keys of metrics.jsonl that it shows."""


class Metrics:
    """Appends lines to metrics.jsonl and tells them."""

    def __init__(self, run: Path, progress: Progress, step: int = 0) -> None:
        """Lines of a run that begins, or goes on, after `step` steps: what a stopped one wrote later is dropped."""
        self._path, self._progress = run / FILE, progress
        kept = [row for row in _whole_lines(self._path) if row["step"] <= step]
        write_jsonl(self._path, kept)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a line and tell it."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        self._progress(row)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Lines that can be read: a killed process may have left half of one."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def draw(run: Path) -> Path:
    """Draw `curves.png` from the run's metrics.jsonl."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_jsonl(run / FILE)
    panels = [(title, keys) for title, keys in _PANELS if any(key in row for key in keys for row in rows)]
    figure = Figure(figsize=(8, 2.4 * max(1, len(panels))), layout="constrained")
    FigureCanvasAgg(figure)
    for i, (title, keys) in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, i + 1)
        for key in keys:
            _line(axes, rows, key)
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        if len(keys) > 1:
            axes.legend()
        if i == len(panels) - 1:
            axes.set_xlabel("step")
    figure.savefig(run / "curves.png", dpi=110)
    return run / "curves.png"


def _line(axes: Any, rows: Sequence[Mapping[str, Any]], key: str) -> None:
    points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), label=key, marker="o" if len(points) < 30 else None, markersize=3)
