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
    shape = {label: n for label, n in Counter(sample.label for sample in test).items() if members[label]}
    # The population with the test set's class shares: every class blown up to the same multiple of its test rows.
    big = [i for label, n in shape.items() for i in np.resize(members[label], n * 400)]
    truth = score([pool[i].label for i in big], [said[i] for i in big])
    random = np.random.default_rng(0)
    inside: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for _ in range(options.cases or (200 if options.quick else 1000)):
        drawn = [int(i) for label, n in shape.items() for i in random.choice(members[label], n)]
        found = score([pool[i].label for i in drawn], [said[i] for i in drawn], truth.labels)
        whole = ((f.accuracy, f.macro_f1, f.weighted_f1) for f in (found, truth))
        for metric, target in zip(*whole, strict=True):
            tried[metric.name] += 1
            inside[metric.name] += metric.low <= target.value <= metric.high
        for ours, theirs in zip(found.per_class, truth.per_class, strict=True):
            for metric, target in zip(ours[1:], theirs[1:], strict=True):
                if metric.n and target.n:
                    tried[f"class {metric.name}"] += 1
                    inside[f"class {metric.name}"] += metric.low <= target.value <= metric.high
    lines = []
    for name, n in tried.items():
        low, high = wilson(inside[name], n)
        lines.append((name, n, f"{inside[name] / n:.3f} [{low:.3f}, {high:.3f}]"))
    print(
        f"{options.data}: test sets of {sum(shape.values())} rows, {len(shape)} classes, {min(shape.values())} rows at least"
    )
    table(["interval", "simulated", "coverage of 95 % intervals"], lines)
    dump({name: inside[name] / n for name, n in tried.items()})


if __name__ == "__main__":
    main()
