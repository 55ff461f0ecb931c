"""What several stages need to know of the same rows, computed once per data version: vectors and out-of-fold probabilities."""

from collections.abc import Sequence

import numpy as np

from workbench.bench import Bench
from workbench.classify import Features, OutOfFold, cross_fit
from workbench.encode import Vectors
from workbench.records import Sample, digest
from workbench.similarity import near_groups


def vectors(bench: Bench, samples: Sequence[Sample]) -> Vectors:
    """Unit vectors [n, d] of the samples' texts."""
    return bench.encoder.encode([sample.text for sample in samples])


def out_of_fold(bench: Bench, samples: Sequence[Sample]) -> OutOfFold:
    """Cross-fitted probabilities of the samples; kept in the cache under rows, settings and encoder."""
    config = bench.config.classifier
    rows = digest(*(f"{s.id}:{s.text_id}:{s.label}" for s in samples))
    key = digest(rows, config.model_dump_json(), bench.encoder.fingerprint)
    path = bench.root / "cache" / "out-of-fold" / f"{key}.npz"
    ids = tuple(sample.id for sample in samples)
    if path.is_file():
        with np.load(path) as z:
            return OutOfFold(ids, tuple(z["labels"].tolist()), z["truth"], z["probabilities"], float(z["temperature"]))
    texts = [sample.text for sample in samples]
    features = Features.fit(config, texts, v := vectors(bench, samples))(texts, v)
    whole = near_groups(texts)
    found = cross_fit(config, ids, features, [sample.label for sample in samples], whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            labels=np.array(found.labels),
            truth=found.truth,
            probabilities=found.probabilities,
            temperature=found.temperature,
        )
    partial.replace(path)
    return found
