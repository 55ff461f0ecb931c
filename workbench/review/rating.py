"""Answers of models and people who rate them: rows of a file -> answers, a sample of them -> tasks, annotation -> ratings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from workbench.config import Strict
from workbench.errors import DataError, one_of
from workbench.label_studio.markup import dimensions
from workbench.records import Reject, digest
from workbench.text import shorten

QUESTION = ("question", "prompt", "query", "dialogue", "messages", "turns", "instruction", "input", "问题", "对话")
ANSWER = ("answer", "response", "reply", "completion", "output", "回答", "回复")
MODEL = ("model", "system", "模型")
ID = ("id",)
SAID = ("text", "content", "value")
ROLE = ("role", "from", "speaker")
LOWEST, HIGHEST = 1, 5


class RatingConfig(Strict):
    """What people rate of the answers of models, and how many answers."""

    dimensions: tuple[str, ...] = Field(
        ("相关 relevance", "共情 empathy", "正确 correctness", "流畅 fluency", "安全 safety"), min_length=1
    )
    """What is rated from 1 to 5, as the page shows it."""
    raters: int = Field(2, ge=1)
    """How many people rate each answer."""
    sample: int = Field(0, ge=0)
    """Answers to rate, as many of each model as of the others; 0 for all."""
    question: str = ""
    """Column with the question: a text, or a list of turns. Found by its name where empty."""
    answer: str = ""
    """Column with the answer; likewise."""
    model: str = ""
    """Column with the model; likewise. Without one, all answers count as those of one model."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is rated: the page shows question and answer, and not whose it is."""

    uid: str
    question: str
    answer: str
    models: tuple[str, ...]
    """Who gave it; several where they said the same. An empty name where the file names none."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a file of answers came to."""

    answers: tuple[Answer, ...]
    rejects: tuple[Reject, ...]
    repeated: int
    """Rows that say what an earlier row says, of the same model: they are rated once."""


def answers(
    file: str, rows: Sequence[tuple[int, Mapping[str, Any]]], columns: Sequence[str], config: RatingConfig
) -> Answers:
    """The answers of a file. The same answer of two models to one question is rated once, and counts for both.

    Args:
        file: its name.
        rows: line and values of each record.
        columns: of the file.
        config: may name the columns.

    Raises:
        DataError: a column is missing.
    """
    question = _column("question", config.question, QUESTION, columns)
    answer = _column("answer", config.answer, ANSWER, columns)
    model = _column("model", config.model, MODEL, columns, optional=True)
    found: dict[str, Answer] = {}
    rejects, repeated = [], 0
    for line, values in rows:
        asked, said = _text(values.get(question)), _text(values.get(answer))
        if not asked.strip() or not said.strip():
            lacks = question if not asked.strip() else answer
            raw = json.dumps(values, ensure_ascii=False, default=str)
            rejects.append(Reject(file, line, "empty_text", f"The row has no text under {lacks!r}.", raw))
            continue
        name = str(values.get(model) or "").strip() if model else ""
        one = found.setdefault(digest("rating", asked, said), Answer(digest("rating", asked, said), asked, said, ()))
        repeated += name in one.models
        if name not in one.models:
            found[one.uid] = replace(one, models=(*one.models, name))
    return Answers(tuple(found.values()), tuple(rejects), repeated)


def _column(what: str, told: str, names: Sequence[str], columns: Sequence[str], *, optional: bool = False) -> str:
    if told and told not in columns:
        raise DataError(f"There is no column {told!r}, which review.rating.{what} names.", one_of(told, columns))
    by_name = {column.casefold(): column for column in reversed(columns)}
    found = told or next((by_name[name] for name in names if name in by_name), "")
    if not found and not optional:
        listed = shorten(", ".join(columns), 200)
        raise DataError(f"No column looks like the {what}; there are: {listed}.", f"Name it: review.rating.{what}")
    return found


def _text(value: Any) -> str:
    """A cell as the page shows it; of a list of turns, a line for each, with who speaks."""
    if isinstance(value, str) and value.lstrip().startswith("["):  # a list inside a CSV cell
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return str(value)
    if isinstance(value, list) and value and all(isinstance(turn, Mapping) for turn in value):
        return "\n".join(_turn(turn) for turn in value)
    if isinstance(value, list | Mapping):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _turn(turn: Mapping[str, Any]) -> str:
    role = next((str(turn[key]) for key in ROLE if turn.get(key)), "")
    said = next((str(turn[key]) for key in SAID if turn.get(key) is not None), "")
    return f"{role}: {said}" if role else said


def choose(found: Sequence[Answer], n: int, seed: int) -> list[Answer]:
    """A random sample, as many of each model as of the others; all where `n` is 0. A larger `n` only adds answers.

    Questions are put in one random order, and each model gives its answers in that order: models that answered the same questions
    are compared on the same ones. A model with too few answers gives all; the others make up for it.
    """
    if n <= 0 or n >= len(found):
        return list(found)
    ranked = sorted(found, key=lambda one: (digest(str(seed), one.question), digest(str(seed), one.uid)))
    queues: dict[str, list[Answer]] = {}
    for one in ranked:
        for model in one.models:
            queues.setdefault(model, []).append(one)
    chosen: dict[str, Answer] = {}
    for turn in range(len(ranked)):
        for model in sorted(queues):
            if turn < len(queues[model]) and len(chosen) < n:
                one = queues[model][turn]
                chosen.setdefault(one.uid, one)
    return list(chosen.values())


def task(one: Answer) -> dict[str, Any]:
    """Data of the task: nothing of it tells the model."""
    return {"uid": one.uid, "question": one.question, "answer": one.answer}


def read(result: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, int]:
    """Dimension -> rating, of those that were rated.

    Raises:
        ValueError: slug and sentence, where the annotation says something that cannot be.
    """
    controls = {control: name for name, control in dimensions(names).items()}
    found: dict[str, int] = {}
    for item in result:
        name = str(item.get("from_name", ""))
        if name not in controls:
            raise ValueError("unknown_control", f"The annotation has {name!r}, which is no dimension of this rating.")
        stars = (item.get("value") or {}).get("rating")
        if isinstance(stars, bool) or not isinstance(stars, int) or not LOWEST <= stars <= HIGHEST:
            raise ValueError("no_rating", f"{controls[name]} holds {stars!r}, and not a number from 1 to 5.")
        found[controls[name]] = stars
    if not found:
        raise ValueError("no_rating", "The annotation rates nothing.")
    return found
