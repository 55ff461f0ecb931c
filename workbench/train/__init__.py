"""Train models. So far one method: the linear classifier on sentence vectors and character n-grams."""

from typing import Literal

from pydantic import Field

from workbench.config import Strict
from workbench.train.classifier import fit_classifier, fit_heads

__all__ = ["TrainConfig", "fit_classifier", "fit_heads"]


class TrainConfig(Strict):
    """Settings of `wb train`."""

    method: Literal["classifier"] = "classifier"
    """Which trainer."""
    replicas: int = Field(default=20, ge=0)
    """Heads trained on bootstraps of the rows, for the training part of intervals and verdicts."""
    synthetic_per_class: int = Field(default=0, ge=0)
    """Most accepted synthetic rows used per class (a seeded choice); 0 for all."""
