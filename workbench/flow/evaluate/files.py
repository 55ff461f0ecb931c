"""Score files of predictions; no bench is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import DataError
from workbench.evaluate import Arm, CompareConfig, Verdict, compare, score
from workbench.evaluate.compare import not_comparable


def score_file(path: Path, labels: Sequence[str] | str, baseline: Path | None, config: CompareConfig) -> dict[str, Any]:
    """Scores of a file of predictions, with a verdict against another one where given; needs no bench.

    Raises:
        DataError: a file has no columns y_true and y_pred.
    """
    after = _predictions(path)
    scores = score(after["y_true"], after["y_pred"], labels)
    found: dict[str, Any] = scores.json()
    if baseline is None:
        return found
    before = _predictions(baseline)
    found["baseline"] = score(before["y_true"], before["y_pred"], labels).json()
    return found | {"verdict": _verdict(before, after, config, scores.labels if labels != "union" else ()).json()}


def _verdict(
    before: Mapping[str, list[str]], after: Mapping[str, list[str]], config: CompareConfig, labels: Sequence[str]
) -> Verdict:
    n, m = len(before["y_true"]), len(after["y_true"])
    if n != m:
        return not_comparable(n, m)
    ids = before.get("id"), after.get("id")
    if ids[0] and ids[1] and ids[0] != ids[1]:
        order = {key: i for i, key in enumerate(ids[1])}
        if len(order) < m or set(ids[0]) != set(order):
            return not_comparable(n, m, "their ids differ")
        after = {name: [column[order[key]] for key in ids[0]] for name, column in after.items()}
    if before["y_true"] != after["y_true"]:
        return not_comparable(n, m, "their true labels differ")
    return compare(before["y_true"], Arm(before["y_pred"]), Arm(after["y_pred"]), config, labels)


def _predictions(path: Path) -> dict[str, list[str]]:
    from workbench.data import read_table

    table = read_table(path)
    if not table.rows:
        raise DataError(f"{path} has no rows.", "Give a file with predictions.")
    bad = next((row for row in table.rows if row.problem), None)
    if bad:
        raise DataError(f"{path}:{bad.line}: {bad.say}", "Scores of part of a file would mislead: mend the row.")
    missing = [name for name in ("y_true", "y_pred") if name not in table.columns]
    if missing:
        names = ", ".join(table.columns)
        raise DataError(f"{path} has no column {missing[0]!r}; there are: {names}.", "Columns needed: y_true, y_pred")
    kept = [name for name in ("y_true", "y_pred", "id") if name in table.columns]
    empty = next((row.line for row in table.rows if row.values.get("y_true") in (None, "")), None)
    if empty is not None:
        raise DataError(
            f"{path}:{empty}: y_true is empty.", "Every scored row needs its right class; y_pred may be empty."
        )
    return {name: [_cell(row.values.get(name)) for row in table.rows] for name in kept}


def _cell(value: Any) -> str:
    return "" if value is None else str(value)  # a class may be the number 0
