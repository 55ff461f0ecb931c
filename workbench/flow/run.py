"""The loop as one straight list, data to evaluate. Every step is skipped where it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workbench.assets import DEMO
from workbench.bench import Bench
from workbench.flow import data, diagnose
from workbench.flow.evaluate import run as evaluate
from workbench.flow.generate import plan
from workbench.flow.generate.run import Generated, generate
from workbench.flow.review.pull import pull
from workbench.flow.review.wait import wait_for_people
from workbench.flow.train.run import train
from workbench.records import Need


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of the whole loop came to."""

    diagnosis: diagnose.Diagnosis
    generated: Generated | None
    """None where no class wanted rows."""
    evaluation: evaluate.Evaluation
    report: Path


def run(bench: Bench, progress: Callable[[str], None]) -> Outcome:
    """Go from files to verdict. A second call goes on where the first was stopped, and repeats nothing that is done."""
    config = bench.config.run
    for split, name in config.files.items():
        added = data.add(bench, _path(bench, name), split=split or None)
        progress(f"data      {name}: {added.new} new rows, {added.known} there already, {added.rejected} rejected")
    if config.clean:
        cleaned = data.clean(bench)
        progress(f"data      {cleaned.say}")
    if not bench.ledger.samples(split="test"):
        progress(f"data      {data.split(bench).say}")
    progress(f"encoder   {bench.encoder.name}")
    diagnosis = diagnose.diagnose(bench)
    diagnose.write_page(diagnosis, bench.root / "diagnosis.html")
    progress(f"diagnose  {diagnosis.say}")
    if config.review and bench.ledger.people.project("review") is not None:
        progress(f"review    {pull(bench).say}")
    needs = _needs(bench, diagnosis)
    generated = None
    if bench.ledger.people.most_accepted() and not config.refill:
        progress("generate  rows were put to people already; refused ones are replaced with run.refill")
    elif needs:
        progress(f"generate  {sum(need.count for need in needs)} accepted rows wanted for {len(needs)} classes")
        generated = generate(bench, needs, progress=lambda line: progress(f"gate      {line}"))
    if config.review:
        wait_for_people(bench, progress)
    progress("train     no augmentation: human rows only")
    before = train(bench, "human", reuse=True)
    others: dict[str, Path] = {}
    if config.ungated:
        progress("train     ungated: human rows and everything that was generated")
        others["ungated"] = train(bench, "ungated", reuse=True).run
    after = train(bench, "gated", reuse=True)
    progress(f"train     gated: {after.rows} rows, {after.synthetic} of them synthetic")
    progress("evaluate  test split")
    found = evaluate.evaluate(bench, after.run, before.run, others, names=("no augmentation", "gated"), reuse=True)
    return Outcome(diagnosis, generated, found, found.folder / "report.html")


def _path(bench: Bench, name: str) -> Path:
    return DEMO / name[5:] if name.startswith("demo:") else bench.root / name


def _needs(bench: Bench, diagnosis: diagnose.Diagnosis) -> list[Need]:
    config = bench.config.run
    pairs = plan.confused(diagnosis, config.pairs)
    if not (config.minority or config.classes or pairs):
        return []
    return plan.needs(bench, config.classes, pairs, minority=config.minority, accept=config.accept)
