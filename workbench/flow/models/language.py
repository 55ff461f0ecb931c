"""A tuned language model behind the protocol of all models."""

from pathlib import Path
from typing import TypedDict

from workbench.bench import Bench
from workbench.errors import need
from workbench.lm.architecture import EXTRA, FEATURE
from workbench.lm.label_predictor import LabelPredictor
from workbench.lm.load import Precision, Quantise
from workbench.train.qlora.ask import Tuned


class How(TypedDict):
    """Options of loading."""

    precision: Precision
    quantise: Quantise


def open_language(bench: Bench, run: Path, batch_size: int) -> LabelPredictor:
    """The language model of a run, asked with the prompts and answers that it was tuned on; `evaluate.answer` says how.

    Args:
        bench: its settings.
        run: a run of `wb train --method qlora`.
        batch_size: texts at a time; 0 for 8.

    Raises:
        DataError: the run holds no model that names classes.
        ConfigError: its base cannot be loaded.
        MissingExtra: a package is missing.
    """
    config = bench.config.evaluate.answer
    return LabelPredictor.of(run.name, open_tuned(bench, run), config, batch_size)


def open_tuned(bench: Bench, run: Path) -> Tuned:
    """The language model of a run itself, for what asks it in other ways too.

    Raises:
        DataError, ConfigError, MissingExtra: see `open_language`.
    """
    return Tuned.open(run, **how(bench))


def how(bench: Bench) -> How:
    """In which numbers a tuned model is loaded: those of `evaluate.answer`."""
    torch = need("torch", extra=EXTRA, feature=FEATURE)
    config = bench.config.evaluate.answer
    # On a processor, float32: models stay comparable whatever way their answers are scored.
    on_gpu = bool(torch.cuda.is_available())
    return How(
        precision=config.precision or ("auto" if on_gpu else "fp32"),
        quantise=config.quantise or ("nf4" if on_gpu else "none"),
    )
