"""Continue a linear head: multinomial logistic regression that starts at, and stays near, the old weights.

The loss over rows with weights w is, in float64,

    C * [ sum w CE(label) + a T^2 sum KL(old model at T || new model at T) ] + 1/2 |V - V_old|^2 + C e / 2 sum F (W - W_old)^2

with the intercept in the last column of W but not of V. C is `strength`, a `distill` (Li & Hoiem 2016), e `ewc` (Kirkpatrick et
al. 2017). F is the diagonal of the Fisher information of the old head on the old rows, which is exact for logistic regression and
equals the diagonal of the Hessian of the old loss. The loss is convex where nothing is distilled from other classes than the
head has, so that the start only decides how long it takes. L-BFGS draws nothing: the same rows give the same head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from workbench.classify import Floats, Head, Ints
from workbench.train.incremental.config import IncrementalConfig

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lesson:
    """Rows that a head is continued on."""

    x: Floats
    """[n, d] features."""
    labels: Sequence[str]
    """[n]; a label that the head does not know makes it grow."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """One loss to be minimised; weights [classes, d + 1] with the intercept last."""

    x: Doubles
    truth: Ints
    weights: Doubles
    strength: float
    anchor: Doubles
    pull: Doubles
    """[classes, d + 1] ridge on each weight's distance to the anchor."""
    teacher: Doubles
    """[n, old classes] what the old model says at the temperature; [0, 0] where nothing is distilled."""
    distill: float
    temperature: float

    def __call__(self, flat: Doubles) -> tuple[float, Doubles]:
        """Loss and gradient."""
        w = flat.reshape(self.anchor.shape)
        logits = self.x @ w.T
        log_p = _log_softmax(logits)
        rows = np.arange(len(self.truth))
        loss = -float(self.weights @ log_p[rows, self.truth])
        slope = np.exp(log_p)
        slope[rows, self.truth] -= 1
        slope *= self.weights[:, None]
        if self.teacher.size:
            # The old model says nothing of classes it does not know: they are left out of the comparison.
            known, t = self.teacher.shape[1], self.temperature
            log_q = _log_softmax(logits[:, :known] / t)
            said = np.log(np.maximum(self.teacher, 1e-300))
            loss += self.distill * t * t * float((self.teacher * (said - log_q)).sum())
            slope[:, :known] += self.distill * t * (np.exp(log_q) - self.teacher)
        away = w - self.anchor
        gradient = self.strength * slope.T @ self.x + self.pull * away
        return self.strength * loss + 0.5 * float((self.pull * away * away).sum()), gradient.ravel()


def fisher(head: Head, x: Floats) -> Doubles:
    """[classes, d + 1] diagonal Fisher information of a head on rows [n, d], intercept last: sum over rows of p (1 - p) x^2."""
    p = np.exp(_log_softmax(head.logits(x).astype(np.float64)))
    return cast(Doubles, (p * (1 - p)).T @ _with_one(x) ** 2)


def continue_head(config: IncrementalConfig, old: Head, lesson: Lesson, curvature: Doubles | None = None) -> Head:
    """The head after a lesson.

    Args:
        config: guards and their weights. Replayed rows are part of the lesson; nothing is drawn here.
        old: where it starts, and what is distilled.
        lesson: new rows and replayed ones. Classes count alike in it, whatever their numbers of rows.
        curvature: `fisher` of the old head on old rows; needed for the guard `ewc`.

    The temperature of the old head is kept: rows that were trained on cannot calibrate it.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    labels = (*old.labels, *sorted(set(lesson.labels) - set(old.labels)))
    anchor = _grown(old, len(labels))
    pull = np.ones_like(anchor)
    pull[:, -1] = 0
    if "ewc" in config.guard and curvature is not None:
        pull[: len(curvature)] += config.strength * config.ewc * curvature
    teacher: Doubles = np.zeros((0, 0))
    if "distill" in config.guard:
        teacher = np.exp(_log_softmax(old.logits(lesson.x).astype(np.float64) / config.temperature))
    column = {label: i for i, label in enumerate(labels)}
    truth = np.array([column[label] for label in lesson.labels], dtype=np.int64)
    problem = _Problem(
        _with_one(lesson.x),
        truth,
        _even(truth),
        config.strength,
        anchor,
        pull,
        teacher,
        config.distill,
        config.temperature,
    )
    with threadpool_limits(1):
        done = minimize(problem, anchor.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 1000, "gtol": 1e-4})
    weights = done.x.reshape(anchor.shape).astype(np.float32)
    return Head(labels, weights[:, :-1], weights[:, -1], old.temperature)


def _grown(old: Head, classes: int) -> Doubles:
    """[classes, d + 1] the old weights; a class that is new begins at no weights and the least intercept."""
    weights = np.hstack([old.coefficients, old.intercept[:, None]]).astype(np.float64)
    fresh = np.zeros((classes - len(weights), weights.shape[1]))
    fresh[:, -1] = weights[:, -1].min()
    return np.vstack([weights, fresh])


def _even(truth: Ints) -> Doubles:
    """[n] weights of mean 1 with which classes that occur count alike."""
    counts = np.bincount(truth)
    return np.asarray(len(truth) / ((counts > 0).sum() * counts[truth]), dtype=np.float64)


def _with_one(x: Floats) -> Doubles:
    return np.hstack([x, np.ones((len(x), 1), x.dtype)]).astype(np.float64)


def _log_softmax(logits: Doubles) -> Doubles:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return cast(Doubles, shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
