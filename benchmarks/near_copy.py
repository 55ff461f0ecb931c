"""Measure the search for near copies: 100,000 candidates against 10,000 real rows, embeddings given.

    python benchmarks/near_copy.py

The reference is the bare matrix product in blocks of the same size, in the same run. Siblings are compared within classes,
which is reported apart. Vectors are random, texts are made of random characters: nothing is near, which is the usual case.
"""

import resource
import sys
import time

import numpy as np
from common import arguments, dump, table

from workbench.gate import Rows
from workbench.gate.rules.near_copy import NearCopy
from workbench.gate.rules.sibling import Sibling
from workbench.records import Sample, Turn
from workbench.similarity import CELLS

SIZE = 384


def rows(n: int, name: str, classes: int = 34) -> Rows:
    """Random rows of a few dozen Chinese characters."""
    random = np.random.default_rng(len(name) + n)
    vectors = random.standard_normal((n, SIZE), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    letters = random.integers(0x4E00, 0x5600, size=(n, 24))
    texts = ["".join(map(chr, row)) for row in letters.tolist()]
    samples = [Sample(f"{name}{i}", (Turn("user", text),), f"class {i % classes}") for i, text in enumerate(texts)]
    return Rows(samples, vectors, np.zeros((n, 1), np.float32), ("x",))


def bare(queries: np.ndarray, real: np.ndarray) -> float:
    """Seconds of the bare product, block by block."""
    step = max(1, CELLS // len(real))
    start = time.perf_counter()
    for i in range(0, len(queries), step):
        _ = queries[i : i + step] @ real.T
    return time.perf_counter() - start


def timed(rule, some: Rows, others: Rows) -> float:
    """Seconds of a rule, its texts folded anew."""
    start = time.perf_counter()
    rule.score(some, others)
    return time.perf_counter() - start


def main() -> None:
    """Time them."""
    options = arguments(__doc__ or "").parse_args()
    n, m = (20_000, 5_000) if options.quick else (100_000, 10_000)
    real = rows(m, "real")
    many, few = rows(n, "many"), rows(n // 10, "few")
    bare(few.vectors, real.vectors)
    lines = []
    product = bare(many.vectors, real.vectors)
    large = timed(NearCopy(), many, real)
    product = (product + bare(many.vectors, real.vectors)) / 2
    small = timed(NearCopy(), few, rows(m, "real"))
    lines.append((f"near_copy, {n:,} against {m:,}", large / product, "at most 1.5 of the bare product"))
    lines.append((f"near_copy, {n:,} candidates instead of {n // 10:,}", large / small, "at most 12"))
    within = timed(Sibling(), rows(n // 10, "few"), rows(n // 10, "before"))
    blocks = bare(few.vectors, few.vectors) / 34
    lines.append(
        (
            f"sibling, {n // 10:,} against {n // 10:,} in 34 classes",
            within / max(blocks, 1e-9),
            "(of its blocks' product)",
        )
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform != "darwin" else 1 << 30)
    lines.append(("peak memory, GB", memory, "under 2"))
    table(["what", "ratio", "goal"], lines)
    dump({name: round(value, 3) for name, value, _ in lines})


if __name__ == "__main__":
    main()
