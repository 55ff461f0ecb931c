"""Continue a fine-tuned encoder: few epochs at a low rate from the old weights, with the same guards as the linear head.

The loss of a step is the mean over its rows of weighted cross-entropy, plus `distill` T^2 KL(old model at T || new model at T)
over the classes that the old model knows, plus `ewc` n_old / (2 n) sum F (w - w_old)^2, n being the rows trained on and F the mean
squared gradient of the log-likelihood of a row's own class over old rows (the empirical diagonal Fisher information).
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.errors import DataError, UsageError, WorkbenchError
from workbench.metrics import tally
from workbench.records import Sample
from workbench.train.batches import batches, class_weights, learning_rate
from workbench.train.encoder.config import EncoderTrainConfig
from workbench.train.encoder.model import EncoderModel, computing, freeze
from workbench.train.incremental.config import IncrementalConfig
from workbench.train.method import Progress


@dataclass(frozen=True, slots=True)
class EncoderLesson:
    """Rows that an encoder is continued on."""

    rows: Sequence[Sample]
    """New and replayed."""
    old: Sequence[Sample]
    """For the guard `ewc`."""
    dev: Sequence[Sample]
    """For early stopping; may be empty."""


def continue_encoder(
    config: IncrementalConfig, model: EncoderModel, lesson: EncoderLesson, progress: Progress, *, seed: int
) -> EncoderModel:
    """The encoder after a lesson; the given model is used up.

    Raises:
        DataError: the rows bring classes that an adapter's head has no room for.
        WorkbenchError: the loss is not a number.
    """
    run = _Continued(config, model, lesson, progress, seed)
    run.train()
    return run.model


class _Continued:
    """One continuation."""

    def __init__(
        self, config: IncrementalConfig, model: EncoderModel, lesson: EncoderLesson, progress: Progress, seed: int
    ) -> None:
        import torch

        self.config, self.lesson, self.progress, self.seed = config, lesson, progress, seed
        texts = [row.text for row in lesson.rows]
        self.known = len(model.side.labels)
        self.teacher = torch.zeros(0)
        if "distill" in config.guard:
            self.teacher = torch.softmax(torch.from_numpy(model.logits(texts)) / config.temperature, dim=1)
        self.model = _grown(model, lesson.rows)
        self.net, self.ids = self.model.model, self.model.inputs(texts)
        self.place = next(self.net.parameters()).device
        self.column = {label: i for i, label in enumerate(self.model.side.labels)}
        self.truth = [self.column[row.label] for row in lesson.rows]
        self.trained = _trainable(self.net, config)
        self.start = {name: p.detach().clone() for name, p in self.trained.items()}
        self.fisher = self._fisher() if "ewc" in config.guard else {}

    def train(self) -> None:
        """All epochs, or fewer where the dev rows say so; the best weights are kept."""
        import torch

        settings = self.config.encoder
        optimizer = self._optimizer()
        per_epoch = -(-len(self.ids) // settings.batch_size)
        best, without = (self._dev(), self._weights()), 0
        for epoch in range(settings.epochs):
            losses = []
            order = batches(
                [len(row) for row in self.ids],
                self.truth,
                settings.batch_size,
                (self.seed, 7, epoch),
                balanced=False,
                grouped=False,
            )
            for i, rows in enumerate(order):
                share = learning_rate(epoch * per_epoch + i, settings.epochs * per_epoch, 0.1)
                for group in optimizer.param_groups:
                    group["lr"] = share * group["top"]
                torch.manual_seed(self.seed * 1_000_003 + epoch * per_epoch + i)  # dropout
                losses.append(self._step(optimizer, rows))
            score = self._dev()
            seen = {"dev_macro_f1": score} if self.lesson.dev else {}
            self.progress({"epoch": epoch + 1, "loss": float(np.mean(losses)), **seen})
            if not self.lesson.dev or score > best[0]:
                best, without = (score, self._weights()), 0
            else:
                without += 1
            if without >= settings.patience:
                break
        self._take(best[1])
        self.net.eval()

    def _optimizer(self) -> Any:
        """AdamW; a head that grew learns faster than the rest."""
        import torch

        settings = self.config.encoder
        grown = len(self.column) > self.known
        groups: dict[float, list[Any]] = {}
        for p in self.trained.values():
            rate = settings.head_learning_rate if grown and p.shape[0] == len(self.column) else settings.learning_rate
            groups.setdefault(rate, []).append(p)
        parts = [{"params": some, "top": rate} for rate, some in groups.items()]
        return torch.optim.AdamW(parts, weight_decay=0.0)

    def _step(self, optimizer: Any, rows: Any) -> float:
        import torch

        self.net.train()
        loss = self._loss(rows)
        if not torch.isfinite(loss):
            raise WorkbenchError("The loss is not a number.", "Set a lower train.incremental.encoder.learning_rate.")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.trained.values()), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _loss(self, rows: Any) -> Any:
        """Mean over a step's rows."""
        import torch

        config, functional = self.config, torch.nn.functional
        with computing(config.encoder.precision, self.place):
            logits = self.net(**self.model.inputs.pad([self.ids[i] for i in rows], self.place)).logits.float()
        weights = torch.from_numpy(class_weights(self.truth, len(self.column))).to(self.place)
        truth = torch.tensor([self.truth[i] for i in rows], device=self.place)
        loss = (functional.cross_entropy(logits, truth, reduction="none") * weights[truth]).mean()
        if len(self.teacher):
            t = config.temperature
            student = functional.log_softmax(logits[:, : self.known] / t, dim=1)
            teacher = self.teacher[torch.from_numpy(rows)].to(self.place)
            loss = loss + config.distill * t * t * functional.kl_div(student, teacher, reduction="batchmean")
        if self.fisher:
            away = sum((f * (self.trained[name] - self.start[name]) ** 2).sum() for name, f in self.fisher.items())
            loss = loss + config.ewc * len(self.lesson.old) / (2 * len(self.ids)) * away
        return loss

    def _fisher(self) -> dict[str, Any]:
        """Mean squared gradient of each trained weight over some of the old rows."""
        import torch

        old = self.lesson.old
        some = np.random.default_rng([self.seed, 8]).permutation(len(old))[: self.config.encoder.fisher_rows]
        found = {name: torch.zeros_like(p) for name, p in self.trained.items()}
        self.net.eval()
        for i in some:
            self.net.zero_grad(set_to_none=True)
            inputs = self.model.inputs.pad(self.model.inputs([old[i].text]), self.place)
            with computing(self.config.encoder.precision, self.place):
                logits = self.net(**inputs).logits.float()
            truth = torch.tensor([self.column[old[i].label]], device=self.place)
            torch.nn.functional.cross_entropy(logits, truth).backward()  # type: ignore[no-untyped-call,unused-ignore]
            for name, p in self.trained.items():
                if p.grad is not None:
                    found[name] += p.grad**2 / len(some)
        self.net.zero_grad(set_to_none=True)
        return found

    def _dev(self) -> float:
        """Macro-F1 on the dev rows; -1 without any."""
        dev = self.lesson.dev
        if not dev:
            return -1.0
        self.net.eval()
        said = self.model.logits([row.text for row in dev]).argmax(axis=1).astype(np.int64)
        truth = np.array([self.column.get(row.label, len(self.column)) for row in dev], dtype=np.int64)
        classes = len(self.column) + 1
        return float(tally(truth, said, classes).macro_f1(np.unique(truth)))

    def _weights(self) -> dict[str, Any]:
        return {name: p.detach().clone() for name, p in self.trained.items()}

    def _take(self, weights: dict[str, Any]) -> None:
        import torch

        with torch.no_grad():
            for name, value in weights.items():
                self.trained[name].copy_(value)


def _trainable(net: Any, config: IncrementalConfig) -> dict[str, Any]:
    """The weights to be trained: all but frozen ones; of a model with adapters these and its own head."""
    if hasattr(net, "peft_config"):
        for name, p in net.named_parameters():
            p.requires_grad_("lora_" in name or "modules_to_save" in name)
    else:
        settings = config.encoder
        freeze(
            net, EncoderTrainConfig(freeze_layers=settings.freeze_layers, freeze_embeddings=settings.freeze_embeddings)
        )
    return {name: p for name, p in net.named_parameters() if p.requires_grad}


def _grown(model: EncoderModel, rows: Sequence[Sample]) -> EncoderModel:
    """The model with a head for all classes of the rows: new ones at its end, without weights and with the least bias."""
    import torch

    side = model.side
    fresh = sorted({row.label for row in rows} - set(side.labels))
    if not fresh:
        return model
    if hasattr(model.model, "peft_config"):
        raise DataError(
            f"The rows bring new classes ({', '.join(fresh)}), for which the head of a model with adapters has no room.",
            "Train on all rows anew: wb train --method encoder",
        )
    heads = [
        (name, module)
        for name, module in model.model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == len(side.labels)
    ]
    if not heads:
        raise UsageError("This model has no linear head that could grow.", "Train on all rows anew.")
    name, old = heads[-1]
    new = torch.nn.Linear(old.in_features, old.out_features + len(fresh)).to(old.weight.device)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[: old.out_features] = old.weight
        new.bias.fill_(float(old.bias.min()))
        new.bias[: old.out_features] = old.bias
    parent, _, leaf = name.rpartition(".")
    setattr(model.model.get_submodule(parent), leaf, new)
    labels = (*side.labels, *fresh)
    config = deepcopy(model.model.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    model.model.config = config
    model.model.num_labels = len(labels)
    return EncoderModel(model.model, model.inputs, replace(side, labels=labels))
