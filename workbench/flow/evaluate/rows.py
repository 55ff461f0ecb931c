"""Which rows an evaluation is about: a split, a file, or a sample of either."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.bench import Bench
from workbench.data import Told, read
from workbench.errors import DataError, UsageError
from workbench.evaluate.criteria import Criterion, On
from workbench.evaluate.quick import stratified
from workbench.records import Sample, digest

SEED = 12345


@dataclass(frozen=True, slots=True)
class Look:
    """What is asked of an evaluation, beside the runs."""

    split: str = "test"
    """`test`, or `dev` for looks that do not count."""
    file: Path | None = None
    """Rows of this file instead of a split."""
    text: str | None = None
    """The file's column of texts; None: find out."""
    label: str | None = None
    """The file's column of classes; None: find out."""
    samples: int = 0
    """A quick look at so many rows, drawn by class; 0 for all."""
    seed: int = SEED
    """Which rows a quick look draws."""
    batch: int = 0
    """Texts at a time; 0 leaves the choice to the method."""
    criteria: Sequence[Criterion] = ()
    gate_on: On = "value"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows, and what must be said of them."""

    samples: list[Sample]
    where: str
    """`test`, `dev`, or the file's name."""
    opens: bool
    """Rows of the bench's test split are among them: a look that is counted."""
    notes: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Identifies the rows."""
        return digest(*(f"{s.id}:{s.text_id}:{s.label}" for s in self.samples))


def rows_to_score(bench: Bench, look: Look) -> Chosen:
    """The rows that are asked for.

    Raises:
        UsageError: there is no such split.
        DataError: there are no rows with a class.
    """
    if look.file is not None:
        samples, notes, opens = _of_file(bench, look)
        where = look.file.name
    else:
        samples, notes, opens = _of_split(bench, look.split), [], look.split == "test"
        where = look.split
    if look.samples and look.samples < len(samples):
        chosen = [samples[i] for i in stratified([s.label for s in samples], look.samples, look.seed)]
        notes.append(_quick(chosen, samples, look))
        samples = chosen
    return Chosen(samples, where, opens, tuple(notes))


def _of_split(bench: Bench, split: str) -> list[Sample]:
    if split not in ("test", "dev"):
        raise UsageError(f"There is no split {split!r} to evaluate on.", "Give --split test or --split dev.")
    samples = [] if bench.bare else [sample for sample in bench.ledger.samples(split=split) if sample.label]
    if not samples:
        raise DataError(f"The {split} split of this bench has no rows.", "Make one with: wb data split")
    return samples


def _of_file(bench: Bench, look: Look) -> tuple[list[Sample], list[str], bool]:
    """Samples of the file, what to say of them, and whether rows of the test split are among them."""
    path = Path(look.file or "")
    batch = read(path, Told(text=look.text, label=look.label, split="test"))
    samples = [sample for sample in batch.samples if sample.label]
    if not samples:
        why = f" {batch.rejects[0].say}" if batch.rejects else ""
        raise DataError(f"{path} has no row with a text and a class.{why}", "Name its columns: --text COL --label COL")
    notes = []
    if batch.rejects:
        first = batch.rejects[0]
        notes.append(
            f"{len(batch.rejects)} rows of {path.name} cannot be used and are not scored; the first, line {first.line}: {first.say}"
        )
    known = set() if bench.bare else {sample.text_id for sample in bench.ledger.samples(split="test")}
    met = sum(sample.text_id in known for sample in samples)
    if met:
        notes.append(f"{met} rows of {path.name} are rows of this bench's test split, so this look at it is counted.")
    return samples, notes, met > 0


def _quick(chosen: Sequence[Sample], samples: Sequence[Sample], look: Look) -> str:
    classes = {sample.label for sample in samples}
    missed = len(classes - {sample.label for sample in chosen})
    said = f"A quick look: {len(chosen)} of {len(samples):,} rows, drawn by class (seed {look.seed}); "
    said += "the intervals are as wide as so few rows make them"
    return said + (f", and {missed} of {len(classes)} classes are not among them." if missed else ".")
