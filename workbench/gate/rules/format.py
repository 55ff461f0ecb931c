"""Text that is not a row of the data: empty or broken."""

import re
from typing import Literal

from workbench.gate.base import Check
from workbench.records import Sample
from workbench.text import normal

# Not the joiners U+200C and U+200D: emoji are made with them, and Persian and Hindi are written with them.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u200e\u200f\ufeff\ufffd]")


class Format(Check):
    """Drop rows that are empty, have an empty turn, control or replacement characters, or too few turns."""

    kind: Literal["format"] = "format"
    strict: bool = True
    """Hold a reason against candidates even where it is usual (above 2 %) among the real rows."""
    min_turns: int = 1
    """Fewest turns."""

    def reason(self, sample: Sample) -> str:
        """The first thing that is wrong."""
        texts = [turn.text for turn in sample.turns]
        if not any(normal(text) for text in texts):
            return "empty"
        if not all(text.strip() for text in texts):
            return "empty_turn"
        if any(_CONTROL.search(text) for text in texts):
            return "control_characters"
        return "too_few_turns" if len(texts) < self.min_turns else ""
