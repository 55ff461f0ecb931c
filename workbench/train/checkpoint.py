"""Checkpoints of a training: trained weights and the optimizer's state as safetensors, the rest as JSON; never pickle."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_STATE, _WEIGHTS, _OPTIMIZER, _BEST = "state.json", "weights.safetensors", "optimizer.safetensors", "best.safetensors"


def save(folder: Path, step: int, model: Any, optimizer: Any, state: Mapping[str, Any]) -> None:
    """Write `folder/step-N` whole or not at all, then drop older ones.

    The best weights so far are a part of it: taken from the model where `state["best_step"]` is this step, else from the
    checkpoint before.
    """
    from safetensors.torch import save_file

    partial = folder / f".partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = trained(model)
    save_file(weights, partial / _WEIGHTS)
    save_file(_moments(model, optimizer), partial / _OPTIMIZER)
    before = newest(folder)
    if state["best_step"] == step:
        os.link(partial / _WEIGHTS, partial / _BEST)
    elif before is not None:
        os.link(before / _BEST, partial / _BEST)
    (partial / _STATE).write_text(json.dumps({"step": step, **state}), encoding="utf-8")
    partial.replace(folder / f"step-{step}")
    for old in folder.glob("step-*"):
        if old.name != f"step-{step}":
            shutil.rmtree(old)


def newest(folder: Path) -> Path | None:
    """The checkpoint of the highest step; None where there is none."""
    found = [
        (int(path.name.removeprefix("step-")), path) for path in folder.glob("step-*") if (path / _STATE).is_file()
    ]
    return max(found)[1] if found else None


def load(folder: Path, model: Any, optimizer: Any) -> dict[str, Any]:
    """Put a checkpoint into model and optimizer; returns its state."""
    from safetensors.torch import load_file

    _put(model, load_file(folder / _WEIGHTS))
    moments = load_file(folder / _OPTIMIZER)
    for name, parameter in model.named_parameters():
        own = {key: moments[f"{name}|{key}"] for key in ("exp_avg", "exp_avg_sq", "step") if f"{name}|{key}" in moments}
        if own:
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in own.items()
            }
    state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    return state


def take_best(folder: Path, model: Any) -> None:
    """Put the best weights of the newest checkpoint into the model."""
    from safetensors.torch import load_file

    if (found := newest(folder)) is not None:
        _put(model, load_file(found / _BEST))


def trained(model: Any) -> dict[str, Any]:
    """The weights that are trained, by name, on the processor."""
    return {name: p.detach().cpu().contiguous().clone() for name, p in model.named_parameters() if p.requires_grad}


def _moments(model: Any, optimizer: Any) -> dict[str, Any]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}|{key}": value.detach().cpu().contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def _put(model: Any, weights: Mapping[str, Any]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])
