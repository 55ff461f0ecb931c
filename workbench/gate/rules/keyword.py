"""Words that rows of a class must have, or must not have: given by you."""

from collections.abc import Mapping, Sequence
from typing import Literal

from workbench.gate.base import Check
from workbench.records import Sample
from workbench.text import normal

EVERY = "*"
"""Stands for every class."""


class Keyword(Check):
    """Drop rows without one of the `any` words, without all of the `all` words, or with one of the `none` words of their class.

    Words are looked for in the text blind to width, case and punctuation; `*` in place of a class is every class.
    """

    kind: Literal["keyword"] = "keyword"
    strict: bool = True
    """Hold a reason against candidates even where it is usual (above 2 %) among the real rows."""
    any: Mapping[str, tuple[str, ...]] = {}
    """Class -> words of which one must be there."""
    all: Mapping[str, tuple[str, ...]] = {}
    """Class -> words that must all be there."""
    none: Mapping[str, tuple[str, ...]] = {}
    """Class -> words that must not be there."""

    def reason(self, sample: Sample) -> str:
        """`no_keyword`, `missing_keyword` or `forbidden_keyword`."""
        text = normal(sample.text)
        wanted = _words(self.any, sample.label)
        if wanted and not any(word in text for word in wanted):
            return "no_keyword"
        if not all(word in text for word in _words(self.all, sample.label)):
            return "missing_keyword"
        return "forbidden_keyword" if any(word in text for word in _words(self.none, sample.label)) else ""


def _words(given: Mapping[str, Sequence[str]], label: str) -> list[str]:
    return [normal(word) for word in (*given.get(EVERY, ()), *given.get(label, ()))]
