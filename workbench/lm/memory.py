"""Work in batches that get smaller where memory is short; every retry is counted."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from workbench.errors import WorkbenchError

Item = TypeVar("Item")
Result = TypeVar("Result")
RETRIES = "retries"
"""Name of the count of batches that were tried again in halves."""
_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def short_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the processor."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def in_batches(
    items: Sequence[Item],
    size: int,
    work: Callable[[Sequence[Item]], Sequence[Result]],
    counts: Counter[str],
    *,
    lost: Callable[[Item], Result] | None = None,
) -> list[Result]:
    """Results of all items, in order.

    A batch that runs out of memory is tried again in halves; the size stays halved, since what comes next is no smaller.

    Args:
        items: what to work on.
        size: items at a time, 1 or more.
        work: gives as many results as it gets items.
        counts: `retries` grows by 1 for each batch that was halved.
        lost: the result of a single item that does not fit into memory; an error where not given.

    Raises:
        WorkbenchError: a single item does not fit into memory.
    """
    found: list[Result] = []
    size = max(1, size)
    while len(found) < len(items):
        batch = items[len(found) : len(found) + size]
        try:
            found += work(batch)
            continue
        except (MemoryError, RuntimeError) as error:
            if not short_of_memory(error):
                raise
            why = str(error).splitlines()[0] if str(error) else "MemoryError"
        # Out of the except block, so that what the failed call held is free before the next one.
        _release()
        if len(batch) > 1:
            counts[RETRIES] += 1
            size = (len(batch) + 1) // 2
        elif lost is not None:
            found.append(lost(batch[0]))
        else:
            raise WorkbenchError(
                f"One item alone does not fit into memory: {why}",
                "Load the model in 4 or 16 bit, lower the longest input, or use a machine with more memory.",
            )
    return found


def _release() -> None:
    """Give back what a GPU's allocator keeps; only where torch is loaded already."""
    torch = sys.modules.get("torch")
    with suppress(AttributeError):
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
