"""`wb train --method qlora` beside TRL's SFTTrainer and LLaMA-Factory: tokens a second, memory, loss.

    python benchmarks/qlora_peers.py --trl-python PATH --llamafactory-python PATH [--quick] [--rounds 3] [--threads 1]

SmolLM2-135M-Instruct (`wb models get smollm2`), rows of en_stress34 as `wb` renders them, NF4 with double quantisation, the same
adapter, optimizer, schedule and steps. Each trainer runs in a process and an environment of its own, in turns; one whose Python is
not given is left out. All see the same token ids in the same order, in batches of the same rows (but where rows are packed), and
begin with the same adapter. Timed is from the end of the second step to the end of the last, so that neither loading nor saving
counts. Tokens are real ones: padding is no work done. On a busy machine read tokens per second of processor time. Without --quick,
settings are changed one at a time, too.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import SHARED, arguments, dump, table

HERE = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[1]
WARM = 2
"""Steps before the clock counts: caches fill, kernels are chosen."""
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RATE, MAX = 5e-4, 256
SETTINGS: Mapping[str, Any] = {
    "prompt": "intent.en.j2",
    "answer": "Intent: {id}: {name}",
    "r": 16,
    "alpha": 32,
    "dropout": 0.0,
    "targets": TARGETS,
    "learning_rate": RATE,
    "schedule": "cosine",
    "max_length": MAX,
    "log_steps": 1,
    "save_steps": 10**6,
    "checkpointing": False,
}


@dataclass(frozen=True)
class Arm:
    """A trainer with settings of its own."""

    name: str
    trainer: str
    own: Mapping[str, Any] = field(default_factory=dict)
    quantise: str = "nf4"


MAIN = (
    Arm("wb", "wb"),
    Arm("TRL", "trl"),
    Arm("LLaMA-Factory", "llamafactory"),
)
"""Each at its best settings, checkpointing off in all of them."""
OTHERS = (
    Arm("wb, rows in any order", "wb", {"group_by_length": False}),
    Arm("wb, checkpointing (its default)", "wb", {"checkpointing": True}),
    Arm("wb, bf16 weights (quantise: none)", "wb", {"quantise": "none"}),
    Arm("TRL, padding_free", "trl", {"padding_free": True, "max_length": None}),
    Arm("TRL, gradient_checkpointing (its default)", "trl", {"gradient_checkpointing": True}),
    Arm("LLaMA-Factory, checkpointing (its default)", "llamafactory", {"disable_gradient_checkpointing": False}),
    Arm("TRL, packing (bfd)", "trl", {"packing": True, "packing_strategy": "bfd"}),
    Arm("LLaMA-Factory, neat_packing", "llamafactory", {"packing": True, "neat_packing": True}),
    Arm("LLaMA-Factory, eager attention", "llamafactory", {"flash_attn": "disabled"}),
)
"""One setting changed; where rows are packed, the trainer chooses the rows of a batch."""


class Job:
    """The rows of one seed, and what all trainers are told."""

    def __init__(self, told: Any, seed: int, folder: Path) -> None:
        self.told, self.seed, self.folder = told, seed, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.source = source(told.model, folder)
        self.file, self.rows, self.held = encoded(told, seed, folder, self.source)

    def run(self, arm: Arm) -> dict[str, Any] | None:
        """Train in a process of its own; None where the trainer's Python was not given."""
        python = {"wb": sys.executable, "trl": self.told.trl_python, "llamafactory": self.told.llamafactory_python}
        if not (command := python[arm.trainer]):
            return None
        place = Path(tempfile.mkdtemp(prefix="arm-", dir=self.folder))
        job = {
            "model": self.source,
            "seed": self.seed,
            "measured": str(place / "measured.json"),
            "output": str(place / "run"),
            "adapter": str(place / "run" / "adapter"),
        }
        job |= self.ours(arm) if arm.trainer == "wb" else self.theirs(arm)
        call(command, f"{arm.trainer}_arm.py", job, place, self.told.threads)
        found = read(place / "measured.json") | {"adapter": job["adapter"], "arm": arm.name}
        return found | figures(found)

    def ours(self, arm: Arm) -> dict[str, Any]:
        """Settings of `wb`."""
        own = {"batch": self.told.batch, "steps": self.told.steps, "report_to": "none"}
        return {"file": str(self.file), "settings": {**SETTINGS, **own, **arm.own}}

    def theirs(self, arm: Arm) -> dict[str, Any]:
        """The same in their words; a batch of packed rows is one row of as many tokens."""
        own = {"per_device_train_batch_size": self.told.batch, **arm.own}
        longest = MAX
        if arm.own.get("packing"):
            longest = self.told.batch * round(np.mean([len(r["prompt"]) + len(r["answer"]) for r in self.rows]))
            own["per_device_train_batch_size"] = 1
        return {
            "rows": self.rows,
            "own": own,
            "r": SETTINGS["r"],
            "alpha": SETTINGS["alpha"],
            "targets": TARGETS,
            "steps": self.told.steps,
            "learning_rate": RATE,
            "warmup_steps": round(0.03 * self.told.steps),
            "max_length": longest,
            "quantise": arm.quantise,
        }


def source(model: str, folder: Path) -> str:
    """A folder of the base model that says bfloat16, as the published one does; LLaMA-Factory goes by what it says."""
    from workbench.lm.load import resolve

    there = folder / "base"
    if not there.is_dir():
        there.mkdir(parents=True)
        for file in Path(resolve(model)).iterdir():
            if file.name != "config.json":
                (there / file.name).symlink_to(file)
        config = {**read(Path(resolve(model)) / "config.json"), "dtype": "bfloat16"}
        (there / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(there)


def encoded(told: Any, seed: int, folder: Path, base: str) -> tuple[Path, list[dict[str, Any]], list[dict[str, Any]]]:
    """The file for `wb`, the rows as tokens in the order in which `wb` sees them, and held-out rows."""
    from transformers import AutoConfig, GenerationConfig

    from workbench.data import Told, read
    from workbench.lm.chat import Chat
    from workbench.lm.load import load_tokenizer
    from workbench.train.qlora.config import QloraConfig
    from workbench.train.qlora.rows import QloraContext, encode_all, plan, task_of

    files = SHARED / "data" / "en_stress34"
    whole, held = (read(files / f"{name}.csv", Told("text", "label")).samples for name in ("train_imbalanced", "dev"))
    chosen = np.random.default_rng(seed).permutation(len(whole))[: told.batch * told.steps]
    file = folder / "rows.jsonl"
    lines = [json.dumps({"text": whole[i].text, "label": whole[i].label}) for i in sorted(chosen)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    some = read(file, Told("text", "label")).samples
    config = QloraConfig(**{**SETTINGS, "batch": told.batch, "steps": told.steps, "model": told.model})
    context = QloraContext(seed=seed)
    tokenizer = load_tokenizer(base)
    known = AutoConfig.from_pretrained(base), GenerationConfig.from_pretrained(base)
    chat = Chat(tokenizer, [int(one.eos_token_id) for one in known if isinstance(one.eos_token_id, int)])
    task = task_of(config, some, context)
    examples = [one.example for one in encode_all(task, chat, some)]
    order = plan(config, encode_all(task, chat, some), context).order
    labels = {row.label for row in some}
    asked = encode_all(task, chat, [row for row in held if row.label in labels][: told.held_out])
    return file, [tokens(examples[i], tokenizer) for i in order], [tokens(one.example, tokenizer) for one in asked]


def tokens(example: Any, tokenizer: Any) -> dict[str, Any]:
    """A row as ids, and as the text that gives these ids again."""
    found: dict[str, Any] = {"prompt": list(example.prompt), "answer": list(example.answer)}
    for name in ("prompt", "answer"):
        text = found[f"{name}_text"] = tokenizer.decode(found[name], skip_special_tokens=False)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == found[name], text
    return found


def call(python: str, script: str, job: Mapping[str, Any], folder: Path, threads: int) -> None:
    """Run a script on a job; what it says is shown only where it fails."""
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    own = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "HF_DATASETS_CACHE": str(folder / "datasets")}
    environment = {**os.environ, **own, **quiet}
    environment["PYTHONPATH"] = str(ROOT) if script.startswith("wb") else ""
    done = subprocess.run(
        [python, str(HERE / script), str(path)], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")


def read(path: Path) -> dict[str, Any]:
    """What a process wrote."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """Tokens a second by the clock and by processor time, memory, padding."""
    steps = found["steps"]
    real = sum(step["real"] for step in steps[WARM:])
    wall, cpu = (steps[-1][clock] - steps[WARM - 1][clock] for clock in ("wall", "cpu"))
    places = sum(step["places"] for step in steps[WARM:])
    return {
        "wall_rate": real / wall,
        "cpu_rate": real / cpu,
        "padding": 1 - real / places,
        "peak": max(found["loading_peak_mb"], found["training_peak_mb"]),
        "training": found["training_peak_mb"],
        "grew": found["training_peak_mb"] - found["before_mb"],
        "last_loss": float(np.mean(found["losses"][-4:])),
    }


def main() -> None:
    """Rounds of the trainers in turns, held-out losses, then settings one at a time."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--trl-python", default="", help="a Python that has TRL, peft and bitsandbytes")
    parser.add_argument("--llamafactory-python", default="", help="a Python that has LLaMA-Factory and bitsandbytes")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=0, help="dev rows for the comparison of losses")
    parser.add_argument("--only-settings", action="store_true", help="leave the rounds out")
    told = parser.parse_args()
    told.rounds = told.rounds or (2 if told.quick else 3)
    told.steps = told.steps or (10 if told.quick else 16)
    told.held_out = told.held_out or (48 if told.quick else 96)
    for name, python in (("TRL", told.trl_python), ("LLaMA-Factory", told.llamafactory_python)):
        if not python:
            print(f"{name} is left out: its Python was not given.")
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        if not told.only_settings:
            rounds(told, Path(folder))
        if not told.quick:
            one_at_a_time(told, Path(folder) / "settings")


def rounds(told: Any, folder: Path) -> None:
    """Each round has its own rows, order and beginning; the trainers take turns in it."""
    jobs = [Job(told, seed, folder / str(seed)) for seed in range(told.rounds)]
    found: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        turn = MAIN[job.seed % len(MAIN) :] + MAIN[: job.seed % len(MAIN)]
        for arm in turn:
            if (one := job.run(arm)) is not None:
                found.setdefault(arm.name, []).append(one)
                say(one)
    found = {arm.name: found[arm.name] for arm in MAIN if arm.name in found}
    same_batches(found)
    speed(found)
    loss(told, jobs, found)


def say(one: Mapping[str, Any]) -> None:
    """A line of progress."""
    show = ("wall_rate", "cpu_rate", "padding", "peak", "grew", "last_loss")
    print(one["arm"], *(f"{name} {one[name]:.4g}" for name in show), file=sys.stderr, flush=True)


def same_batches(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """That the trainers saw the same: real and learned tokens of each step are equal."""
    for number in range(len(found["wb"])):
        seen = {
            name: [(step["real"], step["learned"]) for step in some[number]["steps"]] for name, some in found.items()
        }
        for name, steps in seen.items():
            if steps != seen["wb"]:
                print(f"Round {number}: the batches of {name} are not those of wb.")


def span(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def speed(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Rates and memory, and those of `wb` by those of each other, round by round."""
    lines = []
    for name, some in found.items():
        ratios = [""] * 3
        if name != "wb":
            keys = ("cpu_rate", "wall_rate", "peak")
            ratios = [span([a[key] / b[key] for a, b in zip(found["wb"], some, strict=True)]) for key in keys]
        middle = {
            key: float(np.median([one[key] for one in some])) for key in ("cpu_rate", "wall_rate", "peak", "grew")
        }
        shown = [f"{middle[key]:.1f}" for key in ("cpu_rate", "wall_rate")]
        memory = [f"{middle['peak']:.0f}", f"{middle['grew']:.0f}", f"{some[0]['padding']:.1%}"]
        lines.append((name, *shown, *memory, *ratios))
    columns = ["", "tokens per CPU second", "tokens a second", "peak MB", "of it in training", "padding"]
    table([*columns, "wb / this, CPU", "wb / this, clock", "memory, wb / this"], lines)
    dump({name: [{key: round(one[key], 4) for key in figures(one)} for one in some] for name, some in found.items()})


def held_out(told: Any, job: Job, adapters: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Summed loss and number of answer tokens of each held-out row, [n, 2], by the base and each adapter."""
    place = job.folder / "held.json"
    ask = {"model": job.source, "rows": job.held, "adapters": adapters, "measured": str(place)}
    call(sys.executable, "held_out.py", ask, job.folder, told.threads)
    return {name: np.array(rows) for name, rows in read(place).items()}


def loss(told: Any, jobs: Sequence[Job], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Loss in training step by step, and on held-out answers with an interval over rows of the difference."""
    lines, drawn = [], np.random.default_rng(0)
    held: dict[str, list[np.ndarray]] = {}
    for number, job in enumerate(jobs):
        adapters = {name: some[number]["adapter"] for name, some in found.items()}
        for name, rows in held_out(told, job, adapters).items():
            held.setdefault(name, []).append(rows)
    ours = np.concatenate(held["wb"])
    for name, some in held.items():
        rows = np.concatenate(some)
        pick = drawn.integers(0, len(rows), (4000, len(rows)))
        gap = ours[:, 0] - rows[:, 0]
        spread = np.quantile(gap[pick].sum(axis=1) / rows[pick, 1].sum(axis=1), [0.025, 0.975])
        mean = gap.sum() / rows[:, 1].sum()
        step = trained = ""
        if name in found:
            pairs = [(a["losses"], b["losses"]) for a, b in zip(found["wb"], found[name], strict=True)]
            step = f"{max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs):.3f}"
            trained = f"{np.mean([one['last_loss'] for one in found[name]]):.3f}"
        difference = "" if name == "wb" else f"{mean:+.4f} [{spread[0]:+.4f}, {spread[1]:+.4f}]"
        lines.append((name, trained, step, f"{rows[:, 0].sum() / rows[:, 1].sum():.4f}", difference))
    columns = ["", "training loss, last 4 steps", "largest gap to wb in a step", "held-out loss", "wb minus this"]
    table(columns, lines)


def one_at_a_time(told: Any, folder: Path) -> None:
    """One setting changed, beside runs of `wb` before and after."""
    job = Job(told, 0, folder)
    runs = []
    for arm in (MAIN[0], *OTHERS, MAIN[0]):
        if (one := job.run(arm)) is not None:
            say(one)
            runs.append(one)
    base = [one for one in runs if one["arm"] == "wb"]
    known = {key: float(np.mean([one[key] for one in base])) for key in ("cpu_rate", "wall_rate", "peak", "grew")}
    held = held_out(told, job, {one["arm"]: one["adapter"] for one in runs})
    lines = []
    for one in runs:
        rows = held[one["arm"]]
        rates = [f"{one[key] / known[key]:.2f}" for key in ("cpu_rate", "wall_rate", "peak", "grew")]
        lines.append((one["arm"], *rates, f"{one['padding']:.1%}", f"{rows[:, 0].sum() / rows[:, 1].sum():.3f}"))
    columns = ["", "tokens per CPU second / wb", "tokens a second / wb", "peak memory / wb", "growth in training / wb"]
    table([*columns, "padding", "held-out loss"], lines)


if __name__ == "__main__":
    main()
