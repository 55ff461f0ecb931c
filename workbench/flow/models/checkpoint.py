"""A checkpoint of a training, taken out as a run of its own: `RUN@500` is evaluated, served and exported like any other."""

import os
import shutil
from pathlib import Path

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.lm.adapters import ADAPTER
from workbench.runs import AT, MANIFEST, find_run, finish, read_json
from workbench.train.qlora.ask import PROMPTS, TASK
from workbench.train.qlora.trainer import CHECKPOINTS

_WEIGHTS = ("adapter_", "tokenizer", "special_tokens", "added_tokens", "chat_template", "vocab", "merges")
"""How the names of those files of a checkpoint begin that a model needs; the rest is what training goes on with."""


def find_model(bench: Bench, name: str) -> Path:
    """The training run that a name means; of `RUN@STEP` the checkpoint, taken out beside its run when first asked for.

    Args:
        bench: where runs are looked for.
        name: name or path of a run, `last`, or either with `@` and the step of one of its checkpoints.

    Raises:
        DataError: there is no such run, or it keeps no checkpoint of that step.
    """
    whole, at, step = name.rpartition(AT)
    if not at or not step.isdecimal() or (Path(name) / MANIFEST).is_file():
        return find_run(bench.runs, name, "train")
    run = find_run(bench.runs, whole, "train")
    target = run.with_name(f"{run.name}{AT}{int(step)}")
    return target if (target / MANIFEST).is_file() else _take_out(run, int(step), target)


def steps_of(run: Path) -> list[int]:
    """Steps of the whole checkpoints that a run keeps, in order."""
    found = run.glob(f"{CHECKPOINTS}/checkpoint-*/adapter_model.safetensors")
    return sorted(int(path.parent.name.rpartition("-")[2]) for path in found)


def _take_out(run: Path, step: int, target: Path) -> Path:
    """Copy adapter and tokenizer of a checkpoint, with what says how to ask it; whole or not at all."""
    known = steps_of(run)
    if step not in known:
        there = f"It keeps those of steps {', '.join(map(str, known))}" if known else "It keeps none"
        raise DataError(
            f"{run.name} keeps no checkpoint of step {step}.",
            f"{there}; how many are kept is train.qlora.keep, how often one is written train.qlora.save_steps.",
        )
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / ADAPTER).mkdir(parents=True)
    for file in (run / CHECKPOINTS / f"checkpoint-{step}").iterdir():
        if file.name.startswith(_WEIGHTS):
            shutil.copy2(file, partial / ADAPTER / file.name)
    for name in (TASK, "config.yaml"):
        if (run / name).is_file():
            shutil.copy2(run / name, partial / name)
    if (run / PROMPTS).is_dir():
        shutil.copytree(run / PROMPTS, partial / PROMPTS)
    facts = read_json(run / MANIFEST) | {"parent": run.name, "checkpoint": step, "metrics": None, "promoted": None}
    finish(partial, "train", {k: v for k, v in facts.items() if k not in ("kind", "run")} | {"run": target.name})
    try:
        partial.replace(target)
    except OSError:  # another process was faster
        shutil.rmtree(partial, ignore_errors=True)
        if not (target / MANIFEST).is_file():
            raise
    return target
