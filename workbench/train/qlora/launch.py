"""Several GPUs: one process each, by torchrun or `accelerate launch`; this process waits, and reads what they leave.

The processes must not touch a bench: its ledger has one writer. So they get rows and settings as files in the run folder.
"""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.assets import search_path
from workbench.errors import ConfigError, WorkbenchError
from workbench.records import Sample
from workbench.runs import read_json, write_json, write_jsonl
from workbench.train.qlora.config import QloraConfig
from workbench.train.qlora.log import Progress
from workbench.train.qlora.rows import QloraContext

JOB = "job"
"""Folder of a run with what its processes need."""
RESULT = "result.json"


def launch(
    config: QloraConfig,
    rows: Sequence[Sample],
    dev: Sequence[Sample],
    folder: Path,
    *,
    context: QloraContext,
    progress: Progress | None,
    resume: bool,
) -> Mapping[str, Any]:
    """Train in the processes that `config.launch` describes; see `fit_qlora`.

    Raises:
        ConfigError: there is no such configuration of accelerate.
        WorkbenchError: the processes failed; the message is the last that they said.
    """
    job = folder / JOB
    job.mkdir(parents=True, exist_ok=True)
    (job / RESULT).unlink(missing_ok=True)
    write_jsonl(job / "rows.jsonl", (_line(row) for row in rows))
    write_jsonl(job / "dev.jsonl", (_line(row) for row in dev))
    vocabulary = context.vocabulary
    known = {
        "config": config.model_copy(update={"launch": ""}).model_dump(mode="json"),
        "resume": resume,
        "context": {
            "ids": dict(context.ids),
            "roots": [str(root) for root in context.roots],
            "seed": context.seed,
            "pilot": context.pilot,
            "retry_smaller": context.retry_smaller,
        },
        "vocabulary": asdict(vocabulary) if vocabulary else None,
    }
    write_json(job / "job.json", known)
    _run([*_launcher(config.launch, context), "-m", "workbench.train.qlora.worker", str(folder)], progress)
    return dict(read_json(job / RESULT))


def _launcher(launch: str, context: QloraContext) -> list[str]:
    """The command that starts the processes: of torch for a number of them, of accelerate for a file."""
    if launch.isdigit():
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", launch]
    return [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(_found(launch, context))]


def _found(name: str, context: QloraContext) -> Path:
    """A configuration of accelerate: a path, or a file in `pipelines/accelerate`, the user's own before the shipped ones."""
    folders = [Path(), *(root / "accelerate" for root in search_path("pipelines", context.roots))]
    path = next((one / name for one in folders if (one / name).is_file()), None)
    if path is None:
        raise ConfigError(
            f"train.qlora.launch: there is no {name}.",
            "Shipped are ddp.yaml and fsdp.yaml; `accelerate config` makes one.",
        )
    return path


def _run(command: Sequence[str], progress: Progress | None) -> None:
    """Run the processes; lines that begin with `{` are progress, the last others explain a failure."""
    said: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            if line.startswith('{"step"') and progress is not None:
                progress(json.loads(line))
            elif line.strip():
                said.append(line.strip())
    if process.returncode != 0:
        own = [line for line in said if line.startswith("workbench: ")]
        why = own[-1].removeprefix("workbench: ") if own else " / ".join(list(said)[-3:])[:600]
        raise WorkbenchError(
            f"The training processes ended with code {process.returncode}: {why}",
            "Mend what it says; `wb train --resume` goes on from the last checkpoint.",
        )


def _line(row: Sample) -> dict[str, Any]:
    turns = [{"role": turn.role, "text": turn.text, "tags": dict(turn.tags)} for turn in row.turns]
    return {"id": row.id, "label": row.label, "turns": turns, "topic": row.meta.get("topic"), "split": row.split}
