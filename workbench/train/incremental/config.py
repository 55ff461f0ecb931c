"""Settings of incremental training: what it continues with, and what keeps it from forgetting."""

from typing import Any, Literal

from pydantic import Field, field_validator

from workbench.config import Strict

Guard = Literal["replay", "distill", "ewc"]


class ContinuedEncoderConfig(Strict):
    """How a fine-tuned encoder is continued: carefully."""

    learning_rate: float = Field(default=2e-5, gt=0)
    """Highest learning rate; it falls to 0 in a line."""
    head_learning_rate: float = Field(default=1e-3, gt=0)
    """The same for the head where new classes make it grow: weights that begin at 0 have far to go."""
    epochs: int = Field(default=4, ge=1)
    """Most passes over new and replayed rows; fewer where dev rows say that it gets no better."""
    batch_size: int = Field(default=16, ge=1)
    """Rows of a step."""
    freeze_layers: int = Field(default=0, ge=0)
    """First layers that are not trained."""
    freeze_embeddings: bool = True
    """Token vectors are not trained."""
    patience: int = Field(default=2, ge=1)
    """Epochs without a better dev macro-F1 before it ends early."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers that training computes with; `auto` takes bfloat16 on hardware made for it."""
    fisher_rows: int = Field(default=256, ge=1)
    """Old rows, at most, whose gradients make the Fisher information (guard `ewc`)."""


class IncrementalConfig(Strict):
    """Settings of `wb train --method incremental`."""

    guard: tuple[Guard, ...] = ("replay", "distill")
    """What keeps it from forgetting: any of `replay`, `distill`, `ewc`, joined by `+`; `none` for the new rows alone."""
    replay: float = Field(default=0.5, gt=0, lt=1)
    """Share of old rows among the rows that are trained on: 0.5 draws as many old rows as there are new ones."""
    confusable: float = Field(default=0.5, ge=0, le=1)
    """Share of the replayed rows that is drawn for being nearly taken for another class; the rest is even over classes."""
    distill: float = Field(default=1.0, gt=0)
    """Weight of staying with what the old model says (Kullback-Leibler divergence) beside one of the labels."""
    temperature: float = Field(default=2.0, gt=0)
    """What logits are divided by where the models are compared (Hinton et al. 2015)."""
    ewc: float = Field(default=1.0, gt=0)
    """Weight of the elastic pull to the old weights; at 1 it is the curvature of the old loss, weight by weight."""
    strength: float = Field(default=3.0, gt=0)
    """How far a linear head may move from the old weights (inverse ridge): what learning rate and epochs are to a network."""
    encoder: ContinuedEncoderConfig = ContinuedEncoderConfig()
    max_ratio: float = Field(default=10.0, ge=0)
    """Refuse where the new rows of a class are more than this many times all rows of another class; 0 never refuses."""
    folds: int = Field(default=5, ge=2)
    """Folds in which rows are held out for the verdict where there are no test rows."""

    @field_validator("guard", mode="before")
    @classmethod
    def _joined(cls, value: Any) -> Any:
        """`replay+ewc`, `none`, or a list of names; each once, in a fixed order."""
        names = value.replace(",", "+").split("+") if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            return value
        given = [str(name).strip() for name in names]
        known = ("replay", "distill", "ewc")
        for name in given:
            if name not in (*known, "none"):
                raise ValueError(f"there is no guard {name!r}; there are none, {', '.join(known)}")
        if "none" in given and len(given) > 1:
            raise ValueError("`none` stands alone")
        return tuple(name for name in known if name in given)
