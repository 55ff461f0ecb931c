"""The choices of a label config that ask something of a whole text, and where a task has that text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.label_studio.labelling import Control, read
from workbench.label_studio.markup import parse
from workbench.records import SEP


@dataclass(frozen=True, slots=True)
class Asked:
    """A choice that a person makes of a text, and the text."""

    control: Control
    field: str
    """Field of the task data that holds the text, or the turns of a dialogue."""
    turn_text: str
    """What holds the text of a turn."""

    def text(self, data: Mapping[str, Any]) -> str:
        """The text of a task; of a dialogue the turns, joined as in training; empty where it has none."""
        value = data.get(self.field)
        if isinstance(value, list):
            turns = [turn.get(self.turn_text) if isinstance(turn, Mapping) else turn for turn in value]
            return SEP.join(turn for turn in turns if isinstance(turn, str))
        return value if isinstance(value, str) else ""

    def offered(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """The choices that a task with this data offers, as results name them."""
        listed = data.get(self.control.options) if self.control.options else None
        items = listed if isinstance(listed, list) else []
        names = (item.get("alias") or item.get("value") if isinstance(item, Mapping) else item for item in items)
        return (*self.control.choices, *(name for name in names if isinstance(name, str)))

    def result(self, choice: str) -> dict[str, Any]:
        """The item of a prediction that makes this choice."""
        name, to = self.control.name, self.control.to[0]
        return {"from_name": name, "to_name": to, "type": self.control.kind, "value": {"choices": [choice]}}


def asked(config: str) -> list[Asked]:
    """All choices of a config that ask about a whole text or dialogue: none per region, none that is repeated.

    Raises:
        ConfigError: the config is not readable.
    """
    tags = {tag.get("name", ""): tag for tag in parse(config).iter() if isinstance(tag.tag, str)}
    found = []
    for control in read(config).controls.values():
        shown = tags.get(control.to[0])
        if control.kind != "choices" or control.flag or shown is None or tags[control.name].get("perRegion") == "true":
            continue
        value = shown.get("value", "")
        if shown.tag in ("Text", "Paragraphs") and value.startswith("$") and shown.get("valueType") != "url":
            found.append(Asked(control, value[1:], shown.get("textKey", "text")))
    return found
