"""Measure how often the 95 % intervals cover.

    python benchmarks/coverage.py [--quick]

The population is a classifier's predictions of the pool; test sets of the shape of the real one (rows per class) are drawn
from it, with replacement, and the intervals of each are held against the population's scores under the same class shares.
"""

from collections import Counter, defaultdict

import numpy as np
from common import SHARED, arguments, dump, embed, rows, table

from workbench.classify import ClassifierConfig, Features, Head
from workbench.evaluate import score
from workbench.metrics import wilson


def main() -> None:
    """Simulate, count, print."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--data", default="zh_stress34")
    parser.add_argument("--cases", type=int, default=0, help="1000, or 200 with --quick")
    options = parser.parse_args()
    folder, config = SHARED / "data" / options.data, ClassifierConfig()
    train, pool, test = (rows(folder / f"{name}.csv") for name in ("train_imbalanced", "pool", "test"))
    vectors = embed(train, options.encoder, options.cache)
    texts = [sample.text for sample in train]
    features = Features.fit(config, texts, vectors)
    head = Head.fit(config, features(texts, vectors), [sample.label for sample in train])
    logits = head.logits(features([s.text for s in pool], embed(pool, options.encoder, options.cache)))
    said = [head.labels[i] for i in logits.argmax(axis=1)]
    members: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(pool):
        members[sample.label].append(i)
    named = [label for label, some in sorted(members.items(), key=lambda item: -len(item[1])) if len(some) >= 20]
    shapes = {
        "as the test set": {label: n for label, n in Counter(s.label for s in test).items() if members[label]},
        "16 classes of 14 rows": dict.fromkeys(named[:16], 14),
        "12 classes of 1 to 9 rows": {label: 1 + i % 9 for i, label in enumerate(named[:12])},
    }
    truth = [sample.label for sample in pool]
    lines = []
    for name, shape in shapes.items():
        for metric, (hits, n) in simulate(
            truth, said, members, shape, options.cases or (200 if options.quick else 1000)
        ).items():
            low, high = wilson(hits, n)
            lines.append((name, metric, n, f"{hits / n:.3f} [{low:.3f}, {high:.3f}]"))
    print(f"{options.data}: {len(pool)} pool rows")
    table(["test sets", "interval", "simulated", "coverage of 95 % intervals"], lines)
    dump({f"{line[0]}, {line[1]}": line[3] for line in lines})


def simulate(
    truth: list[str], said: list[str], members: dict[str, list[int]], shape: dict[str, int], cases: int
) -> dict[str, tuple[int, int]]:
    """Interval -> how often it held the population's score, and how often it was tried."""
    # The population with the shape's class shares: every class blown up to the same multiple of its rows.
    big = [int(i) for label, n in shape.items() for i in np.resize(members[label], n * 2000)]
    whole = score([truth[i] for i in big], [said[i] for i in big])
    random = np.random.default_rng(0)
    inside: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for _ in range(cases):
        drawn = [int(i) for label, n in shape.items() for i in random.choice(members[label], n)]
        found = score([truth[i] for i in drawn], [said[i] for i in drawn], whole.labels)
        pairs = [
            (found.accuracy, whole.accuracy),
            (found.macro_f1, whole.macro_f1),
            (found.weighted_f1, whole.weighted_f1),
        ]
        for ours, theirs in zip(found.per_class, whole.per_class, strict=True):
            pairs += [(a, b) for a, b in zip(ours[1:], theirs[1:], strict=True) if a.n and b.n]
        for metric, target in pairs:
            name = f"class {metric.name}" if metric.where else metric.name
            tried[name] += 1
            inside[name] += metric.low <= target.value <= metric.high
    return {name: (inside[name], n) for name, n in tried.items()}


if __name__ == "__main__":
    main()
