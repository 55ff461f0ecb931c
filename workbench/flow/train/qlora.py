"""`wb train --method qlora`: what a bench knows goes to the trainer, what that measured into the manifest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.bench import Bench
from workbench.flow.generate.plan import tokens
from workbench.flow.train.job import Job
from workbench.flow.train.rows import TrainingRows
from workbench.records import digest
from workbench.tokens import vocabulary_of
from workbench.train.method import Fitted
from workbench.train.qlora.rows import QloraContext

_FREE = {"eval_batch", "keep", "report_to", "launch", "samples", "log_steps", "batch", "accumulation", "checkpointing"}
"""Settings that do not decide what a training gives."""
_FACTS = (
    "task", "adapter", "steps", "best_step", "examples", "rows_cut", "turns_cut", "characters_cut", "trainable",
    "special_tokens", "batch", "accumulation", "retries", "device",
)  # fmt: skip
_METRICS = ("loss", "dev_loss", "valid", "tokens_per_s", "memory_mb", "seconds")
_PROMPT = 48
"""Tokens that the shipped prompts and chat templates put around a dialogue, and its answer: a guess."""
_GPU_GB = 24.0


def fit(job: Job) -> Fitted:
    """Train, or go on with what is in the run folder."""
    from workbench.train.qlora.fit import fit_qlora

    bench, config = job.bench, job.bench.config.train
    progress = job.progress
    found = fit_qlora(
        config.qlora,
        job.rows.train,
        job.rows.dev,
        job.folder,
        context=_context(bench),
        progress=lambda line: progress(dict(line)),
        resume=True,  # a new folder holds nothing to go on with
    )
    return Fitted(
        tuple(found["labels"]),
        found["base"],
        digest(found["base"], _configuration(found["base"])),
        tuple(found["predicted"]) if found["predicted"] is not None and job.rows.dev else None,
        {name: found[name] for name in _METRICS if found.get(name) is not None},
        {name: found[name] for name in _FACTS},
    )


def recipe(bench: Bench) -> Sequence[str]:
    """Everything beside rows and seed that decides what a training gives; a stopped one may go on with a smaller batch."""
    config = bench.config.train.qlora
    return [config.model_dump_json(exclude=_FREE), str(config.batch * config.accumulation)]


def estimate(bench: Bench, rows: TrainingRows) -> Mapping[str, Any]:
    """Memory by part and time, from the model's configuration; the length of rows is a guess, at most what is allowed."""
    from workbench.train.qlora.estimate import Load
    from workbench.train.qlora.estimate import estimate as look

    config = bench.config.train.qlora
    if config.task == "response":
        turns = sum(turn.role == config.speaker for row in rows.train for turn in row.turns)
        special = len(vocabulary_of(bench.config.tokens, bench.root).special_tokens())
        return look(config, Load(turns, 0.0, special), memory_gb=_gpu_gb())
    lengths = [min(config.max_length, _PROMPT + tokens(row.text)) for row in rows.train]
    return look(config, Load(len(lengths), round(sum(lengths) / len(lengths), 1)), memory_gb=_gpu_gb())


def _context(bench: Bench) -> QloraContext:
    config = bench.config
    return QloraContext(
        ids={} if bench.bare else bench.ledger.label_ids(),
        vocabulary=vocabulary_of(config.tokens, bench.root) if config.train.qlora.task == "response" else None,
        roots=(bench.root,),
        seed=config.seed,
        pilot=config.train.fraction,
        retry_smaller=config.train.retry_smaller,
    )


def _configuration(model: str) -> str:
    """What the folder of a model says of it; empty where it is known by a name only."""
    path = Path(model) / "config.json"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _gpu_gb() -> float:
    """Memory of the GPU here, else of the usual one."""
    import torch

    return torch.cuda.get_device_properties(0).total_memory / 1e9 if torch.cuda.is_available() else _GPU_GB
