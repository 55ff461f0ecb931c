"""Evaluation while training: loss and answers on dev rows, the best adapter kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.lm.adapters import replace
from workbench.lm.chat import Chat
from workbench.lm.loss import answer_loss, kept
from workbench.runs import read_json, write_json
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.log import Log, rank
from workbench.train.qlora.rows import Asked, IntentTask, Task, collate

BEST = "best"


class Evaluator:
    """Asks the model about dev rows, writes sample answers, keeps the best adapter.

    The score is macro-F1 of greedy answers for classes (an answer that names none is wrong), and minus the loss for responses.
    """

    def __init__(self, config: QloraConfig, task: Task, chat: Chat, rows: Sequence[Asked], log: Log) -> None:
        """Args: settings, what is learned, the tokenizer, encoded dev rows, where lines go."""
        self._config, self._task, self._chat, self._rows, self._log = config, task, chat, rows, log
        self._folder = log.folder
        self._said: list[str] | None = None

    def __call__(self, model: Any, step: int, *, write: bool = True) -> dict[str, float]:
        """Score of the model after a step. `write`: this process keeps the adapter and the answers."""
        training = model.training
        model.eval()
        try:
            found = {"dev_loss": self._loss(model)}
            if isinstance(self._task, IntentTask):
                found |= self._classes(self._task, model, step, write=write)
            else:
                found["score"] = -found["dev_loss"]
                self._responses(model, step, write=write)
        finally:
            model.train(training)
        past = [old for at, old in self._log.evaluations() if at < step]
        if write and (not past or rank(found) > max(past)):
            replace(model, self._chat.tokenizer, self._folder / BEST)
            write_json(self._folder / f"{BEST}.json", {"step": step, **found, "said": self._said})
        return found

    def stale(self) -> int:
        """Evaluations since the best one."""
        ranks = [one for _, one in self._log.evaluations()]
        return len(ranks) - 1 - ranks.index(max(ranks)) if ranks else 0

    def _loss(self, model: Any) -> float:
        import torch

        total, tokens = 0.0, 0
        with torch.inference_mode():
            for rows in _batches(self._rows, self._config.eval_batch):
                batch = collate([row.example for row in rows], self._chat.tokenizer.pad_token_id)
                labels = batch.pop("labels").to(model.device)
                batch = {name: value.to(model.device) for name, value in batch.items()}
                outputs = model(**batch, use_cache=False, logits_to_keep=kept(labels))
                total += float(answer_loss(outputs, labels, 1))
                tokens += int((labels != -100).sum())
        return total / max(1, tokens)

    def _classes(self, task: IntentTask, model: Any, step: int, *, write: bool) -> dict[str, float]:
        answers = task.answers
        most = task.longest(self._chat) + 1
        texts = [
            text
            for rows in _batches(self._rows, self._config.eval_batch)
            for text in greedy(model, self._chat, [row.example.prompt for row in rows], most)
        ]
        said = [answers.label(text) for text in texts]
        self._said = [label or "" for label in said]
        true = [row.label for row in self._rows]
        right = sum(a == b for a, b in zip(said, true, strict=True))
        if write:
            self._log.add_samples(
                [
                    {"step": step, "row": row.id, "label": row.label, "answer": text, "read": label}
                    for row, text, label in zip(self._rows, texts, said, strict=True)
                ][: self._config.samples]
            )
        found = {
            "macro_f1": macro_f1(true, said),
            "accuracy": right / len(true),
            "valid": sum(label is not None for label in said) / len(said),
        }
        return found | {"score": found["macro_f1"]}

    def _responses(self, model: Any, step: int, *, write: bool) -> None:
        rows = self._rows[: self._config.samples]
        if not rows:
            return
        texts = greedy(model, self._chat, [row.example.prompt for row in rows], self._config.answer_tokens)
        if write:
            wanted = [self._chat.decode(row.example.answer) for row in rows]
            self._log.add_samples(
                [
                    {"step": step, "row": row.id, "wanted": one, "answer": text}
                    for row, one, text in zip(rows, wanted, texts, strict=True)
                ]
            )


def macro_f1(true: Sequence[str], said: Sequence[str | None]) -> float:
    """Mean F1 over the classes that occur among the true ones; an answer that names no class is wrong."""
    import numpy as np

    from workbench.metrics import tally

    classes = sorted(set(true))
    numbers = {label: i for i, label in enumerate(classes)}
    other = len(classes)
    counted = tally(
        np.array([numbers[label] for label in true]),
        np.array([numbers.get(label or "", other) for label in said]),
        other + 1,
    )
    return float(counted.f1[:other].mean())


def greedy(model: Any, chat: Chat, prompts: Sequence[Sequence[int]], most: int) -> list[str]:
    """The likeliest next tokens of each prompt, as text without the end token.

    Args:
        model: with or without an adapter.
        chat: its tokenizer.
        prompts: ids.
        most: longest answer, in tokens.
    """
    import torch

    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), int(chat.tokenizer.pad_token_id))
    mask = torch.zeros_like(ids)
    for i, prompt in enumerate(prompts):
        ids[i, longest - len(prompt) :] = torch.tensor(prompt)
        mask[i, longest - len(prompt) :] = 1
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=most,
            do_sample=False,
            use_cache=True,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=sorted(chat.ends),
            pad_token_id=chat.tokenizer.pad_token_id,
        )
    return [chat.decode(row) for row in out[:, longest:].tolist()]


def best(folder: Path) -> Mapping[str, Any]:
    """Step and scores of the best adapter of a run; empty where it had no dev rows."""
    path = folder / f"{BEST}.json"
    return dict(read_json(path)) if path.is_file() else {}


def _batches(rows: Sequence[Asked], size: int) -> list[Sequence[Asked]]:
    """Rows in their order, in batches."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]
