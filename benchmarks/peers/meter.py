"""What is measured inside each trainer's process, in the same way: the trainers are all subclasses of transformers' Trainer.

`install(...)` puts a callback into every Trainer that is built and a wrapper around its training step. Loading, tokenising and
saving lie outside of what is timed. Needs nothing but transformers and torch, so that it runs in the environments of the others.
"""

import json
import time
from pathlib import Path
from typing import Any


def status(name: str) -> float:
    """A figure of /proc/self/status in MB; 0 where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)


def forget_peak() -> None:
    """Let the kernel count the highest memory anew from here; leaves it as it is where that is not allowed."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return


class Meter:
    """Times, tokens, losses and memory of a training, step by step."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.seed = path, seed
        self.steps: list[dict[str, float]] = []
        self.losses: list[float] = []
        self.facts: dict[str, Any] = {}
        self.now: dict[str, float] = {}

    def begin(self, model: Any) -> None:
        """Before the first step: the adapter is put to the same start in every trainer, the peak counted anew."""
        same_start(model, self.seed)
        trained = [p for p in model.parameters() if p.requires_grad]
        self.facts = {
            "trainable": sum(p.numel() for p in trained),
            "adapter_type": str(trained[0].dtype).removeprefix("torch."),
            "loading_peak_mb": status("VmHWM"),
            "before_mb": status("VmRSS"),
        }
        forget_peak()
        self.facts |= {"wall": time.perf_counter(), "cpu": time.process_time()}

    def count(self, inputs: dict[str, Any]) -> None:
        """Tokens of a batch: real ones, learned ones, and places that are computed."""
        ids, labels, mask = inputs["input_ids"], inputs["labels"], inputs.get("attention_mask")
        real = ids.numel()
        if mask is not None:  # 4 dimensions where rows are packed: a place that does not see itself is padding
            real = int((mask != 0).sum()) if mask.dim() == 2 else int((mask.diagonal(dim1=-2, dim2=-1) == 0).sum())
        new = {"real": real, "places": ids.numel(), "learned": int((labels[:, 1:] != -100).sum())}
        for name, value in new.items():
            self.now[name] = self.now.get(name, 0) + value

    def end_step(self) -> None:
        """After a step of the optimizer."""
        self.steps.append({**self.now, "wall": time.perf_counter(), "cpu": time.process_time()})
        self.now = {}
        self.facts["training_peak_mb"] = status("VmHWM")

    def write(self) -> None:
        """One file of all that was seen; written anew at the end of the training."""
        whole = {**self.facts, "steps": self.steps, "losses": self.losses}
        self.path.write_text(json.dumps(whole), encoding="utf-8")


def same_start(model: Any, seed: int) -> None:
    """Fill the A matrices as peft does (Kaiming, uniform), from one seed and in the order of their names; B begins at zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters(), key=lambda pair: pair[0].partition(".model.")[2]):
        if "lora_A" in name:
            bound = parameter.shape[1] ** -0.5
            drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            parameter.data.copy_(drawn)
        elif "lora_B" in name:
            parameter.data.zero_()


def install(path: Path, seed: int) -> None:
    """Measure the next training of this process into `path`."""
    import transformers

    meter = Meter(path, seed)

    def begin(self: Any, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        meter.begin(model)

    def end_step(self: Any, *rest: Any, **more: Any) -> None:
        meter.end_step()

    def log(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        if logs and "loss" in logs:
            meter.losses.append(float(logs["loss"]))

    def end(self: Any, *rest: Any, **more: Any) -> None:
        meter.write()

    watch = {"on_train_begin": begin, "on_step_end": end_step, "on_log": log, "on_train_end": end}
    callback = type("Watch", (transformers.TrainerCallback,), watch)
    trainer = transformers.Trainer
    make, step = trainer.__init__, trainer.training_step

    def made(self: Any, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        self.add_callback(callback())

    def stepped(self: Any, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        meter.count(inputs)
        return step(self, model, inputs, *args, **options)

    trainer.__init__, trainer.training_step = made, stepped
