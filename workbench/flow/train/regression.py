"""The regression verdict: a new model takes the old one's place only if nothing got significantly worse.

Both models are compared on each set of rows by `evaluate.compare`: metrics, classes and confused pairs. The error probability is
shared: each of k sets gets 1/k of it, so that the probability of any wrong claim in the whole verdict stays at most `alpha`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.evaluate import Arm, CompareConfig, Effect, Verdict, compare


@dataclass(frozen=True, slots=True)
class Part:
    """One set of rows, and what both models say of them."""

    name: str
    """As in sentences: `old test`, `new test`."""
    true: Sequence[str]
    before: Arm
    after: Arm
    where: str
    """Where the rows are from, as half a sentence."""


@dataclass(frozen=True, slots=True)
class Regression:
    """What the comparison comes to."""

    promoted: bool
    say: str
    parts: tuple[tuple[Part, Verdict], ...]

    def json(self) -> dict[str, Any]:
        """The form that `--json` prints and the manifest keeps."""
        return {
            "promoted": self.promoted,
            "say": self.say,
            "worse": [f"{part.name}: {e.name}" for part, e in self._effects("worse")],
            "better": [f"{part.name}: {e.name}" for part, e in self._effects("improved")],
            "parts": {part.name.replace(" ", "_"): self._part(part, verdict) for part, verdict in self.parts},
        }

    def _part(self, part: Part, verdict: Verdict) -> dict[str, Any]:
        errors = [
            sum(a != b for a, b in zip(part.true, arm.predicted, strict=True)) for arm in (part.before, part.after)
        ]
        counts = {"rows": len(part.true), "errors_before": errors[0], "errors_after": errors[1]}
        return {"from": part.where, **counts, **verdict.json()}

    def _effects(self, outcome: str) -> list[tuple[Part, Effect]]:
        return [(part, e) for part, verdict in self.parts for e in verdict.effects if e.outcome == outcome]


def regression(parts: Sequence[Part], config: CompareConfig) -> Regression:
    """Compare both models on every set of rows that is not empty.

    Args:
        parts: at least one with rows.
        config: margins, and the error probability of the whole verdict.
    """
    some = [part for part in parts if part.true]
    shared = config.model_copy(update={"alpha": config.alpha / len(some)})
    found = tuple((part, compare(part.true, part.before, part.after, shared)) for part in some)
    worse = [
        f"{_effect(e)} on the {part.name}" for part, verdict in found for e in verdict.effects if e.outcome == "worse"
    ]
    sentences = [_sentence(part, verdict) for part, verdict in found]
    if worse:
        head = f"Not promoted: significantly worse is {'; '.join(worse)}."
    else:
        head = "Promoted: nothing got significantly worse" + _blind(found) + "."
    return Regression(not worse, " ".join([head, *sentences]), found)


def _sentence(part: Part, verdict: Verdict) -> str:
    before, after = (
        sum(a != b for a, b in zip(part.true, arm.predicted, strict=True)) for arm in (part.before, part.after)
    )
    better = [effect.name for effect in verdict.effects if effect.outcome == "improved"]
    said = f"; significantly better: {', '.join(better)}" if better else ""
    return f"On the {part.name} ({part.where}): {before} errors before, {after} after, of {len(part.true)} rows{said}."


def _blind(found: Sequence[tuple[Part, Verdict]]) -> str:
    """What the comparison could not have seen: without it, a small test would pass everything."""
    metric = [next(e for e in verdict.effects if e.name == "macro_f1") for _, verdict in found]
    spans = [f"{effect.smallest:.2f} on the {part.name}" for (part, _), effect in zip(found, metric, strict=True)]
    return f" (a loss of macro-F1 is seen in 4 of 5 cases from {' and '.join(spans)})"


def _effect(effect: Effect) -> str:
    return f"{effect.name}, {effect.before:.3f} -> {effect.after:.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
