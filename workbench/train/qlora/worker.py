"""One of several processes that train together: it reads its job from the run folder, trains, and leaves the result there."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.records import Sample, Turn
from workbench.runs import read_json, read_jsonl, write_json
from workbench.tokens import Vocabulary
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.fit import fit_qlora
from workbench.train.qlora.launch import JOB, RESULT
from workbench.train.qlora.rows import QloraContext


def work(folder: Path) -> None:
    """What each process does: read the job, train, and leave the result (the first process)."""
    known = read_json(folder / JOB / "job.json")
    tags = known["vocabulary"]
    context = QloraContext(
        vocabulary=Vocabulary(tags["topics"], tags["roles"], tuple(tags["ordered"])) if tags else None,
        **{**known["context"], "roots": tuple(Path(root) for root in known["context"]["roots"])},
    )
    first = os.environ.get("RANK", "0") == "0"

    def tell(line: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    config = QloraConfig.read(known["config"], where=f"{folder}: config")
    rows, dev = ([_sample(line) for line in read_jsonl(folder / JOB / name)] for name in ("rows.jsonl", "dev.jsonl"))
    found = fit_qlora(
        config, rows, dev, folder, context=context, progress=tell if first else None, resume=known["resume"]
    )
    if first:
        write_json(folder / JOB / RESULT, found)


def _sample(line: Mapping[str, Any]) -> Sample:
    turns = tuple(Turn(turn["role"], turn["text"], turn["tags"]) for turn in line["turns"])
    meta = {"topic": line["topic"]} if line["topic"] else {}
    return Sample(line["id"], turns, line["label"], line["split"], meta=meta)


if __name__ == "__main__":
    try:
        work(Path(sys.argv[1]))
    except WorkbenchError as exc:
        sys.stderr.write(f"workbench: {exc.message} {exc.hint}\n")
        raise SystemExit(exc.exit_code) from None
