"""Label likelihoods by a token tree beside one sequence per label, free generation and constrained decoding.

    python benchmarks/label_scoring.py [--quick] [--texts 204] [--dtype float32] [--threads 2] [--cpu-time]

34 classes of en_stress34, SmolLM2-135M untuned, its answer the class's name and an end token. Needs
`pip install 'intent-workbench[local]'` and `wb models get smollm2`. Times are medians per text, each way warmed up on one text;
naive scoring is one right-padded batch of 34 whole sequences, which is faster than 34 calls. Free generation gets the same cached
prefix in a second line, so that what the cache is worth can be told from what the tree is worth. Accuracies are paired on the
same texts; their difference has a bootstrap interval over texts.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from common import SHARED, arguments, dump, rows, table

from workbench import models
from workbench.llm.causal import load
from workbench.lm.decode import constrained, free
from workbench.lm.label_predictor import CONTENT_FREE, probabilities
from workbench.lm.parse import AnswerReader
from workbench.lm.reference import naive, repeated
from workbench.lm.scoring import LabelScorer, common
from workbench.metrics import wilson

MOST = 24
"""Tokens of a free answer."""


def main() -> None:
    """Time, compare, print."""
    import torch

    parser = arguments(__doc__ or "")
    parser.add_argument("--texts", type=int, default=204, help="texts, of each class as many as it has by share")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time instead of the clock: on a busy machine"
    )
    parser.add_argument("--data", default="en_stress34")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    test = rows(SHARED / "data" / options.data / "test.csv")
    labels = sorted({sample.label for sample in test})
    chosen = np.random.default_rng(0).permutation(len(test))[: 17 if options.quick else options.texts]
    some = [test[i] for i in chosen]
    causal = load(str(models.path_of("smollm2")), options.dtype, options.threads)
    bench = Scoring(causal, labels)
    texts, true = [sample.text for sample in some], [labels.index(sample.label) for sample in some]
    speed(bench, texts, options.quick, time.process_time if options.cpu_time else time.perf_counter)
    accuracy(bench, texts, true)


class Scoring:
    """A model, its classes, and every way to choose one."""

    def __init__(self, causal: Any, labels: list[str]) -> None:
        self.causal, self.model, self.tokenizer = causal, causal._model, causal._tokenizer
        self.labels = labels
        self.names = [label.replace("_", " ") for label in labels]
        end = self.tokenizer.eos_token_id
        self.answers = [[*self.tokenizer(name, add_special_tokens=False)["input_ids"], end] for name in self.names]
        self.scorer = LabelScorer(self.model, self.prompt, self.answers)
        self.reader = AnswerReader(dict.fromkeys(self.names, ""))
        self.ends = [end]
        self.cache: Any = None

    def prompt(self, text: str) -> list[int]:
        """System prompt with all classes, text, and the beginning of the answer."""
        task = "Classify the message into one of these intents. Answer with the intent only.\n" + ", ".join(self.names)
        return list(self.causal.prompt([{"role": "system", "content": task}, {"role": "user", "content": text}]))

    def tree(self, texts: list[str], batch: int) -> np.ndarray:
        """[n, k]."""
        self.scorer.batch = batch
        return self.scorer.log_likelihoods(texts)

    def written(self, text: str) -> int | None:
        """The class that a free answer names."""
        ids = free(self.model, [self.prompt(text)], self.ends[0], MOST, self.ends)[0]
        return self.named(ids)

    def named(self, ids: list[int]) -> int | None:
        """The class that some tokens name."""
        label = self.reader.read(self.tokenizer.decode(ids, skip_special_tokens=True)).label
        return None if label is None else self.names.index(label)

    def written_cached(self, text: str) -> int | None:
        """The same with the shared prefix computed once."""
        import torch

        ids = self.prompt(text)
        if self.cache is None:
            shared = common(self.prompt("a"), self.prompt("1 ?"))
            with torch.inference_mode():
                read = self.model(input_ids=torch.tensor([ids[:shared]]), use_cache=True, logits_to_keep=1)
            self.cache = read.past_key_values
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones((1, len(ids)), dtype=torch.long),
                past_key_values=deepcopy(self.cache),
                max_new_tokens=MOST,
                do_sample=False,
                pad_token_id=self.ends[0],
            )
        return self.named(out[0, len(ids) :].tolist())


def speed(bench: Scoring, texts: list[str], quick: bool, clock: Callable[[], float]) -> None:
    """Milliseconds per text of each way, taken in turns on the same texts, and how far from naive scoring it is."""
    few, more = (1, 3) if quick else (6, 36)
    ways: dict[str, tuple[int, Callable[[str], Any]]] = {
        "naive: one sequence per label": (few, lambda t: naive(bench.model, bench.prompt(t), bench.answers)),
        "cache of the prompt, repeated per label": (
            more,
            lambda t: repeated(bench.model, bench.prompt(t), bench.answers),
        ),
        "tree, batch 1": (more, lambda t: bench.tree([t], 1)[0]),
        "free generation, batch 1": (more, bench.written),
        "free generation, batch 1, cached prefix": (more, bench.written_cached),
        "constrained decoding, batch 1": (
            more,
            lambda t: constrained(bench.model, [bench.prompt(t)], bench.answers, bench.ends[0]),
        ),
    }
    for name, (_, work) in ways.items():
        if not name.startswith("naive"):
            work(texts[0])  # warm
    times: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, list[Any]] = {name: [] for name in ways}
    for i, text in enumerate(texts[:more]):
        for name, (most, work) in ways.items():
            if i < most:
                start = clock()
                answers[name].append(work(text))
                times[name].append((clock() - start) * 1e3)
    found = {name: float(np.median(some)) for name, some in times.items()}
    start = clock()
    bench.tree(texts[:more], 8)
    found["tree, batch 8"] = (clock() - start) / more * 1e3
    exact = np.stack(answers["naive: one sequence per label"])
    gap = {name: float(np.abs(np.stack(answers[name][:few]) - exact).max()) for name in list(ways)[1:3]}
    base, own = found["naive: one sequence per label"], found["tree, batch 1"]
    table(["way", "ms/text", "x naive", "tree is x faster"], [(n, ms, base / ms, ms / own) for n, ms in found.items()])
    shared, prompts = common(bench.prompt("a"), bench.prompt("1 ?")), [len(bench.prompt(text)) for text in texts[:more]]
    nodes = len(bench.scorer._trees[tuple(range(len(bench.answers)))].tokens)
    tokens = int(bench.scorer.lengths.sum())
    print(f"prompt {np.mean(prompts):.0f} tokens, {shared} shared; {tokens} answer tokens, {nodes} nodes")
    print("largest difference from naive scoring, nats: " + ", ".join(f"{name} {one:.1e}" for name, one in gap.items()))
    dump({"ms": found, "difference": gap})


def accuracy(bench: Scoring, texts: list[str], true: list[int]) -> None:
    """Share of right answers of each way on the same texts, and its difference to free generation."""
    n = len(texts)
    scores, prior = bench.tree(texts, 8), bench.tree(list(CONTENT_FREE), 3)
    lengths = bench.scorer.lengths
    ways = {
        "likelihood": probabilities(scores, lengths).argmax(axis=1),
        "likelihood per token": probabilities(scores, lengths, "tokens").argmax(axis=1),
        "likelihood, prior divided out": probabilities(scores, lengths, "none", prior).argmax(axis=1),
        "likelihood per token, prior divided out": probabilities(scores, lengths, "tokens", prior).argmax(axis=1),
        "constrained decoding": np.array(
            [constrained(bench.model, [bench.prompt(t)], bench.answers, bench.ends[0])[0] for t in texts]
        ),
    }
    said = [bench.written(text) for text in texts]
    ways["free generation"] = np.array([-1 if one is None else one for one in said])
    hits = {name: found == np.array(true) for name, found in ways.items()}
    drawn = np.random.default_rng(0).integers(0, n, (4000, n))
    lines = []
    for name, right in hits.items():
        low, high = wilson(int(right.sum()), n)
        gain = right.astype(float) - hits["free generation"]
        spread = np.quantile(gain[drawn].mean(axis=1), [0.025, 0.975])
        difference = "" if name == "free generation" else f"{gain.mean():+.3f} [{spread[0]:+.3f}, {spread[1]:+.3f}]"
        valid = float((ways[name] >= 0).mean())
        lines.append((name, f"{right.mean():.3f} [{low:.3f}, {high:.3f}]", f"{valid:.1%}", difference))
    print()
    table(["way", f"accuracy, {n} texts", "valid answers", "minus free generation"], lines)


if __name__ == "__main__":
    main()
