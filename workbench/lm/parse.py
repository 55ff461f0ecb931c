"""Which class a freely written answer names: `意图：5：投诉`, `5`, `投诉`, `意图：投诉`, JSON, each with chatter around it.

What stands nearest to the agreed form decides: the whole answer, then JSON, then what follows a marker as `意图：`, then the only
class that is mentioned at all, then the only number that is an id. Two classes at the same place are no answer: to guess would
flatter the model.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Form = Literal["exact", "json", "marked", "mentioned", "number", "ambiguous", "unknown", "empty"]
_MARKER = re.compile(
    r"(?:意图|类别|标签|分类|答案|选择|(?<![a-z])(?:intent|label|class|category|answer))"
    r"\s*(?:(?:是|为|\bis\b)\s*[:=]?|[:=])\s*"
)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_EDGES = " \t\r\n\"'`*_.,;:!?。，；、！？“”‘’「」『』【】[]()（）<>《》"
_NUMBER = re.compile(r"(?<![\w.\-])\d+(?![\w\-]|\.\d)")
_JSON_KEYS = ("意图", "类别", "标签", "分类", "intent", "label", "class", "category", "name", "名称", "id", "编号")


@dataclass(frozen=True, slots=True)
class Read:
    """What an answer was taken for."""

    label: str | None
    """The class; None where there is none or several."""
    form: Form
    """Where it stood; `ambiguous`, `unknown` (a text that names no class) or `empty` where there is no label."""


@dataclass(frozen=True)
class AnswerReader:
    """Reads answers of a model that was asked for one of these classes."""

    ids: Mapping[str, str]
    """Class -> the id it has in answers; an empty id where it has none."""

    def read(self, text: str) -> Read:
        """The class that an answer names. Never an error: a model may write anything."""
        plain = _plain(_THOUGHT.sub(" ", text))
        bare = plain.strip(_EDGES)
        if not plain.strip():
            return Read(None, "empty")
        if label := self._value(plain) or self._value(bare):
            return Read(label, "exact")
        for form, found in (
            ("json", self._in_json(plain)),
            ("marked", self._marked(plain)),
            ("mentioned", self._mentioned(plain)),
            ("number", self._numbers(plain)),
        ):
            if len(found) == 1:
                return Read(found.pop(), form)  # type: ignore[arg-type]  # the literals above
            if found:
                return Read(None, "ambiguous")
        return Read(None, "unknown")

    def _value(self, text: str) -> str | None:
        """The class of a text that is nothing but a name, or an id."""
        names = self._names.get(text.strip(), ())
        if len(names) == 1:
            return names[0]
        found = self._by_id.get(text.strip(), ()) if not names else ()
        return found[0] if len(found) == 1 else None

    def _in_json(self, text: str) -> set[str]:
        """Classes named by the values of JSON objects in the text; where id and name disagree, both."""
        found: set[str] = set()
        for value in _objects(text):
            wanted = [value[key] for key in value if key in _JSON_KEYS] or list(value.values())
            texts = [_plain(str(one)) for one in wanted if isinstance(one, str | int)]
            for one in texts:
                found |= {label} if (label := self._value(one)) else self._led(one)
        return found

    def _marked(self, text: str) -> set[str]:
        """Classes that stand right behind a marker; where its number and its name disagree, both."""
        found: set[str] = set()
        for marker in _MARKER.finditer(text):
            found |= self._led(text[marker.end() :].lstrip(_EDGES))
        return found

    def _led(self, text: str) -> set[str]:
        """The class that a text begins with: `5:投诉...`, `投诉...` or `5...`; two where number and name disagree."""
        line = text.split("\n", 1)[0]
        number = re.match(r"(\w+)\s*[:.、,\-]\s*", line)
        by_id = self._by_id.get(number[1], ()) if number else ()
        name = self._begins(line[number.end() :]) if number and by_id else None
        if name:
            return {name} if name in by_id else {name, by_id[0]}
        if first := self._begins(line):
            return {first}
        alone = re.match(r"\w+", line)
        found = self._by_id.get(alone[0], ()) if alone else ()
        return set(found) if len(found) == 1 else set()

    def _begins(self, line: str) -> str | None:
        """The class whose name is the longest that a line begins with."""
        found = self._mention.match(line)
        labels = self._names[found[0]] if found else ()
        return labels[0] if len(labels) == 1 else None

    def _mentioned(self, text: str) -> set[str]:
        return {label for found in self._mention.finditer(text) for label in self._names[found[0]]}

    def _numbers(self, text: str) -> set[str]:
        """Classes whose ids stand alone in the text; of "2 of 34 classes: 5" all of them, since any may be the answer."""
        return {label for number in set(_NUMBER.findall(text)) for label in self._by_id.get(number, ())}

    @cached_property
    def _names(self) -> dict[str, tuple[str, ...]]:
        """Name as it is compared -> classes with it."""
        found: dict[str, tuple[str, ...]] = {}
        for label in self.ids:
            key = _plain(label).strip()
            found[key] = (*found.get(key, ()), label)
        return found

    @cached_property
    def _by_id(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for label, number in self.ids.items():
            if number:
                key = _plain(number).strip()
                found[key] = (*found.get(key, ()), label)
        return found

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        """Any name, the longest first, not inside a longer word of letters and digits."""
        names = sorted((name for name in self._names if name), key=len, reverse=True)
        return re.compile("|".join(_whole_word(name) for name in names) or r"(?!)")


def _whole_word(name: str) -> str:
    """A pattern of the name; at an end that is a Latin letter or digit, no other may follow."""
    before = r"(?<![a-z0-9_])" if re.match(r"[a-z0-9_]", name) else ""
    after = r"(?![a-z0-9_])" if re.search(r"[a-z0-9_]\Z", name) else ""
    return before + re.escape(name) + after


def _plain(text: str) -> str:
    """As texts are compared: full-width forms and case do not matter, nor how wide a space is."""
    return re.sub(r"[^\S\n]+", " ", unicodedata.normalize("NFKC", text).casefold())


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a text, one after the other."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value, dict):
                yield value
        at = text.find("{", end)
