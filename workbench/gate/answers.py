"""What a model answered to a question about one row: a score of 1 to 10, or the name of a class. Never a guess."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

LOWEST, HIGHEST = 1.0, 10.0
"""The scale that the prompt asks for."""
_SCORE_KEYS = ("score", "rating", "评分", "得分", "分数", "打分")
_LABEL_KEYS = ("label", "class", "intent", "意图", "类别", "标签")
_THOUGHT = re.compile(r"^\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
# No part of a longer number, and not the beginning or end of a range, as the scale repeated: 1-10.
_NUMBER = r"(?<![\d.\-~–])(\d{1,3}(?:\.\d{1,3})?)(?!\d|\.\d|\s*[-~–]\s*\d)"
_SCALE = re.compile(r"(?<!\d)1\s*(?:[-~–到至]|to)\s*10(?!\d)\s*分?|满分\s*[是为:]?\s*10(?!\d)\s*分?")
"""The scale itself, which models like to repeat."""
_TOLD = (
    re.compile(rf"(?:{'|'.join(_SCORE_KEYS)})[\"'*]*\s*(?:\([^)]{{0,20}}\)\s*)?(?:[:=]|is|为|是)?[\s\"'*]*{_NUMBER}"),
    re.compile(rf"{_NUMBER}\s*(?:/\s*10(?![\d.])|out of 10|分)"),
    re.compile(_NUMBER),
)
"""Ways to tell a score in words, the plainest first."""
_MARKS = " \t\r\n\"'`*.。,，:：;；「」『』“”‘’[]()"
_DECODER = json.JSONDecoder(strict=False)


def read_score(text: str) -> float | None:
    """The score of an answer: `{"score": 7}`, `7/10`, `评分：7`, `7`; None where there is none on the scale, or several."""
    body = _body(text)
    told = [_number(value[key]) for value in _objects(body) for key in _SCORE_KEYS if key in value]
    if told:
        return _only(told)
    words = _SCALE.sub(" ", body.casefold())
    for form in _TOLD:
        found = [float(number) for number in form.findall(words)]
        if found:
            return _only(found)
    return None


def read_label(text: str, labels: Sequence[str]) -> str | None:
    """The class that an answer names: as JSON, alone, or as the only one in a sentence; None where it is not one of `labels`."""
    body = _body(text)
    known = {_plain(label): label for label in labels}
    told = [value[key] for value in _objects(body) for key in _LABEL_KEYS if isinstance(value.get(key), str)]
    if told:
        named = {known.get(_plain(name)) for name in told}
        return named.pop() if len(named) == 1 else None
    if (alone := known.get(_plain(body))) is not None:
        return alone
    rest, found = _plain(body), []
    for name in sorted(known, key=len, reverse=True):  # a name may be part of a longer one
        if name and name in rest:
            found.append(known[name])
            rest = rest.replace(name, "\n")
    return found[0] if len(found) == 1 else None


def _body(text: str) -> str:
    return unicodedata.normalize("NFKC", _THOUGHT.sub("", text))


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip(_MARKS)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand in a text."""
    position = text.find("{")
    while position >= 0:
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):  # broken, a number of thousands of digits, or nested thousands deep
            end = position + 1
        else:
            yield value
        position = text.find("{", end)


def _number(value: Any) -> float | None:
    """A JSON value as a number; a string such as "7" or "7/10" is read, too."""
    if isinstance(value, str):
        return read_score(value) if "{" not in value else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6 else None


def _only(found: Sequence[float | None]) -> float | None:
    """The number that all of them are, where it is on the scale."""
    first = found[0]
    same = all(other == first for other in found)
    return first if same and first is not None and LOWEST <= first <= HIGHEST else None
