"""Measure how long `wb --help` takes beside a bare typer app with as many commands.

    python benchmarks/startup.py

Whole processes, taken in turn; the ratio is of medians.
"""

import statistics
import subprocess
import sys
import time

from common import arguments, dump, table

BARE = """
import typer
app = typer.Typer(help="bare")
for name in "init config data diagnose generate gate train evaluate report run demo why".split():
    @app.command(name)
    def command(number: int = 1, flag: bool = False) -> None:
        "A command."
app()
"""


def seconds(command: list[str]) -> float:
    """Wall time of a process."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Time both in turn."""
    options = arguments(__doc__ or "").parse_args()
    commands = {
        "wb": [sys.executable, "-m", "workbench", "--help"],
        "bare": [sys.executable, "-c", BARE, "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(10 if options.quick else 30):
        for name, command in commands.items():
            times[name].append(seconds(command))
    wb, bare = (statistics.median(times[name][1:]) for name in ("wb", "bare"))
    table(["wb --help, s", "bare typer app, s", "ratio"], [(wb, bare, wb / bare)])
    dump({"ratio": round(wb / bare, 3), "runs": len(times["wb"])})


if __name__ == "__main__":
    main()
