"""What a training would take: memory by part and time, from the model's configuration alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.lm.architecture import Shape, config_of, shape_of
from workbench.lm.load import resolve
from workbench.models import KNOWN
from workbench.train.qlora.config import QloraConfig

GB = 1e9
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a 4-bit weight: half a byte, an 8-bit scale for each 64 weights, a 32-bit one for each 256 of those scales."""
ADAM = {"adamw_torch": 8, "paged_adamw_8bit": 2}
"""Bytes of optimiser state for each trained parameter."""
ANSWER = 48
"""Positions at the end of a row whose logits are computed: longer than most class answers."""
KEPT = 3.0
"""Copies of a block's inputs and outputs that are alive at once: values, what dropout drew, gradients. Measured on SmolLM2."""
CONTEXT_GB = 0.8
"""CUDA's own context and library workspaces."""
SLACK = 0.05
"""Share lost to fragmentation."""
TFLOPS = 50.0
"""Assumed sustained speed of a 24 GB GPU of 2022 in bf16, unpacking of 4-bit weights included: a third of its peak."""


@dataclass(frozen=True, slots=True)
class Load:
    """What goes through the model."""

    rows: int
    """Examples; 0 where not known, then only `steps` decides."""
    tokens: float = 0.0
    """Mean tokens of prompt and answer; 0 for the longest allowed."""
    special: int = 0
    """New special tokens."""


def estimate(config: QloraConfig, load: Load, *, memory_gb: float = 24.0, tflops: float = TFLOPS) -> Mapping[str, Any]:
    """Memory in GB (10^9 bytes) by part, and hours; nothing is loaded but the model's configuration.

    Args:
        config: the settings.
        load: how much goes through.
        memory_gb: of the GPU.
        tflops: sustained speed in 10^12 operations a second.

    Raises:
        ConfigError: the model has no configuration that can be read, or its architecture is not known.
    """
    shape = shape_of(config_of(resolve(config.model) if config.model in KNOWN else config.model), config.targets)
    parts = memory(config, shape, load.special)
    total = sum(parts.values())
    per_step = config.batch * config.accumulation
    steps = config.steps or -(-round(load.rows * config.epochs) // per_step)
    tokens = steps * per_step * (load.tokens or config.max_length)
    hours = tokens * operations(config, shape) / (tflops * 1e12) / 3600
    return {
        "model": config.model,
        "parameters": shape.parameters,
        "trained parameters": trained(config, shape, load.special),
        **{f"{name}, GB": round(value / GB, 2) for name, value in parts.items()},
        "together, GB": round(total / GB, 2),
        f"fits {memory_gb:g} GB": total / GB <= memory_gb,
        "steps": steps,
        "rows per step": per_step,
        "tokens": round(tokens),
        "hours": round(hours, 2),
        "assumes": f"rows of {load.tokens or config.max_length:g} tokens, {tflops:g} TFLOPS sustained; evaluations not counted",
    }


def trained(config: QloraConfig, shape: Shape, special: int = 0) -> int:
    """Parameters that are trained: the adapter, and the rows of new special tokens."""
    return shape.adapter(config.r) + special * shape.hidden * (1 if shape.tied else 2)


def memory(config: QloraConfig, shape: Shape, special: int = 0) -> dict[str, float]:
    """Bytes by part, at the longest rows allowed."""
    wide = 4 if config.precision == "fp32" else 2
    places = config.batch * config.max_length
    rest = shape.parameters - shape.quantisable
    if config.quantise == "nf4":
        weights = shape.quantisable * NF4 + rest * wide
        unpacked = shape.widest * wide
    else:
        weights, unpacked = shape.parameters * wide, 0
    block = shape.flow * places * wide * KEPT
    held = shape.layers * shape.hidden * places * wide
    activations = held + block if config.checkpointing else held + shape.layers * block
    logits = config.batch * ANSWER * shape.vocabulary * (wide + 4 + 4)
    # peft replaces the trained rows in a copy of each matrix, whose gradient is as large.
    tokens = 2 * shape.vocabulary * shape.hidden * wide if special else 0
    parts = {
        "weights": weights,
        "weights unpacked from 4 bit": unpacked,
        "adapter, gradients, optimiser": trained(config, shape, special) * (4 + 4 + ADAM[config.optimizer]),
        "activations": activations,
        "logits of answers": logits,
        "rows of special tokens": tokens,
        "context": CONTEXT_GB * GB,
    }
    found = {name: float(value) for name, value in parts.items() if value}
    return found | {"fragmentation": SLACK * sum(found.values())}


def operations(config: QloraConfig, shape: Shape) -> float:
    """Operations for each token: forward, backward through frozen weights, forward again where activations are not kept."""
    passes = 6 if config.checkpointing else 4
    return float(passes * shape.quantisable + 6 * shape.adapter(config.r))
