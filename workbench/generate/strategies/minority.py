"""Rows of a class that has too few."""

from typing import Literal

from workbench.generate.base import Choice, Draw, Prompted, Shown, key, rotated
from workbench.llm import Request
from workbench.prompts import Prompt
from workbench.records import Need


class Minority(Prompted):
    """Ask for new rows of a class: its definition, real rows as examples, and an attribute line for each row that is wanted.

    Examples rotate: every real row is shown before one is shown twice, and no set comes again while others are left.
    """

    kind: Literal["minority"] = "minority"

    def request(self, need: Need, shown: Shown, prompt: Prompt, draw: Draw) -> Request:
        """Examples by rotation; everything else as it stands in the prompt file."""
        own = rotated(shown.rows, key(need, draw), draw.examples, draw.number)
        return self.ask(need, shown, prompt, draw, Choice(own))
