"""The evaluation as a self-contained HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench import page
from workbench.evaluate.compare import Effect, Verdict
from workbench.evaluate.score import Scores
from workbench.evaluate.texts import TextStats
from workbench.records import Metric


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the page shows."""

    title: str
    arms: Mapping[str, Scores]
    """Name -> scores, the baseline first and the model in question last, where there are several."""
    verdicts: Mapping[str, Verdict]
    """Name of an arm -> its verdict against the baseline."""
    main: str
    """The arm that the page is about."""
    calibration: float
    training: Mapping[str, tuple[int, int]]
    """Class -> human and synthetic training rows of the main arm."""
    texts: tuple[TextStats, TextStats] | None
    facts: Sequence[str]
    """Sentences: encoder, versions, openings of the test split."""


def interval(metric: Metric) -> str:
    """`0.613 [0.571, 0.652]`."""
    return f"{metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}]"


def render(report: Report) -> str:
    """The page as HTML."""
    verdict = report.verdicts.get(report.main)
    scores = report.arms[report.main]
    parts = [
        page.section("", page.paragraph(verdict.say if verdict else "One model; no baseline to compare with.", "lead"))
    ]
    parts.append(page.section("Scores", _scores(report), *(page.paragraph(fact, "note") for fact in report.facts)))
    if verdict and verdict.effects:
        parts.append(page.section("Better, worse, or cannot tell", *_effects(verdict)))
    parts.append(page.section("Classes", _classes(report, verdict)))
    if any(made for _, made in report.training.values()):
        bars = [
            (label, float(h), float(s)) for label, (h, s) in sorted(report.training.items(), key=lambda x: -sum(x[1]))
        ]
        parts.append(page.section("Training rows", page.bars(bars, names=("human", "synthetic"))))
    if report.texts:
        parts.append(page.section("Synthetic rows beside real ones", _texts(*report.texts)))
    confused = [(p.source, p.target, p.count, interval(p.rate), p.rate.n) for p in scores.pairs[:15]]
    parts.append(
        page.section(
            "Most confused pairs",
            page.table(["true", "taken for", "rows", "share of the class", "n"], confused, right=[2, 3, 4]),
            page.heat_map(
                scores.matrix_labels, scores.matrix.tolist(), "Test rows by true (down) and predicted class."
            ),
        )
    )
    return page.page(report.title, parts)


def _scores(report: Report) -> page.Html:
    rows = []
    for name, scores in report.arms.items():
        verdict = report.verdicts.get(name)
        outcome: object = page.badge(verdict.overall) if verdict else ""
        rows.append((name, *(interval(m) for m in (scores.accuracy, scores.macro_f1, scores.weighted_f1)), outcome))
    some = report.arms[report.main]
    caption = (
        f"{some.accuracy.n} test rows; macro-F1 over {len(some.labels)} classes ({some.labels_from}); 95 % intervals. "
    )
    caption += f"Expected calibration error of {report.main}: {report.calibration:.3f}"
    columns = ["model", "accuracy", "macro-F1", "weighted F1", "against the baseline"]
    return page.table(columns, rows, right=[1, 2, 3], caption=caption)


def _effects(verdict: Verdict) -> list[page.Html]:
    shown = [e for e in verdict.effects if e.kind == "metric" or e.outcome in ("improved", "worse")]
    shown += [e for e in verdict.effects if e not in shown and e.outcome == "cannot tell"]
    rows = [(e.kind, e.name, *_numbers(e), page.badge(e.outcome), _smallest(e)) for e in shown]
    columns = ["", "what", "before", "after", "difference [simultaneous 95 %]", "n", "outcome", "smallest effect seen"]
    quiet = len(verdict.effects) - len(shown)
    note = f"{len(verdict.effects)} comparisons are one family: the probability of any wrong claim is 5 %. "
    note += f"{quiet} that are no worse are not listed. "
    note += f"Training varies by {verdict.seeds} bootstraps." if verdict.seeds else "Training variance is not included."
    return [page.table(columns, rows, right=[2, 3, 4, 5, 7]), page.paragraph(note, "note")]


def _numbers(effect: Effect) -> tuple[str, str, str, int]:
    difference = f"{effect.after - effect.before:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
    return f"{effect.before:.3f}", f"{effect.after:.3f}", difference, effect.n


def _smallest(effect: Effect) -> str:
    return f"{effect.smallest:.3f}" if effect.outcome == "cannot tell" else ""


def _classes(report: Report, verdict: Verdict | None) -> page.Html:
    before = next(iter(report.arms.values())) if len(report.arms) > 1 else None
    f1_before = {label: f1 for label, _, _, f1 in before.per_class} if before else {}
    outcomes = {effect.name: effect.outcome for effect in verdict.of("class")} if verdict else {}
    rows = []
    for label, precision, recall, f1 in report.arms[report.main].per_class:
        human, made = report.training.get(label, (0, 0))
        multiple = f"x{(human + made) / human:.1f}" if human else "new"
        old = interval(f1_before[label]) if label in f1_before else ""
        outcome: object = page.badge(outcomes[label]) if label in outcomes else ""
        rows.append(
            (label, human, made, multiple, interval(precision), interval(recall), old, interval(f1), recall.n, outcome)
        )
    columns = [
        "class",
        "human",
        "synthetic",
        "multiple",
        "precision",
        "recall",
        "F1 before",
        "F1",
        "test rows",
        "outcome",
    ]
    return page.table(
        columns, rows, right=[1, 2, 3, 4, 5, 6, 7, 8], caption="Training rows, and scores on the test rows"
    )


def _texts(real: TextStats, made: TextStats) -> page.Html:
    def column(t: TextStats) -> list[str]:
        return [
            str(t.rows),
            " / ".join(f"{value:.0f}" for value in t.length),
            f"{t.distinct_1:.3f}",
            f"{t.distinct_2:.3f}",
            f"{t.self_similarity:.3f}",
            f"{t.coverage:.1%}",
        ]

    names = [
        "rows",
        "characters: 10 / 50 / 90 % quantile",
        "distinct-1 (characters, equal text length)",
        "distinct-2",
        "self-similarity: mean cosine to the nearest row of the same kind",
        "coverage: share of the other kind's rows with a near neighbour here",
    ]
    return page.table(
        ["", "real", "synthetic"], list(zip(names, column(real), column(made), strict=True)), right=[1, 2]
    )
