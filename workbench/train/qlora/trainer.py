"""The loop: transformers' Trainer, with our own order of rows, loss, evaluation and checkpoints.

What it does otherwise than the Trainer: the output layer is computed where answers stand and nowhere else, a step's loss is the
mean over its answer tokens on all devices, rows come in an order that was drawn before, and no `training_args.bin` is written.
"""

import json
import os
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import need
from workbench.lm.adapters import inputs_cast, save
from workbench.lm.architecture import EXTRA, FEATURE
from workbench.lm.chat import Chat, Example
from workbench.lm.load import compute_type
from workbench.lm.loss import answer_loss, kept
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.evaluate import Evaluator
from workbench.train.qlora.log import Log
from workbench.train.qlora.rows import Asked, Plan, collate

CHECKPOINTS = "checkpoints"
_STATE = "trainer_state.json"
_WHOLE = (_STATE, "adapter_model.safetensors", "optimizer.pt", "scheduler.pt")


class Planned:
    """The rows of a whole training, one after another in the order of the plan; a dataset for torch."""

    def __init__(self, rows: Sequence[Asked], order: Sequence[int]) -> None:
        """Args: the rows, and which is seen when."""
        self._rows, self._order = rows, order

    def __len__(self) -> int:
        """Rows seen by a whole training."""
        return len(self._order)

    def __getitem__(self, place: int) -> Example:
        """The row that is seen at this place."""
        return self._rows[self._order[place]].example


@dataclass
class Parts:
    """What a training is put together from."""

    config: QloraConfig
    chat: Chat
    rows: Sequence[Asked]
    plan: Plan
    folder: Path
    log: Log
    evaluator: Evaluator | None
    batch: int
    accumulation: int
    seed: int = 0
    seen: dict[str, float] = field(default_factory=dict)
    """Token counts and times since the last line."""


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; `trainer_state.json` is written last. Those that were not are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    whole = None
    for path in found:
        try:
            json.loads((path / _STATE).read_text(encoding="utf-8"))
            complete = all((path / name).is_file() for name in _WHOLE)
        except (OSError, ValueError):
            complete = False
        if complete:
            whole = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return whole


def make_trainer(parts: Parts, model: Any) -> Any:
    """The Trainer of a run."""
    transformers = need("transformers", extra=EXTRA, feature=FEATURE)
    pad = parts.chat.tokenizer.pad_token_id
    own = {"parts": parts, "compute_loss": _compute_loss, "evaluate": _evaluate, "_save": _save}
    watch = type(
        "Watch",
        (transformers.TrainerCallback,),
        {"parts": parts, "on_step_end": _on_step_end, "on_log": _on_log, "on_train_begin": _on_train_begin},
    )
    trainer = type("Loop", (transformers.Trainer,), own)(
        model=model,
        args=_arguments(parts),
        train_dataset=Planned(parts.rows, parts.plan.order),
        data_collator=lambda rows: collate(rows, pad),
        callbacks=[watch(), *_reporters(parts)],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    # The loss counts its own tokens, over all batches of a step.
    trainer.model_accepts_loss_kwargs = True
    trainer.loss_is_scaled_for_ga = True
    return trainer


def _compute_loss(
    self: Any, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
) -> Any:
    """The mean over the answer tokens of a step."""
    labels = inputs.pop("labels")
    outputs = model(**inputs, use_cache=False, logits_to_keep=kept(labels))
    loss = answer_loss(outputs, labels, num_items_in_batch)
    if num_items_in_batch is not None:  # counted over all processes, whose gradients are averaged
        loss = loss * self.accelerator.num_processes
    _count(self.parts.seen, inputs["input_ids"].numel(), inputs.get("attention_mask"))
    return (loss, outputs) if return_outputs else loss


def _evaluate(self: Any, *args: Any, **options: Any) -> dict[str, float]:
    """Ask the dev rows; stop where patience is at its end."""
    evaluator, patience = self.parts.evaluator, self.parts.config.patience
    if evaluator is None:
        return {}
    with inputs_cast(self.model, True):  # answers are generated without autocast
        found = evaluator(self.model, self.state.global_step, write=self.is_world_process_zero())
    self.log(dict(found))
    self.accelerator.wait_for_everyone()  # the first process wrote the line that all now read
    self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, dict(found))
    if patience and evaluator.stale() >= patience:
        self.control.should_training_stop = True
    return {f"eval_{name}": value for name, value in found.items()}


def _save(self: Any, output_dir: str | None = None, state_dict: Any = None) -> None:
    """Adapter and tokenizer of a checkpoint, without the pickle of settings that the Trainer puts beside them."""
    if self.args.should_save:
        folder = Path(output_dir or str(self.args.output_dir))
        save(self.accelerator.unwrap_model(self.model), self.parts.chat.tokenizer, folder, state=state_dict)


def _on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
    """Say what follows a step: a line, an evaluation, a checkpoint."""
    step, config = state.global_step, self.parts.config
    last = step >= self.parts.plan.steps
    control.should_save = last or step % config.save_steps == 0
    # A line at each checkpoint: the mean loss since the last line then begins anew when a run goes on.
    control.should_log = control.should_save or step % config.log_steps == 0
    control.should_evaluate = self.parts.evaluator is not None and (last or step % config.eval_steps == 0)


def _on_log(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
    """Write a line of metrics.jsonl."""
    if state.is_world_process_zero and logs and ("loss" in logs or "score" in logs):
        self.parts.log.add(_line(self.parts, state.global_step, logs))


def _on_train_begin(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
    """Begin to count tokens and time."""
    self.parts.seen.clear()
    self.parts.seen["since"] = time.monotonic()


def _arguments(parts: Parts) -> Any:
    import torch

    transformers = need("transformers", extra=EXTRA, feature=FEATURE)
    config = parts.config
    return transformers.TrainingArguments(
        output_dir=str(parts.folder / CHECKPOINTS),
        per_device_train_batch_size=parts.batch,
        gradient_accumulation_steps=parts.accumulation,
        max_steps=parts.plan.steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=round(config.warmup * parts.plan.steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim=config.optimizer,
        bf16=compute_type(config.precision) == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        save_total_limit=config.keep,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        report_to=[] if config.report_to in ("none", "tensorboard") else [config.report_to],
        run_name=parts.folder.name,
        disable_tqdm=True,
        seed=parts.seed,
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
    )


def _reporters(parts: Parts) -> list[Any]:
    """TensorBoard, into the run's own folder; the others are found by their names."""
    kind = parts.config.report_to
    if kind == "none":
        return []
    if kind != "tensorboard":
        need(kind, extra=kind, feature=f"Reporting to {kind} (train.qlora.report_to)")
        return []
    if os.environ.get("RANK", "0") != "0":
        return []
    need("tensorboard", extra="train", feature="Curves for TensorBoard (train.qlora.report_to; `none` goes without)")
    from torch.utils.tensorboard import SummaryWriter

    integrations = need("transformers.integrations", extra=EXTRA, feature=FEATURE)
    return [integrations.TensorBoardCallback(SummaryWriter(log_dir=str(parts.folder / "tensorboard")))]


def _count(seen: dict[str, float], places: int, mask: Any) -> None:
    seen["tokens"] = seen.get("tokens", 0) + (places if mask is None else int(mask.sum()))
    seen["places"] = seen.get("places", 0) + places


def _line(parts: Parts, step: int, logs: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metrics.jsonl from what the Trainer logs."""
    line: dict[str, Any] = {"step": step, "epoch": round(step * parts.plan.epoch, 4)}
    if "score" in logs:
        return line | {name: value for name, value in logs.items() if name != "epoch"}
    seen, now = parts.seen, time.monotonic()
    seconds = max(now - seen.get("since", now), 1e-9)
    line |= {"loss": logs["loss"], "lr": logs["learning_rate"], "grad_norm": logs.get("grad_norm")}
    line |= {
        "seconds": round(seconds, 3),
        "tokens_per_s": round(seen.get("tokens", 0) / seconds, 1),
        "padding": round(1 - seen.get("tokens", 0) / max(1, seen.get("places", 0)), 4),
        "memory_mb": round(memory_mb(), 1),
    }
    seen.clear()
    seen["since"] = time.monotonic()
    return line


def memory_mb() -> float:
    """The most memory used so far: of the GPU where there is one, else of the process."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
