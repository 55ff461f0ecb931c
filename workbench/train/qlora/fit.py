"""Tune a language model on rows: `fit_qlora`, which goes on where a killed run stopped."""

import gc
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench import prompts
from workbench.errors import DataError, WorkbenchError, need
from workbench.lm.adapters import ADAPTER, attach, inputs_cast, save
from workbench.lm.architecture import EXTRA, FEATURE
from workbench.lm.chat import Chat
from workbench.lm.load import keep_layout, load_base, load_tokenizer, quiet, resolve
from workbench.lm.special import add_tokens, begin_rows, make_room
from workbench.records import Sample
from workbench.runs import write_json
from workbench.train.qlora.ask import PROMPTS, TASK
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.evaluate import BEST, Evaluator, best
from workbench.train.qlora.log import Log, Progress, curves_png
from workbench.train.qlora.rows import (
    Asked,
    IntentTask,
    QloraContext,
    ResponseTask,
    Task,
    cuts,
    encode_all,
    plan,
    task_of,
)
from workbench.train.qlora.trainer import CHECKPOINTS, Parts, last_checkpoint, make_trainer, memory_mb


def fit_qlora(
    config: QloraConfig,
    rows: Sequence[Sample],
    dev: Sequence[Sample],
    folder: Path,
    *,
    context: QloraContext | None = None,
    progress: Progress | None = None,
    resume: bool = False,
) -> Mapping[str, Any]:
    """Train an adapter into `folder/adapter`, in peft's own format with the tokenizer beside it.

    Also written: metrics.jsonl, samples.jsonl, curves.png, checkpoints/, task.json.

    Args:
        config: the settings.
        rows: to be learned.
        dev: asked at each evaluation; the best adapter on them is the one that is kept. Without any it is the last one.
        folder: of the run.
        context: class numbers, the vocabulary of tags, folders of prompts.
        progress: is told each line of metrics.jsonl.
        resume: go on from the last whole checkpoint in `folder`; from the beginning where there is none.

    Returns:
        What belongs into the manifest: method, task, base, labels, steps, scores, cuts, speed, memory. `predicted` is the class
        that the adapter gave each dev row (empty where it gave none), None where not all of them were asked.

    Raises:
        DataError: the rows cannot be used.
        ConfigError: the model or a setting cannot be used.
        MissingExtra: a package is missing.
        WorkbenchError: out of memory; the hint says which setting to change.
    """
    for package in ("torch", "transformers", "accelerate", "peft"):
        need(package, extra=EXTRA, feature=FEATURE)
        if package == "transformers":
            quiet()  # before anything imports bitsandbytes
    context = context or QloraContext()
    folder.mkdir(parents=True, exist_ok=True)
    if config.launch:
        from workbench.train.qlora.launch import launch

        return launch(config, rows, dev, folder, context=context, progress=progress, resume=resume)
    batch, accumulation, retries = config.batch, config.accumulation, 0
    while True:
        try:
            found = _train(_Job(config, rows, dev, folder, context, progress), batch, accumulation, resume=resume)
        except (RuntimeError, MemoryError) as exc:
            if not _out_of_memory(exc):
                raise
            reason = " ".join(str(exc).split())[:160]
        else:
            return {**found, "batch": batch, "accumulation": accumulation, "retries": retries}
        if not context.retry_smaller or batch == 1:
            raise _advice(config, batch, reason)
        smaller = max(n for n in range(1, batch) if batch * accumulation % n == 0)
        batch, accumulation = smaller, batch * accumulation // smaller
        retries, resume = retries + 1, True
        _free()


class _Job:
    """What a training is about; the same for every attempt."""

    def __init__(
        self,
        config: QloraConfig,
        rows: Sequence[Sample],
        dev: Sequence[Sample],
        folder: Path,
        context: QloraContext,
        progress: Progress | None,
    ) -> None:
        self.config, self.folder, self.progress = config, folder, progress
        self.context = context
        self.rows = rows
        self.task = task_of(config, rows, context)
        self.given = dev
        self.dev = _dev(config, self.task, dev, context.seed)
        self.source = resolve(config.model)


def _dev(config: QloraConfig, task: Task, dev: Sequence[Sample], seed: int) -> list[Sample]:
    """The dev rows that are asked: a seeded choice, of known classes."""
    if isinstance(task, IntentTask):
        strange = sorted({row.label for row in dev} - set(task.answers.labels))
        if strange:
            raise DataError(
                f"{len(strange)} classes of the dev rows are not in the training rows, as {strange[0]!r}.",
                "Add training rows of them, or take them out of dev.",
            )
    if not config.eval_rows or len(dev) <= config.eval_rows:
        return list(dev)
    chosen = np.random.default_rng(seed).permutation(len(dev))[: config.eval_rows]
    return [dev[i] for i in sorted(chosen)]


def _train(job: _Job, batch: int, accumulation: int, *, resume: bool) -> dict[str, Any]:
    """One attempt, from loading to the saved adapter."""
    import torch
    from transformers import set_seed

    config, folder, task = job.config, job.folder, job.task
    began = time.monotonic()
    tokenizer = load_tokenizer(job.source)
    new = add_tokens(tokenizer, task.tokens) if isinstance(task, ResponseTask) else []
    model = load_base(job.source, quantise=config.quantise, precision=config.precision)
    keep_layout(model)
    chat = Chat.of(model, tokenizer)
    rows = encode_all(task, chat, job.rows)
    dev = encode_all(task, chat, job.dev) if job.dev else []
    if isinstance(task, ResponseTask):
        dev = dev[: config.eval_rows or None]
        make_room(model, tokenizer)
        meant = {int(tokenizer.convert_tokens_to_ids(one)): words for one, words in task.words().items()}
        begin_rows(model, tokenizer, new, meant)
    set_seed(job.context.seed)  # the adapter's beginning is drawn
    model = attach(model, r=config.r, alpha=config.alpha, dropout=config.dropout, targets=config.targets, tokens=new)
    if config.checkpointing:
        _keep_fewer_activations(model)
    log = _log(job, resume=resume)
    parts = _parts(job, chat, rows, dev, log, (batch, accumulation))
    log = parts.log
    trainer = make_trainer(parts, model)
    if trainer.is_world_process_zero():
        _describe(job, chat)
    checkpoint = last_checkpoint(folder / CHECKPOINTS) if resume else None
    with inputs_cast(model, not (trainer.args.bf16 and trainer.args.use_cpu)):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        _keep_best(trainer.accelerator.unwrap_model(trainer.model), chat, folder)
        curves_png(folder)
    return _found(job, parts, dev, trainer.state.global_step) | {
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "special_tokens": len(new),
        "seconds": round(time.monotonic() - began, 1),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }


def _found(job: _Job, parts: Parts, dev: Sequence[Asked], steps: int) -> dict[str, Any]:
    """What a finished training has to say of itself."""
    config, task = job.config, job.task
    lines = [line for line in parts.log.lines() if "loss" in line]
    top = best(job.folder)
    return {
        "method": "qlora",
        "task": config.task,
        "base": config.model,
        "labels": list(task.answers.labels) if isinstance(task, IntentTask) else [],
        "adapter": ADAPTER,
        "steps": steps,
        "predicted": top.get("said") if len(dev) == len(job.given) else None,
        "best_step": top.get("step", steps),
        "examples": len(parts.rows),
        "dev_examples": len(dev),
        **cuts(parts.rows),
        "loss": lines[-1]["loss"] if lines else None,
        **{name: top[name] for name in ("macro_f1", "accuracy", "valid", "dev_loss") if name in top},
        "tokens_per_s": float(np.median([line["tokens_per_s"] for line in lines])) if lines else None,
        "memory_mb": round(memory_mb(), 1),
    }


def _parts(job: _Job, chat: Chat, rows: list[Asked], dev: list[Asked], log: Log, split: tuple[int, int]) -> Parts:
    """Put together what the loop needs; `split` is batch and accumulation of this attempt."""
    import os

    order = plan(job.config, rows, job.context, int(os.environ.get("WORLD_SIZE", "1")))
    log = Log(log.folder, job.progress, steps=order.steps)
    evaluator = Evaluator(job.config, job.task, chat, dev, log) if dev else None
    return Parts(job.config, chat, rows, order, job.folder, log, evaluator, *split, job.context.seed)


def _log(job: _Job, *, resume: bool) -> Log:
    """The run's log, taken back to the last whole checkpoint; emptied where a run begins anew."""
    log = Log(job.folder)
    checkpoint = last_checkpoint(job.folder / CHECKPOINTS)
    if resume and checkpoint is not None:
        log.rewind(int(checkpoint.name.rpartition("-")[2]))
        return log
    log.rewind(-1)
    for name in (CHECKPOINTS, BEST, ADAPTER):
        shutil.rmtree(job.folder / name, ignore_errors=True)
    (job.folder / f"{BEST}.json").unlink(missing_ok=True)
    return log


def _keep_fewer_activations(model: Any) -> None:
    """Activation checkpointing, under the name that this version of transformers has for it."""
    base = model.get_base_model()
    options = {"use_reentrant": False}
    if hasattr(base, "activation_checkpointing_enable"):
        base.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
    model.enable_input_require_grads()


def _keep_best(model: Any, chat: Chat, folder: Path) -> None:
    """The best adapter, or the last one where nothing was evaluated, becomes the run's adapter."""
    target = folder / ADAPTER
    if (folder / BEST).is_dir():
        shutil.rmtree(target, ignore_errors=True)
        (folder / BEST).replace(target)
    elif not target.is_dir():
        partial = target.with_name(f"{ADAPTER}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        save(model, chat.tokenizer, partial)
        partial.replace(target)


def _describe(job: _Job, chat: Chat) -> None:
    """Write what is needed to ask the tuned model as it was trained: task.json, and a copy of the prompt file."""
    config, task = job.config, job.task
    (job.folder / PROMPTS).mkdir(exist_ok=True)
    text = prompts.load(config.prompt_file, job.context.roots).text
    (job.folder / PROMPTS / config.prompt_file).write_text(text, encoding="utf-8")
    found = {
        "task": config.task,
        "base": config.model,
        "prompt": config.prompt_file,
        "answer": config.answer,
        "list_labels": config.list_labels,
        "max_length": config.max_length,
        "speaker": config.speaker,
        "ends": sorted(chat.ends),
        "end": chat.end,
    }
    found |= {"ids": dict(task.answers.ids)} if isinstance(task, IntentTask) else {"tokens": task.tokens}
    write_json(job.folder / TASK, found)


def _out_of_memory(exc: BaseException) -> bool:
    import torch

    text = str(exc).lower()
    return isinstance(exc, MemoryError | torch.OutOfMemoryError) or any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _advice(config: QloraConfig, batch: int, reason: str) -> WorkbenchError:
    """Which setting to change, the one that costs least first."""
    if batch > 1:
        half = max(1, batch // 2)
        what = f"train.qlora.batch={half} and train.qlora.accumulation={config.batch * config.accumulation // half}"
        what += " (the same steps in less memory), or train.retry_smaller=true, which does that by itself"
    elif not config.checkpointing:
        what = "train.qlora.checkpointing=true"
    elif config.quantise == "none":
        what = "train.qlora.quantise=nf4"
    elif config.optimizer == "adamw_torch" and config.r > 8:
        what = f"train.qlora.r={max(8, config.r // 2)}, or train.qlora.optimizer=paged_adamw_8bit on a GPU"
    else:
        what = f"train.qlora.max_length={max(64, config.max_length // 2)}, or name a smaller model"
    return WorkbenchError(
        f"Out of memory while training {config.model} with batch {batch} and {config.max_length} tokens a row: {reason}",
        f"Set {what}; `wb train --resume` goes on from the last checkpoint.",
    )
