"""Memory and time of an encoder's fine-tuning, from its configuration and the rows: no weight is read."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import ConfigError, need
from workbench.records import Sample
from workbench.train.encoder.config import EncoderTrainConfig
from workbench.train.encoder.model import EXTRA, FEATURE, Inputs, adapted, computing, device, freeze, source_of

_KEPT = 34
"""Bytes of activations kept per token, layer and hidden dimension at 2 bytes a number (Korthikanti et al. 2022, eq. 2)."""
_BASE_GB = 0.6
"""Python with torch and transformers, in GB."""


def estimate_encoder(config: EncoderTrainConfig, rows: Sequence[Sample]) -> Mapping[str, Any]:
    """What a training would take: a rough guide, within a factor of two.

    Time comes from one matrix product of a layer's size, measured now.

    Raises:
        ConfigError: the model's configuration cannot be read.
        MissingExtra: torch or transformers is not installed.
    """
    torch: Any = need("torch", extra=EXTRA, feature=FEATURE)
    transformers: Any = need("transformers", extra=EXTRA, feature=FEATURE)
    source = source_of(config.model)
    labels = {row.label for row in rows}
    try:
        shape = transformers.AutoConfig.from_pretrained(source, num_labels=len(labels), trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"The encoder {source!r} cannot be read.", "Name a folder, or a model that can be had."
        ) from exc
    with torch.device("meta"):
        model = transformers.AutoModelForSequenceClassification.from_config(shape)
        freeze(model, config)
        embedded = sum(p.numel() for p in model.get_input_embeddings().parameters())
        model = adapted(model, config, ["classifier"]) if config.lora.rank else model
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    lengths = sorted(
        len(ids) for ids in Inputs(tokenizer, config.prefix or "", config.max_length)([r.text for r in rows])
    )
    size = config.micro_batch or config.batch_size
    layers, wide = shape.num_hidden_layers - config.freeze_layers, shape.hidden_size
    attention = 5 * shape.num_attention_heads * lengths[-1] / wide
    kept = size * lengths[-1] * layers * wide * (_KEPT + attention)
    memory = 4 * total + 12 * trained + kept
    place = device()
    steps = config.steps or config.epochs * -(-len(rows) // config.batch_size)
    tokens = sum(lengths) / len(lengths) * config.batch_size
    work = tokens * (2 * (total - embedded) * 2 + 2 * trained)
    seconds = work / _rate(config, place, int(tokens), wide, getattr(shape, "intermediate_size", 4 * wide))
    return {
        "parameters": total,
        "trained_parameters": trained,
        "memory_gb": round(memory / 1e9 + (_BASE_GB if place.type == "cpu" else 0), 2),
        "longest_tokens": lengths[-1],
        "mean_tokens": round(sum(lengths) / len(lengths), 1),
        "steps": steps,
        "seconds_per_step": round(seconds, 3),
        "minutes": round(steps * seconds / 60, 1),
        "device": place.type,
    }


def _rate(config: EncoderTrainConfig, place: Any, tokens: int, wide: int, inner: int) -> float:
    """Operations a second of a layer's largest matrix product here."""
    import torch

    left, right = torch.ones(max(1, tokens), wide, device=place), torch.ones(wide, inner, device=place)
    best = float("inf")
    with torch.inference_mode(), computing(config.precision, place):
        for _ in range(5):
            started = time.perf_counter()
            float((left @ right)[0, 0])  # reading a number waits for the device
            best = min(best, time.perf_counter() - started)
    return 2.0 * max(1, tokens) * wide * inner / best
