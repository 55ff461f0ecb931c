"""Which tags there are, and the special tokens that they become.

The shape of a tags file (JSON or YAML) or of `tokens.vocabulary` in wb.yaml:

    {"topic": {"career": "职业发展", ...},                       of the whole dialogue; may be left out
     "user": {"intent": {"seek_advice": "寻求建议", ...}, ...},   role -> field -> value -> meaning
     "assistant": {"tone": ["warm", "gentle"], ...}}             or a list of values without meanings

The order of roles, fields and values is kept: it is the order of tokens, of tags in a rendered turn, and of ordered fields.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from workbench.config import read_yaml
from workbench.errors import ConfigError

TOPIC = "topic"
"""Key of the topics, and the beginning of their tokens."""
BEGIN, END = "begin", "end"
CHAT = ("user", "assistant", "system")
"""Roles that every vocabulary has, with or without fields."""
TAKEN = ("role", "text", "tags")
"""Keys of a turn that are no tags."""
NAME = re.compile(r"[^\W_](?:\w*[^\W_])?")
"""Names of roles and fields: letters (of any script), digits and inner underscores."""
VALUE = re.compile(r"[\w.-]+")
"""Values that can be part of a token: letters (of any script), digits, `_`, `-` and `.`."""
ORDERED = ("phase",)
Values = Mapping[str, str]
"""Value -> meaning, which may be empty."""


def token(body: str) -> str:
    """The special token with this name, as `<|user|>`."""
    return f"<|{body}|>"


@dataclass(frozen=True)
class Vocabulary:
    """Topics, roles, their fields and values. Checked: each token stands for one thing only."""

    topics: Values
    roles: Mapping[str, Mapping[str, Values]]
    """Role -> field -> value -> meaning. Has `user`, `assistant` and `system` in any case, without fields where none are given."""
    ordered: tuple[str, ...] = ORDERED
    """Fields whose values may not go back within a dialogue; their order is that of the vocabulary."""

    @classmethod
    def of(cls, values: Mapping[str, Any], *, where: str, ordered: Sequence[str] | None = None) -> Self:
        """Check what a file or wb.yaml says.

        Args:
            values: see the module.
            where: names the origin in errors.
            ordered: fields that must not go back; `phase`, where there is one, if None.

        Raises:
            ConfigError: a name, value or meaning cannot be used, or two tokens are the same.
        """
        given: dict[str, dict[str, Values]] = {}
        for role, fields in values.items():
            if role == TOPIC:
                continue
            _check_name(role, "role", where, taken=(BEGIN, END))
            if not isinstance(fields, Mapping):
                raise _wrong(
                    where, f"{role} holds a {_kind(fields)}, not fields with their values", "field: {value: meaning}"
                )
            for field in fields:
                _check_name(field, f"field of {role}", where, taken=(*TAKEN, TOPIC))
            given[role] = {field: _values(some, f"{role}.{field}", where) for field, some in fields.items()}
        if not any(given.values()):
            raise _wrong(where, "no role has a field", "role: {field: {value: meaning}}")
        roles = {role: given.get(role, {}) for role in dict.fromkeys([*CHAT, *given])}
        known = {field for fields in roles.values() for field in fields}
        strange = [field for field in ordered or () if field not in known]
        if strange:
            raise ConfigError(
                f"tokens.ordered: no role has the field {strange[0]!r}.",
                f"Fields there are: {', '.join(sorted(known))}.",
            )
        found = cls(
            _values(values.get(TOPIC) or {}, TOPIC, where), roles, tuple(ORDERED if ordered is None else ordered)
        )
        _check_tokens(found, where)
        return found

    @classmethod
    def read(cls, path: Path, *, ordered: Sequence[str] | None = None) -> Self:
        """Read a tags file; JSON where its name ends in .json, YAML otherwise.

        Raises:
            ConfigError: it is missing, cannot be read, or something in it cannot be used.
        """
        values = _json(path) if path.suffix.lower() == ".json" else read_yaml(path)
        return cls.of(values, where=str(path), ordered=ordered)

    def fields(self, role: str) -> Mapping[str, Values]:
        """Fields of a role in their order; none where the role is unknown."""
        return self.roles.get(role, {})

    def split(self, role: str, body: str) -> tuple[str, str] | None:
        """Field and value of a tag of this role, given the token without its brackets; the longest field name counts.

        The value need not be one of the vocabulary. None where the token begins with no field of the role.
        """
        found = [field for field in self.fields(role) if body.startswith(f"{field}_") and len(body) > len(field) + 1]
        field = max(found, key=len, default="")
        return (field, body[len(field) + 1 :]) if field else None

    def special_tokens(self) -> list[str]:
        """Every token once, in a stable order: structure, topics, then the tags of each role."""
        bodies = [BEGIN, END, *self.roles, *(f"{TOPIC}_{value}" for value in self.topics)]
        for fields in self.roles.values():
            bodies += [f"{field}_{value}" for field, values in fields.items() for value in values]
        return [token(body) for body in dict.fromkeys(bodies)]

    def meaning(self, role: str, field: str, value: str) -> str:
        """What a value means; empty where that is not said. Topics have an empty role."""
        values = self.topics if not role else self.fields(role).get(field, {})
        return values.get(value, "")


def _json(path: Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise _wrong(str(path), f"{twice!r} stands twice in one object", "each name once")
        return dict(pairs)

    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)
    except FileNotFoundError as exc:
        raise ConfigError(f"{path} does not exist.", "Check the path.") from exc
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.", "Check the path and its permissions.") from exc
    except json.JSONDecodeError as exc:
        say = f"{path} is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}."
        raise ConfigError(say, "Mend that line and run again.") from exc
    except (ValueError, RecursionError) as exc:  # other bytes; a number of thousands of digits; nested thousands deep
        raise ConfigError(f"{path} is no tags file in UTF-8.", "Save it as UTF-8, or check which file it is.") from exc
    if not isinstance(found, dict):
        raise _wrong(str(path), f"it holds a {_kind(found)}, not topics and roles", '{"topic": {...}, "user": {...}}')
    return found


def _values(values: Any, place: str, where: str) -> Values:
    """Values with meanings, from a mapping or a list."""
    if isinstance(values, list):
        twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
        if twice is not None:
            raise _wrong(where, f"{place} lists {twice!r} twice", "each value once")
        pairs = [(value, "") for value in values]
    elif isinstance(values, Mapping):
        pairs = list(values.items())
    else:
        raise _wrong(where, f"{place} holds a {_kind(values)}, not values", "a mapping {value: meaning} or a list")
    for value, meaning in pairs:
        if not isinstance(value, str):
            raise _wrong(
                where, f"{place} has the value {value!r}, which is a {_kind(value)}, not a text", "quotes around it"
            )
        if not VALUE.fullmatch(value):
            raise _wrong(where, f"{place} has the value {value!r}, which cannot be part of a token", LETTERS)
        if not isinstance(meaning, str):
            raise _wrong(
                where,
                f"the meaning of {place} = {value} is a {_kind(meaning)}, not a text",
                "a text, or a list of values",
            )
    if not pairs and place != TOPIC:
        raise _wrong(where, f"{place} has no values", "at least one, or leave the field out")
    return dict(pairs)


LETTERS = "letters, digits, `_`, `-` and `.` only"


def _check_name(name: Any, what: str, where: str, *, taken: Sequence[str]) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _wrong(where, f"{name!r} cannot be the name of a {what}", "letters, digits and inner underscores")
    if name in taken:
        raise _wrong(
            where, f"{name!r} cannot be the name of a {what}: the word has a meaning of its own", "another name"
        )


def _check_tokens(found: Vocabulary, where: str) -> None:
    """Each token must stand for one thing, and be read as what it was written for."""
    seen: dict[str, str] = {f"{TOPIC}_{value}": TOPIC for value in found.topics}
    for role, fields in found.roles.items():
        for field, values in fields.items():
            for value in values:
                body = f"{field}_{value}"
                other = seen.setdefault(body, field)
                read = found.split(role, body)
                if other != field or read != (field, value):
                    other = other if other != field else read[0] if read else ""
                    say = f"{token(body)} would stand for a value of {field} and of {other}"
                    raise _wrong(where, say, "another name for one of the fields")
    for role in found.roles:
        clash = role in seen or role.startswith(f"{TOPIC}_") or any(found.split(other, role) for other in found.roles)
        if clash:
            raise _wrong(where, f"{token(role)} would stand for a role and for a tag", "another name for the role")


def _kind(value: Any) -> str:
    names = {dict: "mapping", list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
    return names.get(type(value), "null" if value is None else type(value).__name__)


def _wrong(where: str, what: str, write: str) -> ConfigError:
    return ConfigError(f"{where}: {what}.", f"Write {write}.")
