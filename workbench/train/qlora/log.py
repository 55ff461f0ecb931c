"""What a run writes while it trains: metrics.jsonl, samples.jsonl, curves.png; and reads again when it goes on."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.runs import read_jsonl, write_jsonl

METRICS, SAMPLES, CURVES = "metrics.jsonl", "samples.jsonl", "curves.png"
Progress = Callable[[Mapping[str, Any]], None]
"""Is told each line of `metrics.jsonl`, and in it `steps`, the number of steps that there will be."""


class Log:
    """Lines of a run; each is on disk when `add` returns."""

    def __init__(self, folder: Path, progress: Progress | None = None, *, steps: int = 0) -> None:
        """Args: the run's folder; who wants to hear of each line; steps that there will be."""
        self.folder, self._progress, self._steps = folder, progress, steps

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        _append(self.folder / METRICS, [line])
        if self._progress is not None:
            self._progress({**line, "steps": self._steps})

    def add_samples(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Append sample answers."""
        _append(self.folder / SAMPLES, lines)

    def rewind(self, step: int) -> None:
        """Take back what was written after a step, and a line that a killed process left half written."""
        for name in (METRICS, SAMPLES):
            path = self.folder / name
            if path.is_file():
                write_jsonl(path, [line for line in _whole(path) if line["step"] <= step])

    def lines(self) -> list[dict[str, Any]]:
        """All lines so far."""
        path = self.folder / METRICS
        return read_jsonl(path) if path.is_file() else []

    def evaluations(self) -> list[tuple[int, tuple[float, float]]]:
        """Step and rank of each evaluation so far."""
        return [(line["step"], rank(line)) for line in self.lines() if "score" in line]


def rank(line: Mapping[str, Any]) -> tuple[float, float]:
    """Higher is better: the score; of equal ones (none right, all right) that with the lower loss."""
    return line["score"], -line["dev_loss"]


def _append(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def _whole(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:  # cut by a kill, or empty
            continue
    return found


def curves_png(folder: Path) -> None:
    """Draw loss, dev scores, learning rate, speed and memory of metrics.jsonl as curves.png."""
    from matplotlib.figure import Figure

    lines = Log(folder).lines()
    panels: list[tuple[str, Sequence[str]]] = [
        ("loss", ("loss", "dev_loss")),
        ("dev", ("macro_f1", "accuracy", "valid")),
        ("learning rate", ("lr",)),
        ("tokens/s", ("tokens_per_s",)),
        ("memory, MB", ("memory_mb",)),
    ]
    drawn = [(title, keys) for title, keys in panels if any(key in line for line in lines for key in keys)]
    if not drawn:
        return
    figure = Figure(figsize=(7, 2.2 * len(drawn)), dpi=110, layout="constrained")
    for axes, (title, keys) in zip(figure.subplots(len(drawn), 1, squeeze=False)[:, 0], drawn, strict=True):
        for key in keys:
            points = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else "", label=key)
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        if len(keys) > 1:
            axes.legend()
    axes.set_xlabel("step")
    figure.savefig(folder / CURVES, format="png")
