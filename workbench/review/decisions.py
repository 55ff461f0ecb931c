"""Annotation -> review: what a person said of a candidate."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from workbench.ledger import Annotation, Asked
from workbench.records import DECISIONS, Review

ADJUDICATE = "adjudicate"
"""The queue of rows that people disagree about; what is said there is final."""


def read(annotation: Annotation, asked: Asked, labels: Collection[str]) -> Review:
    """The review that an annotation of `label_configs/review.xml` holds.

    Raises:
        ValueError: slug and sentence, where it decides nothing, or says less than its decision needs.
    """
    at, seconds, final = annotation.updated, annotation.seconds, asked.queue == ADJUDICATE
    if annotation.skipped:
        return Review(asked.sample, asked.uid, "skip", annotation.annotator, at, seconds, final=final)
    values = _values(annotation.result)
    verdict = _choices(values.get("verdict"))
    if len(verdict) != 1 or verdict[0] not in DECISIONS:
        raise ValueError(
            "no_verdict", f"The verdict is {verdict or 'missing'}; it must be one of {', '.join(DECISIONS)}."
        )
    decision = next(known for known in DECISIONS if known == verdict[0])
    text, label = "", ""
    if decision == "edit":
        text = _text(values.get("edited_text"))
        if not text.strip():
            raise ValueError("empty_edit", "The verdict is `edit`, and no text is left.")
    if decision == "relabel":
        chosen = _choices(values.get("new_label"))
        if len(chosen) != 1:
            raise ValueError("no_label", "The verdict is `relabel`, and no class is chosen.")
        if chosen[0] not in labels:
            raise ValueError("unknown_class", f"The verdict is `relabel`, and this bench has no class {chosen[0]!r}.")
        label = chosen[0]
    reasons = tuple(_choices(values.get("reject_reason"))) if decision == "reject" else ()
    stars = values.get("naturalness", {}).get("rating")
    return Review(
        asked.sample,
        asked.uid,
        decision,
        annotation.annotator,
        at,
        seconds,
        text,
        label,
        reasons,
        int(stars) if isinstance(stars, int | float) and 1 <= stars <= 5 else None,
        final,
    )


def _values(result: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Control -> its value; where a control stands twice, the last one counts."""
    return {
        str(item.get("from_name")): item["value"]
        for item in result
        if isinstance(item, Mapping) and isinstance(item.get("value"), Mapping)
    }


def _choices(value: Mapping[str, Any] | None) -> list[str]:
    """Values of a choice; of a tree of choices, the leaf of each path."""
    found = (value or {}).get("choices") or (value or {}).get("taxonomy") or []
    return [str(item[-1]) if isinstance(item, list) and item else str(item) for item in found]


def _text(value: Mapping[str, Any] | None) -> str:
    """A typed text; several submitted pieces are lines."""
    found = (value or {}).get("text", "")
    return "\n".join(map(str, found)) if isinstance(found, list) else str(found)
