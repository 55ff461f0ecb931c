"""A chat server with known faults for the benchmarks: the stand-in beside the public data sets, as a process of its own."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import SHARED

TOOL = SHARED / "tools" / "pool_llm.py"
DATA = SHARED / "data" / "zh_stress34"


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str

    def stats(self) -> dict[str, Any]:
        """What the server counted: requests, answered ones, the peak of requests in flight."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            return json.loads(answer.read())


def available() -> None:
    """Leave with a sentence where the stand-in or its rows are not there."""
    for path in (TOOL, DATA / "pool.csv"):
        if not path.is_file():
            print(
                f"skipped: {path} is not there; this benchmark asks the chat server beside the project (WB_SHARED=...)."
            )
            sys.exit(0)


@contextmanager
def served(
    *options: str,
    log: Path | None = None,
    pool: Path = DATA / "pool.csv",
    train: Path = DATA / "train_imbalanced.csv",
) -> Iterator[Served]:
    """The server with these options and rows (CSV with text and label), on a port of its own."""
    command = [
        sys.executable,
        str(TOOL),
        "--pool",
        str(pool),
        "--train",
        str(train),
    ]
    command += ["--port", "0", *options, *(["--log", str(log)] if log else [])]
    # A client that is killed is news to this server, in ten lines each.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Served(process.stdout.readline().strip())
        finally:
            process.kill()
