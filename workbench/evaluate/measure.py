"""What answers cost: time per text and texts per second, memory of the process and of the GPU."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.lm.memory import short_of_memory
from workbench.records import Metric

LATENCY_ROWS = 50
"""Texts that are timed one by one."""
_UNCACHED = " "
"""Goes behind a timed text, so that no cache of answers or vectors knows it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Figures of one model on one machine."""

    p50: Metric
    """Seconds for one text alone."""
    p95: Metric
    throughput: Metric
    """Texts per second, in batches."""
    memory: Metric
    """Most bytes that the process held; other models that it held before count too."""
    cuda: Metric | None
    """Most bytes on the GPU, where there is one."""

    def metrics(self) -> dict[str, Metric]:
        """Name of each figure -> it."""
        found = {metric.name: metric for metric in (self.p50, self.p95, self.throughput, self.memory)}
        return found | ({self.cuda.name: self.cuda} if self.cuda else {})


def latencies(predict: Callable[[Sequence[str]], Any], texts: Sequence[str], rows: int = LATENCY_ROWS) -> list[float]:
    """Seconds for each of some texts alone, spread evenly over all of them; the first answer, which warms up, is not counted.

    Args:
        predict: answers texts.
        texts: at least one.
        rows: how many are timed at most; those that do not fit into memory are left out.

    Raises:
        WorkbenchError: none of them fits into memory.
    """
    chosen = np.unique(np.linspace(0, len(texts) - 1, min(rows, len(texts))).astype(int))
    found: list[float] = []
    for n, i in enumerate([chosen[0], *chosen]):
        start = perf_counter()
        try:
            predict([texts[int(i)] + _UNCACHED * (2 if n == 0 else 1)])
        except (MemoryError, RuntimeError) as error:
            if not short_of_memory(error):
                raise
            continue
        if n > 0:
            found.append(perf_counter() - start)
    if not found:
        raise WorkbenchError(
            "None of the timed texts fits into memory, not even alone.",
            "Load the model in 4 or 16 bit, or use a machine with more memory.",
        )
    return found


def quantile(name: str, seconds: Sequence[float], q: float) -> Metric:
    """A quantile with its distribution-free 95 % interval: order statistics by the binomial (Conover 1999, section 3.2).

    The upper end is the longest time where too few were measured for a bound; it is then no bound, and `n` says how few.
    """
    from scipy import stats

    ordered = np.sort(np.asarray(seconds, dtype=np.float64))
    n = len(ordered)
    low = int(stats.binom.ppf(0.025, n, q))
    high = int(stats.binom.ppf(0.975, n, q))
    value = float(np.quantile(ordered, q))
    return Metric(
        name, value, min(value, float(ordered[max(0, low - 1)])), float(max(value, ordered[min(n - 1, high)])), n
    )


def exact(name: str, value: float, n: int) -> Metric:
    """A figure without an interval."""
    return Metric(name, value, value, value, n)


@contextmanager
def peaks() -> Iterator[dict[str, float]]:
    """Fills in, at its end, the most bytes that were held since its beginning: `memory`, and `cuda_memory` where there is a GPU.

    On Linux the kernel's high-water mark is reset at the beginning; elsewhere it is that of the whole process.
    """
    found: dict[str, float] = {}
    _reset()
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()
    try:
        yield found
    finally:
        found["memory"] = float(_high_water())
        cuda = _cuda()
        if cuda is not None:
            found["cuda_memory"] = float(cuda.max_memory_allocated())


def _cuda() -> Any:
    """torch.cuda where torch is loaded already and sees a GPU."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_available() else None


def _reset() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets VmHWM to what is held now
    except OSError:
        return


def _high_water() -> int:
    """Bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else 1024)
