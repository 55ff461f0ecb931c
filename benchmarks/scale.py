"""Measure `wb data add` and `wb diagnose` on many rows: wall time, peak memory, and how both grow.

    python benchmarks/scale.py [--quick]

10,000 and 100,000 rows (--quick: 2,000 and 20,000), made of the pool of zh_stress34: the beginning of one sentence and the end
of another of its class. Every command is a process of its own, with the hashed encoder.
"""

import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from common import SHARED, arguments, dump, rows, table

from workbench.records import by_label

POOL = SHARED / "data" / "zh_stress34" / "pool.csv"
SIZES = (10_000, 100_000)
QUICK = (2_000, 20_000)


def clauses(text: str) -> list[str]:
    """The parts of a sentence, each with the comma that ends it."""
    return [part for part in text.replace("，", "，\0").split("\0") if part]


def write(path: Path, n: int, seed: int = 0) -> None:
    """Write `n` rows (text, label), as frequent by class as in the pool; few texts occur twice."""
    pool = rows(POOL)
    parts = {label: [clauses(row.text) for row in group] for label, group in by_label(pool).items()}
    choice = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for row in choice.choices(pool, k=n):
            first, second, third = choice.choices(parts[row.label], k=3)
            writer.writerow(("".join([*first[:-1], choice.choice(second), third[-1]]), row.label))


def measure(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Wall time in seconds and peak memory in MB of one `wb` command; leaves where the command fails."""
    with (folder / "output.txt").open("w", encoding="utf-8") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench", *command], cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
    if process.returncode:
        said = (folder / "output.txt").read_text(encoding="utf-8")[-1000:]
        sys.exit(f"wb {' '.join(command)} ended with {process.returncode}:\n{said}")
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, in KB elsewhere
    return seconds, usage.ru_maxrss / unit


def commands(n: int) -> dict[str, tuple[float, float]]:
    """Time and memory of each command in a new bench with a file of `n` rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wb.yaml").write_text("encoder: {name: hashed}\n", encoding="utf-8")
        write(folder / "rows.csv", n)
        return {
            "data add": measure(["data", "add", "rows.csv"], folder),
            "diagnose": measure(["diagnose"], folder),
        }


def main() -> None:
    """Measure two sizes and compare them."""
    options = arguments(__doc__ or "").parse_args()
    sizes = QUICK if options.quick else SIZES
    found = {n: commands(n) for n in sizes}
    lines = []
    for name in found[sizes[0]]:
        few, many = (found[n][name] for n in sizes)
        for n, (seconds, memory) in zip(sizes, (few, many), strict=True):
            grown = (f"{seconds / few[0]:.1f}", f"{memory / few[1]:.1f}") if n != sizes[0] else ("", "")
            lines.append((f"wb {name}", f"{n:,}", f"{seconds:.1f}", f"{memory:.0f}", *grown))
    table(["command", "rows", "seconds", "peak MB", "times the seconds", "times the memory"], lines)
    dump({f"{name} {n}": [round(s, 2), round(mb)] for n, each in found.items() for name, (s, mb) in each.items()})


if __name__ == "__main__":
    main()
