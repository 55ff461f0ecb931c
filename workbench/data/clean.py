"""Mend or drop rows: every step is a change with a slug, which can be counted, shown and taken back."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from workbench.config import Strict
from workbench.errors import need
from workbench.records import Change, Sample, Turn
from workbench.similarity import near_duplicates

# Control characters but tab and line ends, soft hyphen, zero-width and direction marks. A joiner inside an emoji or an Indic
# or Arabic word is part of it.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
    r"|(?<![\u0600-\u0dff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_BREAK = re.compile(r"<(?:br|/p|/div|/li)\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:p|div|span|a|b|i|u|em|strong|font|ul|ol|li)(?:\s[^<>]*=[^<>]*)?\s*>", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")
_REPEATED = re.compile(r"([。！？!?,，、；;：~～…])\1{3,}")
_SPACES = re.compile(r"[ \t\u00a0\u3000]{2,}|[\t\u00a0\u3000]")
# Letters and digits only: full-width ！ ， （ are Chinese punctuation and stay.
_HALF_WIDTH = {
    code: code - 0xFEE0
    for first, last in ((0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A))
    for code in range(first, last + 1)
}
_SENTENCE_END = re.compile(r"[。！？!?\n]")
# A row of train goes rather than its twin in test: the test split stays as it is.
_KEPT_FIRST = ("test", "dev", "train", "pool")


class CleanConfig(Strict):
    """Settings of `wb data clean`."""

    near_duplicate: float = Field(default=0.95, ge=0, le=1)
    """Character ratio (0 to 1) from which two rows of one class count as the same; 0 keeps near duplicates."""
    max_chars: int = Field(default=2000, ge=0)
    """Longest text in characters; a longer dialogue loses whole turns. 0 for no limit."""
    keep: Literal["start", "end"] = "start"
    """Which end of an over-long text stays: callers mostly say at the start what they want."""
    half_width: bool = True
    """Turn full-width letters and digits (`５Ｇ`) into half-width ones (`5G`)."""
    mojibake: bool = False
    """Undo wrong decodings (ftfy), as `ä½ å¥½` for `你好`."""
    simplified: bool = False
    """Turn traditional characters into simplified ones (extra `zh`)."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """The changes that cleaning would make, and what has to be said about the rest."""

    changes: list[Change]
    notes: list[str]


Step = tuple[str, Callable[[str], str]]


def clean(samples: Sequence[Sample], config: CleanConfig) -> Cleaning:
    """The changes that cleaning would make, in order; nothing is changed here.

    Texts are mended first, then duplicates dropped: of rows with one label and the same text one stays, that of test
    before that of dev before that of train, else the first. Rows with the same text and different labels are both kept:
    which label is right is for a person to say.

    Raises:
        MissingExtra: `simplified` is set and opencc is not installed.
    """
    steps = _steps(config)
    changes: list[Change] = []
    mended: list[Sample] = []
    for sample in samples:
        turns = sample.turns
        for slug, step in steps:
            now = tuple(replace(turn, text=step(turn.text)) for turn in turns)
            if now != turns:
                turns = now
                changes.append(Change(sample.id, "turns", turns, slug))
        shorter = _cut(turns, config.max_chars, config.keep)
        if shorter != turns:
            turns = shorter
            changes.append(Change(sample.id, "turns", turns, "too_long"))
        if any(turn.text.strip() for turn in turns):
            mended.append(sample if turns is sample.turns else replace(sample, turns=turns))
        else:
            changes.append(Change(sample.id, "dropped", True, "empty_text"))
    dropped, notes = _duplicates(mended, config.near_duplicate)
    return Cleaning(changes + dropped, notes)


def _steps(config: CleanConfig) -> list[Step]:
    steps: list[Step] = [
        ("html", _unescape),
        ("control_characters", lambda text: _CONTROL.sub("", text)),
        ("lone_surrogates", lambda text: _SURROGATE.sub("", text)),
        ("unicode_form", lambda text: unicodedata.normalize("NFC", text)),
        ("repeated_punctuation", lambda text: _REPEATED.sub(r"\1\1\1", text)),
        ("spaces", _spaces),
    ]
    if config.half_width:
        steps.append(("half_width", lambda text: text.translate(_HALF_WIDTH)))
    if config.mojibake:
        from ftfy import fix_encoding

        steps.insert(0, ("mojibake", fix_encoding))
    if config.simplified:
        converter = need("opencc", extra="zh", feature="Turning traditional into simplified characters").OpenCC("t2s")
        steps.append(("simplified", converter.convert))
    return steps


def _unescape(text: str) -> str:
    """Undo HTML: entities, twice where they were escaped twice, then breaks (to a space) and the commonest tags.

    Only entities that end in a semicolon: `?a=1&copy=2` is an address and not a copyright sign.
    """
    for _ in range(2):
        text = _ENTITY.sub(lambda match: html.unescape(match.group()), text) if "&" in text else text
    return _TAG.sub("", _BREAK.sub(" ", text)) if "<" in text else text


def _spaces(text: str) -> str:
    return _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _cut(turns: tuple[Turn, ...], limit: int, keep: str) -> tuple[Turn, ...]:
    """Drop turns from one end until the rest fits; a single turn that is too long is cut after a sentence."""
    if not limit or sum(len(turn.text) for turn in turns) <= limit:
        return turns
    kept = list(turns)
    while len(kept) > 1 and sum(len(turn.text) for turn in kept) > limit:
        kept.pop(0 if keep == "end" else -1)
    if len(kept[0].text) > limit:
        kept[0] = replace(kept[0], text=_cut_text(kept[0].text, limit, keep))
    return tuple(kept)


def _cut_text(text: str, limit: int, keep: str) -> str:
    """At most `limit` characters, up to a sentence's end where one leaves at least half of them."""
    if keep == "end":
        rest = text[-limit:]
        ends = [m.end() for m in _SENTENCE_END.finditer(rest) if m.end() <= limit // 2]
        return rest[ends[0] :] if ends else rest
    rest = text[:limit]
    ends = [m.end() for m in _SENTENCE_END.finditer(rest) if m.end() >= limit // 2]
    return rest[: ends[-1]] if ends else rest


def _duplicates(samples: Sequence[Sample], threshold: float) -> tuple[list[Change], list[str]]:
    order = sorted(samples, key=lambda sample: _KEPT_FIRST.index(sample.split))
    changes: list[Change] = []
    seen: dict[tuple[str, str], Sample] = {}
    rest: list[Sample] = []
    for sample in order:
        kept = seen.setdefault((sample.text_id, sample.label), sample)
        if kept is sample:
            rest.append(sample)
        else:
            changes.append(_drop(sample, kept, "exact_duplicate"))
    twins, conflicts = _near(rest, threshold)
    changes += twins
    return changes, _notes(changes, conflicts)


def _near(samples: Sequence[Sample], threshold: float) -> tuple[list[Change], int]:
    """Near duplicates within a class dropped, and how many rows say the same as one of another class."""
    pairs = near_duplicates([sample.text for sample in samples], threshold) if threshold else []
    labels: dict[str, set[str]] = {}
    for sample in samples:
        labels.setdefault(sample.text_id, set()).add(sample.label)
    conflicts = {i for i, sample in enumerate(samples) if len(labels[sample.text_id] - {""}) > 1 and sample.label}
    changes: list[Change] = []
    gone: set[int] = set()
    for i, j, _ in sorted(pairs):
        left, right = samples[i], samples[j]
        if left.label != right.label:
            conflicts |= {i, j} if left.label and right.label else set()
        elif i not in gone and j not in gone:
            gone.add(j)
            changes.append(_drop(right, left, "near_duplicate"))
    return changes, len(conflicts - gone)


def _drop(sample: Sample, kept: Sample, slug: str) -> Change:
    return Change(sample.id, "dropped", True, slug if sample.split == kept.split else f"{slug}_of_{kept.split}")


def _notes(changes: Sequence[Change], conflicts: int) -> list[str]:
    notes = []
    if conflicts:
        notes.append(
            f"{conflicts} rows say (nearly) the same under different labels and stay; `wb diagnose` lists them"
        )
    elsewhere = sum("_of_" in change.reason for change in changes)
    if elsewhere:
        notes.append(
            f"{elsewhere} dropped rows have a twin in another split: test keeps its row before dev before train"
        )
    return notes
