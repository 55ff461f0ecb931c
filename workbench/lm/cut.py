"""Make an over-long dialogue fit: whole turns go first, the oldest first, since the newest say what is wanted now."""

from collections.abc import Callable

from workbench.records import SEP


def cut_to_fit(text: str, fits: Callable[[str], bool], separator: str = SEP) -> tuple[str, bool]:
    """The end of a text that fits, and whether anything was cut.

    Turns are dropped from the beginning. Where the last turn alone is too long, its beginning goes, character by character.

    Args:
        text: turns joined by the separator.
        fits: whether a text is short enough; a text that ends a fitting one must fit too.
        separator: what stands between turns.
    """
    if fits(text):
        return text, False
    turns = text.split(separator)
    kept = _fewest(len(turns), lambda dropped: fits(separator.join(turns[dropped:])))
    if kept < len(turns):
        return separator.join(turns[kept:]), True
    last = turns[-1]
    return last[_fewest(len(last), lambda dropped: fits(last[dropped:])) :], True


def _fewest(most: int, enough: Callable[[int], bool]) -> int:
    """The smallest number from 1 to `most` that is enough, by bisection; `most` where none below it is."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return low
