"""Settings of encoder fine-tuning."""

from typing import Literal

from pydantic import Field

from workbench.config import Strict


class LoraConfig(Strict):
    """Low-rank adapters: few weights are trained, the base model stays as it is."""

    rank: int = Field(default=0, ge=0)
    """Rank of the adapters; 0 trains the model's own weights."""
    alpha: int = Field(default=32, ge=1)
    """Scale of the adapters, divided by the rank."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the adapters' inputs that is left out at random."""


class EncoderTrainConfig(Strict):
    """Settings of `wb train --method encoder`."""

    model: str = "hfl/chinese-roberta-wwm-ext"
    """A folder in transformers' form, a name of `wb models list`, or a hub's name; weights as safetensors."""
    prefix: str | None = None
    """Put before every text; where not set, `query: ` for models of the E5 family and nothing for others."""
    max_length: int = Field(default=256, ge=8)
    """Tokens of an input. Of a longer dialogue whole turns are left out, from its middle; a longer turn is cut at its end."""
    epochs: int = Field(default=8, ge=1)
    """Most passes over the training rows."""
    steps: int = Field(default=0, ge=0)
    """Most steps instead of epochs; 0 for none."""
    batch_size: int = Field(default=32, ge=1)
    """Rows of a step."""
    micro_batch: int = Field(default=0, ge=0)
    """Rows computed at a time, their gradients added up; 0 for all rows of a step. Smaller takes less memory."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Highest learning rate; where not set, 5e-5 for the model's own weights and 1e-3 for adapters."""
    head_learning_rate: float = Field(default=3e-3, gt=0)
    """The same for layers that begin at random, as the head."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's, not of biases and norms."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls to 0 in a line."""
    balance: Literal["none", "weights", "sampling"] = "sampling"
    """`sampling`: classes are drawn equally often. `weights`: a class counts in the loss by its inverse frequency; where
    classes differ much in size, single rows then swing the steps, and it learns more slowly."""
    group_by_length: bool = True
    """Rows of like length come together, which pads less."""
    freeze_layers: int = Field(default=0, ge=0)
    """First layers that are not trained."""
    freeze_embeddings: bool = True
    """Token vectors are not trained: a few thousand rows meet a small part of them, and most of the weights may be theirs."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers that training computes with (weights stay float32); `auto` takes bfloat16 on hardware made for it."""
    evaluate_every: int = Field(default=0, ge=0)
    """Steps between looks at the dev rows, each of which keeps a checkpoint; 0 for once an epoch."""
    patience: int = Field(default=3, ge=1)
    """Looks without a better dev macro-F1 before it ends early."""
    lora: LoraConfig = LoraConfig()

    @property
    def rate(self) -> float:
        """The learning rate in force."""
        return self.learning_rate or (1e-3 if self.lora.rank else 5e-5)
