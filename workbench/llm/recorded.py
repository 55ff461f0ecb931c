"""Recorded completions as an endpoint: for the demo, docs and tests."""

import json
import random
from decimal import Decimal
from pathlib import Path

from workbench.errors import ConfigError, DataError
from workbench.llm.contract import Account, Answer, Exhausted, RecordedEndpoint, Request


class Recorded:
    """Hands out recorded rows of the asked class, in file order, as a chat model would: a JSON array a reply."""

    def __init__(self, endpoint: RecordedEndpoint, root: Path) -> None:
        from workbench.assets import DEMO

        shipped = endpoint.path.startswith("demo:")
        path = DEMO / endpoint.path[5:] / "candidates.jsonl" if shipped else root / endpoint.path
        self.config, self.name, self.model, self.currency = endpoint, f"recorded:{endpoint.path}", "recorded", ""
        if endpoint.shuffle_labels:
            self.model = "recorded, shuffled"
        # One at a time: which of two like rows comes first must not depend on the clock.
        self.most = 1
        self.settings = self.name + (" shuffled" if endpoint.shuffle_labels else "")
        self._rows = _recorded_rows(path)
        if endpoint.shuffle_labels:
            texts = [text for rows in self._rows.values() for text in rows]
            random.Random(0).shuffle(texts)
            rest = iter(texts)
            self._rows = {label: [next(rest) for _ in rows] for label, rows in self._rows.items()}

    async def answer(self, request: Request, account: Account | None = None) -> Answer:
        """The `draw`-th batch of recorded rows of the class."""
        rows = self._rows.get(request.label, [])
        batch = rows[request.draw * request.rows : (request.draw + 1) * request.rows]
        if not batch:
            raise Exhausted(f"The recording has no more rows of {request.label!r}.")
        text = json.dumps(batch, ensure_ascii=False)
        return Answer(text, "stop", 0, 0, Decimal(0), self.model, self.name, self.settings)

    def ceiling(self, request: Request) -> Decimal:
        """A recording costs nothing."""
        return Decimal(0)

    async def close(self) -> None:
        """Nothing is open."""


def _recorded_rows(path: Path) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as exc:
        raise ConfigError(f"There is no recording {path}.", "Mend llm.endpoints.0.path in wb.yaml.") from exc
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows.setdefault(row["asked"], []).append(row["text"])
        except (json.JSONDecodeError, KeyError, TypeError) as exc:
            shape = 'Each line: {"asked": class, "text": row}'
            raise DataError(f"{path}:{number} is not a recorded completion.", shape) from exc
    return rows
