"""Rows with words that no customer-facing model should learn from: a list, yours or the short one that is shipped."""

import re
from functools import cache
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from workbench.errors import ConfigError
from workbench.gate.base import Check
from workbench.records import Sample

SHIPPED = Path(__file__).parents[1] / "words" / "unsafe.txt"


class Unsafe(Check):
    """Drop rows that contain a listed word: sexual, violent, drugs, gambling, slurs. Latin words match whole, others anywhere.

    The shipped list is short on purpose: it names what has no innocent reading in customer service.
    """

    kind: Literal["unsafe"] = "unsafe"
    strict: bool = True
    """Hold a reason against candidates even where it is usual (above 2 %) among the real rows."""
    words: tuple[str, ...] = ()
    """Further words."""
    file: str = ""
    """A file of further words, one a line; `#` begins a remark. A path from the working folder, or absolute."""
    allow: tuple[str, ...] = ()
    """Words of the shipped list to let pass."""

    def reason(self, sample: Sample) -> str:
        """`unsafe_word` where one is found."""
        pattern = _pattern(self.words, self.file, self.allow)
        return "unsafe_word" if pattern is not None and pattern.search(normalize("NFKC", sample.text)) else ""


@cache
def _pattern(words: tuple[str, ...], file: str, allow: tuple[str, ...]) -> re.Pattern[str] | None:
    listed = {*_lines(SHIPPED), *words, *(_lines(Path(file)) if file else ())} - set(allow)
    # Han characters are word characters, too: a Latin word ends where Latin letters end.
    parts = [rf"(?<![a-z0-9]){re.escape(w)}(?![a-z0-9])" if w.isascii() else re.escape(w) for w in sorted(listed)]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"The word list {path} cannot be read: {exc}.", "Mend gate.rules.unsafe.file.") from exc
    return [word for line in lines if (word := line.partition("#")[0].strip())]
