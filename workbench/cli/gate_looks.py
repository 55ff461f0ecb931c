"""What `wb gate` shows beside gating: one row explained, the doubtful rows, what each rule is worth."""

from typing import TYPE_CHECKING

from workbench.cli.output import say, show, show_json, show_table

if TYPE_CHECKING:
    from workbench.bench import Bench


def explain_row(bench: "Bench", sample_id: str, as_json: bool) -> None:
    """Every rule's score beside its threshold."""
    from workbench.flow.gate.explain import explain
    from workbench.text import shorten

    found = explain(bench, sample_id)
    if as_json:
        said = [
            {
                "rule": one.verdict.rule,
                "passed": one.verdict.passed,
                "reason": one.verdict.reason,
                "score": one.verdict.score,
                "threshold": one.threshold,
                "group": one.group,
                "tail": one.verdict.tail,
                "evidence": one.evidence,
            }
            for one in found.said
        ]
        row = {"id": found.sample.id, "label": found.sample.label, "text": found.sample.text}
        show_json({**row, "passed": found.passed, "rules": said})
        return
    show(f"{found.sample.id}  {found.sample.label}  {'kept' if found.passed else 'dropped'}\n    {found.sample.text}\n")
    rows = []
    for one in found.said:
        verdict = one.verdict
        score = "" if verdict.score is None else f"{verdict.score:.3g}"
        limit = "" if one.threshold is None else f"{one.threshold:.3g} ({shorten(one.group, 14)})"
        tail = "" if verdict.tail is None else f"{verdict.tail:.1%}"
        rows.append(
            (verdict.rule, "" if verdict.passed else verdict.reason, score, limit, tail, shorten(one.evidence, 48))
        )
    columns = ["rule", "against it", "score", "goes above", "real rows as odd", "compared with"]
    show_table("What each rule says", columns, rows, right=[2, 3, 4])


def list_doubtful(bench: "Bench", count: int, as_json: bool) -> None:
    """Accepted rows in the order in which a person should look at them."""
    from workbench.flow.gate.explain import doubtful
    from workbench.text import shorten

    found = doubtful(bench)
    if as_json:
        for sample, doubt in found[:count]:
            show_json({"id": sample.id, "label": sample.label, "text": sample.text, "doubt": round(doubt, 3)})
        return
    rows = [(sample.id, sample.label, f"{doubt:.1f}", shorten(sample.text, 70)) for sample, doubt in found[:count]]
    title = f"The {len(rows)} most doubtful of {len(found)} accepted rows"
    show_table(title, ["id", "class", "doubt", "text"], rows, right=[2])


def ablate_rules(bench: "Bench", as_json: bool) -> None:
    """What each rule is worth."""
    from workbench.flow.gate.ablate import ablate

    found = ablate(bench, say)
    if as_json:
        rules = [
            {
                "rule": worth.rule,
                "dropped": worth.dropped,
                "alone": worth.alone,
                "macro_f1": worth.effect.json() if worth.effect else None,
            }
            for worth in found.worths
        ]
        overlap = [
            {"rules": list(pair), "rows": n} for pair, n in sorted(found.overlap.items(), key=lambda item: -item[1])
        ]
        head = {"candidates": found.candidates, "accepted": found.accepted, "measured_on": found.measured_on}
        show_json({**head, "rules": rules, "overlap": overlap})
        return
    rows = []
    for worth in found.worths:
        effect = worth.effect
        shown = f"{effect.after - effect.before:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]" if effect else ""
        rows.append((worth.rule, worth.dropped, worth.alone, shown))
    title = f"Rules taken away one at a time ({found.accepted} of {found.candidates} candidates are accepted)"
    show_table(title, ["rule", "against", "alone against", "macro-F1 with it minus without"], rows, right=[1, 2, 3])
    common = sorted(found.overlap.items(), key=lambda item: -item[1])[:6]
    if common:
        show("Most overlap: " + "; ".join(f"{a} and {b} {n}" for (a, b), n in common) + ".")
    if found.measured_on:
        show(f"Macro-F1 is measured on the {found.measured_on} rows of dev, with 95 % intervals; test was not opened.")
    else:
        show(
            "There are no rows of dev, so the effect on macro-F1 was not measured: wb data split --dev 0.1 makes some."
        )
