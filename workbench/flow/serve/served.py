"""From a run folder to what a server holds: the model, its neighbours among the real rows, its way with words."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Event, Lock, Thread
from time import time

import numpy as np

from workbench.bench import Bench
from workbench.encode import Cached, Encoder, Vectors, open_encoder
from workbench.errors import WorkbenchError
from workbench.flow.models.choose import PROMOTED, choose, with_settings
from workbench.flow.models.predictors import open_predictor
from workbench.flow.models.promotion import POINTER
from workbench.flow.models.tuned import is_tuned, open_both
from workbench.predictor import Predictor
from workbench.serve.served import Examples, Served, Slot
from workbench.text import shorten

Log = Callable[[str], None]
_CHUNK = 32
"""Rows that are embedded at a time, so that requests get the engine in between."""
_PATIENCE = 2.0
"""Seconds that a start waits for the neighbours, which are there at once where the bench has the rows' vectors."""


class _Locked:
    """An encoder for several threads: the model's, and the one that looks for neighbours."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self._lock = encoder, Lock()
        self.name, self.fingerprint = encoder.name, encoder.fingerprint

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder`."""
        with self._lock:
            return self._encoder.encode(texts)


class ServingBench(Bench):
    """A bench whose encoder several threads may use."""

    @cached_property
    def engine(self) -> Encoder:
        """The encoder, behind a lock."""
        return _Locked(open_encoder(self.config.encoder))

    @classmethod
    def of(cls, bench: Bench) -> "ServingBench":
        """The same bench, to be served."""
        return cls(bench.root, bench.config)


def open_served(bench: ServingBench, run: Path) -> Served:
    """The model of a run, loaded and ready; without neighbours, which `find_neighbours` brings.

    Raises:
        DataError: the model cannot be opened, or does not fit what it needs.
    """
    if is_tuned(run):
        predictor, chat = open_both(bench, run)
        return Served(predictor, chat=chat, at=int(time()))
    home = with_settings(bench, run)
    predictor = open_predictor(home if home is bench else ServingBench.of(home), run)
    return Served(predictor, at=int(time()))


def find_neighbours(bench: ServingBench, slot: Slot, log: Log) -> Thread:
    """Embed the bench's training rows beside what is served, and hand them to the slot; returns the thread that does so."""
    served = slot.now

    def work() -> None:
        try:
            examples = _examples(bench, served.predictor)
        except WorkbenchError as exc:
            log(f"The page shows no real examples: {exc.message}")
            return
        if examples and slot.now is served:
            slot.swap(replace(served, examples=examples))

    thread = Thread(target=work, name="wb-neighbours", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return thread


def _examples(bench: ServingBench, predictor: Predictor) -> Examples | None:
    """The human training rows of the model's classes; None where there are none, or they are not to be shown."""
    if bench.bare or not bench.config.serve.examples or not (bench.root / "wb.db").is_file():
        return None
    classes = set(predictor.labels)
    rows = [row for row in bench.ledger.samples(split="train") if row.label in classes and row.text.strip()]
    if not rows:
        return None
    texts = [row.text for row in rows]
    cached = bench.encoder
    parts = [cached.encode(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
    asked = Cached(bench.engine, bench.root / "cache" / "vectors", store=False)  # what people type is not kept
    return Examples(asked.encode, texts, [row.label for row in rows], np.concatenate(parts))


class Follower(Thread):
    """Watches which run is promoted, loads a new one beside the old, and exchanges them between two requests."""

    def __init__(self, bench: ServingBench, slot: Slot, run: Path, log: Log) -> None:
        super().__init__(name="wb-follower", daemon=True)
        self._bench, self._slot, self._run, self._log = bench, slot, run, log
        self._mark = self._look()
        self._end = Event()

    def run(self) -> None:
        """Look every `serve.poll_seconds` until stopped."""
        while not self._end.wait(self._bench.config.serve.poll_seconds):
            if (mark := self._look()) != self._mark:
                self._mark = mark
                self._follow()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()

    def _look(self) -> tuple[int, int]:
        """What tells one state of the pointer file from another: it is replaced whole."""
        try:
            stat = (self._bench.root / POINTER).stat()
        except OSError:
            return 0, 0
        return stat.st_mtime_ns, stat.st_ino

    def _follow(self) -> None:
        try:
            run = choose(self._bench, PROMOTED)
            if run.resolve() == self._run.resolve():
                return
            served = open_served(self._bench, run)
        except WorkbenchError as exc:
            self._log(f"Still serving {self._run.name}: {shorten(f'{exc.message} {exc.hint}', 400)}")
            return
        except Exception as exc:  # a damaged model may raise anything, and the old one must go on answering
            logging.getLogger(__name__).exception("the promoted model cannot be loaded")
            self._log(f"Still serving {self._run.name}: the promoted model cannot be loaded ({type(exc).__name__}).")
            return
        old, self._run = self._run.name, run
        self._slot.swap(served)
        self._log(f"Now serving {served.predictor.version} ({len(served.predictor.labels)} classes) instead of {old}.")
        find_neighbours(self._bench, self._slot, self._log)
