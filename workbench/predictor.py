"""What a trained model is to everything that uses one: classes and their probabilities."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Predictor(Protocol):
    """A trained model, safe to be asked from several threads at once."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Column names of what `predict` gives."""
        ...

    @property
    def version(self) -> str:
        """Stable name of the model: the same for the same model, after any number of restarts."""
        ...

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities [n, classes] of n texts; rows sum to 1."""
        ...
