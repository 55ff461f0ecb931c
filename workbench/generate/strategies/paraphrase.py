"""Real rows said in other words."""

from typing import ClassVar, Literal

from pydantic import Field

from workbench.generate.base import Choice, Draw, Prompted, Shown, key, rotated
from workbench.llm import Request
from workbench.prompts import Prompt
from workbench.records import Need


class Paraphrase(Prompted):
    """Ask for one real row in other words. One row a request, so that every new row has that row, and no other, as its parent.

    The rows take turns: each is rewritten before one is rewritten again.
    """

    kind: Literal["paraphrase"] = "paraphrase"
    rewrites: ClassVar[bool] = True
    attributes: bool = False
    """Give each row that is asked for its own values of `generate.attributes`; they may move the meaning of a paraphrase."""
    versions: int = Field(default=5, ge=1)
    """Versions of a row asked for in one request, at most the batch size: the first few differ most."""

    def request(self, need: Need, shown: Shown, prompt: Prompt, draw: Draw) -> Request:
        """The next real row, alone."""
        own = rotated(shown.rows, key(need, draw), 1, draw.number)
        return self.ask(need, shown, prompt, draw, Choice(own, rows=min(self.versions, draw.rows)))
