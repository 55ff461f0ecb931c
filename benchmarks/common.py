"""What the benchmarks share: where the data are, cached vectors, tables."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.encode import Cached, EncoderConfig, Vectors, open_encoder
from workbench.records import Sample, Turn, digest

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("WB_SHARED", ROOT.parent / "shared"))


def arguments(about: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="a smaller form, under 10 minutes")
    parser.add_argument("--encoder", default="auto", help="encoder.name")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache", help="where vectors are kept")
    return parser


def rows(path: Path, source: str = "human") -> list[Sample]:
    """Samples of a CSV with columns text and label; leaves with a sentence where the file is not there."""
    if not path.is_file():
        sys.exit(f"{path} is not there: this benchmark reads the public data sets beside the project (WB_SHARED=...).")
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    return [
        Sample(digest(path.name, str(i)), (Turn("user", row["text"]),), row["label"], source=source)  # type: ignore[arg-type]
        for i, row in enumerate(found)
    ]


def embed(samples: Sequence[Sample], encoder: str, cache: Path) -> Vectors:
    """Vectors of the samples, computed once."""
    opened = Cached(open_encoder(EncoderConfig(name=encoder)), cache / "vectors")
    print(f"encoder: {opened.name}", file=sys.stderr)
    return opened.encode([sample.text for sample in samples])


def table(columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    """A Markdown table on stdout."""
    print("| " + " | ".join(columns) + " |")
    print("| " + " | ".join("---" for _ in columns) + " |")
    for line in lines:
        print("| " + " | ".join(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in line) + " |")


def dump(value: Any) -> None:
    """The same figures as one line of JSON, for programs."""
    print(json.dumps(value, ensure_ascii=False))
