"""The demo: shipped rows and recorded completions, through the same code path as a live endpoint."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.assets import DEMO, find
from workbench.bench import FILE, Bench
from workbench.errors import UsageError, Waiting
from workbench.flow.init import init
from workbench.flow.review.connect import connect, folder
from workbench.flow.review.deliver import waiting
from workbench.flow.run import Outcome, run
from workbench.label_studio.server import start, stop
from workbench.ledger import Asked
from workbench.records import SEP

SHUFFLED = "llm.endpoints=[{kind: recorded, path: 'demo:telecom', shuffle_labels: true}]"


def demo_bench(folder: Path, settings: Sequence[str], *, shuffled: bool) -> Bench:
    """The bench of the demo in `folder`, made where it is not there.

    Args:
        folder: where it goes.
        settings: overrides, as `key=value`.
        shuffled: with the classes shuffled among the recorded rows.

    Raises:
        UsageError: the folder holds a demo with the other kind of recording.
    """
    if not (folder / FILE).is_file():
        init(folder, "telecom")
    overrides = [*([SHUFFLED] if shuffled else []), *settings]
    bench = Bench.find(folder, overrides, pipeline=find("pipelines", "demo.yaml"))
    before = {reply.model for reply in bench.ledger.replies()}
    if before - {"recorded, shuffled" if shuffled else "recorded"}:
        raise UsageError(
            f"{folder} holds a demo {'without' if shuffled else 'with'} shuffled classes.",
            "Choose another folder: wb demo DIR",
        )
    return bench


CAUSES = {
    "near_copy": "duplicate",
    "self_duplicate": "duplicate",
    "off_label": "wrong_class",
    "ambiguous": "wrong_class",
    "truncated_or_looping": "truncated",
    "pii": "unsafe",
}
"""Flaw that the writer of the recording noted -> reason of the rejection; others are `unnatural`."""
SECONDS = 5.0
"""What a scripted decision claims to have taken."""


def run_reviewed(bench: Bench, progress: Callable[[str], None]) -> Outcome:
    """The loop with human review in a real Label Studio, where scripted decisions stand in for people.

    They say what the writer of the recording noted of each row when it was written: `good`, or its flaw.
    """
    start(folder(bench), progress=progress)
    try:
        while True:
            try:
                return run(bench, progress)
            except Waiting as pause:
                progress(f"review    {pause.message}")
                progress(f"review    {_decide(bench)} scripted decisions submitted")
    finally:
        stop(folder(bench))


def _decide(bench: Bench) -> int:
    """Answer every waiting task over the API that the labelling page uses."""
    notes = _notes()
    place = bench.ledger.people.project("review")
    assert place is not None  # tasks wait in it
    open_tasks = waiting(bench, "review")
    with connect(bench) as studio:
        numbers = studio.present(place.number, [task.uid for task in open_tasks])
        for task in open_tasks:
            studio.answer(place.number, numbers[task.uid], _said(notes.get(_text(task), "good")), seconds=SECONDS)
    return len(open_tasks)


def _notes() -> Mapping[str, str]:
    """Text of a recorded row -> what its writer noted."""
    lines = (DEMO / "telecom" / "candidates.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["text"]: row["quality"] for row in map(json.loads, lines)}


def _text(task: Asked) -> str:
    return SEP.join(text for _, text, _ in task.shown["turns"])


def _said(quality: str) -> list[dict[str, Any]]:
    if quality == "good":
        return [_choice("verdict", "approve")]
    return [_choice("verdict", "reject"), _choice("reject_reason", CAUSES.get(quality, "unnatural"))]


def _choice(name: str, value: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [value]}}
