"""Which control of a label config the model fills, and with what: tasks in, Label Studio's predictions out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.errors import DataError
from workbench.predictor import Predictor
from workbench.serve.controls import Asked, asked
from workbench.text import shorten

VERDICT = "verdict"
"""A person's decision, never pre-filled: the hotkey of a pre-selected choice switches it off."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What goes back to Label Studio, and what could not be answered."""

    results: list[Any]
    """One entry a task, in their order: a prediction, or an empty list where there is none to make."""
    without_text: int
    """Tasks whose text is missing, not a text, or blank."""
    without_class: int
    """Tasks that offer no class which the model knows."""


def control(config: str, labels: Sequence[str]) -> Asked:
    """The control that the model fills: the one whose choices are among its classes, given in the config or by the tasks.

    Fixed choices win over those that only the tasks tell. In the review config that is `new_label`.

    Raises:
        ConfigError: the config is not readable.
        DataError: it has no such control, or more than one.
    """
    known = set(labels)
    found = [one for one in asked(config) if one.control.name != VERDICT]
    fixed = [one for one in found if _shared(one.control.choices, known)]
    fitting = fixed or [one for one in found if one.control.options]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(one.control.name for one in fitting)
        raise DataError(
            f"The label config has {len(fitting)} controls that take classes of the model: {names}.",
            "Keep one <Choices> with classes of the model, or serve a model whose classes only one of them has.",
        )
    offered = shorten(", ".join(choice for one in found for choice in one.control.choices), 80)
    raise DataError(
        "The label config has no <Choices> with classes of the model"
        + (f"; its choices are: {offered}." if offered else "."),
        f"Give one <Choices> on a text these values: {shorten(', '.join(labels), 120)}",
    )


def _shared(choices: Sequence[str], known: set[str]) -> bool:
    """Whether these are classes: two of them at least, or all; a lone `other` in common says nothing."""
    common = known.intersection(choices)
    return len(common) >= 2 or (bool(common) and len(common) == len(choices))


def fill(predictor: Predictor, config: str, tasks: Sequence[Mapping[str, Any]]) -> Filled:
    """Predictions for tasks, all texts in one call of the model.

    The score is the probability of the class that is shown: lowest first is most uncertain first. It is not scaled up to the
    classes that a task offers, so that a text which belongs to none of them is uncertain.

    Raises:
        ConfigError, DataError: see `control`.
    """
    target = control(config, predictor.labels)
    data = [_data(task) for task in tasks]
    texts = [target.text(one) for one in data]
    rows = [i for i, text in enumerate(texts) if text.strip()]
    probabilities = predictor.predict([texts[i] for i in rows]) if rows else np.zeros((0, len(predictor.labels)))
    column = {label: i for i, label in enumerate(predictor.labels)}
    # No prediction at all, rather than an empty one: that would have no score, and sort before every doubtful task.
    results: list[Any] = [[] for _ in tasks]
    without_class = 0
    for i, row in zip(rows, probabilities, strict=True):
        offered = [column[name] for name in target.offered(data[i]) if name in column]
        if not offered:
            without_class += 1
            continue
        best = max(offered, key=lambda j: float(row[j]))
        results[i] = {
            "result": [target.result(predictor.labels[best])],
            "score": float(row[best]),
            "model_version": predictor.version,
        }
    return Filled(results, len(tasks) - len(rows), without_class)


def _data(task: Mapping[str, Any]) -> Mapping[str, Any]:
    data = task.get("data")
    return data if isinstance(data, Mapping) else {}
