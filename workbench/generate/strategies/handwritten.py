"""Rows that people wrote."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from workbench.errors import ConfigError
from workbench.generate.base import Desk, Handmade
from workbench.records import Need, Turn


class Handwritten(Handmade):
    """Take rows from a file of yours, class by class, in their order; no model is asked. They are gated like anything else."""

    kind: Literal["handwritten"] = "handwritten"
    file: str = Field(default="", examples=["handwritten.csv"])
    """The file, relative to the bench, in any format that `wb data add` reads."""
    text: str | None = None
    """Column of the text, where it is not recognised."""
    label: str | None = None
    """Column of the class, by name or number, where it is not recognised."""

    def rows(self, need: Need, desk: Desk) -> Iterator[tuple[Turn, ...]]:
        """The file's rows of one class.

        Raises:
            ConfigError: no file is named.
        """
        if not self.file:
            place = f"generate.strategies.{need.strategy}.file"
            raise ConfigError(f"{place} is not set.", f"Name a file of rows: --set {place}=rows.csv")
        yield from (turns for label, turns in desk.table(self.file, self.text, self.label) if label == need.label)
