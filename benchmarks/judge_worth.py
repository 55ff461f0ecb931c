"""What a judge that likes nearly everything is worth: published scores of a language model for rows that another one wrote.

    python benchmarks/judge_worth.py

The scores (1 to 10, DeepSeek on rows of GLM-4, two runs) are held against rows that a person read (`judged/glm4.csv`: hashes
and verdicts, no texts) and against exact repeats (`dup` of data.csv). An answer without a score is no score, though the file
says 0.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from common import ROOT, SHARED, arguments, dump, table

from workbench.gate.worth import Worth, worth

FOLDER = SHARED / "data" / "cmcc34_synthetic"
JUDGED = ROOT / "benchmarks" / "judged" / "glm4.csv"


def hash_of(text: str) -> str:
    """The name of a row in `judged/`."""
    return sha256(text.encode("utf-8")).hexdigest()[:16]


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV; leaves with a sentence where the file is not there."""
    if not path.is_file():
        sys.exit(f"{path} is not there: this benchmark reads the public data sets beside the project (WB_SHARED=...).")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def scores_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Hash -> the first score of the text; answers that held none are left out."""
    found: dict[str, float] = {}
    for row in rows:
        if row["quality_score"] >= 1:
            found.setdefault(hash_of(row["text"]), float(row["quality_score"]))
    return found


def agreement(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How the two runs score the texts that both have: share of equal scores, of that by chance, Cohen's kappa."""
    first, second = (scores_of([row for row in rows if row["run"] == run]) for run in ("run1", "run2"))
    both = sorted(first.keys() & second.keys())
    if not both:
        return {"n": 0}
    n = len(both)
    equal = sum(first[key] == second[key] for key in both) / n
    counts = [Counter(some[key] for key in both) for some in (first, second)]
    chance = sum(counts[0][score] * counts[1][score] for score in counts[0]) / n**2
    kappa = (equal - chance) / (1 - chance) if chance < 1 else 0.0
    return {"n": n, "equal": equal, "by_chance": chance, "kappa": kappa}


def main() -> None:
    """Print the distribution, the agreement of the runs, and the AUCs."""
    arguments(__doc__ or "").parse_args()
    published = read_csv(FOLDER / "data.csv")  # first: it says where the data ought to be
    rows = [json.loads(line) for line in (FOLDER / "judge_scores.jsonl").read_text(encoding="utf-8").splitlines()]
    scored = [float(row["quality_score"]) for row in rows if row["quality_score"] >= 1]
    counts = Counter(scored)
    table(["score", "answers", "share"], [(f"{s:g}", n, f"{n / len(scored):.1%}") for s, n in sorted(counts.items())])
    habit = (counts[8.0] + counts[9.0]) / len(scored)
    print(f"\n{len(rows) - len(scored)} of {len(rows)} answers hold no score; of the others {habit:.1%} are 8 or 9.")
    both = agreement(rows)
    if both["n"]:
        print(
            f"Two runs on the same {both['n']} texts: {both['equal']:.1%} equal scores, {both['by_chance']:.1%} by chance "
            f"alone, kappa {both['kappa']:.2f}.\n"
        )
    scores = scores_of(rows)
    first: dict[str, str] = {}
    for row in read_csv(JUDGED):
        first.setdefault(row["row_hash"], row["verdict"])
    repeats = {hash_of(row["text"]): row["dup"] == "1" for row in published}
    findings = {
        "rows that a person judged good, from bad": split(scores, {key: v == "good" for key, v in first.items()}),
        "rows without an exact repeat, from rows with one": split(scores, {k: not dup for k, dup in repeats.items()}),
    }
    lines = []
    for what, (good, bad) in findings.items():
        found = worth(good, bad)
        passed = [" / ".join(f"{_share(side, least):.0%}" for side in (good, bad)) for least in (8, 9)]
        lines.append((what, len(good), len(bad), _shown(found), *passed))
    table(["tells", "good", "bad", "AUC", "good / bad with 8 or more", "good / bad with 9 or more"], lines)
    dump({"habit": habit, "agreement": both, "auc": {k: worth(*sides).auc.json() for k, sides in findings.items()}})


def split(scores: dict[str, float], good: dict[str, bool]) -> tuple[list[float], list[float]]:
    """Scores of the good and of the bad rows, where both are known."""
    sides: tuple[list[float], list[float]] = ([], [])
    for key in sorted(scores.keys() & good.keys()):
        sides[not good[key]].append(scores[key])
    return sides


def _share(scores: Sequence[float], least: float) -> float:
    return sum(score >= least for score in scores) / max(1, len(scores))


def _shown(found: Worth) -> str:
    return f"{found.auc.value:.3f} [{found.auc.low:.3f}, {found.auc.high:.3f}]"


if __name__ == "__main__":
    main()
