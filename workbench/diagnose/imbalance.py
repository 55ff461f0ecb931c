"""How uneven the classes are, who is too small, and how many rows each of these should get."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from workbench.config import Strict


class ImbalanceConfig(Strict):
    """What counts as too small, and what is aimed at. Classes are given by name, or by number where the data have numbers."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # 14 in YAML is a number, and the name of class 14

    minority_ratio: float = Field(default=0.5, ge=0)
    """A class with fewer rows than this share of the median class is a minority."""
    ultra_rows: int = Field(default=10, ge=0)
    """A class with fewer rows than this is an ultra-minority, whatever the others have."""
    ultra_ratio: float = Field(default=0.1, ge=0)
    """So is a class with fewer rows than this share of the median class."""
    minority: tuple[str, ...] = ()
    """Classes that count as minorities in any case."""
    ultra_minority: tuple[str, ...] = ()
    """Classes that count as ultra-minorities in any case."""
    exclude: tuple[str, ...] = ()
    """Classes that never do."""
    target_ratio: float = Field(default=1.0, ge=0)
    """Minority classes are filled up to this share of the median class, human rows counted in."""
    target_rows: int = Field(default=20, ge=0)
    """They get at least so many rows in all."""
    max_multiple: float = Field(default=50.0, gt=0)
    """Synthetic rows of a class are at most so many times its human ones."""
    multipliers: Mapping[str, float] = {}
    """Class -> factor on its number of synthetic rows."""
    beta: float = Field(default=0.999, ge=0, lt=1)
    """Of the effective number of rows (Cui et al. 2019): (1 - beta^n) / (1 - beta)."""


@dataclass(frozen=True, slots=True)
class Imbalance:
    """Figures of a class histogram."""

    counts: Mapping[str, int]
    """Class -> rows, largest first."""
    gini: float
    """Of the counts (Lorenz curve): 0 all equal, towards 1 all in one class."""
    ratio: float
    """Largest over smallest class; classes of no rows count as one."""
    effective_classes: float
    """Exponential of the entropy: how many equal classes would be as varied."""
    effective_rows: Mapping[str, float]
    """Class -> effective number of its rows (Cui et al. 2019)."""
    minority: tuple[str, ...]
    """Smallest first."""
    ultra_minority: tuple[str, ...]
    targets: Mapping[str, int]
    """Minority class -> accepted synthetic rows that it should get."""


def imbalance(counts: Mapping[str, int], config: ImbalanceConfig) -> Imbalance:
    """Measure a histogram; `counts` must not be empty."""
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    values = np.array(list(ordered.values()), dtype=np.float64)
    shares = values[values > 0] / max(1.0, values.sum())
    median = float(np.median(values))
    few = max(config.ultra_rows, config.ultra_ratio * median)
    tiny = {label for label, n in ordered.items() if n < few} | set(config.ultra_minority)
    ultra = [label for label in ordered if label in tiny and label not in config.exclude]
    small = [label for label, n in ordered.items() if n < config.minority_ratio * median]
    minority = {label for label in (*small, *ultra, *config.minority) if label not in config.exclude}
    named = tuple(label for label in reversed(ordered) if label in minority)
    return Imbalance(
        ordered,
        gini(values),
        float(values.max() / max(1.0, values.min())),
        float(np.exp(-(shares * np.log(shares)).sum())),
        {label: (1 - config.beta**n) / (1 - config.beta) for label, n in ordered.items()},
        named,
        tuple(reversed(ultra)),
        {label: target for label in named if (target := _target(label, ordered[label], median, config)) > 0},
    )


def _target(label: str, rows: int, median: float, config: ImbalanceConfig) -> int:
    whole = max(config.target_ratio * median, config.target_rows)
    wanted = (whole - rows) * config.multipliers.get(label, 1.0)
    return int(min(wanted, config.max_multiple * max(1, rows)) + 0.5)


def gini(values: npt.NDArray[np.float64]) -> float:
    """Gini coefficient of counts [k], from their Lorenz curve: sum over sorted x_i of (2 i - k - 1) x_i / (k sum x).

    This is the definition that gives CMCC-34's published 0.651; Gini impurity (1 - sum p^2) would be 0.919.
    """
    ordered, k = np.sort(values), len(values)
    total = float(ordered.sum())
    return float(((2 * np.arange(1, k + 1) - k - 1) * ordered).sum() / (k * total)) if total else 0.0
