"""Which examples a draw shows: all rows take their turn, and the sets differ."""

import random
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import combinations
from math import comb


class Rotation:
    """Sets of `size` out of `n` rows. Rows shown least come first, in random order; used sets come again when all are used."""

    def __init__(self, key: str, n: int, size: int) -> None:
        self._random = random.Random(key)
        self._size = max(0, min(size, n))
        self._picks: list[tuple[int, ...]] = []
        self._used: set[frozenset[int]] = set()
        self._sets = comb(n, self._size)
        self._turn = [(0, self._random.random(), row) for row in range(n)]
        heapify(self._turn)

    def pick(self, draw: int) -> tuple[int, ...]:
        """The rows of a draw, from 0; draws before it are worked out on the way."""
        while len(self._picks) <= draw:
            self._picks.append(self._next())
        return self._picks[draw]

    def _next(self) -> tuple[int, ...]:
        if len(self._used) == self._sets:
            self._used.clear()
        chosen = [heappop(self._turn) for _ in range(self._size)]
        if frozenset(row for _, _, row in chosen) in self._used:
            chosen = self._other(chosen)
        for shown, _, row in chosen:
            heappush(self._turn, (shown + 1, self._random.random(), row))
        found = tuple(row for _, _, row in chosen)
        self._used.add(frozenset(found))
        return found

    def _other(self, chosen: list[tuple[int, float, int]]) -> list[tuple[int, float, int]]:
        """An unused set, of rows shown as little as may be; takes at most one try more than there are used sets."""
        order = chosen + sorted(self._turn)
        found = next(
            some for some in combinations(order, self._size) if frozenset(row for *_, row in some) not in self._used
        )
        self._turn = [entry for entry in order if entry not in found]
        heapify(self._turn)
        return list(found)


@lru_cache(maxsize=4096)
def rotation(key: str, n: int, size: int) -> Rotation:
    """The rotation of this name, kept so that a later draw need not begin at the first."""
    return Rotation(key, n, size)
