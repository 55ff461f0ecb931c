"""The evaluation as a self-contained HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workbench import page
from workbench.evaluate.compare import Effect, Verdict
from workbench.evaluate.criteria import KINDS, Judged, amount
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
    rows: Mapping[str, tuple[int, int]]
    """Name of an arm -> human and synthetic rows that it was trained on."""
    training: Mapping[str, tuple[int, int]]
    """Class -> human and synthetic training rows of the main arm."""
    texts: tuple[TextStats, TextStats] | None
    facts: Sequence[str]
    """Sentences: encoder, versions, openings of the test split."""
    measures: Mapping[str, Mapping[str, Metric]] = field(default_factory=dict)
    """Name of an arm -> what was measured beside its scores."""
    judged: Mapping[str, Sequence[Judged]] = field(default_factory=dict)
    """Name of an arm -> success criteria and whether they hold."""


def interval(metric: Metric, digits: int = 3) -> page.Html:
    """`0.613 [0.571, 0.652]`, kept on one line."""
    span = f"{metric.value:.{digits}f} [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"
    return _whole(span)


def _whole(text: str) -> page.Html:
    return page.Html(f'<span style="white-space:nowrap">{page.escape(text)}</span>')


def render(report: Report) -> str:
    """The page as HTML."""
    verdict = report.verdicts.get(report.main)
    lead = f"{report.main} is {verdict.say}." if verdict else "One model; no baseline to compare with."
    parts = [page.section("", page.paragraph(lead, "lead"))]
    parts.append(page.section("Scores", _scores(report), *(page.paragraph(fact, "note") for fact in report.facts)))
    if report.judged:
        parts.append(page.section("Success criteria", _criteria(report)))
    if report.measures:
        parts.append(page.section("Calibration, answers, time and memory", _measures(report)))
    if verdict and verdict.effects:
        parts.append(page.section("Better, worse, or cannot tell", *_effects(verdict)))
    parts.append(page.section("Classes", _classes(report, verdict)))
    if any(made for _, made in report.training.values()):
        rows = sorted(report.training.items(), key=lambda row: -sum(row[1]))
        bars = [(label, float(human), float(made)) for label, (human, made) in rows]
        parts.append(page.section("Training rows", page.bars(bars, names=("human", "synthetic"))))
    if report.texts:
        parts.append(page.section("Synthetic rows beside real ones", *_texts(*report.texts)))
    parts.append(page.section("Most confused pairs", *_pairs(report.arms[report.main], report.main)))
    return page.page(report.title, parts)


def _scores(report: Report) -> page.Html:
    rows = []
    for name, scores in report.arms.items():
        verdict = report.verdicts.get(name)
        outcome: object = page.badge(verdict.overall) if verdict else ""
        human, made = report.rows[name]
        spans = (interval(metric) for metric in (scores.accuracy, scores.macro_f1, scores.weighted_f1))
        rows.append((name, human, made, *spans, outcome))
    some = report.arms[report.main]
    caption = f"{some.accuracy.n} rows; macro-F1 over {len(some.labels)} classes ({some.labels_from}); 95 % intervals. "
    caption += f"Expected calibration error of {report.main}: {report.calibration:.3f}."
    against = f"against {next(iter(report.arms))}" if report.verdicts else ""
    columns = ["model", "human rows", "synthetic", "accuracy", "macro-F1", "weighted F1", against]
    return page.table(columns, rows, right=[1, 2, 3, 4, 5], caption=caption)


def _criteria(report: Report) -> page.Html:
    rows = []
    for name, judged in report.judged.items():
        for one in judged:
            doubt = "" if one.sure else "the interval reaches over the limit"
            rows.append((name, one.criterion.said, span(one.metric, one.criterion.metric), _held(one.held), doubt))
    return page.table(["model", "criterion", "measured", "", ""], rows)


def _held(held: bool) -> page.Html:
    return page.Html('<span class="improved">holds</span>' if held else '<span class="worse">fails</span>')


def span(metric: Metric, name: str = "") -> str:
    """A measured figure in its unit, with its interval where it has one: `120 ms [110 ms, 150 ms]`."""
    name = name or metric.name
    value = amount(name, metric.value)
    if metric.low == metric.high:
        return value
    return f"{value} [{amount(name, metric.low)}, {amount(name, metric.high)}]"


def _measures(report: Report) -> page.Html:
    """One column for each model."""
    some = report.measures[report.main]
    names = [name for name in KINDS if name in some and name not in ("accuracy", "macro_f1", "weighted_f1")]
    rows = [(name, *(_whole(span(found[name])) for found in report.measures.values())) for name in names]
    note = (
        "Latency: one text at a time, with no cache of its answer. Memory: most that the process held while it answered, "
        "what models before it left included. ece: expected calibration error; success: share of rows answered with a class."
    )
    return page.table(["", *report.measures], rows, caption=note)


def _effects(verdict: Verdict) -> list[page.Html]:
    rank = {"worse": 0, "improved": 1, "cannot tell": 2}
    shown = [effect for effect in verdict.effects if effect.kind == "metric"]
    rest = [effect for effect in verdict.effects if effect.kind != "metric" and effect.outcome in rank]
    shown += sorted(rest, key=lambda effect: rank[effect.outcome])
    rows = [(e.kind, e.name, *_numbers(e), _whole_badge(e.outcome), _smallest(e)) for e in shown]
    columns = ["", "what", "before", "after", "difference [joint interval]", "n", "outcome", "could have seen"]
    quiet = len(verdict.effects) - len(shown)
    notes = [
        "Metrics and classes are F1 or accuracy: more is better. A pair is the share of a class's rows that were taken "
        'for the other class: less is better. "Could have seen": the smallest true difference that this test would have '
        'found in 80 % of cases; "none" where the class has too few test rows for any.',
        f"{len(verdict.effects)} comparisons are one family: the probability of any wrong claim among them is at most "
        "`evaluate.compare.alpha`, 5 % unless you set it. "
        + (f"{quiet} that are no worse are not listed. " if quiet else "")
        + (
            f"Another draw of the training rows is reckoned with: {verdict.seeds} bootstraps of each model."
            if verdict.seeds
            else "Only the test rows vary: another training run may differ by more."
        ),
    ]
    return [page.table(columns, rows, right=[2, 3, 4, 5, 7]), *(page.paragraph(note, "note") for note in notes)]


def _numbers(effect: Effect) -> tuple[str, str, page.Html, int]:
    difference = f"{effect.after - effect.before:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
    return f"{effect.before:.3f}", f"{effect.after:.3f}", _whole(difference), effect.n


def _smallest(effect: Effect) -> str:
    if effect.outcome != "cannot tell":
        return ""
    return f"{effect.smallest:.3f}" if effect.smallest < 1 else "none"


def _whole_badge(outcome: str) -> page.Html:
    return page.Html(f'<span style="white-space:nowrap">{page.badge(outcome).markup}</span>')


def _classes(report: Report, verdict: Verdict | None) -> page.Html:
    before = next(iter(report.arms.values())) if len(report.arms) > 1 else None
    f1_before = {label: f1 for label, _, _, f1 in before.per_class} if before else {}
    outcomes = {effect.name: effect.outcome for effect in verdict.of("class")} if verdict else {}
    rows = []
    for label, precision, recall, f1 in report.arms[report.main].per_class:
        human, made = report.training.get(label, (0, 0))
        multiple = f"×{(human + made) / human:.1f}" if human else "new" if made else ""
        row = [label, human, made, multiple if made else "", interval(precision, 2), interval(recall, 2)]
        if before:
            row.append(interval(f1_before[label], 2) if label in f1_before else "")
        row += [interval(f1, 2), recall.n]
        if verdict:
            row.append(_whole_badge(outcomes[label]) if label in outcomes else "")
        rows.append(row)
    columns = ["class", "human", "synthetic", "multiple", "precision", "recall"]
    columns += [*(["F1 before"] if before else []), "F1", "n", *(["outcome"] if verdict else [])]
    right = range(1, 9 if before else 8)
    return page.table(
        columns, rows, right=right, caption="Training rows of the model, and its scores; n: rows it was tested on."
    )


def _pairs(scores: Scores, main: str) -> list[page.Html]:
    rows = [(p.source, p.target, p.count, interval(p.rate), p.rate.n) for p in scores.pairs[:15]]
    said = f"{len(rows)} of {len(scores.pairs)} confused pairs of {main}, most rows first."
    table = page.table(["true", "taken for", "rows", "share of the class", "n"], rows, right=[2, 3, 4], caption=said)
    caption = f"Rows by true (down) and predicted class (across), {main}."
    return [table, page.heat_map(scores.matrix_labels, scores.matrix.tolist(), caption)]


def _texts(real: TextStats, made: TextStats) -> list[page.Html]:
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
        "training rows of the classes that got synthetic ones",
        "characters: 10 / 50 / 90 % quantile",
        "distinct-1 (characters, equal text length)",
        "distinct-2",
        "self-similarity: mean cosine to the nearest row of the same kind",
        "coverage: share of the other kind's rows with a near neighbour here",
    ]
    rows = list(zip(names, column(real), column(made), strict=True))
    note = "Synthetic rows far more alike than real ones, or covering far fewer: a sign that the model repeats itself."
    return [page.table(["", "real", "synthetic"], rows, right=[1, 2]), page.paragraph(note, "note")]
