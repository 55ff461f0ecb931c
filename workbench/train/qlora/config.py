"""Settings of `wb train --method qlora`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from workbench.config import Strict
from workbench.lm.answers import DEFAULT, AnswerForm


class QloraConfig(Strict):
    """A language model tuned through a low-rank adapter, its weights in 4 bit."""

    model: str = "zai-org/GLM-4-9B-0414"
    """Base model: a name on the hub, a folder, a GGUF file, or a model of `wb models list`."""
    task: Literal["intent", "response"] = "intent"
    """`intent`: dialogue in, class out. `response`: the next turn of an annotated dialogue, tags as special tokens first."""
    prompt: str = ""
    """Prompt file; `intent.zh.j2` or `respond.zh.j2` by the task where empty."""
    answer: str = DEFAULT
    """Form of an answer that names a class: `{id}`, `{name}` or both."""
    list_labels: bool = False
    """Name all classes in the prompt. Needed by a model that was not trained on them; costs their tokens in every row."""
    speaker: str = "assistant"
    """Whose turns are learned by the task `response`."""
    r: int = Field(default=64, ge=1)
    """Rank of the adapter."""
    alpha: int = Field(default=128, ge=1)
    """The adapter is scaled by alpha / r."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """On the input of the adapter."""
    targets: tuple[str, ...] = ()
    """Linear layers with an adapter; those of attention and feed-forward by the architecture where empty."""
    quantise: Literal["nf4", "none"] = "nf4"
    """`nf4`: 4 bit with double quantisation. `none`: plain LoRA."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """What is computed in; `auto`: bfloat16 where GPU or processor has it."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """At its highest, after warming up."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """How the learning rate falls."""
    warmup: float = Field(default=0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of AdamW."""
    optimizer: Literal["adamw_torch", "paged_adamw_8bit"] = "adamw_torch"
    """The 8-bit one (CUDA only) keeps a quarter of the optimiser's memory."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    batch: int = Field(default=4, ge=1)
    """Rows that go through the model at once, on each device."""
    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are summed before a step."""
    epochs: float = Field(default=3.0, gt=0)
    """Passes over the rows, unless `steps` is set."""
    steps: int = Field(default=0, ge=0)
    """Steps to train; 0 for `epochs`."""
    max_length: int = Field(default=512, ge=16)
    """Tokens of prompt and answer; longer dialogues lose their first turns, answers are never cut."""
    balanced: bool = False
    """Show every class equally often."""
    group_by_length: bool = True
    """Put rows of similar length into one batch: less padding."""
    checkpointing: bool = True
    """Compute activations twice instead of keeping them: much less memory, a third more time."""
    log_steps: int = Field(default=10, ge=1)
    """Steps between two lines of `metrics.jsonl`."""
    eval_steps: int = Field(default=500, ge=1)
    """Steps between two evaluations on dev rows; the last step has one in any case."""
    eval_rows: int = Field(default=500, ge=0)
    """Most dev rows asked at an evaluation (a seeded choice, the same each time); 0 for all."""
    eval_batch: int = Field(default=8, ge=1)
    """Rows answered at once at an evaluation."""
    samples: int = Field(default=5, ge=0)
    """Answers written down at each evaluation."""
    answer_tokens: int = Field(default=128, ge=8)
    """Longest sample answer of the task `response`."""
    patience: int = Field(default=5, ge=0)
    """Evaluations without a better one before training stops; 0 for never."""
    save_steps: int = Field(default=500, ge=1)
    """Steps between two checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Checkpoints kept, beside the best adapter."""
    report_to: Literal["tensorboard", "wandb", "swanlab", "trackio", "none"] = "tensorboard"
    """Where curves go beside `metrics.jsonl` and `curves.png`. Keys come from the environment."""
    launch: str = Field(default="", coerce_numbers_to_str=True)
    """Several GPUs: how many, each with the whole model; or a configuration of `accelerate launch`, as the shipped `fsdp.yaml`."""

    @model_validator(mode="after")
    def _answer_can_be_read(self) -> Self:
        """Refuse a form of answers that cannot be read back, before hours of training."""
        from workbench.errors import ConfigError

        try:
            AnswerForm(self.answer)
        except ConfigError as exc:
            raise ValueError(f"{exc.message} {exc.hint}") from exc
        return self

    @property
    def prompt_file(self) -> str:
        """The prompt file in force."""
        return self.prompt or {"intent": "intent.zh.j2", "response": "respond.zh.j2"}[self.task]
