"""Candidate -> task: what a person sees of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.records import Review, Sample, Verdict
from workbench.review.shown import plain, shown

ODD = 0.2
"""A rule's score is worth showing where at most this share of the real rows has one as high."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside a row on the page."""

    evidence: Sequence[str] = ()
    """What the gate and the classifier say of it."""
    examples: Sequence[str] = ()
    """Real rows of its class."""
    against: str = ""
    """The class that it is to be told from, of a confusion pair."""
    against_examples: Sequence[str] = ()
    opinions: Sequence[str] = ()
    """What reviewers said who disagree."""
    doubt: float = 0.0
    """How odd it is, 0 or more: the order in which to look."""
    suggested: str = ""
    """The class that the classifier would give it instead."""
    certainty: float = 0.0
    """Probability of its own class, 0 to 1."""


def data(sample: Sample, uid: str, queue: str, reviewers: Sequence[str], beside: Beside) -> dict[str, Any]:
    """Task data for `label_configs/review.xml`."""
    return {
        "uid": uid,
        "text": shown([replace(turn, text=plain(turn.text)) for turn in sample.turns]),
        "label": sample.label,
        "queue": queue,
        "reviewers": f"|{'|'.join(reviewers)}|" if reviewers else "",
        "against": beside.against,
        "pair": pair(sample.label, beside.against) if beside.against else "",
        "doubt": round(beside.doubt, 3),
        "evidence": _texts(beside.evidence),
        "examples": _texts(beside.examples),
        "against_examples": _texts(beside.against_examples),
        "opinions": _texts(beside.opinions),
        "suggested": beside.suggested,
        "prompt": sample.origin.prompt.partition("@")[0] if sample.origin else "",
    }


def prediction(beside: Beside) -> list[dict[str, Any]]:
    """What stands filled in: the other class that the classifier finds most likely, hidden until `relabel` is chosen.

    The verdict never is: its hotkey would take the choice away again.
    """
    if not beside.suggested:
        return []
    choice = {"choices": [beside.suggested]}
    return [{"from_name": "new_label", "to_name": "text", "type": "choices", "value": choice}]


def evidence(verdicts: Sequence[Verdict], certainty: float, suggested: str, other: float) -> list[str]:
    """Sentences on what is odd about a row: the rules that find few real rows as odd, then the classifier."""
    told = [(v.tail, v) for v in verdicts if v.tail is not None and v.tail <= ODD and v.score is not None]
    odd = sorted(told, key=lambda item: item[0])
    said = [f"{v.rule}: {v.score:.2f}, as high in {tail:.0%} of the real rows" for tail, v in odd[:4]]
    if suggested:
        said.append(f"classifier: this class {certainty:.0%}, {suggested} {other:.0%}")
    return said


def pair(label: str, against: str) -> str:
    """The name of two classes that get mixed up, whichever way."""
    return " / ".join(sorted((label, against)))


def opinion(review: Review) -> str:
    """What a reviewer said, as a line without a name."""
    more = {"edit": review.text, "relabel": review.label, "reject": ", ".join(review.reasons)}.get(review.decision, "")
    return f"{review.decision}: {more}" if more else str(review.decision)


def _texts(lines: Sequence[str]) -> list[dict[str, str]]:
    return [{"text": line} for line in lines]
