"""The questions of the gate to language models: about one row, beside the real rows and classes that are nearest to it."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.bench import Bench
from workbench.flow.gate.marks import Ask, asked_for, number_of, prompt_of
from workbench.flow.signals import vectors
from workbench.gate.rules.llm_judge import LlmJudge
from workbench.gate.rules.llm_label import LlmLabel
from workbench.llm import Request
from workbench.records import Sample, by_label, digest
from workbench.similarity import centred

SCORES = {
    "type": "object",
    "properties": {"score": {"type": "integer", "enum": list(range(1, 11))}},
    "required": ["score"],
    "additionalProperties": False,
}


class Questions:
    """Makes the requests about rows of one bench."""

    def __init__(self, bench: Bench) -> None:
        """Load prompts and vectors of the real rows.

        Raises:
            ConfigError: a prompt file is not there.
        """
        self.real = bench.ledger.samples(split="train")
        self.rules = asked_for(bench)
        self.prompts = {ask: prompt_of(bench, ask, self.real) for ask in self.rules}
        self._bench, self._seed = bench, bench.config.seed
        raw = vectors(bench, self.real)
        self._mean = raw.mean(axis=0)
        self._vectors = centred(raw, self._mean)
        self._places = {sample.id: vector for sample, vector in zip(self.real, self._vectors, strict=True)}
        self._about = {label: known.about for label, known in bench.config.labels.items()}

    def prepare(self, candidates: Sequence[Sample]) -> None:
        """Embed candidates all at once, before questions about them are asked for."""
        if candidates:
            placed = centred(vectors(self._bench, candidates), self._mean)
            self._places |= {sample.id: vector for sample, vector in zip(candidates, placed, strict=True)}

    def known(self, ask: Ask) -> list[Request]:
        """The questions about real rows: which answer is right is known. Class by class in turn, chosen by seed."""
        near = {sample.id: self._nearest(sample) for sample in self._some(self.rules[ask].known)}
        rows = {sample.id: sample for sample in self.real}
        found = []
        for row, classes in near.items():
            other = next((label for label in classes if label != rows[row].label), "")
            if not other:
                continue
            if ask == "judge":
                found += [
                    self._judge(rows[row], rows[row].label, "", classes),
                    self._judge(rows[row], other, rows[row].label, classes),
                ]
            else:
                found.append(self._relabel(rows[row], other, classes))
        return found

    def candidate(self, ask: Ask, sample: Sample) -> Request:
        """The question about a candidate that was prepared."""
        classes = self._nearest(sample)
        return self._judge(sample, sample.label, "", classes) if ask == "judge" else self._relabel(sample, "", classes)

    def _some(self, count: int) -> list[Sample]:
        """Real rows, one of each class in turn, in an order that the seed decides."""
        mixed = sorted(self.real, key=lambda sample: digest(str(self._seed), sample.id))
        places = [(i, sample) for rows in by_label(mixed).values() for i, sample in enumerate(rows)]
        return [sample for _, sample in sorted(places, key=lambda place: place[0])][:count]

    def _nearest(self, sample: Sample) -> dict[str, list[Sample]]:
        """The classes, nearest first, each with its real rows, nearest first; the row itself and its copies are left out."""
        order = np.argsort(-(self._vectors @ self._places[sample.id]), kind="stable")
        rows = (self.real[i] for i in order)
        found = by_label([row for row in rows if row.id != sample.id and row.text != sample.text])
        # A class of this row alone has no other row to show, and is a class all the same.
        return found if sample.label in found else {**found, sample.label: []}

    def _judge(self, sample: Sample, label: str, against: str, classes: Mapping[str, Sequence[Sample]]) -> Request:
        rule = self.rules["judge"]
        assert isinstance(rule, LlmJudge)
        # Under a wrong label, too, the classes beside it are the nearest others.
        others = [other for other in classes if other != label][: rule.near]
        values = {
            "label": label,
            "about": self._about.get(label, ""),
            "examples": [row.text for row in classes.get(label, ())[: rule.examples]],
            "others": [self._shown(other) | {"examples": [row.text for row in classes[other][:1]]} for other in others],
        }
        return self._request("judge", sample, label, against, values, SCORES)

    def _relabel(self, sample: Sample, against: str, classes: Mapping[str, Sequence[Sample]]) -> Request:
        rule = self.rules["relabel"]
        assert isinstance(rule, LlmLabel)
        nearest = [label for label in classes if label != sample.label][: rule.near - 1]
        names = [sample.label, *nearest]
        random.Random(digest(str(self._seed), sample.id)).shuffle(names)
        options = [self._shown(name) | {"example": next((r.text for r in classes[name]), "")} for name in names]
        schema = {**SCORES, "properties": {"label": {"type": "string", "enum": names}}, "required": ["label"]}
        return self._request("relabel", sample, sample.label, against, {"options": options}, schema)

    def _shown(self, label: str) -> dict[str, Any]:
        return {"label": label, "about": self._about.get(label, "")}

    def _request(
        self,
        ask: Ask,
        sample: Sample,
        label: str,
        against: str,
        values: Mapping[str, Any],
        schema: Mapping[str, Any],
    ) -> Request:
        prompt = self.prompts[ask]
        messages = prompt.messages({"text": sample.text, "dialogue": len(sample.turns) > 1, **values})
        return Request(
            label,
            against,
            ask,
            0,
            number_of(sample),
            self._seed,
            prompt.fingerprint,
            (sample.id,),
            tuple(messages),
            schema,
        )
