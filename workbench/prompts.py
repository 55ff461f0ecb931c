"""Prompt files: find, render (an undefined variable is an error), fingerprint.

A prompt file is a Jinja template with two blocks, `system` and `user`; each becomes a chat message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.assets import find
from workbench.errors import ConfigError
from workbench.records import digest


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
        """Render the blocks `system` and `user` as chat messages.

        Raises:
            ConfigError: a variable of the template has no value, or a block is missing.
        """
        from jinja2 import TemplateError

        try:
            template = _template(self.text)
            rendered = {
                name: "".join(template.blocks[name](template.new_context(dict(values)))).strip()
                for name in ("system", "user")
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


@lru_cache(maxsize=64)
def _template(text: str) -> Any:
    """The compiled template; compiling takes ten times as long as rendering."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return environment.from_string(text)


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
