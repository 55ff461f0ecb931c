"""What stored answers of language models say of rows: marks for the gate's rules, and whom of the models they are worth hearing.

A question about a row is stored as a reply of the strategy `judge` or `relabel`, of which no rows were asked for:

judge      `label` is the class asked about; `against` the row's own where that is another one (a real row, under a wrong label)
relabel    `label` is the row's class; of a real row `against` is the nearest other class, which it is held against as well

`parents` is the row, and `draw` stands for the row and its text: what was said of a text that was changed since counts no more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from workbench.bench import Bench
from workbench.gate import Rule
from workbench.gate.answers import read_label, read_score
from workbench.gate.rules.llm_judge import LlmJudge
from workbench.gate.rules.llm_label import LlmLabel
from workbench.gate.worth import Worth, paired_worth
from workbench.ledger import Reply
from workbench.prompts import Prompt, load
from workbench.records import NO_META, Sample, digest
from workbench.text import language

Ask = Literal["judge", "relabel"]
MARKS: Mapping[Ask, str] = {"judge": "llm_judge", "relabel": "llm_label"}
"""Strategy of the question -> name of the marks."""
Model = str
"""Name of a model: two endpoints that serve the same one have one voice."""
Pairs = dict[str, float]
"""Row -> what was said of it; higher is better."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Marks of the models that are worth hearing, and what each model is worth."""

    marks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """`llm_judge`: sample id -> mean score; `llm_label`: sample id -> share of votes for another class."""
    worths: Mapping[tuple[Ask, Model], Worth] = field(default_factory=dict)

    @property
    def says(self) -> tuple[str, ...]:
        """A sentence for each rule and model."""
        return tuple(worth.say(f"{MARKS[ask]}: {model}") for (ask, model), worth in self.worths.items())


def asked_for(bench: Bench) -> dict[Ask, LlmJudge | LlmLabel]:
    """The questions that the bench's rules want answered, with the first rule that does."""
    found: dict[Ask, LlmJudge | LlmLabel] = {}
    rules: Iterable[Rule] = bench.config.gate.rules.values()
    for rule in rules:
        if isinstance(rule, LlmJudge):
            found.setdefault("judge", rule)
        elif isinstance(rule, LlmLabel):
            found.setdefault("relabel", rule)
    return found


def prompt_of(bench: Bench, ask: Ask, real: Sequence[Sample]) -> Prompt:
    """The prompt file of a question, in the language of the real rows.

    Raises:
        ConfigError: it is not there.
    """
    config = bench.config.generate
    tongue = config.language if config.language != "auto" else language(sample.text for sample in real)
    return load(f"{ask}.{tongue}.j2", [bench.root])


def number_of(sample: Sample) -> int:
    """The draw of the questions about a row: one number for the row and its text, 52 bits."""
    return int(digest(sample.id, sample.text)[:13], 16)


def heard(bench: Bench, real: Sequence[Sample]) -> Heard:
    """Marks from the stored answers about `real` rows and candidates, where rules want them.

    A model that does not tell known rows under their right and a wrong label apart gives no marks at all.
    """
    wanted = asked_for(bench)
    if not wanted:
        return Heard()
    known = {sample.id: sample for sample in real}
    rows = {sample.id: sample for sample in bench.ledger.samples(source="synthetic")} | known
    labels = list(dict.fromkeys(sample.label for sample in real))
    marks: dict[str, Mapping[str, float]] = {}
    worths: dict[tuple[Ask, Model], Worth] = {}
    for ask in wanted:
        prompt = prompt_of(bench, ask, real).fingerprint
        stored = [r for r in bench.ledger.replies(strategy=ask) if not r.rows and r.prompt == prompt]
        said: dict[Model, _Said] = {}
        for reply in stored:
            row = rows.get(reply.parents[0] if reply.parents else "")
            if row is not None and reply.draw == number_of(row):
                _READ[ask](said.setdefault(reply.model, _Said()), reply, row, labels)
        for model, one in sorted(said.items()):
            pairs = [row for row in one.right if row in one.wrong and row in known]
            worths[ask, model] = paired_worth([one.right[row] for row in pairs], [one.wrong[row] for row in pairs])
        useful = [one.marks for model, one in said.items() if worths[ask, model].usable]
        marks[MARKS[ask]] = _mean(useful)
    return Heard(marks, worths)


@dataclass
class _Said:
    """What one model said, row by row."""

    marks: Pairs = field(default_factory=dict)
    right: Pairs = field(default_factory=dict)
    wrong: Pairs = field(default_factory=dict)


def _judged(said: _Said, reply: Reply, row: Sample, labels: Sequence[str]) -> None:
    score = read_score(reply.text)
    if score is None:
        return
    if reply.label == row.label:
        said.marks[row.id] = said.right[row.id] = score
    elif reply.against == row.label:
        said.wrong[row.id] = score


def _relabelled(said: _Said, reply: Reply, row: Sample, labels: Sequence[str]) -> None:
    voted = read_label(reply.text, labels)
    if voted is None or reply.label != row.label:
        return
    said.marks[row.id] = float(voted != row.label)
    if reply.against:
        said.right[row.id], said.wrong[row.id] = float(voted == row.label), float(voted == reply.against)


_READ: Mapping[Ask, Callable[[_Said, Reply, Sample, Sequence[str]], None]] = {"judge": _judged, "relabel": _relabelled}


def _mean(models: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Of each row the mean over the models that said something of it."""
    found: dict[str, list[float]] = {}
    for one in models:
        for row, mark in one.items():
            found.setdefault(row, []).append(mark)
    return {row: sum(some) / len(some) for row, some in found.items()} if found else NO_META
