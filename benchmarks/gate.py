"""Measure the gate: what it keeps of good candidates, and what it drops of each kind of flaw, without any language model.

    python benchmarks/gate.py

Three sets: 256 telecom dialogues written with known flaws (real rows: train + pool); 200 of the 2,036 dialogues that GLM-4
wrote for 11 classes of CMCC-34, judged by reading (real rows: telecom, which has five of the classes); 100 of the rows that
SmolLM2-135M wrote for en_stress34, judged by reading. Beside the gate: length, keyword and similarity ratio with fixed
thresholds, as such projects do it today.
"""

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from common import ROOT, SHARED, arguments, dump, table

from workbench.bench import Bench
from workbench.data import Told, read
from workbench.flow.gate.ablate import ablate
from workbench.flow.gate.explain import doubtful
from workbench.flow.gate.run import Gated, gate_file
from workbench.keywords import keywords
from workbench.metrics import wilson
from workbench.records import Sample

TELECOM = SHARED / "demo" / "telecom"
CMCC = SHARED / "data" / "cmcc34_synthetic"
JUDGED = ROOT / "benchmarks" / "judged"


def bench_with(folder: Path, files: Sequence[tuple[Path, str]], cache: Path) -> Bench:
    """A fresh bench with these files and splits; vectors are kept from one run to the next."""
    (folder / "cache").mkdir(parents=True)
    (cache / "vectors").mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "vectors").symlink_to((cache / "vectors").resolve())
    (folder / "wb.yaml").write_text("seed: 0\n", encoding="utf-8")
    bench = Bench.find(folder)
    with bench.ledger.write("data", "add") as writer:
        for path, split in files:
            writer.samples(read(path, Told(split=split)).samples)
    return bench


def telecom(folder: Path, cache: Path) -> tuple[list[Any], dict[str, Any], list[Any]]:
    """Kept and dropped by kind of flaw, the review order, and the rules taken away one at a time."""
    real = [(TELECOM / "train.csv", "train"), (TELECOM / "pool.csv", "train"), (TELECOM / "dev.csv", "dev")]
    bench = bench_with(folder, [*real, (TELECOM / "test.csv", "test")], cache)
    gated, rows = gate_file(bench, TELECOM / "candidates.jsonl", text="text", label="asked", add=True)
    kept = [all(verdict.passed for verdict in row) for row in gated.verdicts]
    plain = usual_control(bench.ledger.samples(split="train"), gated.samples)
    kinds = [str(row["quality"]) for row in rows]
    lines = []
    for kind in sorted(set(kinds), key=lambda name: (name != "good", name)):
        index = [i for i, name in enumerate(kinds) if name == kind]
        share = [span(sum(not some[i] for i in index), len(index)) for some in (kept, plain)]
        lines.append((kind, len(index), *share))
    return lines, order(bench, gated, kinds), ablated(bench)


def ablated(bench: Bench) -> list[Any]:
    """What `wb gate --ablate` shows of the rules that are against any candidate."""
    found = []
    for worth in ablate(bench).worths:
        if worth.dropped:
            e = worth.effect
            shown = f"{e.after - e.before:+.3f} [{e.low:+.3f}, {e.high:+.3f}]" if e else ""
            found.append((worth.rule, worth.dropped, worth.alone, shown))
    return found


def order(bench: Bench, gated: Gated, kinds: Sequence[str]) -> dict[str, Any]:
    """Where the ambiguous rows stand in the review order of the accepted ones."""
    kind = {sample.id: name for sample, name in zip(gated.samples, kinds, strict=True)}
    ranked = [kind[sample.id] == "ambiguous" for sample, _ in doubtful(bench)]
    n, some = len(ranked), sum(ranked)
    first = max(1, n // 5)
    above = sum(sum(not later for later in ranked[i + 1 :]) for i, hit in enumerate(ranked) if hit)
    return {
        "accepted": n,
        "ambiguous among them": some,
        "of these in the first fifth of the review order": sum(ranked[:first]),
        "AUC of the order": above / max(1, some * (n - some)),
    }


def usual_control(real: Sequence[Sample], candidates: Sequence[Sample]) -> list[bool]:
    """Length 10 to 500 characters, one of the class's ten words, and a similarity ratio below .9 to real rows and earlier ones."""
    from rapidfuzz import fuzz

    words = keywords(real, 10)
    texts = [sample.text for sample in real]
    kept: list[bool] = []
    before: list[str] = []
    for sample in candidates:
        text = sample.text
        likes = max((fuzz.ratio(text, other) for other in (*texts, *before)), default=0)
        known = any(word in text for word in words.get(sample.label, ())) or not words.get(sample.label)
        kept.append(10 <= len(text) <= 500 and known and likes < 90)
        before.append(text)
    return kept


def glm4(folder: Path, cache: Path) -> list[Any]:
    """Precision on GLM-4's dialogues, and the exact repeats among all of them."""
    bench = bench_with(folder, [(TELECOM / "train.csv", "train"), (TELECOM / "pool.csv", "train")], cache)
    gated, rows = gate_file(bench, CMCC / "data.csv", text="text", label="label", add=False)
    names = [sha256(str(row["text"]).encode()).hexdigest()[:16] for row in rows]
    seen: Counter[tuple[str, str]] = Counter()
    repeats = found = 0
    for sample, row, verdicts in zip(gated.samples, rows, gated.verdicts, strict=True):
        key = (sample.label, str(row["text"]))
        if seen[key]:
            repeats += 1
            found += not all(verdict.passed for verdict in verdicts)
        seen[key] += 1
    known = {sample.label for sample in bench.ledger.samples(split="train")}
    judged = {row["row_hash"]: row for row in reversed(_csv(JUDGED / "glm4.csv"))}
    first = {name: i for i, name in reversed(list(enumerate(names)))}
    index = {
        first[name]: row["verdict"] == "good"
        for name, row in judged.items()
        if gated.samples[first[name]].label in known
    }
    return [
        *precision("GLM-4, against telecom (5 classes)", gated, index),
        ("exact repeats found", f"{found} of {repeats}", "", "", ""),
    ]


def glm4_alone(folder: Path, cache: Path) -> list[Any]:
    """Precision on GLM-4's dialogues where the rows that nobody judged stand for the real ones: all 11 classes."""
    judged = {row["row_hash"]: row["verdict"] == "good" for row in reversed(_csv(JUDGED / "glm4.csv"))}
    rows = {sha256(row["text"].encode()).hexdigest()[:16]: row for row in reversed(_csv(CMCC / "data.csv"))}
    folder.mkdir(parents=True)
    files = {name: folder / f"{name}.csv" for name in ("others", "judged")}
    for name, path in files.items():
        with path.open("w", encoding="utf-8", newline="") as file:
            some = [row for key, row in rows.items() if (key in judged) == (name == "judged")]
            csv.writer(file).writerows([("text", "label"), *((row["text"], row["label"]) for row in some)])
    bench = bench_with(folder / "bench", [(files["others"], "train")], cache)
    gated, found = gate_file(bench, files["judged"], text="text", label="label", add=False)
    index = {i: judged[sha256(str(row["text"]).encode()).hexdigest()[:16]] for i, row in enumerate(found)}
    return precision("GLM-4, against its other rows", gated, index)


def smollm2(folder: Path, cache: Path) -> list[Any]:
    """Precision on SmolLM2's rows."""
    source = SHARED / "data" / "en_stress34"
    splits = {"train_imbalanced": "train", "dev": "dev", "test": "test"}
    bench = bench_with(folder, [(source / f"{name}.csv", split) for name, split in splits.items()], cache)
    files = (cache / "smollm2_en_stress34.jsonl", JUDGED / "smollm2.csv")
    written = next(path for path in files if path.is_file())
    column = "asked" if written.suffix == ".jsonl" else "label"
    gated, rows = gate_file(bench, written, text="text", label=column, add=False)
    judged = {(row["text"], row["label"]): row["verdict"] == "good" for row in _csv(JUDGED / "smollm2.csv")}
    first = {(str(row["text"]), str(row[column])): i for i, row in reversed(list(enumerate(rows)))}
    index = {first[key]: good for key, good in judged.items() if key in first}
    return precision(f"SmolLM2-135M (gated among {len(rows)} rows)", gated, index)


def precision(name: str, gated: Gated, judged: dict[int, bool]) -> list[Any]:
    """Good among the kept, beside good among all that were judged."""
    kept = [i for i in judged if all(verdict.passed for verdict in gated.verdicts[i])]
    good = sum(judged.values())
    right = sum(judged[i] for i in kept)
    return [(name, len(judged), span(good, len(judged)), span(right, len(kept)), span(right, good))]


def span(hits: int, n: int) -> str:
    """A share with its 95 % interval (Wilson)."""
    low, high = wilson(hits, n)
    return f"{hits}/{n} = {hits / n:.0%} [{low:.0%}, {high:.0%}]" if n else "0/0"


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """All three sets."""
    options = arguments(__doc__ or "").parse_args()
    if not TELECOM.is_dir():
        print(f"skipped: {TELECOM} is not there (WB_SHARED=...)")
        return
    with tempfile.TemporaryDirectory() as folder:
        lines, review, rules = telecom(Path(folder) / "telecom", options.cache)
        print("Telecom candidates, dropped by\n")
        table(["kind", "n", "the gate", "length, keyword, ratio"], lines)
        print(f"\nReview order: {json.dumps(review)}\n")
        table(["rule", "against", "alone against", "macro-F1 on dev with it minus without"], rules)
        print()
        if options.quick:
            return
        read_by: list[Callable[[Path, Path], list[Any]]] = [glm4, glm4_alone, smollm2]
        found = [line for some in read_by for line in some(Path(folder) / some.__name__, options.cache)]
        table(["rows judged by reading", "n", "good of all", "good of those kept", "good rows that were kept"], found)
        dump({"telecom": lines, "review": review, "read": found})


if __name__ == "__main__":
    main()
