"""What a model's configuration says, before any weight is loaded: parameters by kind, shapes that an adapter would have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError, need, one_of

FEATURE = "Training a language model"
EXTRA = "qlora"
_SPLIT = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_FUSED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj")
TARGETS: Mapping[str, tuple[str, ...]] = {
    "glm": _FUSED,
    "glm4": _FUSED,
    "llama": _SPLIT,
    "mistral": _SPLIT,
    "qwen2": _SPLIT,
    "qwen3": _SPLIT,
    "gemma": _SPLIT,
    "gemma2": _SPLIT,
    "gemma3_text": _SPLIT,
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
}
"""`model_type` -> linear layers that get an adapter: all of attention and of the feed-forward part. The names of the old GLM with
code of its own (`query_key_value`, `dense_h_to_4h`) do not apply to the classes in transformers."""

SHIPPED: Mapping[str, str] = {"GLM-4-9B-0414": "glm4"}
"""Last part of a name -> `model_type` whose default configuration in transformers is that model's. Estimates need no network."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer that an adapter targets."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes that memory and time depend on."""

    model_type: str
    parameters: int
    quantisable: int
    """Weights of linear layers inside the blocks: those that become 4 bit."""
    layers: int
    hidden: int
    vocabulary: int
    tied: bool
    """Whether input and output embeddings are one matrix."""
    widest: int
    """Weights of the largest linear layer: what is unpacked from 4 bit at a time."""
    flow: int
    """Sum over the linear layers of one block of their inputs and outputs, per token."""
    targets: tuple[Linear, ...]

    def adapter(self, r: int) -> int:
        """Parameters of an adapter of this rank: r (inputs + outputs) for each target."""
        return sum(r * (one.inputs + one.outputs) for one in self.targets)


def config_of(model: str) -> Any:
    """The configuration of a model by name or path, without its weights.

    Raises:
        ConfigError: there is none.
        MissingExtra: transformers is not installed.
    """
    transformers = need("transformers", extra=EXTRA, feature=FEATURE)
    short = model.rstrip("/").rpartition("/")[2]
    if short in SHIPPED and not Path(model).exists():
        return transformers.AutoConfig.for_model(SHIPPED[short])
    try:
        return transformers.AutoConfig.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"The model {model} has no configuration that can be read: {' '.join(str(exc).split())[:200]}",
            "Name a folder in Hugging Face form, or a model on a hub that can be reached.",
        ) from exc


def targets_of(model_type: str, chosen: Sequence[str] = ()) -> list[str]:
    """Names of the linear layers that get an adapter.

    Raises:
        ConfigError: the architecture is not known and none were chosen.
    """
    if chosen:
        return list(chosen)
    if model_type not in TARGETS:
        raise ConfigError(
            f"Which layers of the architecture {model_type!r} get an adapter is not known.",
            f"Name them in train.qlora.targets, as [q_proj, v_proj]. {one_of(model_type, TARGETS)}",
        )
    return list(TARGETS[model_type])


def shape_of(config: Any, chosen: Sequence[str] = ()) -> Shape:
    """Sizes of the model with this configuration; built on torch's meta device, where weights take no memory.

    Raises:
        ConfigError: a chosen target is not in the model.
    """
    torch = need("torch", extra=EXTRA, feature=FEATURE)
    transformers = need("transformers", extra=EXTRA, feature=FEATURE)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linears = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    names = targets_of(config.model_type, chosen)
    there = {name.rpartition(".")[2] for name in linears}
    strange = [name for name in names if name not in there]
    if strange:
        raise ConfigError(
            f"The model has no linear layer {strange[0]!r} (train.qlora.targets).", one_of(strange[0], there)
        )
    layers = int(config.num_hidden_layers)
    return Shape(
        config.model_type,
        sum(p.numel() for p in model.parameters()),
        sum(module.weight.numel() for module in linears.values()),
        layers,
        int(config.hidden_size),
        int(config.vocab_size),
        bool(getattr(config, "tie_word_embeddings", False)),
        max(module.weight.numel() for module in linears.values()),
        sum(module.in_features + module.out_features for module in linears.values()) // layers,
        tuple(
            Linear(name, module.in_features, module.out_features)
            for name, module in linears.items()
            if name.rpartition(".")[2] in names
        ),
    )
