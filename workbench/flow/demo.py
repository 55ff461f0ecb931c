"""The demo: shipped rows and recorded completions, through the same code path as a live endpoint."""

from collections.abc import Sequence
from pathlib import Path

from workbench.assets import find
from workbench.bench import FILE, Bench
from workbench.errors import UsageError
from workbench.flow.init import init

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
