"""How a server is held to the form of a reply: json_schema, else json_object, else by the words of the prompt alone."""

from collections.abc import Mapping
from typing import Any

from workbench.llm.contract import Request

RUNGS = ("json_schema", "json_object", "text")


class Ladder:
    """The rung that a server bears. It is found once, by what it refuses, and remembered for all requests of the client."""

    def __init__(self, structured: str) -> None:
        self._fixed = structured != "auto"
        self.at = RUNGS.index(structured) if self._fixed else 0
        self._proven = self._fixed
        """An answer came at this rung: what is refused here is not refused for its form."""

    def start(self, request: Request) -> int:
        """The rung to begin with."""
        return len(RUNGS) - 1 if request.schema is None else self.at

    def below(self, rung: int, status: int, tries: int) -> int | None:
        """The next rung to try the same request at, after this status; None where the form is not to blame.

        Args:
            rung: where it was refused.
            status: of the answer. 5xx may be a fault of the moment, so that it counts only where it comes twice.
            tries: calls for this request that have ended so.
        """
        if rung + 1 >= len(RUNGS) or (self._proven and rung <= self.at):
            return None
        blamed = status in (400, 415, 422, 501) or (status == 500 and tries >= 1)
        return rung + 1 if blamed else None

    def works(self, rung: int, request: Request) -> None:
        """An answer came at this rung."""
        if request.schema is not None and not (self._proven and rung > self.at):
            self.at, self._proven = max(self.at, rung), True


def response_format(rung: int, schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The `response_format` of a call; None for none."""
    name = RUNGS[rung]
    if schema is None or name == "text":
        return None
    if name == "json_object":
        return {"type": name}
    return {"type": name, "json_schema": {"name": "samples", "schema": dict(schema), "strict": True}}
