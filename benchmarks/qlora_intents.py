"""Tune SmolLM2-135M on 34 classes with `wb train --method qlora`, with and without augmentation; score it on held-out rows.

    OMP_NUM_THREADS=1 python benchmarks/qlora_intents.py [--quick] [--steps 100] [--rows 0] [--recording FILE]
        [--jobs 1] [--only PART]

Needs `pip install 'intent-workbench[qlora,local]'` and `wb models get smollm2`. Arms: the majority class; the untuned model, its
classes listed in the prompt, by label likelihood without and with the content-free prior; QLoRA on the imbalanced rows of
en_stress34; QLoRA on these and gated rows of a writer. There are two writers: SmolLM2 itself (a recording that small_model.py
makes), and the server of loop.py (real rows of the asked class, 60 % of them damaged), which stands for a strong writer. All
tuned arms take the same number of steps with the same settings and one seed; dev rows are asked once, after the last step, and
choose nothing. The linear head is trained on the same rows beside them.

Everything is kept in `qlora_intents` in the folder of --cache: what is finished is not done again, a stopped training goes on.
Another number of steps or test rows is another file there; after a change of settings or of the recording, delete that folder.
`--quick` leaves out SmolLM2's own rows. `--only` does one part, in a process of its own, and prints no table.
"""

import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import loop
import numpy as np
from common import SHARED, arguments, dump, table
from pool import available

from workbench.bench import Bench
from workbench.data import Told, read
from workbench.evaluate import Arm, CompareConfig, compare, score
from workbench.evaluate.quick import stratified
from workbench.flow.evaluate.rows import SEED
from workbench.flow.generate.run import generate
from workbench.flow.models.predictors import open_predictor
from workbench.flow.train.rows import training_rows
from workbench.records import Metric, Need, Sample
from workbench.runs import MANIFEST, read_json

DATA = SHARED / "data" / "en_stress34"
PROMPT = """\
{% block system %}
Name the intent.
{% endblock %}
{% block user %}
{{ text }}
{% endblock %}
"""
"""Short, since each of its tokens is computed in every row."""
SETTINGS = {
    "prompt": "short.en.j2",
    "answer": '"{name}"',  # a YAML value: bare braces would be a mapping
    "r": "16",
    "alpha": "32",
    "learning_rate": "1e-3",
    "balanced": "true",
    "batch": "8",
    "max_length": "192",
    "checkpointing": "false",
    "eval_rows": "0",
    "eval_batch": "34",  # a pass over 4-bit weights costs the same for 8 rows
    "report_to": "none",
}
"""Set beforehand; no search."""
ALONE, OWN, STRONG = "QLoRA, imbalanced rows", "QLoRA, + SmolLM2's rows, gated", "QLoRA, + damaged pool, gated"
ROWS = {ALONE: "alone", OWN: "own", STRONG: "strong"}
"""Tuned arm -> name of its training rows."""
MAJORITY, ZERO, PRIOR = "majority class", "untuned", "untuned, content-free prior"
HEADS = {f"linear head{arm.removeprefix('QLoRA')}": rows for arm, rows in ROWS.items()}
LISTED = {"alone": "imbalanced rows", "own": "+ SmolLM2's rows, gated", "strong": "+ damaged pool, gated"}


def main() -> None:
    """Make rows, train, score, compare."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--steps", type=int, default=0, help="of 8 rows; 100, quick 25")
    parser.add_argument("--rows", type=int, default=-1, help="test rows, drawn by class; 0 for all (default), quick 68")
    parser.add_argument("--recording", type=Path, help="rows that SmolLM2 wrote; smollm2_en_stress34.jsonl of --cache")
    parser.add_argument("--jobs", type=int, default=1, help="arms that are trained at a time")
    parser.add_argument("--only", choices=[*ROWS.values(), "zero", "rows"], help="one part, for a process of its own")
    options = parser.parse_args()
    available()
    options.steps = options.steps or (25 if options.quick else 100)
    options.rows = options.rows if options.rows >= 0 else (68 if options.quick else 0)
    options.recording = options.recording or options.cache / "smollm2_en_stress34.jsonl"
    folder = (options.cache / "qlora_intents").resolve()
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    (folder / "prompts" / "short.en.j2").write_text(PROMPT, encoding="utf-8")
    test = read(DATA / "test.csv", Told(split="test")).samples
    if options.rows:
        test = [test[i] for i in stratified([sample.label for sample in test], options.rows, SEED)]
    files = made_rows(folder, options)
    if options.only == "rows":
        return
    wanted = [name for name in files if options.only in (None, name)]
    with ThreadPoolExecutor(options.jobs) as together:
        list(together.map(lambda name: trained(folder, name, files[name], options), wanted))
    found = {arm: tuned(folder, ROWS[arm], options.steps, test) for arm in ROWS if ROWS[arm] in wanted}
    if options.only in (None, "zero"):
        found |= untuned(folder, test)
    if options.only is None:
        report(folder, files, test, found | heads(folder, test), options.steps)


def made_rows(folder: Path, options) -> dict[str, Path]:
    """Training files: the imbalanced rows, and these with gated rows of each writer that is there."""
    files = {"alone": DATA / "train_imbalanced.csv", "strong": folder / "strong.csv", "own": folder / "own.csv"}
    if options.quick:
        del files["own"]
    elif not options.recording.is_file():
        print(f"{options.recording} is not there: no arm with SmolLM2's own rows (small_model.py --full makes it).")
        del files["own"]
    if all(path.is_file() for path in files.values()) and (folder / "heads.json").is_file():
        return files
    data = loop.load("en_stress34", folder)
    work = folder / f"benches-{time.time_ns()}"
    benches = {"strong": loop.filled(data, work / "strong", (*loop.FLAWED, "--seed", "0"), (), options.cache)}
    if "own" in files:
        endpoint = f"llm.endpoints=[{{kind: recorded, path: {options.recording.resolve()}}}]"
        bench = loop.bench_of(data, work / "own", (endpoint,), options.cache)
        generate(bench, [Need(label, count, "minority") for label, count in data.wanted.items()])
        benches["own"] = bench
    rows = {"alone": training_rows(benches["strong"], "human")}
    rows |= {name: training_rows(bench, "gated") for name, bench in benches.items()}
    heads = {name: loop.predict(benches["strong"], some) for name, some in rows.items()}
    texts = [sample.text for sample in benches["strong"].ledger.samples(split="test")]
    said = {name: dict(zip(texts, column, strict=True)) for name, column in heads.items()}
    for name in benches:
        with files[name].open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *((s.text, s.label) for s in rows[name])])
    (folder / "heads.json").write_text(json.dumps(said), encoding="utf-8")
    return files


def heads(folder: Path, test: Sequence[Sample]) -> dict[str, list[str]]:
    """Predictions of the linear head on the same rows."""
    said = read_json(folder / "heads.json")
    return {arm: [words(said[rows][s.text]) for s in test] for arm, rows in HEADS.items() if rows in said}


def worded(folder: Path, name: str, path: Path) -> Path:
    """The file with its classes written as words: half the tokens of `card_payment_fee_charged`, and words that it knows."""
    written = folder / f"words-{name}.csv"
    rows = [(sample.text, words(sample.label)) for sample in read(path, Told()).samples]
    with written.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return written


def words(label: str) -> str:
    """A class as words; no two of these become the same."""
    return label.replace("_", " ")


def run_of(folder: Path, name: str, steps: int) -> Path:
    """The run folder of an arm."""
    return folder / f"{name}-{steps}"


def trained(folder: Path, name: str, rows: Path, options) -> None:
    """Train through the command line, in a process of its own; goes on where it was stopped."""
    steps = options.steps
    run = run_of(folder, name, steps)
    if (run / MANIFEST).is_file():
        return
    command = [sys.executable, "-m", "workbench", "train", "--method", "qlora", "--model", "smollm2"]
    files = (worded(folder, name, rows), worded(folder, "dev", DATA / "dev.csv"))
    command += ["--train", str(files[0]), "--dev", str(files[1]), "--text", "text", "--label", "label"]
    command += ["--output-path", str(run), *(["--resume"] if (run / "started.json").is_file() else [])]
    settings = SETTINGS | {"steps": str(steps), "eval_steps": str(steps), "save_steps": "25"}
    settings |= {"eval_rows": "34"} if options.quick else {}
    command += [part for key, value in settings.items() for part in ("--set", f"train.qlora.{key}={value}")]
    start = time.perf_counter()
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (folder / f"{run.name}.log").open("a", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log, check=False)
    if done.returncode:
        sys.exit(f"Training {run.name} failed; see {log.name}")
    print(f"  {run.name}: trained in {time.perf_counter() - start:.0f} s", flush=True)


def tuned(folder: Path, name: str, steps: int, test: Sequence[Sample]) -> list[str]:
    """Predictions by label likelihood, through the predictor that `wb evaluate` and `wb serve` open."""
    run = run_of(folder, name, steps)

    def ask(texts: list[str]) -> dict[str, list[str]]:
        predictor = open_predictor(Bench.find_or_bare(settings=()), run)
        best = predictor.predict(texts).argmax(axis=1)
        return {"said": [predictor.labels[i] for i in best]}

    return kept(run.with_name(f"{run.name}-{len(test)}.json"), test, ask)["said"]


def untuned(folder: Path, test: Sequence[Sample]) -> dict[str, list[str]]:
    """Predictions of the untuned model, whose prompt lists the classes, their names written as words."""
    from workbench.lm.chat import Chat
    from workbench.lm.label_predictor import CONTENT_FREE, LabelPredictor, probabilities
    from workbench.lm.load import load_base, load_tokenizer, resolve
    from workbench.train.qlora.ask import Tuned
    from workbench.train.qlora.config import QloraConfig
    from workbench.train.qlora.rows import IntentTask, QloraContext

    labels = sorted({words(row.label) for row in read(DATA / "train_imbalanced.csv", Told()).samples})

    def ask(texts: list[str]) -> dict[str, list[str]]:
        source = resolve("smollm2")
        config = QloraConfig(prompt="intent.en.j2", answer="{name}", list_labels=True)
        chat = Chat.of(model := load_base(source, quantise="none", precision="fp32"), load_tokenizer(source))
        predictor = LabelPredictor.of("untuned", Tuned(model, chat, IntentTask(config, labels, QloraContext()), 1024))
        scores, prior = predictor.log_likelihoods(texts), predictor.log_likelihoods(CONTENT_FREE)
        lengths = np.ones(len(labels), dtype=np.int64)  # sums: not read with `none`
        ways = {ZERO: probabilities(scores, lengths), PRIOR: probabilities(scores, lengths, "none", prior)}
        return {way: [predictor.labels[i] for i in found.argmax(axis=1)] for way, found in ways.items()}

    return kept(folder / f"untuned-{len(test)}.json", test, ask)


def kept(path: Path, test: Sequence[Sample], ask) -> dict[str, list[str]]:
    """What was said of these rows, from a file where it was asked before."""
    if not path.is_file():
        start = time.perf_counter()
        said = ask([sample.text for sample in test])
        path.write_text(json.dumps(said), encoding="utf-8")
        print(f"  {path.stem}: {len(test)} rows scored in {time.perf_counter() - start:.0f} s", flush=True)
    return dict(read_json(path))


def report(
    folder: Path, files: Mapping[str, Path], test: Sequence[Sample], found: dict[str, list[str]], steps: int
) -> None:
    """Scores, what the runs say of themselves, and paired differences, all by `workbench.evaluate`."""
    true = [words(sample.label) for sample in test]
    counts = {name: Counter(s.label for s in read(path, Told()).samples) for name, path in files.items()}
    top = words(counts["alone"].most_common(1)[0][0])
    found = {MAJORITY: [top] * len(true)} | found
    arms = [arm for arm in (MAJORITY, ZERO, PRIOR, *ROWS, *HEADS) if arm in found]
    classes = sorted(set(true))
    scores = {arm: score(true, found[arm], classes) for arm in arms}
    sizes = {arm: counts[(ROWS | HEADS)[arm]].total() for arm in arms if arm in ROWS | HEADS}
    lines = [(arm, sizes.get(arm, ""), shown(scores[arm].macro_f1), shown(scores[arm].accuracy)) for arm in arms]
    print(f"\n{steps} steps of 8 rows, one seed; {len(true)} test rows; intervals are over test rows.\n")
    table(["arm", "training rows", "macro-F1", "accuracy"], lines)
    print()
    runs = {name: read_json(run_of(folder, name, steps) / MANIFEST) for name in files}
    facts = [
        (LISTED[name], run["best_step"], shown_json(run["metrics"].get("macro_f1")), run["metrics"]["seconds"])
        for name, run in runs.items()
    ]
    table(["tuned on", "best step", "macro-F1 on dev", "seconds"], facts)
    print()
    best = max((arm for arm in (ZERO, PRIOR) if arm in scores), key=lambda arm: scores[arm].macro_f1.value)
    tuned_arms = [arm for arm in ROWS if arm in found]
    pairs = [(arm, other) for arm in tuned_arms for other in (MAJORITY, best)]
    pairs += [(arm, ALONE) for arm in tuned_arms if arm != ALONE]
    pairs += [(arm, f"linear head{arm.removeprefix('QLoRA')}") for arm in tuned_arms]
    table(["difference", "macro-F1", "classes surely better", "worse"], [against(true, found, *pair) for pair in pairs])
    dump({arm: scores[arm].macro_f1.json() for arm in arms})


def against(true: Sequence[str], found: Mapping[str, Sequence[str]], arm: str, other: str) -> tuple[str, str, int, str]:
    """The verdict's paired difference with its simultaneous interval, and the classes that it names."""
    verdict = compare(true, Arm(found[other]), Arm(found[arm]), CompareConfig(), sorted(set(true)))
    macro = next(effect for effect in verdict.of("metric") if effect.name == "macro_f1")
    worse = [effect.name for effect in verdict.of("class") if effect.outcome == "worse"]
    better = sum(effect.outcome == "improved" for effect in verdict.of("class"))
    span = f"{macro.after - macro.before:+.3f} [{macro.low:+.3f}, {macro.high:+.3f}]"
    return f"{arm} - {other}", span, better, ", ".join(worse) or "none"


def shown(metric: Metric) -> str:
    """A figure with its interval."""
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def shown_json(found: Mapping[str, float] | None) -> str:
    """The same from a manifest; nothing where only some dev rows were asked."""
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else ""


if __name__ == "__main__":
    main()
