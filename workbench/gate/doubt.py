"""In which order a person should look at rows: the most doubtful first."""

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.gate.base import Rule, Score
from workbench.records import Verdict

LEAST = 1e-3
"""The smallest share of real rows that is told from none."""


def doubt(verdicts: Sequence[Verdict], rules: Mapping[str, Rule]) -> float:
    """How doubtful a row is, 0 or more: the weighted sum of -ln(tail) over its rules (Fisher's combination of p-values).

    The tail of a verdict is the share of the real rows that are as suspicious or more to its rule; rules that say nothing
    add nothing. A row that no rule would drop can still be odd in several ways at once.
    """
    weights = {name: rule.weight for name, rule in rules.items() if isinstance(rule, Score)}
    tails = [(weights.get(v.rule, 0.0), v.tail) for v in verdicts if v.tail is not None]
    return float(sum(-weight * np.log(max(tail, LEAST)) for weight, tail in tails))
