"""Say how good a model is, and whether it got better, with intervals; "cannot tell" is an answer."""

from workbench.config import Strict
from workbench.evaluate.compare import Arm, CompareConfig, Effect, Verdict, compare
from workbench.evaluate.report import render
from workbench.evaluate.score import Scores, score
from workbench.evaluate.texts import TextStats, compare_texts
from workbench.lm.label_predictor import AnswerConfig

__all__ = [
    "Arm",
    "CompareConfig",
    "Effect",
    "EvaluateConfig",
    "Scores",
    "TextStats",
    "Verdict",
    "compare",
    "compare_texts",
    "render",
    "score",
]


class EvaluateConfig(Strict):
    """Settings of `wb evaluate`."""

    compare: CompareConfig = CompareConfig()
    answer: AnswerConfig = AnswerConfig()
