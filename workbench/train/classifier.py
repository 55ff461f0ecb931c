"""The linear classifier with its bootstrap replicas."""

from collections.abc import Sequence

import numpy as np

from workbench.classify import Classifier, ClassifierConfig, Features, Floats, Head, Ints, cross_fit, temperature_of
from workbench.records import Sample


def fit_classifier(
    config: ClassifierConfig, samples: Sequence[Sample], vectors: Floats, *, encoder: str, replicas: int, seed: int
) -> Classifier:
    """Train a head on all samples, and one on each of `replicas` bootstraps of them.

    Args:
        config: the head.
        samples: training rows, human and synthetic.
        vectors: [n, d] their sentence vectors, not centred.
        encoder: fingerprint of what made the vectors.
        replicas: how many bootstraps.
        seed: drives the bootstraps; the same seed draws the same human rows whatever synthetic rows there are.

    Raises:
        DataError: fewer than two classes.
    """
    texts = [sample.text for sample in samples]
    labels = [sample.label for sample in samples]
    features = Features.fit(config, texts, vectors)
    x = features(texts, vectors)
    head, heads = fit_heads(config, samples, x, replicas=replicas, seed=seed)
    # Synthetic rows resemble each other: probabilities are calibrated on the human rows alone.
    fitted = cross_fit(config, [sample.id for sample in samples], x, labels)
    human = np.array([sample.source == "human" for sample in samples])
    temperature = fitted.temperature * temperature_of(fitted, human)
    return Classifier(features, head.at(temperature), tuple(h.at(temperature) for h in heads), encoder)


def fit_heads(
    config: ClassifierConfig, samples: Sequence[Sample], x: Floats, *, replicas: int, seed: int
) -> tuple[Head, list[Head]]:
    """The head of all samples, and those of `replicas` bootstraps of them, on their features `x` [n, d]."""
    labels = [sample.label for sample in samples]
    draws = (bootstrap(samples, np.random.default_rng([seed, replica])) for replica in range(replicas))
    heads = [Head.fit(config, x[draw], [labels[i] for i in draw]) for draw in draws]
    return Head.fit(config, x, labels), heads


def bootstrap(samples: Sequence[Sample], random: np.random.Generator) -> Ints:
    """Row numbers of a bootstrap, class by class and source by source, so that no class is lost.

    Human rows are drawn first and by class name: two training sets with the same human rows get the same draw of them,
    which pairs their replicas.
    """
    groups: dict[tuple[bool, str], list[int]] = {}
    for i, sample in enumerate(samples):
        groups.setdefault((sample.source != "human", sample.label), []).append(i)
    drawn = [random.choice(groups[key], len(groups[key])) for key in sorted(groups)]
    rows: Ints = np.concatenate(drawn).astype(np.int64)
    return rows
