"""What stands beside a candidate on the labelling page: real rows like it, what the gate and the classifier say of it."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from workbench.bench import Bench
from workbench.encode import Vectors
from workbench.flow.gate.judge import Judge, peers_of
from workbench.gate import doubt
from workbench.ledger import Asked, Candidate
from workbench.records import Review, by_label
from workbench.review import tasks
from workbench.review.decisions import ADJUDICATE
from workbench.review.shown import shown
from workbench.similarity import nearest


class Context:
    """Looks up everything that tasks show of the bench; the gate is fitted when the first task needs it."""

    def __init__(self, bench: Bench, candidates: Sequence[Candidate]) -> None:
        self._bench, self.candidates = bench, candidates
        self._candidates = {candidate.sample.id: candidate for candidate in candidates}

    @cached_property
    def doubts(self) -> Mapping[str, float]:
        """Candidate -> how odd it is."""
        rules = self._bench.config.gate.rules
        return {key: doubt(candidate.verdicts, rules) for key, candidate in self._candidates.items()}

    def of(self, asked: Sequence[Asked]) -> list[tasks.Beside]:
        """What stands beside the row of each task, in order. Dropped rows of an audit are shown without evidence."""
        found = [self._candidates[task.sample] for task in asked]
        if not found:
            return []
        rows = self._judge.rows([candidate.sample for candidate in found])
        labels = list(self._judge.head.labels)
        shown = []
        for i, (task, candidate) in enumerate(zip(asked, found, strict=True)):
            mine, says = candidate.sample.label, rows.probabilities[i]
            own = float(says[labels.index(mine)]) if mine in labels else 0.0
            others = np.where([label == mine for label in labels], -1.0, says)
            best = int(others.argmax())
            suggested, other = (labels[best], float(others[best])) if len(labels) > 1 else ("", 0.0)
            against = self._partners.get(candidate.sample.id, "") or (suggested if other > own else "")
            blind = task.queue == "audit"
            shown.append(
                tasks.Beside(
                    evidence=[] if blind else tasks.evidence(candidate.verdicts, own, suggested, other),
                    examples=self._nearest(rows.vectors[i], mine),
                    against=against,
                    against_examples=self._nearest(rows.vectors[i], against) if against else [],
                    opinions=_opinions(candidate.reviews) if task.queue == ADJUDICATE else [],
                    doubt=self.doubts[candidate.sample.id],
                    suggested=suggested,
                    certainty=own,
                )
            )
        return shown

    def pairs(self, asked: Sequence[Asked]) -> dict[str, str]:
        """Task -> the confusion pair that its row was written for, of those that were."""
        return {
            task.uid: tasks.pair(str(task.shown["label"]), self._partners[task.sample])
            for task in asked
            if task.sample in self._partners
        }

    @cached_property
    def _judge(self) -> Judge:
        return Judge.of(self._bench, peers_of(list(self._candidates.values())))

    @cached_property
    def _own(self) -> Mapping[str, Sequence[int]]:
        """Class -> numbers of its real rows."""
        numbers = {sample.id: i for i, sample in enumerate(self._judge.real.samples)}
        return {label: [numbers[s.id] for s in rows] for label, rows in by_label(self._judge.real.samples).items()}

    @cached_property
    def _partners(self) -> Mapping[str, str]:
        """Candidate that was written at the boundary of two classes -> the other class."""
        against = {reply.id: reply.against for reply in self._bench.ledger.replies() if reply.against}
        found = {}
        for key, candidate in self._candidates.items():
            origin = candidate.sample.origin
            if origin is not None and origin.reply in against:
                found[key] = against[origin.reply]
        return found

    def _nearest(self, vector: Vectors, label: str) -> list[str]:
        """Real rows of a class, the nearest first."""
        own, most = self._own.get(label, ()), self._bench.config.review.examples
        if not own or not most:
            return []
        index, _ = nearest(vector[None, :], self._judge.real.vectors[list(own)], min(most, len(own)))
        return [shown(self._judge.real.samples[own[int(i)]].turns) for i in index[0]]


def _opinions(reviews: Sequence[Review]) -> list[str]:
    newest = {review.reviewer: review for review in reviews if review.decision != "hold"}
    return [tasks.opinion(review) for review in newest.values()]
