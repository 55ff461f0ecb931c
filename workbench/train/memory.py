"""Memory: how much was used, and whether an error says that it ran out."""

import sys
from typing import Any

_SAYS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


def out_of_memory(exc: BaseException) -> bool:
    """Whether an error of torch or Python means that memory ran out, on a GPU or on the processor's side."""
    return isinstance(exc, MemoryError) or any(words in str(exc).lower() for words in _SAYS)


def peak_gb(place: Any) -> float:
    """Most memory used so far, in GB (10^9 bytes): of the GPU where that computes, else of this process."""
    if place.type == "cuda":
        import torch

        return round(float(torch.cuda.max_memory_allocated(place)) / 1e9, 2)
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB; on macOS in bytes
    return round(peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9, 2)
