"""What is behind the routes at a moment: the model, what it can do beside classes, and the rows that it is compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from workbench.predictor import Predictor
from workbench.similarity import Vectors, centred, nearest


@dataclass(frozen=True, slots=True)
class Written:
    """What a language model wrote. `finish` is `stop`, or `length` where it was cut."""

    text: str
    finish: str
    tokens_in: int
    tokens_out: int


class Chatty(Protocol):
    """A language model that answers; it is asked by one thread at a time."""

    def complete(
        self, messages: Sequence[Mapping[str, str]], *, max_tokens: int, temperature: float, top_p: float, seed: int
    ) -> Written:
        """Answer messages with `role` and `content`; `temperature` 0 takes the likeliest token.

        Raises:
            DataError: the messages are too long, or the model's template refuses them.
        """
        ...


class Examples:
    """Real rows, to be found by their likeness to a text."""

    def __init__(
        self, encode: Callable[[Sequence[str]], Vectors], texts: Sequence[str], labels: Sequence[str], vectors: Vectors
    ) -> None:
        """Rows to search.

        Args:
            encode: texts -> unit vectors [n, d]; called by one thread at a time.
            texts: [n] of the rows, at least one.
            labels: [n] their classes.
            vectors: [n, d] their unit vectors.
        """
        first = {pair: i for i, pair in reversed(list(enumerate(zip(texts, labels, strict=True))))}
        kept = sorted(first.values())  # a row that is there twice is one example
        self._encode, self._rows = encode, [(texts[i], labels[i]) for i in kept]
        self._mean: npt.NDArray[np.float32] = vectors.mean(axis=0)
        self._vectors = centred(vectors[kept], self._mean)

    def nearest(self, text: str, k: int) -> list[dict[str, Any]]:
        """The k rows most like the text, best first: `text`, `label` and `similarity` (cosine, centred, -1 to 1)."""
        index, cosine = nearest(centred(self._encode([text]), self._mean), self._vectors, k)
        return [
            {"text": self._rows[i][0], "label": self._rows[i][1], "similarity": round(float(c), 4)}
            for i, c in zip(index[0], cosine[0], strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Served:
    """One model and what belongs to it; exchanged as a whole."""

    predictor: Predictor
    examples: Examples | None = None
    chat: Chatty | None = None
    at: int = 0
    """When it was put in, in seconds since 1970."""


class Slot:
    """The model that answers now. It can be exchanged at any time: whoever took the old one finishes with it."""

    def __init__(self, served: Served) -> None:
        self._served = served

    @property
    def now(self) -> Served:
        """What to answer a request with; take it once per request, so that one model answers all of it."""
        return self._served

    def swap(self, served: Served) -> None:
        """Answer with another model from now on."""
        self._served = served
