"""The <Choices> of a label config that ask something of a whole text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from workbench.errors import DataError


@dataclass(frozen=True, slots=True)
class Choices:
    """One <Choices>, and the text that it asks about."""

    name: str
    to_name: str
    source: str
    """Field of the task that holds the text."""
    choices: tuple[str, ...]
    """Fixed choices, as results name them."""
    field: str = ""
    """Field of the task that holds the choices; empty where they are fixed."""

    def offered(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """The choices that a task with this data offers."""
        if not self.field:
            return self.choices
        listed = data.get(self.field)
        items = listed if isinstance(listed, list) else []
        names = (item.get("alias") or item.get("value") if isinstance(item, Mapping) else item for item in items)
        return tuple(name for name in names if isinstance(name, str))

    def result(self, choice: str) -> dict[str, Any]:
        """A prediction's entry that chooses this."""
        return {"from_name": self.name, "to_name": self.to_name, "type": "choices", "value": {"choices": [choice]}}


def read_choices(config: str) -> list[Choices]:
    """All <Choices> of a config that ask about a whole <Text> or dialogue; not those per region, nor those of a repeater.

    Raises:
        DataError: the config is not XML.
    """
    try:
        root = ElementTree.fromstring(config)
    except (ElementTree.ParseError, ValueError) as exc:
        raise DataError(
            f"The label config is not readable as XML: {exc}.", "Send the project's own label config."
        ) from exc
    sources = {
        tag.get("name", ""): tag.get("value", "").removeprefix("$")
        for tag in root.iter()
        if tag.tag in ("Text", "Paragraphs")
        and tag.get("valueType", "text") != "url"
        and tag.get("value", "").startswith("$")
    }
    return [
        _choices(tag, sources[tag.get("toName", "")])
        for tag in root.iter("Choices")
        if tag.get("toName") in sources and tag.get("perRegion") != "true" and "{{" not in tag.get("name", "")
    ]


def _choices(tag: ElementTree.Element, source: str) -> Choices:
    value = tag.get("value", "")
    fixed = tuple(name for choice in tag.iter("Choice") if (name := choice.get("alias") or choice.get("value") or ""))
    return Choices(
        tag.get("name", ""),
        tag.get("toName", ""),
        source,
        fixed,
        value.removeprefix("$") if value.startswith("$") else "",
    )
