"""The dataset card: what is in an exported file, and how much of it no person ever said."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from workbench.records import SPLITS, Sample, by_label


def card(samples: Sequence[Sample], path: Path, history: Sequence[str]) -> str:
    """A dataset card in Markdown for the written file `path`; `history` says in lines what was done to the rows."""
    made = [sample for sample in samples if sample.source != "human"]
    share = len(made) / len(samples) if samples else 0.0
    of_all = f"**{len(made)} of them ({share:.1%}) are synthetic**: written by a language model, not by a person."
    none = "None of them is synthetic."
    lines = [
        f"# {path.name}",
        "",
        f"{len(samples)} rows, {len(by_label(samples))} classes. {of_all if made else none}",
        "",
        f"SHA-256 of the file: `{sha256(path.read_bytes()).hexdigest()}`",
        "",
        "## Rows",
        "",
        *_table(samples),
    ]
    if made:
        lines += ["", "## Where the synthetic rows come from", "", *_makers(made)]
    if history:
        lines += ["", "## What was done to the rows", "", *(f"- {line}" for line in history)]
    return "\n".join([*lines, ""])


def _table(samples: Sequence[Sample]) -> list[str]:
    """Rows per class, human ones by split; the largest class first."""
    counts: Counter[tuple[str, str]] = Counter()
    counts.update((s.label, s.split if s.source == "human" else "synthetic") for s in samples)
    used = [name for name in (*SPLITS, "synthetic") if any(key[1] == name for key in counts)]
    labels = sorted(by_label(samples), key=lambda label: (-sum(counts[label, name] for name in used), label))
    rows = [(_escape(label) or "(no label)", *(counts[label, name] for name in used)) for label in labels]
    totals = [sum(counts[label, name] for label in labels) for name in used]
    return [
        f"| class | {' | '.join(used)} |",
        f"| --- |{' ---: |' * len(used)}",
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
        f"| **all** | {' | '.join(str(total) for total in totals)} |",
    ]


def _makers(made: Sequence[Sample]) -> list[str]:
    makers = Counter(
        (s.origin.model or "an unknown model", s.origin.prompt or "unknown") if s.origin else ("unknown", "unknown")
        for s in made
    )
    return [f"- {model}, prompt {prompt}: {n} rows" for (model, prompt), n in makers.most_common()]


def _escape(label: str) -> str:
    return label.replace("|", "\\|").replace("\n", " ")
