"""Count claims of a difference where there is none.

    python benchmarks/aa.py [--quick]

Each case makes two arms in the same way: the imbalanced training rows plus rows for the tail classes, drawn from a pool
independently for each arm, as two generations would be. Whatever the verdict then calls improved or worse, in any metric,
class or pair, is a false claim; at most 5 % of the cases may have one. For power, `--real` compares the imbalanced training
rows with the balanced ones, where there is a difference.
"""

import sys
import time
from collections import Counter

import numpy as np
from common import SHARED, arguments, dump, embed, rows, table

from workbench.classify import ClassifierConfig, Features, Head
from workbench.evaluate import Arm, CompareConfig, Verdict, compare
from workbench.metrics import wilson
from workbench.records import Sample
from workbench.train import fit_heads


class Arms:
    """Rows and features, from which arms are drawn."""

    def __init__(self, data: str, encoder: str, cache, replicas: int) -> None:
        folder = SHARED / "data" / data
        self.train, self.test = rows(folder / "train_imbalanced.csv"), rows(folder / "test.csv")
        self.pool = rows(folder / "pool.csv", "synthetic")
        self.balanced = rows(folder / "train_balanced.csv")
        self.config, self.replicas = ClassifierConfig(), replicas
        texts = [sample.text for sample in self.train]
        vectors = embed(self.train, encoder, cache)
        self.features = Features.fit(self.config, texts, vectors)
        self.x = {
            id(some): self.features([s.text for s in some], embed(some, encoder, cache))
            for some in (self.train, self.test, self.pool, self.balanced)
        }
        self.true = [sample.label for sample in self.test]
        counts = Counter(sample.label for sample in self.train)
        stock = {label: [i for i, s in enumerate(self.pool) if s.label == label] for label in counts}
        self.wanted = {
            label: (stock[label], min(40, int(0.6 * len(stock[label])))) for label, n in counts.items() if n < 50
        }

    def drawn(self, seed: int) -> Arm:
        """An arm with its own draw of rows for the tail."""
        random = np.random.default_rng(seed)
        index = [int(i) for some, n in self.wanted.values() if n for i in random.choice(some, n, replace=False)]
        return self.arm(
            [*self.train, *(self.pool[i] for i in index)],
            np.vstack([self.x[id(self.train)], self.x[id(self.pool)][index]]),
        )

    def arm(self, samples: list[Sample], x: np.ndarray) -> Arm:
        """Predictions of the head of all rows and of its replicas."""
        head, heads = fit_heads(self.config, samples, x, replicas=self.replicas, seed=0)
        return Arm(self.predict(head), [self.predict(replica) for replica in heads])

    def predict(self, head: Head) -> list[str]:
        """Classes of the test rows."""
        return [head.labels[i] for i in head.logits(self.x[id(self.test)]).argmax(axis=1)]


def claims(verdict: Verdict) -> list[str]:
    """Everything that a verdict claims to have changed."""
    return [f"{e.name}: {e.outcome}" for e in verdict.effects if e.outcome in ("improved", "worse")]


def main() -> None:
    """Simulate, count, print."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--cases", type=int, default=0, help="200, or 20 with --quick")
    parser.add_argument("--data", default="zh_stress34")
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--real", action="store_true", help="only the comparison with a real difference")
    options = parser.parse_args()
    arms = Arms(options.data, options.encoder, options.cache, options.replicas)
    real = compare(
        arms.true,
        arms.arm(arms.train, arms.x[id(arms.train)]),
        arms.arm(arms.balanced, arms.x[id(arms.balanced)]),
        CompareConfig(),
    )
    print(f"imbalanced -> balanced real rows: {real.say[:200]}", file=sys.stderr)
    cases = 0 if options.real else options.cases or (20 if options.quick else 200)
    wrong = 0
    start = time.perf_counter()
    for case in range(cases):
        found = claims(compare(arms.true, arms.drawn(2 * case), arms.drawn(2 * case + 1), CompareConfig()))
        wrong += bool(found)
        if found or case % 10 == 9:
            print(
                f"case {case + 1}: {wrong} with a claim, {time.perf_counter() - start:.0f} s {found[:3]}",
                file=sys.stderr,
            )
    low, high = wilson(wrong, cases)
    span = f"{wrong / cases:.3f} [{low:.3f}, {high:.3f}]" if cases else ""
    table(
        ["comparison", "cases", "with a claim", "share"],
        [("A/A", cases, wrong, span), ("real difference", 1, real.overall, "")],
    )
    dump(
        {
            "data": options.data,
            "cases": cases,
            "claims": wrong,
            "share": span,
            "real": real.overall,
            "replicas": options.replicas,
        }
    )


if __name__ == "__main__":
    main()
