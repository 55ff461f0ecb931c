"""`wb loop`: dev scores, worst classes and pairs, rows for them, training, again; the test split is opened once, at the end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from workbench import page
from workbench.bench import Bench
from workbench.errors import DataError, UsageError
from workbench.flow.diagnose import diagnose
from workbench.flow.evaluate.rows import Look
from workbench.flow.evaluate.run import Evaluation, evaluate
from workbench.flow.generate import plan
from workbench.flow.generate.purchases import spent_before
from workbench.flow.generate.run import generate
from workbench.flow.review.wait import wait_for_people
from workbench.flow.train.incremental import can_continue, continue_on_dev
from workbench.flow.train.incremental_rows import approved_since
from workbench.flow.train.run import train
from workbench.records import Need, digest
from workbench.runs import MANIFEST, finish, new_run, read_json, write_json, write_jsonl

DEV = Look(split="dev")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    rounds: int = 3
    classes: int = 3
    """Worst classes of each round, by recall on the dev split."""
    pairs: int = 1
    """Most confused pairs of each round, cross-fitted on the training rows."""
    rows: int = 10
    """Accepted rows that each of them gets on top, a round."""
    patience: int = 1
    """Rounds without a better macro-F1 on dev after which it ends."""
    max_cost: Decimal | None = None
    review: bool = False
    """Put each round's rows to people before training on them."""
    anew: bool = False
    """Train from nothing in each round instead of continuing the last good model."""

    @property
    def key(self) -> str:
        """What tells this loop from one with other settings; the cap may be raised and the rounds be more."""
        return digest(str((self.classes, self.pairs, self.rows, self.review, self.anew)))


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to; round 0 is before anything was added."""

    number: int
    run: str
    macro_f1: float
    worst: str
    """The class with the lowest recall on dev."""
    worst_recall: float
    accepted: int
    """Accepted synthetic rows in the bench."""
    cost: str
    """What the bench has spent so far."""
    asked: tuple[str, ...] = ()
    """Classes that got rows in this round."""
    kept: bool = True
    """Nothing got significantly worse on dev than in the model that it continues, so that the next round continues it."""


@dataclass(frozen=True, slots=True)
class Looped:
    """A finished loop."""

    rounds: tuple[Round, ...]
    best: Round
    stopped_by: str
    """`rounds`, `no_better`, `no_rows` or `max_cost`."""
    evaluation: Evaluation | None
    """The best round against round 0 on the test split; None where nothing was better on dev, or there is no test split."""
    folder: Path


def loop(bench: Bench, options: Options, progress: Callable[[str], None]) -> Looped:
    """Go round until nothing improves. A killed loop goes on where it was with the same options.

    Raises:
        DataError: there is no dev split to look at.
        Waiting: people have to look at rows first; the same command goes on later.
    """
    if not bench.ledger.samples(split="dev"):
        raise DataError(
            "A loop looks at the dev split after each round, and there is none.", "Make one with: wb data split"
        )
    return _Loop(bench, options, progress).run()


@dataclass
class _Loop:
    bench: Bench
    options: Options
    progress: Callable[[str], None]
    rounds: list[Round] = field(default_factory=list)
    stopped: str = "rounds"

    def run(self) -> Looped:
        self.rounds = self._done()
        if not self.rounds:
            self._close(self._judge(0, ()))
        while not self._ended():
            number = len(self.rounds)
            needs = self._needs(number)
            short = self._generate(number, needs)
            if self.options.review:
                wait_for_people(self.bench, self.progress)
            found = self._judge(number, tuple(dict.fromkeys(need.label for need in needs)))
            self._close(found)
            if short == "max_cost":
                self.stopped = "max_cost"
                break
            if found.accepted == self.rounds[-2].accepted:
                self.stopped = "no_rows"
                break
        return self._finish()

    def _generate(self, number: int, needs: Sequence[Need]) -> str:
        """Buy rows, unless they were bought and people have been looking at them since. Returns why it ended."""
        for operation in self.bench.ledger.operations():
            told = operation.details
            if (operation.stage, operation.kind) == ("run", "bought") and self._ours(told) and told["round"] == number:
                return str(told["stopped_by"])
        made = generate(self.bench, needs, max_cost=self.options.max_cost, progress=self.progress)
        details = self._named({"round": number, "stopped_by": made.stopped_by})
        with self.bench.ledger.write("run", "bought", details):
            pass
        return made.stopped_by

    def _ended(self) -> bool:
        if len(self.rounds) - 1 - self._best().number >= self.options.patience and len(self.rounds) > 1:
            self.stopped = "no_better"
            return True
        return len(self.rounds) > self.options.rounds

    def _judge(self, number: int, asked: Sequence[str]) -> Round:
        """Train on what is accepted now, and look at dev."""
        run, kept = self._train()
        scores = evaluate(self.bench, run, reuse=True, look=DEV).json()
        recalls = {one["label"]: one["recall"] for one in scores["per_class"] if one["recall"]["n"]}
        worst = min(recalls, key=lambda label: (recalls[label]["value"], label))
        spent, _ = spent_before(self.bench)
        found = Round(
            number, run.name, scores["macro_f1"]["value"], worst, recalls[worst]["value"],
            len(self.bench.ledger.accepted()), str(spent), tuple(asked), kept,
        )  # fmt: skip
        self.progress(
            f"round {number}: macro-F1 {found.macro_f1:.3f} on dev, worst class {worst} {found.worst_recall:.2f}, "
            f"{found.accepted} accepted rows, cost {spent:f}"
            + ("" if kept else "; not kept: significantly worse on dev")
        )
        return found

    def _train(self) -> tuple[Path, bool]:
        """The run of this round, and whether nothing got significantly worse on dev by it."""
        if not self.rounds or self.options.anew:
            return train(self.bench, "gated", reuse=True).run, True
        parent = self.bench.runs / next(one.run for one in reversed(self.rounds) if one.kept)
        manifest = read_json(parent / MANIFEST)
        if not can_continue(manifest):
            raise UsageError(
                f"A model of method {manifest['method']!r} cannot be continued round by round.",
                "Train it from nothing in each round: wb loop --anew.",
            )
        if not approved_since(self.bench, manifest):
            return parent, True
        trained = continue_on_dev(self.bench, parent)
        return trained.run, bool(trained.promoted)

    def _best(self) -> Round:
        """The best round on dev of those that made nothing significantly worse; the earliest where several are."""
        return max((one for one in self.rounds if one.kept), key=lambda one: (one.macro_f1, -one.number))

    def _needs(self, number: int) -> list[Need]:
        """What this round asks for: as planned by a call that was killed, else anew. Totals, so that it can be repeated."""
        for operation in self.bench.ledger.operations():
            told = operation.details
            if (operation.stage, operation.kind) == ("run", "round") and self._ours(told) and told["round"] == number:
                return [Need(**need) for need in told["needs"]]
        run = self.bench.runs / self.rounds[-1].run
        scores = evaluate(self.bench, run, reuse=True, look=DEV).json()
        rows = {one["label"]: one["recall"] for one in scores["per_class"] if one["recall"]["n"]}
        worst = sorted(rows, key=lambda label: (rows[label]["value"], label))[: self.options.classes]
        pairs = plan.confused(diagnose(self.bench), self.options.pairs)
        needs = plan.needs(self.bench, worst, pairs, minority=False, more=self.options.rows)
        with self.bench.ledger.write(
            "run", "round", self._named({"round": number, "needs": [asdict(n) for n in needs]})
        ):
            pass
        return needs

    def _close(self, found: Round) -> None:
        self.rounds.append(found)
        with self.bench.ledger.write("run", "judged", self._named(asdict(found) | {"asked": list(found.asked)})):
            pass

    def _done(self) -> list[Round]:
        """Rounds of this loop that an earlier call finished, if it did not come to its end."""
        found: list[Round] = []
        for operation in self.bench.ledger.operations():
            if operation.stage != "run" or not self._ours(operation.details):
                continue
            if operation.kind == "looped":
                found = []
            if operation.kind == "judged":
                told = {k: v for k, v in operation.details.items() if k != "loop"}
                found.append(Round(**(told | {"asked": tuple(told["asked"])})))
        return found

    def _ours(self, details: Mapping[str, Any]) -> bool:
        return details.get("loop") == self._key

    @property
    def _key(self) -> str:
        """Options, and how many loops with them came to their end: a finished one is not gone on with."""
        ended = sum(
            o.stage == "run" and o.kind == "looped" and o.details.get("options") == self.options.key
            for o in self.bench.ledger.operations()
        )
        return f"{self.options.key}-{ended}"

    def _named(self, details: Mapping[str, Any]) -> dict[str, Any]:
        return {"loop": self._key, **details}

    def _finish(self) -> Looped:
        best, found = self._best(), None
        if best.number and self.bench.ledger.samples(split="test"):
            runs = self.bench.runs
            found = evaluate(
                self.bench, runs / best.run, runs / self.rounds[0].run, names=("round 0", f"round {best.number}")
            )
        folder = new_run(self.bench.runs, "loop")
        write_jsonl(folder / "rounds.jsonl", [asdict(one) for one in self.rounds])
        axes: dict[str, list[float]] = {"accepted synthetic rows": [one.accepted for one in self.rounds]}
        if Decimal(self.rounds[-1].cost):  # models that cost nothing need no panel of it
            axes["cost so far"] = [float(one.cost) for one in self.rounds]
        curves = {
            "macro-F1 (dev)": [one.macro_f1 for one in self.rounds],
            "worst class recall (dev)": [one.worst_recall for one in self.rounds],
        }
        page.curves_png(folder / "rounds.png", axes, curves)
        facts = {"rounds": len(self.rounds) - 1, "best": best.number, "stopped_by": self.stopped, "run": best.run}
        write_json(folder / "loop.json", facts | {"verdict": found.verdicts if found else None})
        with self.bench.ledger.write("run", "looped", {"options": self.options.key, **facts}) as writer:
            writer.run(folder.name, "loop", None, facts)
            finish(folder, "loop", facts)
        return Looped(tuple(self.rounds), best, self.stopped, found, folder)
