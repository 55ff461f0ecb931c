"""What annotations of candidates mean: reviews, and the rows as they are after them, seen by the gate again."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from workbench.bench import Bench
from workbench.flow.gate.judge import Judge, peers_of
from workbench.flow.gate.run import refuse_unknown
from workbench.flow.generate.plan import known_labels
from workbench.flow.review.taken import Taken
from workbench.gate import mended
from workbench.ledger import Annotation, judgement
from workbench.records import Change, Reject, Review, Verdict
from workbench.review import decisions, shown

REVIEWED = "reviewed"
"""Reason of the changes that a review makes."""
Key = tuple[str, str, int]
"""Place, uid and number of an annotation."""


class CandidateReader:
    """Reads annotations of candidates, batch by batch; knows all reviews that stand."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        people = bench.ledger.people
        self._asked = {task.uid: task for task in people.asked("review")}
        self._labels = frozenset(known_labels(bench)[0])
        keys = {annotation.id: _key(annotation) for annotation in people.annotations("review")}
        self._reviews: dict[str, dict[Key | int, Review]] = {}
        """Sample -> reviews, by the annotation that they were read from."""
        for i, (annotation, review) in enumerate(people.said()):
            self._reviews.setdefault(review.sample, {})[keys.get(annotation, i)] = review
        self._candidates = bench.ledger.candidates()
        self._rows = {candidate.sample.id: candidate.sample for candidate in self._candidates}
        self._passed = {candidate.sample.id for candidate in self._candidates if candidate.passed}
        self._changed = bench.ledger.changed(REVIEWED)

    def take(self, new: Sequence[Annotation], gone: Sequence[Annotation]) -> Taken:
        """Reviews of new annotations, and what they and the loss of others change."""
        reviews, rejects, touched = [], [], dict.fromkeys(self._asked[a.uid].sample for a in (*new, *gone))
        for annotation in gone:
            self._reviews.get(self._asked[annotation.uid].sample, {}).pop(_key(annotation), None)
        for annotation in new:
            task = self._asked[annotation.uid]
            known = self._reviews.setdefault(task.sample, {})
            known.pop(_key(annotation), None)  # what it said before does not stand any more
            try:
                review = decisions.read(annotation, task, self._labels)
                if review.decision == "edit":
                    shown.read(review.text, task.turns)
            except ValueError as exc:
                slug, say = exc.args
                raw = str(list(annotation.result))
                rejects.append(Reject(annotation.uid, annotation.number, slug, say, raw))
                continue
            known[_key(annotation)] = review
            reviews.append((annotation.id, review))
        changes = [change for sample in touched if sample in self._rows for change in self._changes(sample)]
        return Taken(reviews, rejects, changes, self._verdicts(list(dict.fromkeys(c.sample for c in changes))))

    def _changes(self, sample: str) -> list[Change]:
        """From the row as it is to the row as people want it."""
        row, stands = self._rows[sample], judgement(list(self._reviews.get(sample, {}).values()))
        task = self._asked[stands.review.task] if stands.review else self._asked.get(sample)
        if task is None:
            return []
        turns, label = row.turns, row.label
        if (sample, "turns") in self._changed:
            turns = task.turns
        if (sample, "label") in self._changed:
            label = str(task.shown["label"])
        if stands.state == "edit" and stands.review:
            edited = replace(row, turns=shown.read(stands.review.text, task.turns))
            turns = mended(edited, self._bench.config.gate.rules).turns
        if stands.state == "relabel" and stands.review:
            label = stands.review.label
        wanted = replace(row, turns=turns, label=label)
        changes = []
        if wanted.turns != row.turns:
            changes.append(Change(sample, "turns", wanted.turns, REVIEWED))
        if wanted.label != row.label:
            changes.append(Change(sample, "label", wanted.label, REVIEWED))
        self._rows[sample] = wanted
        self._changed |= {(sample, change.field) for change in changes}
        return changes

    def _verdicts(self, samples: Sequence[str]) -> dict[str, list[Verdict]]:
        """What the gate says of changed rows, beside all others that passed it."""
        if not samples:
            return {}
        rows = [self._rows[sample] for sample in samples]
        others = [row for sample, row in self._rows.items() if sample in self._passed and sample not in set(samples)]
        # What models said of the rows, they said of other texts or classes.
        seen = replace(self._judge.rows(rows), marks={})
        found = self._judge.stack(others).check(seen)
        refuse_unknown(rows, found, self._judge.head.labels)
        for sample, verdicts in zip(samples, found, strict=True):
            (self._passed.add if all(verdict.passed for verdict in verdicts) else self._passed.discard)(sample)
        return dict(zip(samples, found, strict=True))

    @cached_property
    def _judge(self) -> Judge:
        return Judge.of(self._bench, peers_of(self._candidates))


def _key(annotation: Annotation) -> Key:
    return annotation.place, annotation.uid, annotation.number
