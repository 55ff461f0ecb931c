"""Measure what storing, reading and quotas cost beside a bare loop of the SDK.

    python benchmarks/orchestrate.py [--quick]

The same prompts to the same server (2 s for an answer, 64 requests in flight): a bare `AsyncOpenAI` loop that keeps texts in a
list; the loop of `wb generate` with ledger, parser and quotas, but no gate; and the whole of it. Each arm has a server of its
own; throughput is relative to the bare loop of the same run. The gate embeds with `hashed`, so that its own cost is seen.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import arguments, dump, rows, table
from pool import DATA, Served, available, served

from workbench.bench import Bench
from workbench.flow.generate.plan import Writer
from workbench.flow.generate.run import Limits, _Loop, generate
from workbench.records import Need, Sample, Verdict, by_label

FLYING = 64


class Ungated(_Loop):
    """The quota loop without embedding and rules."""

    def prepare(self) -> None:
        """Nothing to calibrate."""

    def _verdicts(self, samples: Sequence[Sample]) -> list[list[Verdict]]:
        return [[] for _ in samples]


def make_bench(folder: Path, server: Served) -> Bench:
    """A bench with the imbalanced rows."""
    (folder / "wb.yaml").write_text("seed: 0\n", encoding="utf-8")
    endpoint = f"llm.endpoints=[{{base_url: '{server.url}', model: pool, price_in: 1, price_out: 1}}]"
    settings = [endpoint, f"llm.concurrency={FLYING}", "encoder.name=hashed", "generate.patience=1000000"]
    bench = Bench.find(folder, settings)
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows(DATA / "train_imbalanced.csv"))
    return bench


def wanted(bench: Bench, requests: int) -> list[Need]:
    """More rows than the requests can bring, for every class."""
    return [Need(label, 100 * requests, "minority") for label in by_label(bench.ledger.samples())]


def bare(server: Served, prompts: Sequence[Any]) -> float:
    """Seconds of a loop of the SDK that does nothing else."""
    import openai

    async def run() -> list[str]:
        room = asyncio.Semaphore(FLYING)
        async with openai.AsyncOpenAI(api_key="none", base_url=server.url) as sdk:

            async def ask(seed: int, messages: Any) -> str:
                async with room:
                    found = await sdk.chat.completions.create(
                        model="pool", messages=messages, temperature=1.0, max_tokens=4096, seed=seed
                    )
                return found.choices[0].message.content or ""

            return await asyncio.gather(*(ask(i, list(messages)) for i, messages in enumerate(prompts)))

    start = time.perf_counter()
    assert all(asyncio.run(run()))
    return time.perf_counter() - start


def ungated(bench: Bench, requests: int) -> float:
    """Seconds of the quota loop without the gate."""
    loop = Ungated(bench, wanted(bench, requests), Limits(requests), lambda _: None)
    start = time.perf_counter()
    asyncio.run(loop.run())
    seconds = time.perf_counter() - start
    assert loop.result().new_replies == requests
    assert not bench.ledger.replies(unparsed=True)
    return seconds


def whole(bench: Bench, requests: int) -> tuple[float, float]:
    """Seconds of all of `wb generate`, and those of them before the first request: calibration of the gate."""
    first: list[float] = []
    start = time.perf_counter()
    calibrate = _Loop.prepare

    def timed(self: _Loop) -> None:
        calibrate(self)
        first.append(time.perf_counter() - start)

    _Loop.prepare = timed  # type: ignore[method-assign]
    done = generate(bench, wanted(bench, requests), max_requests=requests)
    _Loop.prepare = calibrate  # type: ignore[method-assign]
    assert done.new_replies == requests
    return time.perf_counter() - start, first[0]


def main() -> None:
    """Time the three in turn."""
    options = arguments(__doc__ or "").parse_args()
    available()
    os.environ.setdefault("OPENAI_API_KEY", "none")
    import openai  # noqa: F401  loading it is a matter of starting, for every arm

    requests, latency = (200, 0.5) if options.quick else (1000, 2.0)
    slow = ("--latency", str(latency))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        with served(*slow) as server:
            bench = make_bench(folder / "a", server)
            needs = wanted(bench, requests)
            writer = Writer(bench, needs)
            prompts = [writer.request(needs[i % len(needs)], i // len(needs)).messages for i in range(requests)]
            alone = bare(server, prompts)
        with served(*slow) as server:
            bench = make_bench(folder / "a", server)
            loop = ungated(bench, requests)
            peak = server.stats()["peak_concurrency"]
            bench.ledger.close()
        with served(*slow) as server:
            bench = make_bench(folder / "b", server)
            full, before = whole(bench, requests)
            bench.ledger.close()
    ideal = -(-requests // FLYING) * latency
    lines = [
        ("server alone (waves x latency)", ideal, ""),
        ("bare AsyncOpenAI loop", alone, 1.0),
        ("complete + ledger + parser + quotas", loop, alone / loop),
        ("whole `wb generate`, from the first request", full - before, alone / (full - before)),
        ("calibration of the gate before it", before, ""),
    ]
    table(["arm", "seconds", "throughput relative to bare"], lines)
    dump({"requests": requests, "latency": latency, "share": round(alone / loop, 3), "peak": peak})
    if alone / loop < 0.95:
        print("below the goal of 0.95", file=sys.stderr)


if __name__ == "__main__":
    main()
