"""Fine-tune an encoder: a plain loop whose every step follows from the seed and its number, so that it resumes exactly."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.classify import best_temperature
from workbench.errors import DataError, WorkbenchError
from workbench.metrics import tally
from workbench.records import Sample
from workbench.runs import read_jsonl, write_jsonl
from workbench.train import checkpoint
from workbench.train.batches import batches, class_weights, learning_rate
from workbench.train.curves import Metrics, draw
from workbench.train.encoder.config import EncoderTrainConfig
from workbench.train.encoder.model import (
    EncoderModel,
    Inputs,
    Side,
    adapted,
    computing,
    device,
    fingerprint,
    freeze,
    load_base,
    name_of,
)
from workbench.train.memory import out_of_memory, peak_gb
from workbench.train.method import Fitted, Progress

_LOG = 10
"""Steps whose mean loss is one line of metrics.jsonl."""
_SHOWN = 5
"""Dev rows whose predictions are kept at every look."""
CHECKPOINTS = "checkpoints"
_LOWER = "Set a lower train.encoder.learning_rate and head_learning_rate, or train.encoder.precision=float32."


def fit_encoder(
    config: EncoderTrainConfig,
    rows: Sequence[Sample],
    dev: Sequence[Sample],
    folder: Path,
    progress: Progress,
    *,
    seed: int,
    retry_smaller: bool = False,
) -> Fitted:
    """Fine-tune a classifier on `rows` into `folder`; goes on where `folder` holds a checkpoint.

    Args:
        config: model and training.
        rows: training rows.
        dev: rows for early stopping and calibration; may be empty.
        folder: the run folder.
        progress: see `Progress`.
        seed: drives new weights, order and dropout.
        retry_smaller: halve the rows computed at a time where memory runs out.

    Raises:
        DataError: fewer than two classes.
        ConfigError: the model cannot be read, or a setting does not fit it.
        WorkbenchError: memory ran out; the hint names the setting to change.
        MissingExtra: torch, transformers or peft is not installed.
    """
    labels = tuple(sorted({row.label for row in rows}))
    if len(labels) < 2:
        raise DataError(f"Training needs two classes; the rows have {len(labels)}.", "Add rows of more classes.")
    run = _Training(config, labels, folder, seed=seed, retry_smaller=retry_smaller)
    run.begin(rows, dev, progress)
    run.train()
    return run.finish(rows, dev)


class _Training:
    """One training: what changes from step to step."""

    def __init__(
        self, config: EncoderTrainConfig, labels: tuple[str, ...], folder: Path, *, seed: int, retry_smaller: bool
    ) -> None:
        self.config, self.labels, self.folder = config, labels, folder
        self.seed, self.retry_smaller = seed, retry_smaller
        model, tokenizer, new = load_base(config, labels, seed)
        self.fingerprint = fingerprint(model, new)
        prefix = config.prefix
        if prefix is None:
            prefix = "query: " if "e5" in config.model.lower() else ""
        self.inputs = Inputs(tokenizer, prefix, config.max_length)
        freeze(model, config)
        model = adapted(model, config, new) if config.lora.rank else model
        self.place = device()
        self.model = model.to(self.place)
        self.optimizer = _optimizer(self.model, config, new)
        self.state: dict[str, Any] = {
            "best": [-1.0, 0.0],
            "best_step": -1,
            "looks_without": 0,
            "micro": config.micro_batch or config.batch_size,
            "retries": 0,
            "done": False,
            "seconds": 0.0,
        }
        self.step = 0
        self.window: list[tuple[float, int, float]] = []  # loss, tokens, seconds of the steps since the last line

    def begin(self, rows: Sequence[Sample], dev: Sequence[Sample], progress: Progress) -> None:
        """Tokenise, and take up a checkpoint where there is one."""
        column = {label: i for i, label in enumerate(self.labels)}
        self.ids = self.inputs([row.text for row in rows])
        self.columns = [column[row.label] for row in rows]
        self.cut, self.inputs.cut = self.inputs.cut, 0
        self.dev_ids = self.inputs([row.text for row in dev])
        self.dev_cut, self.inputs.cut = self.inputs.cut, 0
        # A class that only dev has can never be right; it has a column of its own behind the known ones.
        self.dev_columns = np.array([column.get(row.label, len(column)) for row in dev], dtype=np.int64)
        self.dev = list(dev)
        self.per_epoch = -(-len(rows) // self.config.batch_size)
        self.total = self.config.steps or self.config.epochs * self.per_epoch
        self.every = self.config.evaluate_every or self.per_epoch
        self.order: tuple[int, list[Any]] = (-1, [])
        if (found := checkpoint.newest(self.folder / CHECKPOINTS)) is not None:
            self.state = checkpoint.load(found, self.model, self.optimizer)
            self.step = self.state.pop("step")
            self.state["micro"] = min(self.state["micro"], self.config.micro_batch or self.config.batch_size)
            progress({"say": f"Going on after step {self.step} of {self.total}."})
        self.metrics = Metrics(self.folder, progress, self.step)
        if self.cut:
            progress(
                {"say": f"{self.cut} of {len(rows)} training texts are longer than {self.inputs.max_length} tokens."}
            )

    def train(self) -> None:
        """All steps that are left."""
        while self.step < self.total and not self.state["done"]:
            started = time.perf_counter()
            share = learning_rate(self.step, self.total, self.config.warmup)
            for group in self.optimizer.param_groups:
                group["lr"] = share * group["top"]
            rows = self._rows()
            loss = self._update(rows)
            self.step += 1
            spent = time.perf_counter() - started
            self.state["seconds"] += spent
            self.window.append((loss, sum(len(self.ids[i]) for i in rows), spent))
            look = self.step % self.every == 0 or self.step == self.total
            if look or self.step % _LOG == 0:
                self._log(share * self.config.rate)
            if look:
                self._look()

    def _rows(self) -> Any:
        """Row numbers of the step to come."""
        epoch, position = divmod(self.step, self.per_epoch)
        if self.order[0] != epoch:
            config = self.config
            found = batches(
                [len(row) for row in self.ids],
                self.columns,
                config.batch_size,
                (self.seed, 3, epoch),
                balanced=config.balance == "sampling",
                grouped=config.group_by_length,
            )
            self.order = (epoch, found)
        return self.order[1][position]

    def _update(self, rows: Any) -> float:
        """One step of the optimizer; where memory runs out, the same step with fewer rows at a time."""
        import torch

        while True:
            try:
                loss = self._gradients(rows)
                if not np.isfinite(loss):
                    raise WorkbenchError(f"The loss at step {self.step + 1} is not a number.", _LOWER)
                torch.nn.utils.clip_grad_norm_([p for p in self.model.parameters() if p.requires_grad], 1.0)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
                return loss
            except (RuntimeError, MemoryError) as exc:
                if not out_of_memory(exc):
                    raise
                self.optimizer.zero_grad(set_to_none=True)
                self._smaller(max(len(self.ids[i]) for i in rows), exc)

    def _gradients(self, rows: Any) -> float:
        """Add up the gradients of a step's rows; returns their loss."""
        import torch

        self.model.train()
        torch.manual_seed(self.seed * 1_000_003 + self.step)  # dropout follows from the number of the step
        weights = torch.ones(len(self.labels))
        if self.config.balance == "weights":
            weights = torch.from_numpy(class_weights(self.columns, len(self.labels)))
        weights = weights.to(self.place)
        truth = torch.tensor([self.columns[i] for i in rows], device=self.place)
        mass, total = weights[truth].sum(), 0.0
        for start in range(0, len(rows), self.state["micro"]):
            some = slice(start, start + self.state["micro"])
            with computing(self.config.precision, self.place):
                logits = self.model(**self.inputs.pad([self.ids[i] for i in rows[some]], self.place)).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), truth[some], weights, reduction="sum") / mass
            loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
            total += float(loss.detach())
        return total

    def _smaller(self, longest: int, exc: Exception) -> None:
        micro = self.state["micro"]
        if micro == 1 or not self.retry_smaller:
            raise WorkbenchError(
                f"Memory ran out at step {self.step + 1}, computing {micro} rows of up to {longest} tokens at a time.",
                f"Set train.encoder.micro_batch={max(1, micro // 2)}, or train.retry_smaller=true to have that done."
                if micro > 1
                else "Set a smaller train.encoder.max_length, train.encoder.freeze_layers, or choose a smaller model.",
            ) from exc
        self.state["micro"] = micro // 2
        self.state["retries"] += 1

    def _log(self, rate: float) -> None:
        losses, tokens, seconds = zip(*self.window, strict=True)
        self.window = []
        self.metrics.write(
            {
                "step": self.step,
                "loss": round(float(np.mean(losses)), 6),
                "lr": rate,
                "tokens_per_s": round(sum(tokens) / max(sum(seconds), 1e-9), 1),
                "memory_gb": peak_gb(self.place),
            }
        )

    def _look(self) -> None:
        """Score the dev rows, keep a checkpoint, and end where it has not got better for long."""
        state = self.state
        # Equal macro-F1 is common on few rows: the lower loss decides. Without dev rows the last step is the best.
        score = self._score(self._dev_logits()) if self.dev else [float(self.step), 0.0]
        if score > state["best"]:
            state |= {"best": score, "best_step": self.step, "looks_without": 0}
        else:
            state["looks_without"] += 1
        state["done"] = state["looks_without"] >= self.config.patience
        checkpoint.save(self.folder / CHECKPOINTS, self.step, self.model, self.optimizer, state)

    def _score(self, logits: Any) -> list[float]:
        """Dev macro-F1 and negative loss, written to metrics.jsonl beside the dev loss; sample predictions to samples.jsonl."""
        predicted = logits.argmax(axis=1)
        score = macro_f1(self.dev_columns, predicted, len(self.labels) + 1)
        top = logits.max(axis=1, keepdims=True)
        log = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        known = np.flatnonzero(self.dev_columns < len(self.labels))
        loss = float(-log[known, self.dev_columns[known]].mean()) if len(known) else 0.0
        self.metrics.write({"step": self.step, "dev_macro_f1": round(score, 4), "dev_loss": round(loss, 4)})
        shown = np.random.default_rng([self.seed, 4]).permutation(len(self.dev))[:_SHOWN]
        samples = [
            {
                "step": self.step,
                "text": self.dev[i].text,
                "y_true": self.dev[i].label,
                "y_pred": self.labels[predicted[i]],
                "probability": round(float(np.exp(log[i].max())), 4),
            }
            for i in shown
        ]
        path = self.folder / "samples.jsonl"
        before = [row for row in (read_jsonl(path) if path.is_file() else []) if row["step"] < self.step]
        write_jsonl(path, [*before, *samples])
        return [score, -loss]

    def _dev_logits(self) -> Any:
        import torch

        self.model.eval()
        order = sorted(range(len(self.dev_ids)), key=lambda i: len(self.dev_ids[i]))
        found = np.zeros((len(order), len(self.labels)), np.float32)
        start = 0
        while start < len(order):
            some = order[start : start + self.state["micro"]]
            try:
                with torch.inference_mode(), computing(self.config.precision, self.place):
                    batch = self.inputs.pad([self.dev_ids[i] for i in some], self.place)
                    found[some] = self.model(**batch).logits.float().cpu().numpy()
            except (RuntimeError, MemoryError) as exc:
                if not out_of_memory(exc):
                    raise
                self._smaller(max(len(self.dev_ids[i]) for i in some), exc)
                continue
            start += len(some)
        return found

    def finish(self, rows: Sequence[Sample], dev: Sequence[Sample]) -> Fitted:
        """Take the best weights, calibrate them on dev, save the model."""
        checkpoint.take_best(self.folder / CHECKPOINTS, self.model)
        base = name_of(self.config.model)
        side = Side(self.labels, base, self.fingerprint, self.inputs.prefix, self.inputs.max_length, 1.0)
        model = EncoderModel(self.model, self.inputs, side)
        predicted: tuple[str, ...] | None = None
        if dev:
            logits = model.logits([row.text for row in dev], self.state["micro"])
            known = np.flatnonzero(self.dev_columns < len(self.labels))
            temperature = best_temperature(logits[known], self.dev_columns[known])
            model.side = Side(self.labels, base, self.fingerprint, side.prefix, side.max_length, temperature)
            predicted = tuple(self.labels[i] for i in logits.argmax(axis=1))
        model.save(self.folder)
        draw(self.folder)
        return Fitted(self.labels, base, self.fingerprint, predicted, self._measured(), self._facts(model.side))

    def _measured(self) -> dict[str, Any]:
        state = self.state
        return {
            "steps": self.step,
            "best_step": state["best_step"],
            "seconds": round(state["seconds"], 1),
            "memory_gb": peak_gb(self.place),
            "retries": state["retries"],
            "cut": {"train": self.cut, "dev": self.dev_cut, "max_length": self.inputs.max_length},
        }

    def _facts(self, side: Side) -> dict[str, Any]:
        weights = list(self.model.parameters())
        return {
            "adapter": bool(self.config.lora.rank),
            "temperature": side.temperature,
            "parameters": sum(w.numel() for w in weights),
            "trained_parameters": sum(w.numel() for w in weights if w.requires_grad),
        }


def macro_f1(true: Any, predicted: Any, classes: int) -> float:
    """Mean F1 over the classes that occur among true or predicted columns [n]."""
    return float(tally(true, predicted, classes).macro_f1(np.union1d(true, predicted)))


def _optimizer(model: Any, config: EncoderTrainConfig, new: Sequence[str]) -> Any:
    """AdamW in four groups: decayed or not, new or known. `top` is a group's highest learning rate."""
    import torch

    groups: dict[tuple[bool, bool], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            fresh = any(part in name for part in new)
            groups.setdefault((fresh, parameter.ndim > 1), []).append(parameter)
    settings = [
        {
            "params": some,
            "top": config.head_learning_rate if fresh else config.rate,
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        for (fresh, decayed), some in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=config.rate)
