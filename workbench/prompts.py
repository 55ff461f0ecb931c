"""Prompt files: find, render (an undefined variable is an error), fingerprint.

A prompt file is a Jinja template with two blocks, `system` and `user`; each becomes a chat message. A third one,
`assistant`, may begin the answer: a model in this process continues it; a server may continue it or answer anew.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.assets import find
from workbench.errors import ConfigError
from workbench.records import digest

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file and its text."""

    name: str
    text: str

    @property
    def fingerprint(self) -> str:
        """Name and content hash, as it stands in `Origin.prompt`."""
        return f"{self.name}@{digest(self.text)}"

    def messages(self, values: Mapping[str, Any]) -> list[dict[str, str]]:
        """Render the blocks `system`, `user` and, where there is one, `assistant` as chat messages.

        Raises:
            ConfigError: a variable of the template has no value, or a block is missing.
        """
        from jinja2 import TemplateError

        try:
            template = _compiled(self.text)
            rendered = {
                name: "".join(template.blocks[name](template.new_context(dict(values)))).strip()
                for name in ("system", "user", *(["assistant"] if "assistant" in template.blocks else []))
            }
        except KeyError as exc:
            raise ConfigError(
                f"Prompt {self.name} has no block {exc}.", "Write {% block system %} and {% block user %}."
            ) from exc
        except (TemplateError, TypeError, ArithmeticError, ValueError) as exc:
            raise ConfigError(
                f"Prompt {self.name} cannot be rendered: {exc}.", f"Known variables: {', '.join(sorted(values))}"
            ) from exc
        # Lone surrogates in real rows could not be sent.
        sent = {role: content.encode("utf-8", "replace").decode() for role, content in rendered.items()}
        return [{"role": role, "content": content} for role, content in sent.items() if content]


@lru_cache(maxsize=32)
def _compiled(text: str) -> "Template":
    """A prompt's text as a template; compiling it takes longer than rendering, and every request renders."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return environment.from_string(text)


_NUMBER = re.compile(r"(?:\d{1,3}[.、)）:：]|-)$")
_ANEW = re.compile(r"\s*(?:[\[{`]|\d{1,3}[.、)）:：])")


def numbered(messages: Sequence[Mapping[str, str]]) -> str:
    """The mark of the list item that the prompt began for the model, as `7.`; empty where it began none."""
    begun = messages[-1]["content"].rpartition("\n")[2] if messages and messages[-1]["role"] == "assistant" else ""
    return begun if _NUMBER.match(begun) else ""


def continued(messages: Sequence[Mapping[str, str]], text: str) -> str:
    """A reply as it is to be read: behind the mark that the prompt began for it, unless the model began a list anew."""
    mark = numbered(messages)
    return f"{mark} {text.lstrip()}" if mark and text.strip() and not _ANEW.match(text) else text


def load(name: str, roots: Sequence[Path] = ()) -> Prompt:
    """The prompt file called `name`, the user's own before the shipped one.

    Raises:
        ConfigError: no folder has it.
    """
    path = find("prompts", name, roots)
    try:
        return Prompt(name, path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as exc:
        raise ConfigError(f"The prompt {path} is not in UTF-8.", f"Save {name} as UTF-8.") from exc
