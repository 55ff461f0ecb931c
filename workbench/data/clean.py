"""Mend or drop rows: every step is a change with a slug, which can be counted, shown and taken back."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

from workbench.config import Strict
from workbench.errors import need
from workbench.records import Change, Sample, Turn
from workbench.similarity import near_duplicates

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_REPEATED = re.compile(r"([。！？!?,，、~～…\-—*#=])\1{3,}")
_SPACES = re.compile(r"[ \t\u00a0\u3000]{2,}")


class CleanConfig(Strict):
    """Settings of `wb data clean`."""

    near_duplicate: float = 0.95
    """Character ratio from which two rows of one class count as the same; 0 keeps near duplicates."""
    max_chars: int = 2000
    """Longer dialogues lose turns at the start, longer single texts are cut; 0 for no limit."""
    mojibake: bool = False
    """Undo wrong decodings (ftfy), as `ä½ å¥½` for `你好`."""
    simplified: bool = False
    """Turn traditional characters into simplified ones (extra `zh`)."""


Step = tuple[str, Callable[[str], str]]


def clean(samples: Sequence[Sample], config: CleanConfig) -> list[Change]:
    """The changes that cleaning would make, in order; nothing is changed here.

    Texts are mended first, then duplicates dropped: of rows with one label and the same text the first stays. Rows with
    the same text and different labels are both kept: which label is right is for a person to say.
    """
    steps = _steps(config)
    changes: list[Change] = []
    mended: list[Sample] = []
    for sample in samples:
        now = sample
        for slug, step in steps:
            turns = tuple(replace(turn, text=step(turn.text)) for turn in now.turns)
            if turns != now.turns:
                now = replace(now, turns=turns)
                changes.append(Change(sample.id, "turns", turns, slug))
        shorter = _cut(now.turns, config.max_chars)
        if shorter != now.turns:
            now = replace(now, turns=shorter)
            changes.append(Change(sample.id, "turns", shorter, "too_long"))
        if not any(turn.text.strip() for turn in now.turns):
            changes.append(Change(sample.id, "dropped", True, "empty_text"))
        else:
            mended.append(now)
    return changes + _duplicates(mended, config.near_duplicate)


def _steps(config: CleanConfig) -> list[Step]:
    steps: list[Step] = [
        ("html_entities", _unescape),
        ("control_characters", lambda text: _CONTROL.sub("", text)),
        ("lone_surrogates", lambda text: re.sub("[\ud800-\udfff]", "", text)),
        ("unicode_form", lambda text: unicodedata.normalize("NFC", text)),
        ("repeated_punctuation", lambda text: _REPEATED.sub(r"\1\1\1", text)),
        ("spaces", lambda text: _SPACES.sub(" ", text).strip()),
    ]
    if config.mojibake:
        from ftfy import fix_encoding

        steps.insert(0, ("mojibake", fix_encoding))
    if config.simplified:
        converter = need("opencc", extra="zh", feature="Turning traditional into simplified characters").OpenCC("t2s")
        steps.append(("traditional", converter.convert))
    return steps


def _unescape(text: str) -> str:
    """Undo HTML escapes, twice where they were escaped twice; `<br>` becomes a space."""
    once = html.unescape(html.unescape(text)) if "&" in text else text
    return re.sub(r"<br\s*/?>", " ", once, flags=re.IGNORECASE)


def _cut(turns: tuple[Turn, ...], limit: int) -> tuple[Turn, ...]:
    """Drop turns from the start until the rest fits: what the customer wants is more often said at the end."""
    if not limit:
        return turns
    kept = list(turns)
    while len(kept) > 1 and sum(len(turn.text) for turn in kept) > limit:
        kept.pop(0)
    if len(kept) == 1 and len(kept[0].text) > limit:
        kept[0] = replace(kept[0], text=kept[0].text[:limit])
    return tuple(kept)


def _duplicates(samples: Sequence[Sample], threshold: float) -> list[Change]:
    changes: list[Change] = []
    seen: set[tuple[str, str]] = set()
    rest: list[Sample] = []
    for sample in samples:
        key = (sample.text_id, sample.label)
        if key in seen:
            changes.append(Change(sample.id, "dropped", True, "exact_duplicate"))
        else:
            seen.add(key)
            rest.append(sample)
    if not threshold:
        return changes
    gone: set[int] = set()
    for i, j, _ in sorted(near_duplicates([sample.text for sample in rest], threshold)):
        if i not in gone and j not in gone and rest[i].label == rest[j].label:
            gone.add(j)
            changes.append(Change(rest[j].id, "dropped", True, "near_duplicate"))
    return changes
