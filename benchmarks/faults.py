"""Kill `wb generate` at random moments, against a server that fails at random, and count what is lost or bought twice.

    python benchmarks/faults.py [--quick]

The server answers 429 (10 %), 500 (5 %), cuts replies (5 %), sends garbage (5 %) and drops connections (2 %). Commands get
SIGKILL at random moments, 20 to a bench; then one runs to its end. Witnesses are the server's counts and its log of every
row that it handed out. Also: 1,000 malformed replies through the parser.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from common import ROOT, arguments, dump, rows, table
from pool import DATA, Served, available, served

from workbench.flow.generate.purchases import in_flight, key_of
from workbench.generate import parse_reply
from workbench.ledger import Ledger
from workbench.records import by_label

RATES = {
    "rate-limit": 0.1,
    "error": 0.05,
    "truncate": 0.05,
    "garbage": 0.05,
    "drop": 0.02,
    "latency": 0.2,
    "flaws": 0.2,
}
FAULTS = [part for name, rate in RATES.items() for part in (f"--{name}", str(rate))]
KILLS, CLASSES, ROWS, ACCEPT = 20, 8, 12, 40
SETTINGS = """encoder: {name: hashed}
llm: {concurrency: 8, endpoints: [{base_url: '%s', model: pool, price_in: 5, price_out: 5}]}
generate: {batch_size: 5, patience: 1000}
gate: {rules: {label_agreement: off}}
"""


class Round:
    """One bench: killed many times, then run to its end."""

    def __init__(self, folder: Path, server: Served, seed: int) -> None:
        self.folder, self.server, self.chance = folder, server, random.Random(seed)
        self.classes: list[str] = []
        self.flying = self.kills = self.effective = 0
        self.wrong: Counter[str] = Counter()
        self.start = 0.0

    def prepare(self) -> None:
        """A bench with a few rows of a few classes."""
        self.folder.mkdir()
        (self.folder / "wb.yaml").write_text(SETTINGS % self.server.url, encoding="utf-8")
        groups = by_label(rows(DATA / "train_imbalanced.csv"))
        self.classes = sorted(groups, key=lambda label: -len(groups[label]))[:CLASSES]
        lines = [{"text": s.text, "label": s.label} for label in self.classes for s in groups[label][:ROWS]]
        train = self.folder / "train.jsonl"
        train.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
        subprocess.run(self.command("data", "add", str(train), "--split", "train"), check=True, capture_output=True)

    def command(self, *args: str) -> list[str]:
        """A `wb` command line for this bench."""
        return [sys.executable, "-m", "workbench", *args, "--bench", str(self.folder)]

    def generate(self) -> list[str]:
        """The command that is killed and run again."""
        named = [part for label in self.classes for part in ("--class", label)]
        return self.command("generate", *named, "--accept", str(ACCEPT), "--max-cost", "1000", "--json")

    def expected(self) -> tuple[int, int]:
        """Replies that are stored, and requests that were under way, as the ledger tells after a kill."""
        ledger = Ledger.open(self.folder / "wb.db")
        stored = {key_of(reply) for reply in ledger.replies()}
        flying = in_flight(ledger.unanswered(), stored, 0)
        ledger.close()
        return len(stored), len(flying)

    def open_calls(self) -> set[str]:
        """Calls of killed commands whose end nobody knows."""
        ledger = Ledger.open(self.folder / "wb.db")
        found = {call.id for call in ledger.unanswered() if not call.lost}
        ledger.close()
        return found

    def kill_once(self) -> bool:
        """Start the command and kill it at a random moment. False where it ended before."""
        before, calls = self.expected(), self.open_calls()
        asked, start = self.server.stats()["requests"], time.monotonic()
        process = subprocess.Popen(self.generate(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait = self.chance.uniform(0.4 * self.start, self.start + 2.0) if self.start else 1e9
        while process.poll() is None and time.monotonic() - start < wait:
            if (
                not self.start and self.server.stats()["requests"] > asked
            ):  # the first command measures how long a start takes
                self.start = time.monotonic() - start
                wait = self.start + self.chance.uniform(0, 2.0)
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        said = process.communicate()[1]
        killed = process.returncode == -signal.SIGKILL
        self.kills += killed
        self.effective += killed and self.server.stats()["requests"] > asked
        self.told(said, before)
        self.flying += len(self.open_calls() - calls)
        return killed

    def told(self, said: str, before: tuple[int, int]) -> None:
        """The command must say what it found."""
        line = f"{before[0]} replies were stored, {before[1]} requests were in flight and are bought again"
        began = "accepted " in said
        self.wrong["numbers not reported as they were"] += bool(before[1]) and began and line not in said

    def finish(self) -> None:
        """Run to the end without a kill."""
        before = self.expected()
        done = subprocess.run(self.generate(), capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        last = json.loads(done.stdout.splitlines()[-1])
        self.wrong["numbers not reported as they were"] += last["resumed"] != {
            "stored": before[0],
            "in_flight": before[1],
        }
        self.wrong["class not filled"] += last["stopped_by"] != "quota"

    def judge(self, log: Path) -> dict[str, int]:
        """Compare the ledger with the server's witness."""
        ledger = Ledger.open(self.folder / "wb.db")
        replies, samples = ledger.replies(), ledger.samples(source="synthetic")
        answered = self.server.stats()["answered"]
        self.wrong["stored replies not read"] += len(ledger.replies(unparsed=True))
        self.wrong["draws with two replies"] += len(replies) - len({key_of(reply) for reply in replies})
        self.wrong["answers lost beyond those in flight"] += max(0, answered - len(replies) - self.flying)
        self.wrong["stored replies without an answer of the server"] += max(0, len(replies) - answered)
        asked_after = {reply.id: reply.at for reply in replies}
        calls = ledger.unanswered()
        self.wrong["bought again though stored"] += sum(call.at > asked_after.get(call.request, "9") for call in calls)
        rows_of = Counter(sample.origin.reply for sample in samples if sample.origin)
        for reply in replies:
            drafts, _ = parse_reply(reply.id, reply.text, reply.finish, ("user",))
            self.wrong["rows lost"] += max(0, len(drafts) - rows_of[reply.id])
            self.wrong["rows doubled"] += max(0, rows_of[reply.id] - len(drafts))
        handed = Counter(json.loads(line)["text"] for line in log.read_text("utf-8").splitlines())
        ours = Counter(sample.text for sample in samples if sample.text in handed)
        self.wrong["rows more often than handed out"] += sum((ours - handed).values())
        ledger.close()
        return {"answered by the server": answered, "replies stored": len(replies), "rows": len(samples)}


def kill_rounds(kills: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """Counts of what happened, and of what must not happen."""
    seen: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    number = 0
    while seen["kills"] < kills:
        number += 1
        with (
            tempfile.TemporaryDirectory() as name,
            served(*FAULTS, "--seed", str(number), log=Path(name) / "log") as server,
        ):
            one = Round(Path(name) / "bench", server, seed + number)
            one.prepare()
            while one.kills < min(KILLS, kills - seen["kills"]) and one.kill_once():
                pass
            one.finish()
            seen.update(one.judge(Path(name) / "log"))
            seen.update(
                {
                    "benches": 1,
                    "kills": one.kills,
                    "kills while buying": one.effective,
                    "calls in flight at kills": one.flying,
                    "requests at the server": server.stats()["requests"],
                }
            )
            wrong.update(one.wrong)
        print(f"{seen['kills']} of {kills} kills, wrong: {dict(+wrong)}", file=sys.stderr, flush=True)
    seen["answers bought again"] = seen["answered by the server"] - seen["replies stored"]
    return seen, wrong


def mutations() -> Sequence[Callable[[str, random.Random], str]]:
    """Ways in which a good reply goes wrong."""
    return (
        lambda text, chance: text[: chance.randrange(len(text))],
        lambda text, chance: f"Sure:\n```json\n{text}\n" + ("```" if chance.random() < 0.5 else ""),
        lambda text, chance: (
            text.replace('"', "", chance.randrange(1, 4)) if chance.random() < 0.5 else text.replace('",', ",")
        ),
        lambda text, chance: text.replace(", ", ',"内容"里有引号", ', 1),
        lambda text, chance: json.dumps({"data": {"samples": text}}) if chance.random() < 0.5 else "[" * 50 + text,
        lambda text, chance: f"1. {text}\n2) {text[: len(text) // 2]}\n- 三",
        lambda text, chance: text.replace("]", "") + "\n" + text[1:],
        lambda text, chance: "".join(c for c in text if chance.random() > 0.05),
        lambda text, chance: text.replace("[", '{"samples": [', 1),
        lambda text, chance: "\ud83d" + text + "\x00",
    )


def malformed(number: int, seed: int) -> tuple[int, int, int]:
    """Rows, rejects and exceptions of so many malformed replies; a reply without either counts as an exception."""
    chance, texts = random.Random(seed), [row.text for row in rows(DATA / "pool.csv")]
    ways = mutations()
    drafts = rejects = failed = 0
    for i in range(number):
        reply = json.dumps(chance.sample(texts, 5), ensure_ascii=False)
        for way in chance.sample(ways, chance.choice((1, 1, 2, 3))):
            reply = way(reply, chance) if reply else reply
        try:
            good, bad = parse_reply(str(i), reply, chance.choice(("stop", "length")), ("user",))
        except Exception as exc:  # noqa: BLE001  what is counted here
            print(f"{exc!r}: {reply[:200]!r}", file=sys.stderr)
            failed += 1
            continue
        drafts, rejects = drafts + len(good), rejects + len(bad)
        failed += not good and not bad
    return drafts, rejects, failed


def main() -> None:
    """Kill, count, print."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--kills", type=int, default=0, help="200, or 10 with --quick")
    options = parser.parse_args()
    available()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    os.environ.setdefault("OPENAI_API_KEY", "none")
    good, bad, failed = malformed(1000, 0)
    seen, wrong = kill_rounds(options.kills or (10 if options.quick else 200), 0)
    wrong["malformed replies without row or slug"] = failed
    table(["seen", "count"], [*seen.items(), ("malformed replies", 1000), ("their rows", good), ("their rejects", bad)])
    print()
    table(["must not happen", "count"], list(wrong.items()))
    dump({"kills": seen["kills"], "wrong": sum(wrong.values()), "seen": dict(seen)})
    if sum(wrong.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
