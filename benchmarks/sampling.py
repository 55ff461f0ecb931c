"""Simulate acceptance sampling: how often is a lot accepted whose unseen rows are too bad, and how many rows are looked at?

    python benchmarks/sampling.py [--quick]

Lots of 20 to 5,000 rows, 0 to 40 % of them defective, are drawn from as `wb review` does it. Beside it: a fixed sample of a
tenth of the rows, where a lot is taken if no more of the sample than the bound is defective. Then classes of several lots,
good and bad ones mixed: how often the interval of the class covers the defect rate of all its unseen rows.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np
from common import arguments, dump, table

from workbench.metrics import wilson
from workbench.records import Metric
from workbench.review.plans import worst_error
from workbench.review.sampling import Looked, SamplingConfig, Step, looked, plan, pooled, stages

SIZES = (20, 40, 60, 80, 100, 150, 200, 300, 500, 1000, 2000, 5000)
RATES = (0.0, 0.01, 0.02, 0.05, 0.08, 0.1, 0.11, 0.12, 0.15, 0.2, 0.3, 0.4)
CLASSES = {
    "10 lots of 200, all 2 %": [(200, 0.02)] * 10,
    "10 lots of 200, all 12 %": [(200, 0.12)] * 10,
    "30 lots of 100, all 12 %": [(100, 0.12)] * 30,
    "9 lots of 200 at 1 %, one of 1000 at 11 %": [(200, 0.01)] * 9 + [(1000, 0.11)],
    "20 lots of 60 to 500, 0 to 40 %": [(60 + 23 * i, 0.02 * i) for i in range(20)],
}
CONFIG = SamplingConfig()


@dataclass(frozen=True, slots=True)
class Cell:
    """Many lots of one size and defect rate."""

    lots: int
    failed: int
    """Accepted, and more of the unseen rows defective than the bound."""
    covered: int
    """The share of defects among the unseen rows lies in the interval that was stated when sampling ended."""
    promised: int
    """It is not above what was promised on acceptance (or nothing was)."""
    looked: float
    """Mean share of the rows that were looked at."""
    fixed_failed: int
    """The same for a tenth of the rows."""


@cache
def step(size: int, seen: int, defects: int, stage: int) -> Step:
    """What `plan` says."""
    return plan(size, seen, defects, stage, CONFIG)


@cache
def interval(lot: Looked) -> Metric:
    """What `pooled` says of one lot."""
    return pooled([lot], CONFIG.confidence)


def cell(size: int, rate: float, lots: int, random: np.random.Generator) -> Cell:
    """Sample many lots of one kind."""
    bad, points = round(size * rate), stages(size, CONFIG)
    ends: Counter[tuple[int, ...]] = Counter()
    defects, drawn = np.zeros(lots, dtype=np.int64), 0
    columns = []
    for point in points:
        left = bad - defects
        defects = defects + random.hypergeometric(left, size - drawn - left, point.sample - drawn)
        drawn = point.sample
        columns.append(defects)
    ends.update(map(tuple, np.stack(columns, axis=1).tolist()) if columns else [()] * lots)
    failed = covered = promised = 0
    seen = 0.0
    for path, count in ends.items():
        action, rows, found = follow(size, path)
        rest = size - rows
        share = (bad - found) / rest if rest else 0.0
        accepted = action.action == "accept"
        failed += count * (accepted and share > CONFIG.bound + 1e-12)
        promised += count * (not accepted or share <= action.unseen.high + 1e-12)
        span = interval(Looked(size, rows, found))
        covered += count * (span.low - 1e-12 <= share <= span.high + 1e-12)
        seen += count * (rows / size if accepted else 1.0)
    tenth = -(-size // 10)
    found = random.hypergeometric(bad, size - bad, tenth, lots)
    fixed = (found <= CONFIG.bound * tenth) & (bad - found > CONFIG.bound * (size - tenth))
    return Cell(lots, failed, covered, promised, seen / lots, int(fixed.sum()))


def critical(size: int) -> list[float]:
    """The defect rates at which each stage's acceptance just leaves too many defects: the hardest ones."""
    points = stages(size, CONFIG)
    return [(int(CONFIG.bound * (size - p.sample) + 1e-9) + d + 1) / size for p in points for d in (0, p.accept)]


def follow(size: int, path: tuple[int, ...]) -> tuple[Step, int, int]:
    """The last step of a lot with so many defects after each stage, the rows of its sample and the defects in it."""
    now, rows, found = step(size, 0, 0, 0), 0, 0
    while now.action == "draw":
        rows, found = now.sample, path[now.stage - 1]
        now = step(size, rows, found, now.stage)
    return now, rows, found


def one_class(lots: list[tuple[int, float]], random: np.random.Generator) -> tuple[Metric, float]:
    """The interval of a class whose lots were sampled (and looked at in full where rejected), and the truth."""
    known: list[Looked] = []
    rest = left = 0
    for size, rate in lots:
        bad = np.zeros(size, dtype=bool)
        bad[: round(size * rate)] = True
        random.shuffle(bad)
        found = np.cumsum(bad)
        path = tuple(int(found[p.sample - 1]) for p in stages(size, CONFIG))
        end, rows, _ = follow(size, path)
        rows = rows if end.action == "accept" else size
        rest, left = rest + size - rows, left + int(bad[rows:].sum())
        known.append(looked(size, bad[:rows].tolist(), CONFIG))
    return pooled(known, CONFIG.confidence), left / rest if rest else 0.0


def share(hits: int, n: int) -> str:
    """A share with its Monte Carlo interval."""
    low, high = wilson(hits, n)
    return f"{hits / n:.4f} [{low:.4f}, {high:.4f}]"


def main() -> None:
    """Simulate, count, print."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--lots", type=int, default=0, help="per size and rate: 100000, or 10000 with --quick")
    options = parser.parse_args()
    lots = options.lots or (10_000 if options.quick else 100_000)
    random = np.random.default_rng(0)
    cells = {(size, rate): cell(size, rate, lots, random) for size in SIZES for rate in (*RATES, *critical(size))}
    usual = (0.0, 0.02, 0.05, 0.1, 0.2)
    lines = []
    for size in SIZES:
        mine = {rate: cells[size, rate] for rate in (*RATES, *critical(size))}
        points = stages(size, CONFIG)
        text = " ".join(f"{p.sample}:{p.accept}" for p in points) or "all"
        exact = worst_error(size, points) if points else 0.0
        failed = max(c.failed for c in mine.values()) / lots
        fixed = max(c.fixed_failed for c in mine.values()) / lots
        lines.append((size, text, *(f"{mine[rate].looked:.0%}" for rate in usual), failed, exact, fixed))
    print("rows looked at by defect rate, and the worst rate's share of lots accepted with too bad a rest:")
    seen = [f"at {rate:.0%}" for rate in usual]
    table(["rows", "plan (sample:accept)", *seen, "failed", "exact limit of the plan", "failed, fixed 10 %"], lines)
    worst = max(cells, key=lambda key: cells[key].failed)
    fixed = max(cells, key=lambda key: cells[key].fixed_failed)
    low = min(cells, key=lambda key: cells[key].covered)
    promise = min(cells, key=lambda key: cells[key].promised)
    figures = {
        "lots a cell": lots,
        "worst cell, failed": f"{worst[0]} rows, {worst[1]:.2%}: {share(cells[worst].failed, lots)}",
        "worst cell, fixed 10 %": f"{fixed[0]} rows, {fixed[1]:.2%}: {share(cells[fixed].fixed_failed, lots)}",
        "lowest coverage of the limit promised": f"{promise[0]} rows, {promise[1]:.2%}: {share(cells[promise].promised, lots)}",
        "lowest coverage of the interval": f"{low[0]} rows, {low[1]:.2%}: {share(cells[low].covered, lots)}",
        "mean share looked at, rates 0 to 5 %": f"{np.mean([cells[s, r].looked for s in SIZES for r in RATES[:4]]):.3f}",
        "of these, lots of 200 and more": f"{np.mean([cells[s, r].looked for s in SIZES if s >= 200 for r in RATES[:4]]):.3f}",
    }
    rounds = 200 if options.quick else 2000
    for name, shape in CLASSES.items():
        found = [one_class(shape, random) for _ in range(rounds)]
        hits = sum(m.low - 1e-12 <= truth <= m.high + 1e-12 for m, truth in found)
        ends = f"mean interval [{np.mean([m.low for m, _ in found]):.3f}, {np.mean([m.high for m, _ in found]):.3f}]"
        figures[f"class of {name}: covered"] = (
            f"{share(hits, rounds)}, {ends}, truth {np.mean([t for _, t in found]):.3f}"
        )
    print()
    table(["figure", "value"], list(figures.items()))
    dump(figures)


if __name__ == "__main__":
    main()
