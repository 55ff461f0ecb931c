"""How far a model's confidence is from its accuracy."""

import numpy as np
import numpy.typing as npt

from workbench.metrics import Floats, Z, cells, expected_calibration_error, resamples
from workbench.records import Metric

DRAWS = 1000
_BINS = 10


def calibration(confidence: Floats, right: npt.NDArray[np.bool_]) -> Metric:
    """Expected calibration error with an interval of 1.96 bootstrap standard errors over rows, within 0 and 1.

    With few rows the error is too large on average, since a bin's accuracy strays from its confidence by chance; the
    interval is around what was measured and does not take that off.

    Args:
        confidence: [n] probability of the predicted class, n at least 1.
        right: [n] whether that was the right class.
    """
    n = len(confidence)
    place = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    (bins, hits, steps), counts = cells(place, right.astype(np.int64), np.round(confidence * 1000).astype(np.int64))
    drawn = resamples(counts, DRAWS, seed=4)
    sums = [np.stack([(drawn * (bins == b)) @ values for b in range(_BINS)]) for values in (steps / 1000, hits * 1.0)]
    errors = np.abs(sums[0] - sums[1]).sum(axis=0) / n
    value = expected_calibration_error(confidence, right, _BINS)
    half = Z * float(errors.std(ddof=1))
    return Metric("ece", value, max(0.0, value - half), min(1.0, value + half), n)
