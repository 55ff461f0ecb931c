"""Let SmolLM2-135M write rows for the small classes of en_stress34, through the flow of `wb generate`, and keep them.

    python benchmarks/small_model.py [--quick] [--requests 12] [--full] [--threads 1]

Needs `pip install 'intent-workbench[local]'` and `wb models get smollm2`. Each class is to reach min(40, its training rows
+ 60 % of its pool rows), or as far as its requests go. Every row that could be read, gated or not, goes to
`smollm2_en_stress34.jsonl` in the folder of --cache, in the form of a `kind: recorded` endpoint; some of them, drawn over
all classes, to `smollm2_to_judge.txt`. A run that was stopped goes on where it was.
"""

import json
import random
import time
from collections import Counter
from pathlib import Path

from common import SHARED, arguments, dump, rows, table

from workbench.bench import Bench
from workbench.flow.data import add
from workbench.flow.generate.run import generate
from workbench.records import Need, by_label

SETTINGS = """\
seed: 0
llm: {{endpoints: [{{kind: local, path: smollm2, threads: {threads}, batch: {batch}, top_p: 0.9}}], concurrency: {batch}, max_tokens: 300, temperature: {temperature}}}
generate: {{language: en, patience: {requests}}}
encoder: {{name: {encoder}}}
"""  # noqa: E501


def main() -> None:
    """Write, dump, count."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--data", default="en_stress34")
    parser.add_argument("--requests", type=int, default=12, help="most requests per class")
    parser.add_argument("--full", action="store_true", help="send all of them, even where the class has its rows")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=0.9)
    parser.add_argument("--judge", type=int, default=100, help="rows to draw for judging by reading")
    options = parser.parse_args()
    budget = 2 if options.quick else options.requests
    train, pool = (Counter(s.label for s in rows(SHARED / "data" / options.data / f"{name}.csv")) for name in FILES)
    wanted = {label: min(40, n + int(0.6 * pool[label])) - n for label, n in sorted(train.items())}
    name = f"smollm2_{options.data}" + ("_quick" if options.quick else "")
    bench = bench_of(options, options.cache / name, budget)
    start = time.perf_counter()
    for label, count in wanted.items():
        done = sum(reply.label == label for reply in bench.ledger.replies())
        if count > 0 and done < budget:
            need = Need(label, 10**6 if options.full else count, "minority", why="too few rows")
            generate(bench, [need], max_requests=budget - done)
    report(bench, wanted, time.perf_counter() - start)
    write(bench, options.cache / f"{name}.jsonl", options.cache / "smollm2_to_judge.txt", options.judge)


FILES = ("train_imbalanced", "pool")


def bench_of(options, folder: Path, budget: int) -> Bench:
    """A bench with the training and test rows, whose minority prompt is the one for models that continue a list."""
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    shipped = Path(__file__).parents[1] / "prompts" / "fewshot.en.j2"
    (folder / "prompts" / "minority.en.j2").write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    text = SETTINGS.format(
        threads=options.threads,
        batch=budget,
        requests=budget + 1,
        encoder=options.encoder,
        temperature=options.temperature,
    )
    (folder / "wb.yaml").write_text(text, encoding="utf-8")
    bench = Bench.find(folder)
    for split, file in (("train", "train_imbalanced"), ("test", "test")):
        add(bench, SHARED / "data" / options.data / f"{file}.csv", split=split)
    return bench


def report(bench: Bench, wanted: dict[str, int], seconds: float) -> None:
    """What came, per class and together."""
    replies = Counter(reply.label for reply in bench.ledger.replies())
    found = bench.ledger.candidates()
    written = Counter(candidate.sample.label for candidate in found)
    distinct = Counter(label for label, _ in {(c.sample.label, c.sample.text.casefold()) for c in found})
    passed = Counter(candidate.sample.label for candidate in found if candidate.accepted)
    lines = [
        (label, n, replies[label], written[label], distinct[label], passed[label])
        for label, n in wanted.items()
        if n > 0
    ]
    table(["class", "wanted", "requests", "rows", "distinct", "accepted"], lines)
    tokens = sum(reply.tokens_out for reply in bench.ledger.replies())
    dump(
        {
            "requests": replies.total(),
            "rows": written.total(),
            "distinct": distinct.total(),
            "accepted": passed.total(),
            "tokens_out": tokens,
            "seconds": round(seconds, 1),
        }
    )


def write(bench: Bench, recording: Path, judge: Path, count: int) -> None:
    """The recording, and a draw of its distinct rows: a class by chance, then a row of it, so that all classes are seen."""
    samples = [candidate.sample for candidate in bench.ledger.candidates()]
    lines = [json.dumps({"asked": sample.label, "text": sample.text}, ensure_ascii=False) for sample in samples]
    recording.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    choice = random.Random(0)
    texts = {label: list(dict.fromkeys(s.text for s in some)) for label, some in sorted(by_label(samples).items())}
    for some in texts.values():
        choice.shuffle(some)
    drawn: list[tuple[str, str]] = []
    while len(drawn) < count and any(texts.values()):
        label = choice.choice([label for label, some in texts.items() if some])
        drawn.append((label, texts[label].pop()))
    shown = [f"{i}\t{label}\t{' / '.join(text.splitlines())}\n" for i, (label, text) in enumerate(drawn)]
    judge.write_text("".join(shown), encoding="utf-8")
    print(f"{recording}: {len(lines)} rows; {judge}: {len(drawn)} rows")


if __name__ == "__main__":
    main()
