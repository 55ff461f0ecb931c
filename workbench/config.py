"""Strict configuration: unknown keys are errors, values come from code defaults < wb.yaml < pipeline file < --set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.errors import ConfigError, one_of

# What PyYAML lets through of values that look like a date or a number and are none, and of bottomless nesting.
_MALFORMED = (ValueError, AttributeError, RecursionError)


class Strict(BaseModel):
    """Base of every configuration: frozen, no unknown keys, field docs under the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())

    @classmethod
    def read(cls, values: Mapping[str, Any], *, where: str) -> Self:
        """Validate `values`; `where` names their origin in the error.

        Raises:
            ConfigError: a key is unknown or a value does not fit.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as exc:
            raise ConfigError(f"{where}: {_first_problem(exc)}", _cure(exc, cls)) from exc


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file; an empty file is an empty mapping.

    Raises:
        ConfigError: the file is missing, is not YAML or is not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{path} does not exist.", "Check the path.") from exc
    except (yaml.YAMLError, *_MALFORMED) as exc:
        raise ConfigError(f"{path} is not readable as YAML: {_one_line(exc)}", "Mend that line and run again.") from exc
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}, not keys and values.", "Write `key: value` lines.")
    return values


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `top` laid over it, mapping by mapping; lists are replaced whole."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        merged[key] = overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def assignments(items: Sequence[str]) -> dict[str, Any]:
    """`["gate.rules.length.max_chars=400"]` as nested mappings; values are read as YAML.

    Raises:
        ConfigError: an item has no `=` or an empty key.
    """
    values: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {item!r} is not of the form key.sub=value.", "Write: --set gate.budget=0.05")
        try:
            value: Any = yaml.safe_load(text)
        except (yaml.YAMLError, *_MALFORMED):
            value = text
        for part in reversed(key.split(".")):
            value = {part: value}
        values = overlay(values, value)
    return values


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())


def _first_problem(exc: ValidationError) -> str:
    problem = exc.errors(include_url=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no setting {path!r}."
    message = problem["msg"].removeprefix("Value error, ")
    # A pasted key must not stand in an error: values in and below `endpoints` are not repeated.
    secret = "endpoints" in problem["loc"]
    shown = "" if secret or isinstance(problem["input"], Mapping) else f" (found {problem['input']!r})"
    return f"{path}: {message}{shown}."


def _cure(exc: ValidationError, root: type[BaseModel]) -> str:
    problem = exc.errors(include_url=False)[0]
    if problem["type"] == "string_type" and isinstance(problem["input"], Mapping):  # --set answer={name}
        path = ".".join(str(part) for part in problem["loc"])
        return f"Braces are a mapping in YAML; quote the text: --set '{path}=\"{{...}}\"'"
    if problem["type"] != "extra_forbidden":
        return "Mend the value; `wb config` prints every setting with its meaning and default."
    *parents, wrong = (str(part) for part in problem["loc"])
    model: type[BaseModel] | None = root
    for part in parents:
        field = model.model_fields.get(part) if model else None
        inner = field.annotation if field else None
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    return one_of(wrong, model.model_fields) if model else "`wb config` prints every setting."
