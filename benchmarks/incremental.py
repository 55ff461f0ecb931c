"""Continue a classifier on border cases of its confused pairs: errors on these pairs and elsewhere, before and after.

    python benchmarks/incremental.py [--quick]

Reads demo/erp beside the project: 264 old rows, 36 new ones, 180 test rows. The pairs and the test rows are as they came; every
setting is the shipped default but for the guard that a line names. A seed draws the replayed rows and the bootstraps. An interval
of a difference has two parts, as in `wb evaluate`: a paired bootstrap over test rows, and the spread over heads that were trained
on bootstraps of old and new rows. `ceiling`: trained on the old, the new and four fifths of the test rows, tested on the last
fifth, in turn: what more rows of the same kind, and five times as many, would give this head on these vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import SHARED, arguments, dump, table

from workbench.classify import Classifier, ClassifierConfig, Head, OutOfFold
from workbench.data import Told, read
from workbench.encode import Cached, EncoderConfig, open_encoder
from workbench.evaluate import Arm, CompareConfig
from workbench.flow.train.regression import Part, regression
from workbench.records import Sample
from workbench.train import fit_classifier
from workbench.train.incremental.classifier import Rows, continue_classifier, doubts, hold_out_new
from workbench.train.incremental.config import IncrementalConfig

PAIRS = (
    ("PROCESSING_BATCH_LIST", "MATERIAL_BATCH_QUERY"),
    ("CLOCK_IN", "ATTENDANCE_TODAY"),
    ("SHIPMENT_STATS", "MATERIAL_BATCH_QUERY"),
    ("SHIPMENT_STATS", "SHIPMENT_QUERY"),
)
GUARDS = ("none", "replay", "distill", "ewc", "replay+distill", "replay+ewc", "distill+ewc", "replay+distill+ewc")
DRAWS = 4000


@dataclass(frozen=True)
class Erp:
    """The data, their vectors, and the classifier of the old rows."""

    model: Classifier
    old: Rows
    new: Rows
    test: Rows
    fitted: OutOfFold


def load(encoder: str, cache: Any, replicas: int) -> Erp:
    """Read, embed, train the old model."""
    parts = {}
    for name in ("original_training_data", "incremental_training_data", "test"):
        path = SHARED / "demo" / "erp" / f"{name}.csv"
        if not path.is_file():
            raise SystemExit(f"{path} is not there: this benchmark reads the public data sets beside the project.")
        parts[name] = read(path, Told()).samples
    opened = Cached(open_encoder(EncoderConfig(name=encoder)), cache / "vectors")
    print(f"encoder: {opened.name}")
    old = parts["original_training_data"]
    vectors = opened.encode([s.text for s in old])
    model = fit_classifier(ClassifierConfig(), old, vectors, encoder="", replicas=replicas, seed=0)
    rows = [Rows(some, model.features(texts(some), opened.encode(texts(some)))) for some in parts.values()]
    return Erp(model, *rows, doubts(model, rows[0]))


def texts(samples: Sequence[Sample]) -> list[str]:
    """Their texts."""
    return [sample.text for sample in samples]


def said(head: Head, rows: Rows) -> list[str]:
    """What a head says of rows."""
    return [head.labels[i] for i in head.logits(rows.x).argmax(axis=1)]


def errors(true: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """[2, n] whether each row is taken for the other class of a pair, and whether it is wrong in another way."""
    confused = {frozenset(pair) for pair in PAIRS}
    on_pair = np.array([a != b and frozenset((a, b)) in confused for a, b in zip(true, predicted, strict=True)])
    wrong = np.array([a != b for a, b in zip(true, predicted, strict=True)])
    return np.stack([on_pair, wrong & ~on_pair]).astype(float)


def interval(rows: np.ndarray, replicas: np.ndarray) -> tuple[float, float, float]:
    """Sum of row differences [n] with its 95 % interval; replicas [r] hold the same sum of paired bootstrap heads."""
    draws = np.random.default_rng(0).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=DRAWS) @ rows
    spread = float(
        np.sqrt(draws.var() * len(rows) / (len(rows) - 1) + (replicas.var(ddof=1) if len(replicas) > 1 else 0))
    )
    point = float(rows.sum())
    return point, point - 1.96 * spread, point + 1.96 * spread


def arm(erp: Erp, guard: str, seeds: int) -> dict[str, Any]:
    """One way of continuing, over all seeds."""
    config = IncrementalConfig.read({"guard": guard}, where=guard)
    y = erp.test.labels
    before = errors(y, said(erp.model.head, erp.test))
    old_replicas = np.stack([errors(y, said(head, erp.test)).sum(axis=1) for head in erp.model.replicas])
    runs, moved, verdicts, border = [], [], [], []
    for seed in range(seeds):
        after, _ = continue_classifier(config, erp.model, erp.old, erp.new, erp.fitted, seed=seed)
        runs.append(errors(y, said(after.head, erp.test)))
        moved.append(np.stack([errors(y, said(head, erp.test)).sum(axis=1) for head in after.replicas]) - old_replicas)
        arms = [Arm(said(m.head, erp.test), [said(h, erp.test) for h in m.replicas]) for m in (erp.model, after)]
        verdicts.append(regression([Part("test", y, *arms, "test.csv")], CompareConfig()))
        held = hold_out_new(config, erp.model, erp.old, erp.new, erp.fitted, seed=seed)
        border.append(errors(erp.new.labels, held.after).sum(axis=1))
    mean = np.mean(runs, axis=0)
    found = [interval((mean - before)[k], np.concatenate(moved)[:, k]) for k in (0, 1)]
    worse = sorted({e.name for v in verdicts for _, one in v.parts for e in one.effects if e.outcome == "worse"})
    return {
        "before": before.sum(axis=1).tolist(),
        "after": mean.sum(axis=1).tolist(),
        "seeds": [run.sum(axis=1).tolist() for run in runs],
        "pair_difference": found[0],
        "elsewhere_difference": found[1],
        "worse": worse,
        "promoted": sum(v.promoted for v in verdicts),
        "border_before": errors(erp.new.labels, said(erp.model.head, erp.new)).sum(axis=1).tolist(),
        "border_after": np.mean(border, axis=0).tolist(),
    }


def from_scratch(erp: Erp, extra: Rows | None = None) -> Head:
    """A new head on old, new and further rows, on the features of the old model."""
    parts = [erp.old, erp.new, *([extra] if extra else [])]
    labels = [label for part in parts for label in part.labels]
    return Head.fit(ClassifierConfig(), np.vstack([part.x for part in parts]), labels)


def ceiling(erp: Erp) -> list[float]:
    """Errors on pairs and elsewhere with four fifths of the test rows among the training rows, in turn."""
    order = np.random.default_rng(0).permutation(len(erp.test.samples))
    found = np.zeros(2)
    for fold in range(5):
        held, seen = order[fold::5], np.setdiff1d(order, order[fold::5])
        part = erp.test.at(held)
        found += errors(part.labels, said(from_scratch(erp, erp.test.at(seen)), part)).sum(axis=1)
    return [float(value) for value in found]


def main() -> None:
    """Every guard alone and together, beside training from scratch."""
    options = arguments(__doc__ or "").parse_args()
    erp = load(options.encoder, options.cache, 10 if options.quick else 40)
    found = {guard: arm(erp, guard, 5) for guard in GUARDS}
    lines = []
    for name, f in found.items():
        spans = [
            f"{v:+.1f} [{low:+.1f}, {high:+.1f}]" for v, low, high in (f["pair_difference"], f["elsewhere_difference"])
        ]
        border = f"{sum(f['border_before']):.0f} -> {sum(f['border_after']):.1f}"
        worse = ", ".join(f["worse"]) or "none"
        lines.append(
            [
                name,
                f"{f['after'][0]:.1f}",
                spans[0],
                f"{f['after'][1]:.1f}",
                spans[1],
                border,
                f"{f['promoted']} of 5",
                worse,
            ]
        )
    base = next(iter(found.values()))["before"]
    scratch = errors(erp.test.labels, said(from_scratch(erp), erp.test)).sum(axis=1).tolist()
    top = ceiling(erp)
    print(f"Errors of the old model on 180 test rows: {base[0]:.0f} on the pairs, {base[1]:.0f} elsewhere.")
    print(
        f"Trained from scratch on old and new rows: {scratch[0]:.0f} and {scratch[1]:.0f}. "
        f"Ceiling: {top[0]:.0f} and {top[1]:.0f}."
    )
    columns = [
        "guard",
        "pairs",
        "difference",
        "elsewhere",
        "difference",
        "new rows, held out",
        "promoted",
        "significantly worse",
    ]
    table(columns, lines)
    dump({"old": base, "from_scratch": scratch, "ceiling": top, "arms": found})


if __name__ == "__main__":
    main()
