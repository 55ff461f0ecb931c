"""What the client of Label Studio costs beside bare HTTP, and what an incremental pull transfers beside a full export.

A local server is started in a temporary folder, or --url names one (token in LABEL_STUDIO_API_KEY). The ways to import take
turns, each time into a fresh project; the table gives the median of the rounds.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import arguments, dump, table

from workbench.label_studio import Studio, Task
from workbench.label_studio.batches import in_batches

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="verdict" toName="text"><Choice value="approve"/><Choice value="reject"/></Choices></View>"""
VERSION = "wb"


def tasks(count: int) -> list[Task]:
    """Tasks of about 1.2 kB in UTF-8, with a prediction of four results each."""
    result = [{"from_name": "verdict", "to_name": "text", "type": "choices", "value": {"choices": ["approve"]}}] * 4
    data = {"label": "流量套餐", "quality": 0.4, "examples": [{"text": "例子一二三四五六" * 5}] * 3}
    text = "你好，我想咨询一下套餐的问题。" * 6
    return [Task(f"{i:016x}", {"text": f"{i} {text}", **data}, result, (i % 97) / 97, VERSION) for i in range(count)]


@contextmanager
def server(url: str) -> Iterator[tuple[str, str]]:
    """Address and token of the server to measure."""
    if url:
        token = os.environ.get("LABEL_STUDIO_API_KEY") or sys.exit("LABEL_STUDIO_API_KEY is not set: export it.")
        yield url, token
        return
    from workbench.label_studio.server import start, stop

    with tempfile.TemporaryDirectory() as folder:
        local = start(Path(folder) / "studio", progress=lambda line: print(line, file=sys.stderr))
        try:
            yield local.url, local.token
        finally:
            stop(Path(folder) / "studio")


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def push(studio: Studio, bare: Any, sent: Sequence[Task], rounds: int) -> dict[str, float]:
    """Seconds of each way to import the tasks into a fresh project. What bare HTTP sends was encoded beforehand."""
    batched = [body for _, body in in_batches(sent)]
    single = [body for _, body in in_batches(sent, rows=len(sent), most=2**40)]
    took: dict[str, list[float]] = {}
    for _ in range(rounds):
        ways: dict[str, Callable[[int], Any]] = {
            "bare HTTP, one call": lambda number: post(bare, number, single),
            "bare HTTP, the same batches": lambda number: post(bare, number, batched),
            "Studio.put, verified": lambda number: list(studio.put(number, sent)),
        }
        for way, work in ways.items():
            number = studio.create("benchmark", CONFIG, model_version=VERSION)
            took.setdefault(way, []).append(seconds(lambda work=work, number=number: work(number)))  # type: ignore[misc]
            assert studio.count(number) == len(sent)
    return {way: statistics.median(some) for way, some in took.items()}


def post(bare: Any, number: int, bodies: Sequence[bytes]) -> None:
    """A loop of bare imports."""
    for body in bodies:
        bare.post(f"/api/projects/{number}/import", content=body).raise_for_status()


def pull(studio: Studio, bare: Any, sent: Sequence[Task], new: int) -> list[tuple[str, int, int, int, float]]:
    """Requests, tasks, bytes and seconds of looks at a project with `new` annotations, and of an export of everything."""
    number = studio.create("benchmark", CONFIG, model_version=VERSION)
    uids = [uid for batch in studio.put(number, sent) for uid in batch]
    there = studio.present(number, uids[:new])
    chosen = {"selectedItems": {"all": False, "included": list(there.values())}}
    action = {"id": "predictions_to_annotations", "project": number}
    lines, since = [], ""
    for what in ("nothing new", f"{new:,} new annotations", "nothing new since"):
        if what.startswith(f"{new:,}"):
            bare.post("/api/dm/actions", params=action, json=chosen).raise_for_status()
        counted, got = Counted(studio), 0
        began = time.perf_counter()
        for batch in studio.changed(number, since):
            got, since = got + len(batch), batch[-1].changed
        lines.append((f"Studio.changed, {what}", counted.requests, got, counted.bytes, time.perf_counter() - began))
    assert lines[1][2] == new
    began = time.perf_counter()
    params = {"exportType": "JSON", "download_all_tasks": "true"}
    export = bare.get(f"/api/projects/{number}/export", params=params).raise_for_status()
    lines.append(
        ("full export (JSON)", 1, len(export.json()), len(export.content), time.perf_counter() - began),
    )
    return lines


class Counted:
    """Requests and bytes of answers from now on."""

    def __init__(self, studio: Studio) -> None:
        self.requests = self.bytes = 0
        studio._transport._http.event_hooks = {"response": [self._add]}

    def _add(self, response: Any) -> None:
        self.requests += 1
        self.bytes += len(response.read())


def main() -> None:
    """Measure and print."""
    import httpx

    parser = arguments(__doc__ or "")
    parser.add_argument("--url", default="", help="a running Label Studio; a local one is started where not given")
    parser.add_argument("--json", action="store_true", help="also print the figures as JSON")
    options = parser.parse_args()
    count, new, rounds = (2000, 200, 3) if options.quick else (10_000, 1000, 3)
    sent = tasks(count)
    with server(options.url) as (url, token):
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        with (
            Studio.connect(url, token) as studio,
            httpx.Client(base_url=url, headers=headers, timeout=600, trust_env=False) as bare,
        ):
            pushed = push(studio, bare, sent, rounds)
            pulled = pull(studio, bare, sent, new)
    base = min(pushed["bare HTTP, one call"], pushed["bare HTTP, the same batches"])
    print(f"Import of {count:,} tasks with predictions into a fresh project, median of {rounds} rounds\n")
    table(["way", "seconds", "ratio"], [(way, took, took / base) for way, took in pushed.items()])
    print(f"\nLooks at a project of {count:,} tasks\n")
    table(["way", "requests", "tasks", "bytes", "seconds"], pulled)
    if options.json:
        dump({"push": pushed, "ratio": pushed["Studio.put, verified"] / base, "pull": pulled})


if __name__ == "__main__":
    main()
