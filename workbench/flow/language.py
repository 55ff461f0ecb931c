"""A tuned language model behind the protocol of all models."""

from pathlib import Path

from workbench.bench import Bench
from workbench.errors import need
from workbench.lm.architecture import EXTRA, FEATURE
from workbench.lm.label_predictor import LabelPredictor
from workbench.lm.load import Precision, Quantise
from workbench.train.qlora_ask import Tuned


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
    torch = need("torch", extra=EXTRA, feature=FEATURE)
    config = bench.config.evaluate.answer
    # On a processor, float32: models stay comparable whatever way their answers are scored.
    on_gpu = bool(torch.cuda.is_available())
    precision: Precision = config.precision or ("auto" if on_gpu else "fp32")
    quantise: Quantise = config.quantise or ("nf4" if on_gpu else "none")
    return LabelPredictor.of(run.name, Tuned.open(run, quantise=quantise, precision=precision), config, batch_size)
