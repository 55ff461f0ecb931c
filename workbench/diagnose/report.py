"""The diagnosis as a self-contained HTML page."""

from workbench import page
from workbench.diagnose import Diagnosis, advice
from workbench.diagnose.confusion import OTHERS

LISTED = 100
"""Rows that a table of rows shows at most; `--json` has all."""
WORST = 14
"""Classes in the heat map, of the worst pairs."""


def render(diagnosis: Diagnosis) -> str:
    """The page as HTML."""
    parts = [page.section("", page.paragraph(diagnosis.say, "lead")), _hurts(diagnosis), _classes(diagnosis)]
    if diagnosis.confusions:
        parts.append(_confusions(diagnosis))
    if diagnosis.issues:
        parts.append(_issues(diagnosis))
    if diagnosis.conflicts:
        parts.append(_conflicts(diagnosis))
    if diagnosis.leaks:
        parts.append(_leaks(diagnosis))
    if any(diagnosis.keywords.values()):
        words = [(label, "  ·  ".join(diagnosis.keywords.get(label, ()))) for label in diagnosis.imbalance.counts]
        note = page.paragraph("Log-odds of the rows that have the word, in the class against all others.", "note")
        parts.append(page.section("Words that set classes apart", note, page.table(["class", "words"], words)))
    return page.page("Diagnosis", parts)


def _hurts(diagnosis: Diagnosis) -> page.Html:
    if not diagnosis.findings:
        return page.section("What hurts", page.paragraph("Nothing that stands out."))
    rows = [(x.say, page.code(advice(x, diagnosis.label_ids))) for x in diagnosis.findings]
    return page.section("What hurts, worst first", page.table(["", "what to do"], rows))


def _classes(diagnosis: Diagnosis) -> page.Html:
    i = diagnosis.imbalance
    bars = [(label, float(n), float(i.targets.get(label, 0))) for label, n in i.counts.items()]
    tiles = [
        (f"{sum(i.counts.values()):,}", "rows"),
        (f"{len(i.counts)}", "classes"),
        (f"{i.ratio:,.4g} : 1", "largest to smallest"),
        (f"{i.gini:.3f}", "Gini of the class sizes"),
        (f"{i.effective_classes:.1f}", "equal classes would be as varied"),
        (f"{len(i.minority)}", "classes too small"),
        (f"{len(i.ultra_minority)}", "of them with hardly a row"),
    ]
    names = ("rows", "synthetic rows to add" if i.targets else "")
    return page.section("Classes", page.tiles(tiles), page.bars(bars, names=names))


def _confusions(diagnosis: Diagnosis) -> page.Html:
    pairs = [(p.source, p.target, f"{p.mass:.1f}", f"{p.rate:.1%}", p.n) for p in diagnosis.confusions]
    columns = ["rows of", "taken for", "expected rows", "rate", "n"]
    note = "Out-of-fold: each row was judged by a model that had not seen it, nor its near copies. "
    note += "Expected rows is the sum of the probabilities; the rate counts the rows whose most probable class is the other."
    parts = [page.paragraph(note, "note"), page.table(columns, pairs, right=[2, 3, 4])]
    if diagnosis.matrix is not None:
        worst = list(dict.fromkeys(label for p in diagnosis.confusions for label in (p.source, p.target)))[:WORST]
        caption = "Training rows of the worst pairs' classes by true (down) and predicted class."
        part = diagnosis.matrix.part(worst)
        parts.append(page.heat_map(worst, part, caption, columns=[*worst, OTHERS]))
    return page.section("Confused pairs", *parts)


def _issues(diagnosis: Diagnosis) -> page.Html:
    rows = [
        (page.code(x.sample.id), x.sample.label, x.suggested, f"{x.score:.2f}", x.method, page.turns(x.sample.text))
        for x in diagnosis.issues[:LISTED]
    ]
    columns = ["id", "label", "looks like", "score", "found by", "text"]
    return page.section(
        "Labels that may be wrong", *_listed(len(diagnosis.issues)), page.table(columns, rows, right=[3])
    )


def _conflicts(diagnosis: Diagnosis) -> page.Html:
    rows = [
        (", ".join(sorted({row.label for row in same})), len(same), page.turns(same[0].text))
        for same in diagnosis.conflicts[:LISTED]
    ]
    table = page.table(["labels", "rows", "text"], rows, right=[1])
    return page.section("One text, several labels", *_listed(len(diagnosis.conflicts)), table)


def _leaks(diagnosis: Diagnosis) -> page.Html:
    rows = [
        (
            page.code(x.sample.id),
            f"{x.sample.split} → {x.held.split}",
            x.kind,
            f"{x.score:.2f}",
            page.turns(x.sample.text),
            page.turns(x.held.text),
        )
        for x in diagnosis.leaks[:LISTED]
    ]
    columns = ["id", "from → in", "kind", "ratio", "text", "held-out text"]
    return page.section("Leakage", *_listed(len(diagnosis.leaks)), page.table(columns, rows, right=[3]))


def _listed(n: int) -> list[page.Html]:
    return [page.paragraph(f"The first {LISTED} of {n:,}.", "note")] if n > LISTED else []
