"""One training, as its method gets it."""

from dataclasses import dataclass
from pathlib import Path

from workbench.bench import Bench
from workbench.flow.train.rows import TrainingRows
from workbench.train import Progress


@dataclass(frozen=True, slots=True)
class Job:
    """One training."""

    bench: Bench
    rows: TrainingRows
    folder: Path
    """The run folder; where a training is resumed, it holds what the stopped one left."""
    progress: Progress
