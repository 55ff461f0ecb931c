"""Personal data: a model invents numbers that may belong to someone, and repeats those that it was shown."""

import re
from collections.abc import Iterator
from typing import Literal

from workbench.gate.base import Check
from workbench.gate.personal import found
from workbench.records import Sample, Turn

_HIDDEN = re.compile(r"[^\W_]")


class Privacy(Check):
    """Drop rows with phone, ID card, bank card or other long numbers, e-mail addresses, plates, addresses or full names.

    Masked ones (138****5678) pass. With `mask` rows are kept, and every letter and digit found is replaced by `*`.
    Numbers that companies publish (400-, 800-) are nobody's.
    """

    kind: Literal["privacy"] = "privacy"
    strict: bool = True
    """Hold a reason against candidates even where it is usual (above 2 %) among the real rows."""
    mask: bool = False
    """Mask what is found instead of dropping the row."""
    allow: tuple[str, ...] = ()
    """Kinds to let pass: `phone`, `id_card`, `bank_card`, `iban`, `long_number`, `email`, `plate`, `address`, `name`."""
    long_number: int = 11
    """Digits in a row from which a number counts as that of an account; 0 for never."""

    def reason(self, sample: Sample) -> str:
        """The first kind that the row shows; nothing where rows are masked."""
        return "" if self.mask else next((slug for turn in sample.turns for slug, _, _ in self._found(turn.text)), "")

    def reasons(self, sample: Sample) -> tuple[str, ...]:
        """Every kind that the row shows."""
        found = [] if self.mask else [slug for turn in sample.turns for slug, _, _ in self._found(turn.text)]
        return tuple(dict.fromkeys(found))

    def mend(self, sample: Sample) -> tuple[Turn, ...]:
        """The turns with what is found masked; the same turns where nothing is, or where rows are dropped."""
        if not self.mask:
            return sample.turns
        return tuple(Turn(turn.role, self._masked(turn.text), turn.tags) for turn in sample.turns)

    def _masked(self, text: str) -> str:
        for _, start, end in tuple(self._found(text)):
            text = text[:start] + _HIDDEN.sub("*", text[start:end]) + text[end:]
        return text

    def _found(self, text: str) -> Iterator[tuple[str, int, int]]:
        return (item for item in found(text, self.long_number) if item[0] not in self.allow)
