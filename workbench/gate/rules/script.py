"""Rows in another writing system than the real rows: English among Chinese, kana, traditional among simplified characters."""

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import ClassVar, Literal
from unicodedata import normalize

import numpy as np

from workbench.gate.base import Floats, Rows, Score
from workbench.records import Sample

_SCRIPTS = {
    "latin": r"A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "kana": r"\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "hangul": r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "cyrillic": r"\u0400-\u052f",
    "greek": r"\u0370-\u03ff",
    "arabic": r"\u0600-\u06ff\u0750-\u077f",
    "hebrew": r"\u0590-\u05ff",
    "devanagari": r"\u0900-\u097f",
    "thai": r"\u0e00-\u0e7f",
}
_LETTERS = {name: re.compile(f"[{ranges}]") for name, ranges in _SCRIPTS.items()}
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
OTHER = "other"
"""All further scripts together."""


class Script(Score):
    """Share of the letters that are of a script which the real rows do not use, or use less (0 to 1).

    Simplified and traditional characters count as two scripts: a character that GB 2312 has and Big5 lacks is simplified,
    one that Big5 has and GB 2312 lacks is traditional; the rarer of both among the real rows is the foreign one.
    """

    kind: Literal["script"] = "script"
    floor: ClassVar[float] = 0.05

    def score(self, rows: Rows, others: Rows) -> Floats:
        """[n] share of foreign letters; NaN where a row has no letters."""
        usual = others.once("scripts", lambda: _usual(others))
        foreign = "traditional" if usual.get("traditional", 0) <= usual.get("simplified", 0) else "simplified"
        expected = _merged(usual, foreign)
        return np.array([_surplus(_merged(_shares(s), foreign), expected) for s in rows.samples], dtype=np.float32)


def _usual(others: Rows) -> Mapping[str, float]:
    total: Counter[str] = Counter()
    for sample in others.samples:
        total.update(_shares(sample))
    return {name: value / max(1, len(others)) for name, value in total.items()}


def _shares(sample: Sample) -> Mapping[str, float]:
    """Script -> share of the letters, in one row."""
    text = normalize("NFKC", "".join(turn.text for turn in sample.turns))
    counts = Counter(_script(char) for char in text)
    counts.pop("", None)
    whole = sum(counts.values())
    return {name: n / whole for name, n in counts.items() if n} if whole else {}


def _merged(shares: Mapping[str, float], foreign: str) -> Mapping[str, float]:
    """Han characters as one script, but for the foreign ones."""
    han = sum(shares.get(name, 0.0) for name in ("han", "simplified", "traditional") if name != foreign)
    rest = {name: share for name, share in shares.items() if name in _SCRIPTS or name in (OTHER, foreign)}
    return {**rest, "han": han} if shares else {}


def _surplus(shares: Mapping[str, float], expected: Mapping[str, float]) -> float:
    if not shares:
        return float("nan")
    return sum(
        max(0.0, share - expected.get(name, 0.0)) for name, share in shares.items() if expected.get(name, 0.0) < 0.5
    )


@cache
def _script(char: str) -> str:
    """The script of a letter, empty for what is none."""
    if _HAN.match(char):
        return _orthography(char)
    return next((name for name, pattern in _LETTERS.items() if pattern.match(char)), OTHER if char.isalpha() else "")


def _orthography(char: str) -> str:
    simplified, traditional = _has(char, "gb2312"), _has(char, "big5")
    if simplified == traditional:
        return "han"
    return "simplified" if simplified else "traditional"


def _has(char: str, charset: str) -> bool:
    try:
        char.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
