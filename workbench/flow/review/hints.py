"""What people had against rows, as hints for whoever writes the next ones."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from workbench.bench import Bench
from workbench.ledger import Candidate
from workbench.text import language

EXAMPLES = 2
"""Rejected rows that a hint shows of a class, the newest ones."""
LONGEST = 120
"""Characters of a row that a hint shows."""
SAY = {
    "zh": {
        "reasons": "审核人员拒绝过这一类的样本，原因：{reasons}。请避免。",
        "rejected": "曾被拒绝的样本：{text}",
        "relabel": "下面这条属于“{label}”，不属于本类：{text}",
    },
    "en": {
        "reasons": "Reviewers rejected rows of this class as: {reasons}. Avoid that.",
        "rejected": "A row that was rejected: {text}",
        "relabel": "This row belongs to {label!r}, not to this class: {text}",
    },
}


def hints(bench: Bench) -> dict[str, list[str]]:
    """Class -> what reviewers had against its rows, as sentences for the prompt."""
    refused: dict[str, list[Candidate]] = defaultdict(list)
    asked = {task.sample: str(task.shown["label"]) for task in bench.ledger.people.asked("review")}
    candidates = bench.ledger.candidates() if asked else []
    for candidate in candidates:
        if candidate.judgement.state in ("reject", "relabel"):
            refused[asked.get(candidate.sample.id, candidate.sample.label)].append(candidate)
    if not refused:
        return {}
    configured = bench.config.generate.language
    tongue = configured if configured != "auto" else language(s.text for s in bench.ledger.samples(split="train"))
    return {label: _sentences(rows, SAY.get(tongue, SAY["en"])) for label, rows in refused.items()}


def _sentences(rows: Sequence[Candidate], say: Mapping[str, str]) -> list[str]:
    reviews = [(row, row.judgement.review) for row in rows]
    reasons = Counter(reason for _, review in reviews if review for reason in review.reasons)
    found = []
    if reasons:
        found.append(say["reasons"].format(reasons=", ".join(f"{name} ({n})" for name, n in reasons.most_common())))
    rejected = [row for row, review in reviews if review and review.decision == "reject"]
    found += [say["rejected"].format(text=_short(row)) for row in rejected[-EXAMPLES:]]
    moved = [(row, review.label) for row, review in reviews if review and review.decision == "relabel"]
    found += [say["relabel"].format(label=label, text=_short(row)) for row, label in moved[-EXAMPLES:]]
    return found


def _short(row: Candidate) -> str:
    text = " / ".join(turn.text for turn in row.sample.turns)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
