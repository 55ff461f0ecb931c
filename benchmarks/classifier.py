"""Measure the linear classifier beside reference lines.

    python benchmarks/classifier.py

The references are a logistic regression on frozen, centred e5 vectors, and one on character TF-IDF.
"""

import time

from common import SHARED, arguments, dump, embed, rows, table

from workbench.classify import ClassifierConfig, Features, Head
from workbench.data import Told, read
from workbench.evaluate import score
from workbench.records import Sample

REFERENCE = {"zh_stress34": (0.810, 0.722), "en_stress34": (0.628, 0.538), "telecom": (0.313, 0.241)}


def load(name: str) -> tuple[list[Sample], list[Sample]]:
    """Training and test rows of a set."""
    if name == "telecom":
        folder = SHARED / "demo" / "telecom"
        return read(folder / "train.csv", Told()).samples, read(folder / "test.csv", Told()).samples
    return rows(SHARED / "data" / name / "train_imbalanced.csv"), rows(SHARED / "data" / name / "test.csv")


def main() -> None:
    """Train and score on each set."""
    options = arguments(__doc__ or "").parse_args()
    config = ClassifierConfig()
    lines = []
    for name, (e5, tfidf) in REFERENCE.items():
        train, test = load(name)
        vectors, held = embed(train, options.encoder, options.cache), embed(test, options.encoder, options.cache)
        start = time.perf_counter()
        texts = [sample.text for sample in train]
        features = Features.fit(config, texts, vectors)
        head = Head.fit(config, features(texts, vectors), [sample.label for sample in train])
        seconds = time.perf_counter() - start
        logits = head.logits(features([sample.text for sample in test], held))
        found = score([sample.label for sample in test], [head.labels[i] for i in logits.argmax(axis=1)]).macro_f1
        span = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
        lines.append((name, len(train), found.n, span, e5, tfidf, f"{seconds:.1f}"))
    columns = [
        "set",
        "training rows",
        "test rows",
        "macro-F1",
        "reference: e5",
        "reference: TF-IDF",
        "seconds, embedded",
    ]
    table(columns, lines)
    dump({line[0]: line[3] for line in lines})


if __name__ == "__main__":
    main()
