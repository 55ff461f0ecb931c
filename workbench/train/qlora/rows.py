"""From rows to token ids: what is asked and answered by each task, which rows a run sees, and in which order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workbench import prompts
from workbench.errors import DataError
from workbench.lm.answers import AnswerForm, Answers
from workbench.lm.chat import Chat, Example, Fitted, fit
from workbench.records import SEP, Sample, Turn
from workbench.tokens import TOPIC, Vocabulary, escape, token, unescape
from workbench.tokens.vocabulary import CHAT
from workbench.train.qlora.config import QloraConfig


@dataclass(frozen=True)
class QloraContext:
    """What a bench knows beside the rows."""

    ids: Mapping[str, str] = field(default_factory=dict)
    """Class -> the number that the data give it."""
    vocabulary: Vocabulary | None = None
    """Tags of annotated dialogues; the task `response` needs it."""
    roots: tuple[Path, ...] = ()
    """Folders whose `prompts/` go before the shipped ones."""
    seed: int = 0
    """Order of rows, dropout, the adapter's beginning, the choice of dev rows."""
    pilot: float = 1.0
    """Share of the rows that was kept for a pilot: `steps`, where set, are cut to it too."""
    retry_smaller: bool = False
    """Out of memory: go on with a smaller batch and more accumulation; else stop with advice."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An encoded row and its class; the class is empty where an answer is free text."""

    id: str
    label: str
    example: Example


class IntentTask:
    """`对话：...` in, `意图：{id}：{name}` out."""

    def __init__(self, config: QloraConfig, labels: Sequence[str], context: QloraContext) -> None:
        """Args: the settings, the classes in the order of their columns, and the numbers that the data give them.

        Raises:
            DataError: two classes have the same answer.
            ConfigError: there is no such prompt file.
        """
        self._config = config
        self._prompt = prompts.load(config.prompt_file, context.roots)
        self.answers = Answers.of(labels, context.ids, AnswerForm(config.answer))
        self._listed = list(self.answers.texts) if config.list_labels else []

    def fit(self, chat: Chat, text: str, room: int) -> Fitted:
        """Ids of the prompt that asks for the class of a text, cut by turns.

        A text cannot hold a special token: `<|` is escaped as in rendered dialogues.
        """
        turns = [escape(turn) for turn in text.split(SEP)]
        return fit(
            lambda some: chat.prompt(self._prompt.messages({"text": SEP.join(some), "answers": self._listed})),
            turns,
            room,
        )

    def encode(self, chat: Chat, row: Sample) -> Iterator[Asked]:
        """The one example of a row."""
        answer = chat.answer(self.answers.text(row.label))
        fitted = self.fit(chat, row.text, self._config.max_length - len(answer))
        yield Asked(row.id, row.label, _example(fitted, answer))

    def longest(self, chat: Chat) -> int:
        """Tokens of the longest answer."""
        return max(len(chat.answer(text)) for text in self.answers.texts)


class ResponseTask:
    """A dialogue up to a turn of the speaker in, the tags and the text of that turn out.

    Turns of the speaker are the assistant's, `system` is the system's, all others are the user's. A role of the vocabulary that
    chat templates do not know stands as its token in front of the tags.
    """

    def __init__(self, config: QloraConfig, context: QloraContext) -> None:
        """Args: the settings, and the vocabulary of tags.

        Raises:
            DataError: there is no vocabulary.
            ConfigError: there is no such prompt file.
        """
        if context.vocabulary is None:
            raise DataError(
                "Tuning responses needs the vocabulary of tags, and there is none.",
                "Name a tags file in wb.yaml: tokens: {file: tags.json}",
            )
        self._config, self._vocabulary = config, context.vocabulary
        self._prompt = prompts.load(config.prompt_file, context.roots)

    @property
    def tokens(self) -> list[str]:
        """Special tokens that the model gets."""
        return self._vocabulary.special_tokens()

    def words(self) -> dict[str, str]:
        """Token -> what it means, for those whose meaning is given."""
        known = self._vocabulary
        found = {token(f"{TOPIC}_{value}"): meaning for value, meaning in known.topics.items() if meaning}
        for fields in known.roles.values():
            for name, values in fields.items():
                found |= {token(f"{name}_{value}"): meaning for value, meaning in values.items() if meaning}
        return found

    def encode(self, chat: Chat, row: Sample) -> Iterator[Asked]:
        """An example for each turn of the speaker that has something before it."""
        for n, turn in enumerate(row.turns):
            if turn.role != self._config.speaker or n == 0:
                continue
            answer = chat.answer(self.written(turn))
            room = self._config.max_length - len(answer)
            if room < 1:
                raise DataError(
                    f"Row {row.id}, turn {n}: the answer alone has {len(answer)} tokens; max_length is "
                    f"{self._config.max_length}.",
                    "Raise train.qlora.max_length: answers are never cut.",
                )
            yield Asked(f"{row.id}:{n}", "", _example(self.fit(chat, row, n, room), answer))

    def fit(self, chat: Chat, row: Sample, turn: int, room: int) -> Fitted:
        """Ids of the prompt that asks for a turn, cut by turns."""
        before = row.turns[:turn]
        topic = str(row.meta.get(TOPIC) or (row.label if row.label in self._vocabulary.topics else ""))
        topic = token(f"{TOPIC}_{topic}") if topic in self._vocabulary.topics else ""
        texts = [self.written(one) for one in before]
        roles = [self._role(one) for one in before]

        def render(some: Sequence[str]) -> list[int]:
            turns = zip(roles[len(roles) - len(some) :], some, strict=True)
            head = [m for m in self._prompt.messages({"topic": topic}) if m["role"] == "system"]
            return chat.prompt([*head, *({"role": role, "content": text} for role, text in turns)])

        return fit(render, texts, room)

    def written(self, turn: Turn) -> str:
        """Tags and text of a turn; values that the vocabulary does not know are left out."""
        fields = self._vocabulary.fields(turn.role)
        role = token(turn.role) if turn.role not in CHAT and turn.role in self._vocabulary.roles else ""
        tags = [token(f"{name}_{turn.tags[name]}") for name in fields if turn.tags.get(name) in fields[name]]
        return role + "".join(tags) + escape(turn.text)

    def read(self, answer: str) -> tuple[dict[str, str], str]:
        """Tags and text of an answer; tokens that are no tags of the speaker stay in the text."""
        tags: dict[str, str] = {}
        rest = answer.removeprefix(token(self._config.speaker))
        while rest.startswith("<|"):
            body, close, behind = rest[2:].partition("|>")
            found = self._vocabulary.split(self._config.speaker, body) if close else None
            if found is None:
                break
            tags[found[0]], rest = found[1], behind
        return tags, unescape(rest)

    def _role(self, turn: Turn) -> str:
        if turn.role == self._config.speaker:
            return "assistant"
        return "system" if turn.role == "system" else "user"


Task = IntentTask | ResponseTask


def task_of(config: QloraConfig, rows: Sequence[Sample], context: QloraContext) -> Task:
    """What is to be learned.

    Raises:
        DataError: there are fewer than two classes, or no vocabulary.
    """
    if config.task == "response":
        return ResponseTask(config, context)
    labels = sorted({row.label for row in rows})
    if len(labels) < 2:
        raise DataError(f"The training rows have {len(labels)} class.", "Add rows of at least two classes.")
    return IntentTask(config, labels, context)


def encode_all(task: Task, chat: Chat, rows: Sequence[Sample]) -> list[Asked]:
    """Every example of the rows.

    Raises:
        DataError: there is none.
    """
    found = [asked for row in rows for asked in task.encode(chat, row)]
    if not found:
        raise DataError(
            f"None of {len(rows)} rows has something to learn.",
            "The task `response` needs dialogues with turns of the speaker.",
        )
    return found


def cuts(rows: Sequence[Asked]) -> dict[str, int]:
    """How many examples were cut, and by how much."""
    return {
        "rows_cut": sum(bool(one.example.turns_cut or one.example.characters_cut) for one in rows),
        "turns_cut": sum(one.example.turns_cut for one in rows),
        "characters_cut": sum(one.example.characters_cut for one in rows),
    }


@dataclass(frozen=True)
class Plan:
    """The order in which rows are seen, for a whole training: so that a run that goes on sees what it would have seen."""

    order: tuple[int, ...]
    steps: int
    per_step: int
    """Rows of one step, over all devices."""
    epoch: float
    """Passes over the rows that one step is."""


def plan(config: QloraConfig, rows: Sequence[Asked], context: QloraContext, devices: int = 1) -> Plan:
    """Draw the order. Batches, and only they, depend on the length of rows; the rows of a step do not depend on how it is split.

    Args:
        config: batch, accumulation, epochs or steps, balance.
        rows: to be seen.
        context: seed, and whether this is a pilot.
        devices: processes that share a step.
    """
    per_step = config.batch * config.accumulation * devices
    steps = round(config.steps * context.pilot) if config.steps else -(-round(len(rows) * config.epochs) // per_step)
    wanted = max(1, steps) * per_step
    order: list[int] = []
    epoch = 0
    while len(order) < wanted:
        random = np.random.default_rng([context.seed, epoch])
        order += _balanced(rows, random) if config.balanced else random.permutation(len(rows)).tolist()
        epoch += 1
    order = order[:wanted]
    if config.group_by_length:
        order = _grouped(
            order, [len(one.example) for one in rows], per_step, np.random.default_rng([context.seed, 1 << 20])
        )
    return Plan(tuple(order), wanted // per_step, per_step, per_step / len(rows))


def _balanced(rows: Sequence[Asked], random: np.random.Generator) -> list[int]:
    """As many rows as there are, every class equally often; a row comes again only when all of its class came."""
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row.label, []).append(i)
    each = -(-len(rows) // len(groups))
    drawn: list[int] = []
    for label in sorted(groups):
        own: list[int] = []
        while len(own) < each:
            own += random.permutation(groups[label]).tolist()
        drawn += own[:each]
    return [drawn[i] for i in random.permutation(len(drawn))[: len(rows)]]


def _grouped(order: list[int], lengths: Sequence[int], size: int, random: np.random.Generator) -> list[int]:
    """Steps of rows of similar length, the longest first: sorted within 32 steps at a time, the steps shuffled again."""
    reach = 32 * size
    found: list[int] = []
    for start in range(0, len(order), reach):
        some = sorted(order[start : start + reach], key=lambda i: -lengths[i])
        steps = [some[i : i + size] for i in range(0, len(some), size)]
        found += [i for n in random.permutation(len(steps)) for i in steps[n]]
    return found


def collate(rows: Sequence[Example], pad: int) -> dict[str, Any]:
    """A batch, padded on the left: all answers stand at the right end, so that the output layer is computed there only.

    Returns:
        input_ids, attention_mask, position_ids, labels [n, longest]; labels are -100 where nothing is learned. Where no row is
        padded there is no mask, which lets attention take its fast path.
    """
    import torch

    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = torch.tensor((*row.prompt, *row.answer))
        mask[i, longest - len(row) :] = 1
        labels[i, longest - len(row.answer) :] = torch.tensor(row.answer)
    batch = {"input_ids": ids, "labels": labels}
    if all(len(row) == longest for row in rows):
        return batch
    return batch | {"attention_mask": mask, "position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0)}


def _example(fitted: Fitted, answer: Sequence[int]) -> Example:
    return Example(fitted.ids, tuple(answer), fitted.turns_cut, fitted.characters_cut)
