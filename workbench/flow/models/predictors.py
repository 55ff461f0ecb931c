"""The model of any run behind one protocol: a table of methods says how each is opened."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bench import Bench
from workbench.classify import Classifier
from workbench.encode import Cached, Encoder
from workbench.errors import DataError, one_of
from workbench.flow.models.language import open_language
from workbench.flow.signals import vectors
from workbench.predictor import Predictor
from workbench.records import Sample
from workbench.runs import MANIFEST, read_json
from workbench.train.encoder.model import EncoderModel

Floats = npt.NDArray[np.float32]
_CHUNK = 16
"""Texts that are computed at a time, where nothing else is said."""
_REMEMBERED = 50_000
"""Texts whose probabilities are kept in memory."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a run says of some rows."""

    labels: tuple[str, ...]
    """Column names of `probabilities`."""
    probabilities: Floats
    """[n, classes], rows sum to 1."""
    replicas: npt.NDArray[np.int64]
    """[replicas, n] column that each bootstrap replica predicts; of a method without replicas [0, n]."""


class Remembering:
    """A `Predictor` that computes chunk by chunk under a lock, and keeps what it computed."""

    def __init__(
        self, version: str, labels: tuple[str, ...], compute: Callable[[Sequence[str]], Floats], chunk: int = 0
    ) -> None:
        """A predictor of some labels.

        Args:
            version: see `Predictor`.
            labels: see `Predictor`.
            compute: probabilities [n, classes] of at most `chunk` texts; never called by two threads at once.
            chunk: texts computed at a time; 0 for the default.
        """
        self.version, self.labels = version, labels
        self._compute, self._chunk = compute, chunk
        self._lock = Lock()  # the engines of encoders are not made for two threads
        self._recent: dict[str, Floats] = {}
        # What is loaded on first use is loaded now: Label Studio waits one second for /health and three for /setup.
        self.predict(["warm"])

    def predict(self, texts: Sequence[str]) -> Floats:
        """Probabilities [n, classes] of n texts; rows sum to 1.

        What was computed is remembered: a client that gave up waiting finds it done when it asks again.
        """
        found: dict[str, Floats] = {}
        # Texts of like length together: a batch is padded to its longest.
        wanted = sorted(dict.fromkeys(texts), key=len)
        chunk = self._chunk or _CHUNK
        for start in range(0, len(wanted), chunk):
            # Held for one chunk only: a single text need not wait for thousands of others.
            with self._lock:
                found |= self._some(wanted[start : start + chunk])
        return np.stack([found[text] for text in texts]) if texts else np.zeros((0, len(self.labels)), np.float32)

    def _some(self, texts: Sequence[str]) -> dict[str, Floats]:
        found = {text: self._recent[text] for text in texts if text in self._recent}
        if new := [text for text in texts if text not in found]:
            rows = self._compute(new)
            found.update(zip(new, rows, strict=True))
            self._recent.update(zip(new, rows, strict=True))
            for old in list(islice(self._recent, max(0, len(self._recent) - _REMEMBERED))):
                del self._recent[old]
        return found


class RunPredictor(Remembering):
    """The classifier of a training run; its version is the name of the run."""

    def __init__(self, run: Path, encoder: Encoder, batch_size: int = 0) -> None:
        self._model, self._encoder = load(run, encoder), encoder
        super().__init__(run.name, self._model.head.labels, self._probabilities, batch_size)

    def _probabilities(self, texts: Sequence[str]) -> Floats:
        return self._model.head.probabilities(self._model.features(texts, self._encoder.encode(texts)))


def _classifier(bench: Bench, run: Path, batch_size: int) -> Predictor:
    # The bench's vectors are read, since what is asked are mostly its own rows; texts from elsewhere are not kept on disk.
    encoder = Cached(bench.engine, bench.root / "cache" / "vectors", store=False)
    return RunPredictor(run, encoder, batch_size)


class EncoderPredictor(Remembering):
    """The fine-tuned encoder of a training run; its version is the name of the run."""

    def __init__(self, run: Path, batch_size: int = 0) -> None:
        self._model = EncoderModel.open(run)
        super().__init__(run.name, self._model.side.labels, self._model.probabilities, batch_size or 32)

    @property
    def cut(self) -> int:
        """Texts so far that were longer than the model takes, and were cut."""
        return self._model.inputs.cut


def _encoder(bench: Bench, run: Path, batch_size: int) -> Predictor:
    return EncoderPredictor(run, batch_size)


Opener = Callable[[Bench, Path, int], Predictor]
OPENERS: Mapping[str, Opener] = {"classifier": _classifier, "encoder": _encoder, "qlora": open_language}
"""Method, as a manifest names it in `opens` or else `method` -> opener (bench, run folder, texts at a time or 0)."""


def open_predictor(bench: Bench, run: Path, *, batch_size: int = 0) -> Predictor:
    """The model of a finished training run, loaded and ready.

    Args:
        bench: its settings say how sentence vectors are made.
        run: a run folder.
        batch_size: texts computed at a time; 0 leaves the choice to the method.

    Raises:
        DataError: the run is of a method that cannot be opened, or its model does not fit what it needs.
    """
    manifest = read_json(run / MANIFEST)
    # A method that continues models of several kinds names the kind of this one.
    method = manifest.get("opens") or manifest.get("method", "classifier")
    if method not in OPENERS:
        raise DataError(f"The run {run.name} is of method {method!r}, which cannot be opened.", one_of(method, OPENERS))
    return OPENERS[method](bench, run, batch_size)


def fits(manifest: Mapping[str, Any], encoder: Encoder) -> bool:
    """Whether the model of a training run can be used where sentence vectors come from this encoder."""
    method = manifest.get("opens") or manifest.get("method", "classifier")
    return method in OPENERS and (method != "classifier" or manifest.get("fingerprint") == encoder.fingerprint)


def load(run: Path, encoder: Encoder) -> Classifier:
    """The classifier of a run, which needs the vectors of the encoder that it was trained with.

    Raises:
        DataError: this is another encoder, as where the bench's was changed.
    """
    model = Classifier.load(run / "model")
    if model.encoder != encoder.fingerprint:
        raise DataError(
            f"The run {run.name} was trained with another encoder ({read_json(run / MANIFEST)['encoder']}) "
            f"than this bench has now ({encoder.name}).",
            "Set encoder.name back, or train again.",
        )
    return model


def predict(bench: Bench, run: Path, samples: Sequence[Sample]) -> Prediction:
    """Predict samples with the model of a run, and with its replicas where it has some.

    Raises:
        DataError: see `open_predictor`.
    """
    if not (run / "model" / "head.json").is_file():
        predictor = open_predictor(bench, run)
        found = predictor.predict([sample.text for sample in samples])
        return Prediction(predictor.labels, found, np.zeros((0, len(samples)), dtype=np.int64))
    model = load(run, bench.encoder)
    features = model.features([sample.text for sample in samples], vectors(bench, samples))
    labels = model.head.labels
    column = {label: i for i, label in enumerate(labels)}
    votes = [
        np.array([column[head.labels[i]] for i in head.logits(features).argmax(axis=1)], dtype=np.int64)
        for head in model.replicas
    ]
    replicas = np.stack(votes) if votes else np.zeros((0, len(samples)), dtype=np.int64)
    return Prediction(labels, model.head.probabilities(features), replicas)
