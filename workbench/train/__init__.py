"""Train models: a linear classifier on sentence vectors, a fine-tuned encoder, a language model with adapters."""

from typing import Literal

from pydantic import Field

from workbench.config import Strict
from workbench.train.classifier import fit_classifier, fit_heads
from workbench.train.encoder.config import EncoderTrainConfig
from workbench.train.incremental.config import IncrementalConfig
from workbench.train.method import Fitted, Progress, silent
from workbench.train.qlora.config import QloraConfig

__all__ = ["EncoderTrainConfig", "Fitted", "Progress", "TrainConfig", "fit_classifier", "fit_heads", "silent"]


class TrainConfig(Strict):
    """Settings of `wb train`."""

    method: Literal["classifier", "encoder", "qlora", "incremental"] = "classifier"
    """Which trainer."""
    replicas: int = Field(default=20, ge=0)
    """Heads trained on bootstraps of the rows, for the training part of intervals and verdicts (method classifier)."""
    synthetic_per_class: int = Field(default=0, ge=0)
    """Most accepted synthetic rows used per class (a seeded choice); 0 for all."""
    fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of each class's training rows that is used (a seeded choice, at least one row): 0.1 for a pilot."""
    dev_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of each class's human training rows that early stopping and calibration look at where there is no dev split;
    0 does without both."""
    retry_smaller: bool = False
    """Where memory runs out, go on with half the rows at a time, same rows per step; else stop with advice."""
    encoder: EncoderTrainConfig = EncoderTrainConfig()
    qlora: QloraConfig = QloraConfig()
    incremental: IncrementalConfig = IncrementalConfig()
