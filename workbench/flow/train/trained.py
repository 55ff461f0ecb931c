"""Training runs as folders: begun, finished, found again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workbench.bench import Bench
from workbench.errors import UsageError
from workbench.runs import MANIFEST, new_run, read_json


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training run."""

    run: Path
    version: str
    rows: int
    synthetic: int
    classes: int
    encoder: str
    """The model that it began with."""
    metrics: Mapping[str, Any] | None = None
    """Scores on the dev rows, and what else was measured; None where nothing was."""
    promoted: bool | None = None
    """Whether it takes its parent's place; None where nothing was judged."""
    verdict: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    """What was left out of the rows."""
    elsewhere: bool = False
    """The run folder is not among a bench's runs, so only its path finds it."""

    def json(self) -> dict[str, Any]:
        """The form that `wb train --json` prints."""
        return {
            "run": str(self.run.resolve()) if self.elsewhere else self.run.name,
            "version": self.version,
            "rows": self.rows,
            "synthetic": self.synthetic,
            "classes": self.classes,
            "encoder": self.encoder,
            "metrics": self.metrics,
            "promoted": self.promoted,
            "verdict": self.verdict,
            "notes": list(self.notes),
        }


def begin(bench: Bench, output: Path | None, hint: str = "Name a folder that does not exist.") -> Path:
    """A new run folder: a new one of the bench's, or the one that is named.

    Raises:
        UsageError: there is something in it already.
    """
    if output is None:
        return new_run(bench.runs, "train")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output} is there already.", hint)
    output.mkdir(parents=True, exist_ok=True)
    return output


def write_settings(bench: Bench, folder: Path) -> None:
    """Every setting, as config.yaml."""
    config = bench.config.model_dump(mode="json")
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), encoding="utf-8")


def known(bench: Bench, recipe: str) -> Trained | None:
    """The newest finished run of the bench with this recipe."""
    runs = [bench.runs / run.id for run in bench.ledger.runs("train") if run.summary.get("recipe") == recipe]
    return next((trained(folder) for folder in reversed(runs) if (folder / MANIFEST).is_file()), None)


def trained(folder: Path, *, elsewhere: bool = False) -> Trained:
    """A finished run, from its manifest."""
    facts = read_json(folder / MANIFEST)
    return Trained(
        folder,
        facts["version"],
        facts["rows"],
        facts["synthetic"],
        len(facts["labels"]),
        facts["encoder"],
        facts.get("metrics"),
        facts.get("promoted"),
        facts.get("verdict"),
        tuple(facts.get("notes", ())),
        elsewhere,
    )
