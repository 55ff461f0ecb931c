"""Label configs: what a person can say of a task, and whether a result fits, which Label Studio does not check. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from json import dumps
from typing import Any

from workbench.errors import ConfigError, DataError, one_of
from workbench.label_studio.markup import Element, dimensions, fingerprint, parse, with_choices, with_dimensions
from workbench.records import DECISIONS

__all__ = [
    "Control",
    "Labelling",
    "dimensions",
    "fingerprint",
    "lacking",
    "points",
    "problems",
    "read",
    "read_review",
    "units",
    "with_choices",
    "with_dimensions",
]

# Tags that have a name and a toName and say nothing of the task themselves.
_NO_CONTROL = frozenset({"filter", "shortcut"})
_FIELD = re.compile(r"\$(\w+)[\w[\].{}]*", re.ASCII)  # as the labelling page finds them
_REVIEW = {
    "verdict": "choices",
    "edited_text": "textarea",
    "new_label": "choices",
    "reject_reason": "choices",
    "naturalness": "rating",
}


@dataclass(frozen=True, slots=True)
class Control:
    """One thing that a person can say: a choice, a text, a rating."""

    name: str
    """`from_name` of its results; with `flag` in it where it is repeated."""
    kind: str
    """The tag in lower case, which is also the `type` of its results: `choices`, `textarea`, `rating` ..."""
    to: tuple[str, ...]
    """The objects that it can speak of: `to_name` of its results."""
    choices: tuple[str, ...] = ()
    """What can be chosen, as it stands in a result."""
    options: str = ""
    """The field of the task data that further choices come from."""
    multiple: bool = False
    required: bool = False
    most: int = 5
    """The highest rating."""
    flag: str = ""
    """What stands for the index in the names of a repeated control, as `{{idx}}`."""
    over: str = ""
    """The field of the task data that it is repeated over."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """A label config, read."""

    xml: str
    controls: Mapping[str, Control]
    objects: Mapping[str, str]
    """What is shown and spoken of: name -> tag in lower case."""
    fields: tuple[str, ...]
    """The fields of the task data that it refers to: a task without those that objects show is refused."""


def read(config: str, where: str = "The label config") -> Labelling:
    """The controls, objects and data fields of a label config; `where` names it in the error.

    Raises:
        ConfigError: it is not XML, has a document type, or names two tags alike.
    """
    controls: dict[str, Control] = {}
    objects: dict[str, str] = {}
    fields: dict[str, None] = {}
    for tag, flag, over in _walk(parse(config, where)):
        fields.update(dict.fromkeys(_fields(tag)))
        name, kind = tag.get("name", ""), tag.tag.lower()
        if not name or kind in _NO_CONTROL:
            continue
        if name in controls or name in objects:
            raise ConfigError(f"{where} has two tags with the name {name!r}.", "Give one of them another name.")
        if tag.get("toName"):
            controls[name] = _control(tag, flag if flag and flag in name else "", over)
        else:
            objects[name] = kind
    return Labelling(config, controls, objects, tuple(fields))


def read_review(config: str, where: str = "review.xml") -> Labelling:
    """A label config for reviewing candidates, with the controls that reviews are read from.

    Raises:
        ConfigError: one of them is missing, is of another kind, or speaks of something else than `text`.
    """
    known = read(config, where)
    if "text" not in known.objects:
        raise ConfigError(f"{where} shows no object `text`.", 'Add: <Text name="text" value="$text"/>')
    for name, kind in _REVIEW.items():
        control = known.controls.get(name)
        if control is None:
            raise ConfigError(f"{where} has no control {name!r}, which reviews are read from.", _cure(name, kind))
        if control.kind != kind:
            raise ConfigError(f"{where}: {name!r} is <{control.kind}>, not <{kind}>.", _cure(name, kind))
        if control.to != ("text",):
            raise ConfigError(f"{where}: {name!r} speaks of {', '.join(control.to)}, not of text.", _cure(name, kind))
    lacking = [value for value in DECISIONS if value not in known.controls["verdict"].choices]
    if lacking:
        raise ConfigError(
            f"{where}: the control 'verdict' has no choice {lacking[0]!r}.", f'Add: <Choice value="{lacking[0]}"/>'
        )
    return known


def problems(labelling: Labelling, result: Any, data: Mapping[str, Any] | None = None) -> list[str]:
    """What is wrong with the result of a prediction or an annotation, a sentence each; empty where all fits.

    Args:
        labelling: the label config of the project.
        result: Label Studio's list of result items.
        data: the task's data; without it, choices that come from there and the range of repeated controls are not checked.
    """
    if not isinstance(result, list):
        return [f"The result is of type {type(result).__name__}, not a list."]
    found: list[str] = []
    for index, item in enumerate(result):
        said = _problem(labelling, item, data)
        if said:
            found.append(f"Result {index}: {said}.")
    return found


def lacking(labelling: Labelling, data: Mapping[str, Any]) -> list[str]:
    """The fields of the task data that the config refers to and `data` does not have."""
    return [name for name in labelling.fields if name not in data]


def units(text: str, points: int) -> int:
    """The offset in UTF-16 units, as browsers and Label Studio count, of an offset in code points.

    Raises:
        DataError: the offset is outside of the text.
    """
    if not 0 <= points <= len(text):
        raise DataError(f"The offset {points} is outside of a text of {len(text)} characters.", "Check the span.")
    return points + sum(char > "\uffff" for char in text[:points])


def points(text: str, units: int) -> int:
    """The offset in code points of an offset in UTF-16 units.

    Raises:
        DataError: the offset is outside of the text or inside of a character.
    """
    passed = index = 0
    while index < len(text) and passed < units:
        passed += 2 if text[index] > "\uffff" else 1
        index += 1
    if passed != units:
        where = "inside of a character" if 0 <= units < passed else "outside of the text"
        raise DataError(f"The offset {units} (UTF-16 units) is {where}.", "Check the span.")
    return index


def _walk(tag: Element, flag: str = "", over: str = "") -> Iterator[tuple[Element, str, str]]:
    """Every tag, with the index flag and the data field of the repeater that it stands in."""
    if not isinstance(tag.tag, str):  # a comment
        return
    yield tag, flag, over
    if tag.tag.lower() == "repeater":
        flag, over = tag.get("indexFlag", "{{idx}}"), next(iter(_FIELD.findall(tag.get("on", ""))), "")
    for child in tag:
        yield from _walk(child, flag, over)


def _fields(tag: Element) -> list[str]:
    return _FIELD.findall(tag.get("value", "")) + _FIELD.findall(tag.get("on", ""))


def _control(tag: Element, flag: str, over: str) -> Control:
    kind, value = tag.tag.lower(), tag.get("value", "")
    inner = [child for child in tag.iter() if child.tag in ("Choice", "Label")]
    top = tag.get("maxRating", "5")
    return Control(
        name=tag.get("name", ""),
        kind=kind,
        to=tuple(name.strip() for name in tag.get("toName", "").split(",")),
        choices=tuple(child.get("alias") or child.get("value") or "" for child in inner),
        options=next(iter(_FIELD.findall(value)), "") if kind in ("choices", "taxonomy") or "labels" in kind else "",
        multiple=kind == "taxonomy" or tag.get("choice") == "multiple",
        required=tag.get("required") == "true",
        most=int(top) if top.isdecimal() else 5,
        flag=flag,
        over=over if flag else "",
    )


def _cure(name: str, kind: str) -> str:
    tag = {"choices": "Choices", "textarea": "TextArea", "rating": "Rating"}[kind]
    return f'Add: <{tag} name="{name}" toName="text" .../>, as in the review.xml that is shipped.'


def _find(labelling: Labelling, name: str) -> tuple[Control | None, int]:
    """The control that results with this `from_name` are of, and its index among the repeated ones (-1: not repeated)."""
    exact = labelling.controls.get(name)
    if exact is not None and not exact.flag:
        return exact, -1
    for control in labelling.controls.values():
        before, flag, after = control.name.partition(control.flag) if control.flag else ("", "", "")
        index = name[len(before) : len(name) - len(after)]
        if flag and name == before + index + after and index.isdecimal() and index.isascii():
            to = tuple(target.replace(control.flag, index) for target in control.to)
            return replace(control, name=name, to=to), int(index)
    return None, -1


def _problem(labelling: Labelling, item: Any, data: Mapping[str, Any] | None) -> str:
    """What is wrong with one item of a result, without a full stop; empty where it fits."""
    if not isinstance(item, Mapping):
        return f"it is of type {type(item).__name__}, not an object"
    if item.get("type") == "relation":
        return ""
    name = str(item.get("from_name"))
    control, index = _find(labelling, name)
    if control is None:
        return f"there is no control {name!r} in the label config ({_safe(one_of(name, labelling.controls))})"
    if item.get("to_name") not in control.to:
        return f"{name!r} cannot speak of {item.get('to_name')!r}, only of {', '.join(control.to)}"
    if item.get("type") != control.kind:
        return f"{name!r} is of type {control.kind!r}, not {item.get('type')!r}"
    rows = data.get(control.over) if data is not None and control.over else None
    if isinstance(rows, list) and index >= len(rows):
        return f"{name!r} is beyond the {len(rows)} entries of {control.over!r}"
    value = item.get("value")
    if not _storable(item):
        return f"{name!r} holds half of a surrogate pair, which Label Studio would store and then fail to give back"
    if not isinstance(value, Mapping):
        return f"the value of {name!r} is of type {type(value).__name__}, not an object"
    return _CHECKS.get(control.kind, _no_check)(control, value, data)


def _storable(item: Any) -> bool:
    """Whether all strings are UTF-8: Label Studio answers 500 to every listing of a project that has one which is not."""
    try:
        dumps(item, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _safe(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _no_check(control: Control, value: Mapping[str, Any], data: Mapping[str, Any] | None) -> str:
    if "labels" not in control.kind or control.kind not in value:
        return ""
    return _choices(control, {"choices": value[control.kind]}, data, key="choices")


def _choices(control: Control, value: Mapping[str, Any], data: Mapping[str, Any] | None, key: str = "choices") -> str:
    chosen = value.get(key)
    if not isinstance(chosen, list) or not chosen:
        return f"{control.name!r} needs {{{key!r}: [...]}} with at least one value"
    flat = [part for entry in chosen for part in (entry if isinstance(entry, list) else [entry])]
    strange = next((part for part in flat if not isinstance(part, str)), None)
    if strange is not None:
        return f"{control.name!r} has the choice {strange!r}, which is not a string"
    if len(chosen) > 1 and not control.multiple and control.kind == "choices":
        return f"{control.name!r} takes one choice, not {len(chosen)}"
    known = _known(control, data)
    wrong = None if known is None else next((part for part in flat if part not in known), None)
    return "" if wrong is None else f"{wrong!r} is not a choice of {control.name!r}"


def _known(control: Control, data: Mapping[str, Any] | None) -> frozenset[str] | None:
    """What can be chosen; None where that cannot be told."""
    if not control.options:
        return frozenset(control.choices)
    if data is None:
        return None
    given = data.get(control.options) or []
    own = (entry.get("alias") or entry.get("value") for entry in given if isinstance(entry, Mapping))
    return frozenset((*control.choices, *(str(value) for value in own)))


def _taxonomy(control: Control, value: Mapping[str, Any], data: Mapping[str, Any] | None) -> str:
    return _choices(control, value, data, key="taxonomy")


def _text(control: Control, value: Mapping[str, Any], data: Mapping[str, Any] | None) -> str:
    text = value.get("text")
    lines = text if isinstance(text, list) else [text]
    fits = bool(lines) and all(isinstance(line, str) for line in lines)
    return "" if fits else f"{control.name!r} needs {{'text': [...]}} with strings"


def _rating(control: Control, value: Mapping[str, Any], data: Mapping[str, Any] | None) -> str:
    given = value.get("rating")
    if type(given) is int and 1 <= given <= control.most:
        return ""
    return f"{control.name!r} needs {{'rating': 1 to {control.most}}}, not {given!r}"


_CHECKS = {"choices": _choices, "taxonomy": _taxonomy, "textarea": _text, "rating": _rating}
