"""Settings of incremental training: what it continues with, and what keeps it from forgetting."""

from typing import Any, Literal

from pydantic import Field, field_validator

from workbench.config import Strict

Guard = Literal["replay", "distill", "ewc"]


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
