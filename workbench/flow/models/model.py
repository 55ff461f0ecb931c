"""The Python interface to a trained model: `workbench.load_model`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bench import Bench
from workbench.flow.models.choose import bench_of, choose, with_settings
from workbench.flow.models.predictors import open_predictor
from workbench.predictor import Predictor
from workbench.records import SEP
from workbench.runs import MANIFEST
from workbench.serve.ranked import ranked


class Model:
    """A trained model: texts in, probabilities of classes out."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __repr__(self) -> str:
        return f"Model({self.version!r}, {len(self.labels)} classes)"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes: column names of what `predict` gives."""
        return self._predictor.labels

    @property
    def version(self) -> str:
        """Name of the training run."""
        return self._predictor.version

    def predict(self, texts: "Sequence[str | Sequence[str]]") -> npt.NDArray[np.float32]:
        """Probabilities [n, classes] of n texts; rows sum to 1.

        Args:
            texts: each a string, or the turns of a dialogue, which are joined as in training.
        """
        return self._predictor.predict([text if isinstance(text, str) else SEP.join(text) for text in _listed(texts)])

    def top(self, texts: "Sequence[str | Sequence[str]]", k: int = 3) -> list[list[tuple[str, float]]]:
        """The k likeliest classes of each text with their probabilities, best first."""
        return [ranked(self.labels, row, k) for row in self.predict(texts)]


def _listed(texts: Any) -> Any:
    if isinstance(texts, str):  # a string is a sequence of strings: its characters would be classified one by one
        raise TypeError("texts is one string; give a list of them: model.predict([text])")
    return texts


def load_model(path_or_run: str | Path = "", *, batch_size: int = 0) -> Model:
    """The model of a training run.

    Args:
        path_or_run: a run folder or an exported one, the name of a run in the bench around the working folder, `last`, or
            `promoted`; empty for the one in use.
        batch_size: texts computed at a time; 0 leaves the choice to the model.

    Raises:
        DataError: there is no such run, or its model does not fit.
        ConfigError: a name is given, and there is no bench here.
    """
    named = str(path_or_run)
    elsewhere = named and (Path(named) / MANIFEST).is_file()
    return open_model(bench_of(Path(named)) if elsewhere else Bench.find(), named, batch_size=batch_size)


def open_model(bench: Bench, name: str = "", *, batch_size: int = 0) -> Model:
    """The same, in a bench that is open already; a run from elsewhere brings its own settings.

    Raises:
        DataError: see `load_model`.
    """
    run = choose(bench, name)
    return Model(open_predictor(with_settings(bench, run), run, batch_size=batch_size))
