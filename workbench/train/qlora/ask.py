"""A tuned model, asked as it was trained: the same prompt, the same answers, the same cuts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import DataError
from workbench.lm.adapters import ADAPTER, load_tuned
from workbench.lm.chat import Chat, Fitted
from workbench.lm.load import Precision, Quantise, resolve
from workbench.runs import read_json
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.rows import IntentTask, QloraContext

TASK = "task.json"
"""What a run's adapter was trained to do: prompt file, form and ids of answers. Beside the adapter."""
PROMPTS = "prompts"
"""The prompt file of a run, as it was trained with."""


@dataclass(frozen=True)
class Tuned:
    """A model with its adapter, and how to ask it for a class."""

    model: Any
    chat: Chat
    task: IntentTask
    max_length: int

    @classmethod
    def open(cls, run: Path, *, base: str = "", quantise: Quantise = "nf4", precision: Precision = "auto") -> "Tuned":
        """Load what `fit_qlora` left in a run folder.

        Args:
            run: the run folder.
            base: the base model where it is no longer where it was.
            quantise: how the base is loaded.
            precision: what is computed in.

        Raises:
            DataError: the run holds no adapter, or one that was not trained to name classes.
            ConfigError: the base cannot be loaded.
        """
        if not (run / TASK).is_file():
            raise DataError(
                f"{run} holds no tuned language model ({TASK} is missing).", "Name a run of --method qlora."
            )
        facts = read_json(run / TASK)
        if facts["task"] != "intent":
            raise DataError(
                f"The model of {run.name} was tuned for responses; it names no classes.",
                "Name a run of the task `intent`.",
            )
        model, tokenizer = load_tuned(
            run / ADAPTER, base=resolve(base or facts["base"]), quantise=quantise, precision=precision
        )
        config = QloraConfig(prompt=facts["prompt"], answer=facts["answer"], list_labels=facts["list_labels"])
        task = IntentTask(config, list(facts["ids"]), QloraContext(ids=facts["ids"], roots=(run,)))
        return cls(model, Chat.of(model, tokenizer), task, facts["max_length"])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `answers`."""
        return self.task.answers.labels

    def answers(self) -> list[list[int]]:
        """Ids of the answer of each class, end token included."""
        return [self.chat.answer(text) for text in self.task.answers.texts]

    def prompt(self, text: str) -> Fitted:
        """Ids of the prompt for a text, cut by turns where it is too long, with room for the longest answer."""
        return self.task.fit(self.chat, text, self.max_length - self.task.longest(self.chat))
