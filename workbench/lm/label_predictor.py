"""A language model as a `Predictor` of classes: by the likelihood of their answers, or by what it writes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workbench.config import Strict
from workbench.lm.decode import constrained, free
from workbench.lm.memory import in_batches
from workbench.lm.parse import AnswerReader
from workbench.lm.scoring import LabelScorer

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


class LabelPredictor:
    """Behind the `Predictor` protocol, and safe for several threads."""

    def __init__(self, version: str, scorer: LabelScorer, words: Words, config: AnswerConfig | None = None) -> None:
        self.version, self.labels = version, tuple(words.ids)
        self._scorer, self._words, self._config = scorer, words, config or AnswerConfig()
        self._reader = AnswerReader(words.ids)
        self._lock = Lock()
        self._prior: Floats | None = None
        self.written: dict[str, str] = {}
        """What was written for each text that was not answered with a class, in `free` decoding."""

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
            read = self._reader.read(said)
            if read.label is None:
                self.written[text] = f"{read.form}: {said}"
            found.append(None if read.label is None else self.labels.index(read.label))
        return found

    @property
    def _pad(self) -> int:
        pad = self._words.tokenizer.pad_token_id
        return int(pad if pad is not None else self._words.ends[0])
