"""A language model as a `Predictor` of classes: by the likelihood of their answers, or by what it writes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from workbench.config import Strict
from workbench.errors import DataError
from workbench.lm.decode import constrained, free
from workbench.lm.memory import in_batches
from workbench.lm.parse import AnswerReader
from workbench.lm.scoring import CUT, LabelScorer

Floats = npt.NDArray[np.float32]
CONTENT_FREE = ("N/A", "", "[MASK]")
"""Inputs that say nothing (Zhao et al. 2021)."""
_SLACK = 16
"""Tokens that a free answer may have beyond the longest agreed one."""


class AnswerConfig(Strict):
    """How a language model's answer is found."""

    by: Literal["likelihood", "constrained", "free"] = "likelihood"
    """`likelihood`: of every class's answer, in one pass; gives probabilities. `constrained`: greedy decoding that can only
    write answers. `free`: greedy decoding, read by a parser; an answer that names no class is a failure."""
    normalise: Literal["none", "tokens"] = "none"
    """`tokens`: log-likelihood per token of the answer, since sums favour short answers (Brown et al. 2020, section 2.4).
    Leave it off for tuned models: they were trained on sums."""
    prior: bool = False
    """Divide by the probability of each answer where the input says nothing ("N/A", "", "[MASK]": Zhao et al. 2021, "Calibrate
    before use"): for models that were not tuned, which favour some answers whatever they are asked."""
    precision: Literal["", "bf16", "fp32"] = ""
    """What is computed in; where empty: float32 on a processor, bfloat16 on a GPU. Log-probabilities are float32 always."""
    quantise: Literal["", "nf4", "none"] = ""
    """How the base is loaded; where empty: in 4 bit on a GPU, as it is on a processor."""


def probabilities(
    scores: Floats, lengths: npt.NDArray[np.int64], normalise: str = "none", prior: Floats | None = None
) -> Floats:
    """[n, k] probabilities among the answers, rows sum to 1.

    Args:
        scores: [n, k] log-likelihoods.
        lengths: [k] tokens of each answer.
        normalise: `tokens` divides each by its answer's length.
        prior: [c, k] log-likelihoods after inputs without content; their mean probability is divided out.
    """

    def softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        raised = np.exp(values - values.max(axis=-1, keepdims=True))
        shares: npt.NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
        return shares

    divisor = lengths.astype(np.float64) if normalise == "tokens" else np.ones(len(lengths))
    values = scores.astype(np.float64) / divisor
    if prior is not None:
        values = values - np.log(np.maximum(softmax(prior.astype(np.float64) / divisor).mean(axis=0), 1e-30))
    return softmax(values).astype(np.float32)


@dataclass(frozen=True)
class Words:
    """What writing and reading answers needs beyond the scorer."""

    tokenizer: Any
    ids: Mapping[str, str]
    """Class -> id in its answer, in the order of the scorer's answers; an empty id where it has none."""
    ends: Sequence[int]
    """Tokens that end an answer."""
    exact: Callable[[str], str | None] = lambda _: None
    """The class of an answer in the agreed form, asked before the parser."""


class Asked(Protocol):
    """A language model with the way that it is asked for a class, as tuning left it."""

    @property
    def model(self) -> Any:
        """A causal language model of `transformers`."""
        ...

    @property
    def chat(self) -> Any:
        """Has `tokenizer` and `ends`, the tokens that end an answer."""
        ...

    @property
    def task(self) -> Any:
        """Its `answers` have `ids` (class -> id, in the order of columns) and `label` (text -> class or None)."""
        ...

    @property
    def max_length(self) -> int:
        """Most tokens of prompt and answer."""
        ...

    def answers(self) -> list[list[int]]:
        """Token ids of each class's answer, end token included."""
        ...

    def prompt(self, text: str) -> Any:
        """`ids` of the prompt for a text, with `turns_cut` and `characters_cut` of what was left out to make it fit."""
        ...


class LabelPredictor:
    """Behind the `Predictor` protocol, and safe for several threads."""

    def __init__(self, version: str, scorer: LabelScorer, words: Words, config: AnswerConfig | None = None) -> None:
        self.version, self.labels = version, tuple(words.ids)
        self._scorer, self._words, self._config = scorer, words, config or AnswerConfig()
        self._reader = AnswerReader(words.ids)
        # Columns are the scorer's answers: another order would name the wrong classes.
        if len(self.labels) != len(scorer.answers):
            raise DataError(
                f"There are {len(self.labels)} classes and {len(scorer.answers)} answers.", "Give one for each."
            )
        self._lock = Lock()
        self._prior: Floats | None = None
        self.written: dict[str, str] = {}
        """What was written for each text that was not answered with a class, in `free` decoding."""

    @classmethod
    def of(cls, version: str, asked: Asked, config: AnswerConfig | None = None, batch: int = 0) -> "LabelPredictor":
        """For a tuned model, asked with the very prompts and answers that it was trained on.

        Args:
            version: see `Predictor`.
            asked: the model.
            config: how its answer is found.
            batch: texts at a time; 8 where 0.
        """
        counts: Counter[str] = Counter()

        def prompt(text: str) -> Sequence[int]:
            fitted = asked.prompt(text)
            counts[CUT] += bool(fitted.turns_cut or fitted.characters_cut)
            ids: Sequence[int] = fitted.ids
            return ids

        scorer = LabelScorer(asked.model, prompt, asked.answers(), batch=batch or 8, context=asked.max_length)
        scorer.counts = counts
        known = asked.task.answers
        return cls(
            version, scorer, Words(asked.chat.tokenizer, known.ids, sorted(asked.chat.ends), known.label), config
        )

    @property
    def decided(self) -> bool:
        """Whether answers are classes without probabilities."""
        return self._config.by != "likelihood"

    @property
    def counts(self) -> Counter[str]:
        """`cut` texts and `retries` so far."""
        return self._scorer.counts

    def predict(self, texts: Sequence[str]) -> Floats:
        """Probabilities [n, classes] of n texts.

        By likelihood, rows sum to 1. A decoded answer has 1 in its column; a text that was not answered has a row of zeros.
        """
        with self._lock:
            if self._config.by == "likelihood":
                return self._by_likelihood(texts)
            found = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
            for row, column in enumerate(self._decoded(texts)):
                if column is not None:
                    found[row, column] = 1
            return found

    def log_likelihoods(self, texts: Sequence[str]) -> Floats:
        """[n, classes] of each class's whole answer."""
        with self._lock:
            return self._scorer.log_likelihoods(texts)

    def _by_likelihood(self, texts: Sequence[str]) -> Floats:
        if self._config.prior and self._prior is None:
            self._prior = self._scorer.log_likelihoods(CONTENT_FREE)
        scores = self._scorer.log_likelihoods(texts)
        return probabilities(scores, self._scorer.lengths, self._config.normalise, self._prior)

    def _decoded(self, texts: Sequence[str]) -> list[int | None]:
        prompts = [self._scorer.prompt_ids(text) for text in texts]
        work = self._constrained if self._config.by == "constrained" else self._free
        pairs = list(zip(texts, prompts, strict=True))
        return in_batches(pairs, self._scorer.batch, work, self._scorer.counts)

    def _constrained(self, pairs: Sequence[tuple[str, list[int]]]) -> list[int | None]:
        prompts = [prompt for _, prompt in pairs]
        return [*constrained(self._scorer.model, prompts, self._scorer.answers, self._pad)]

    def _free(self, pairs: Sequence[tuple[str, list[int]]]) -> list[int | None]:
        prompts = [prompt for _, prompt in pairs]
        most = int(self._scorer.lengths.max()) + _SLACK
        found: list[int | None] = []
        for (text, _), ids in zip(
            pairs, free(self._scorer.model, prompts, self._pad, most, self._words.ends), strict=True
        ):
            said = self._words.tokenizer.decode(ids, skip_special_tokens=True)
            label = self._words.exact(said)
            if label is None and (read := self._reader.read(said)).label is None:
                self.written[text] = f"{read.form}: {said}"
            elif label is None:
                label = read.label
            found.append(None if label is None else self.labels.index(label))
        return found

    @property
    def _pad(self) -> int:
        pad = self._words.tokenizer.pad_token_id
        return int(pad if pad is not None else self._words.ends[0])
