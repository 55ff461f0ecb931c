"""Measure the loop: what generation brings without a gate, with the gate, and with a flawless generator.

    python benchmarks/loop.py [--sets zh_stress34 en_stress34 telecom] [--seeds 5]

A server answers prompts with real rows of the asked class that training does not have, 60 % of them damaged (of another
class, copies, repeats, remarks, phone numbers, cut off). Each class is filled to a total of min(75 / 40 / 25, its training
rows + 60 % of its rows in the pool). All arms train the same classifier and are scored on the same test rows.
"""

import csv
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import SHARED, arguments, dump, table
from pool import available, served

from workbench.bench import Bench
from workbench.classify import Features, Head
from workbench.data import Told, read
from workbench.flow.generate.run import generate
from workbench.flow.signals import vectors
from workbench.flow.train.run import training_rows
from workbench.gate.kinds import DEFAULTS
from workbench.metrics import ratio
from workbench.records import Need, Sample

CAPS = {"zh_stress34": 75, "en_stress34": 40, "telecom": 25}
FLAWED = ("--flaws", "0.6", "--confusable")
OPEN_GATE = "gate.rules={" + ", ".join(f"{name}: off" for name in DEFAULTS) + "}"
DRAWS = 2000
PAIRS = (
    ("gated", "flawless"),
    ("gated", "ungated"),
    ("gated", "class weights"),
    ("ungated", "class weights"),
    ("ungated", "flawless"),
)


@dataclass(frozen=True)
class Set:
    """One data set: files, and the rows wanted of each class."""

    name: str
    train: Path
    balanced: Path | None
    dev: Path
    test: Path
    pool: Path
    plain_train: Path
    """Training rows as the server reads them."""
    wanted: Mapping[str, int]


def load(name: str, folder: Path) -> Set:
    """A set with its quotas; dialogues are written as the server reads them, in columns text and label."""
    source = SHARED / "demo" / "telecom" if name == "telecom" else SHARED / "data" / name
    files = {part: source / f"{part}.csv" for part in ("dev", "test", "pool")}
    train = source / ("train.csv" if name == "telecom" else "train_imbalanced.csv")
    balanced = None if name == "telecom" else source / "train_balanced.csv"
    rows = {part: read(path, Told()).samples for part, path in (("train", train), ("pool", files["pool"]))}
    plain = {part: folder / f"{name}-{part}.csv" for part in rows}
    for part, samples in rows.items():
        with plain[part].open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *((s.text, s.label) for s in samples)])
    have, left = Counter(s.label for s in rows["train"]), Counter(s.label for s in rows["pool"])
    wanted = {label: max(0, int(min(CAPS[name], n + 0.6 * left[label])) - n) for label, n in have.items()}
    wanted = {label: n for label, n in wanted.items() if n}
    return Set(name, train, balanced, files["dev"], files["test"], plain["pool"], plain["train"], wanted)


def bench_of(data: Set, folder: Path, settings: Sequence[str], cache: Path) -> Bench:
    """A fresh bench with the set's rows; vectors are kept from one bench to the next."""
    folder.mkdir(parents=True)
    (folder / "wb.yaml").write_text("seed: 0\n", encoding="utf-8")
    (folder / "cache").mkdir()
    (cache / "vectors").mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "vectors").symlink_to((cache / "vectors").resolve())
    bench = Bench.find(folder, settings)
    for split, path in (("train", data.train), ("dev", data.dev), ("test", data.test)):
        with bench.ledger.write("data", "add") as writer:
            writer.samples(read(path, Told(split=split)).samples)
    return bench


def predict(bench: Bench, rows: Sequence[Sample], *, class_weight: bool = True) -> list[str]:
    """Train on the rows and predict test."""
    config = bench.config.classifier.model_copy(update={"class_weight": class_weight})
    test = bench.ledger.samples(split="test")
    texts, raw = [s.text for s in rows], vectors(bench, rows)
    features = Features.fit(config, texts, raw)
    head = Head.fit(config, features(texts, raw), [s.label for s in rows])
    logits = head.logits(features([s.text for s in test], vectors(bench, test)))
    return [head.labels[i] for i in logits.argmax(axis=1)]


def filled(data: Set, folder: Path, options: Sequence[str], settings: Sequence[str], cache: Path) -> Bench:
    """A bench that was generated for through a server with these options."""
    with served(*options, pool=data.pool, train=data.plain_train) as server:
        os.environ |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "x"}
        bench = bench_of(data, folder, settings, cache)
        needs = [Need(label, count, "minority") for label, count in data.wanted.items()]
        start = time.perf_counter()
        result = generate(bench, needs)
        seconds = time.perf_counter() - start
        made, got = len(bench.ledger.candidates()), sum(result.accepted.values())
        print(f"  {folder.name}: {got} of {result.requested} accepted of {made} rows, {seconds:.0f} s", flush=True)
        if result.say:
            print(f"    short: {result.say}", flush=True)
        return bench


def recorded(data: Set, folder: Path, recording: Path, seed: int, cache: Path) -> dict[str, list[str]]:
    """Predictions of test where a real small model wrote the rows: a recording, in another order for each seed."""
    lines = recording.read_text(encoding="utf-8").splitlines(keepends=True)
    np.random.default_rng(seed).shuffle(lines)
    shuffled = folder / f"{data.name}-recording-{seed}.jsonl"
    shuffled.write_text("".join(lines), encoding="utf-8")
    endpoint = f"llm.endpoints=[{{kind: recorded, path: {shuffled}}}]"
    needs = [Need(label, count, "minority") for label, count in data.wanted.items()]
    found = {}
    for arm, settings in (("gated", ()), ("ungated", (OPEN_GATE,))):
        bench = bench_of(data, folder / f"{data.name}-{arm}-{seed}", (endpoint, *settings), cache)
        result = generate(bench, needs)
        made, got = len(bench.ledger.candidates()), sum(result.accepted.values())
        print(f"  {arm}-{seed}: {got} of {result.requested} accepted of {made} rows", flush=True)
        found["class weights"] = predict(bench, training_rows(bench, "human"))
        found[arm] = predict(bench, training_rows(bench, "gated"))
    return found


def arms(data: Set, folder: Path, seed: int, cache: Path) -> dict[str, list[str]]:
    """Predictions of test by every arm, for one seed of the generator."""
    flawed = (*FLAWED, "--seed", str(seed))
    gated = filled(data, folder / f"{data.name}-gated-{seed}", flawed, (), cache)
    ungated = filled(data, folder / f"{data.name}-ungated-{seed}", flawed, (OPEN_GATE,), cache)
    flawless = filled(data, folder / f"{data.name}-flawless-{seed}", ("--seed", str(seed)), (OPEN_GATE,), cache)
    found = {
        "no augmentation": predict(gated, training_rows(gated, "human"), class_weight=False),
        "class weights": predict(gated, training_rows(gated, "human")),
        "ungated": predict(ungated, training_rows(ungated, "gated")),
        "gated": predict(gated, training_rows(gated, "gated")),
        "flawless": predict(flawless, training_rows(flawless, "gated")),
    }
    if data.balanced:
        found["balanced real data"] = predict(gated, read(data.balanced, Told()).samples)
    return found


class Scored:
    """Macro-F1 and class F1 of each arm under resampling of test rows (within classes) and of seeds, all arms alike."""

    def __init__(self, true: Sequence[str], seeds: Sequence[Mapping[str, Sequence[str]]]) -> None:
        self.names = sorted(set(true) | {label for seed in seeds for some in seed.values() for label in some})
        column = {name: i for i, name in enumerate(self.names)}
        y = np.array([column[name] for name in true])
        self.rows = np.bincount(y, minlength=len(self.names))
        random = np.random.default_rng(0)
        weights = random.multinomial(len(y), np.full(len(y), 1 / len(y)), size=DRAWS).astype(np.float64)
        weights = np.vstack([np.ones(len(y)), weights])
        chosen = random.integers(0, len(seeds), size=(DRAWS, len(seeds)))
        chosen = np.vstack([np.arange(len(seeds)), chosen])
        self.f1 = {arm: self._f1(y, [seed[arm] for seed in seeds], column, weights, chosen) for arm in seeds[0]}

    def _f1(self, y, predicted, column, weights, chosen):
        """[1 + draws, classes] the mean over seeds; row 0 is as measured."""
        per_seed = []
        for some in predicted:
            z = np.array([column[name] for name in some])
            hits = weights @ ((y == z)[:, None] * np.eye(len(self.names))[y])
            union = weights @ (np.eye(len(self.names))[y] + np.eye(len(self.names))[z])
            per_seed.append(ratio(2 * hits, union))
        stacked = np.stack(per_seed)  # [seeds, draws, classes]
        return np.stack([stacked[seeds, i].mean(axis=0) for i, seeds in enumerate(chosen)])

    def macro(self, arm: str) -> tuple[float, float, float]:
        """Mean macro-F1 and its 95 % interval, over the classes of test."""
        return _interval(self.f1[arm][:, self.rows > 0].mean(axis=1))

    def difference(self, arm: str, other: str) -> tuple[float, float, float]:
        """Paired difference of macro-F1."""
        return _interval((self.f1[arm] - self.f1[other])[:, self.rows > 0].mean(axis=1))

    def worse(self, arm: str, other: str, least: int = 6) -> list[str]:
        """Classes of at least 6 test rows that are surely worse: simultaneous 95 % intervals (max-T) over all of them."""
        difference = (self.f1[arm] - self.f1[other])[:, self.rows >= least]
        spread = difference[1:].std(axis=0)
        t = np.abs(difference[1:] - difference[0]) / np.maximum(spread, 1e-9)
        high = difference[0] + np.quantile(t.max(axis=1), 0.95) * spread
        names = np.array(self.names)[self.rows >= least]
        return [str(name) for name, bound in zip(names, high, strict=True) if bound < 0]


def _interval(draws) -> tuple[float, float, float]:
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return float(draws[0]), float(low), float(high)


def _shown(value: tuple[float, float, float], sign: str = "") -> str:
    return f"{value[0]:{sign}.3f} [{value[1]:{sign}.3f}, {value[2]:{sign}.3f}]"


def main() -> None:
    """Run all sets and print tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--sets", nargs="+", default=list(CAPS), choices=list(CAPS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recording", type=Path, help="rows that a model wrote for en_stress34 (see small_model.py)")
    options = parser.parse_args()
    if options.recording:
        options.sets = ["en_stress34"]
    available()
    seeds = range(1 if options.quick else options.seeds)
    lines, against, figures = [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ["zh_stress34"] if options.quick else options.sets:
            data = load(name, Path(folder))
            true = [sample.label for sample in read(data.test, Told()).samples]
            print(f"{name}: {len(data.wanted)} classes want {sum(data.wanted.values())} rows", flush=True)
            if options.recording:
                found = [recorded(data, Path(folder), options.recording, seed, options.cache) for seed in seeds]
            else:
                found = [arms(data, Path(folder), seed, options.cache) for seed in seeds]
            scored = Scored(true, found)
            lines += [(name, arm, _shown(scored.macro(arm))) for arm in scored.f1]
            for arm, other in PAIRS:
                if {arm, other} <= scored.f1.keys():
                    lost = ", ".join(scored.worse(arm, other)) or "none"
                    against.append((name, f"{arm} - {other}", _shown(scored.difference(arm, other), "+"), lost))
            figures[name] = {arm: scored.macro(arm) for arm in scored.f1}
    print(f"\n{len(seeds)} seeds of the generator; intervals resample test rows and seeds.\n")
    table(["set", "training rows", "macro-F1 on test"], lines)
    print()
    table(["set", "difference", "macro-F1", "classes surely worse"], against)
    dump(figures)


if __name__ == "__main__":
    main()
