"""`wb review pull`: what people said, into the ledger, batch by batch. What it means is for each kind of project to say."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workbench.bench import Bench
from workbench.flow.review.candidates import CandidateReader
from workbench.flow.review.connect import connect, gone, is_there
from workbench.flow.review.dialogues import DialogueReader
from workbench.flow.review.plan import hold_failed
from workbench.flow.review.rating import RatingReader
from workbench.flow.review.taken import Taken
from workbench.label_studio import Seen, Studio
from workbench.ledger import Annotation, Kind, Project
from workbench.records import digest


@dataclass
class Pulled:
    """What a pull brought."""

    new: int = 0
    """Annotations that are new, or were changed since the last pull."""
    decisions: Counter[str] = field(default_factory=Counter)
    """approve, edit, relabel, reject, skip -> how many of them."""
    withdrawn: int = 0
    """Annotations that their authors deleted."""
    unreadable: int = 0
    """Annotations that decide nothing; `rejects` in the ledger says why."""
    foreign: int = 0
    """Annotations of tasks that this bench did not send."""
    dropped_again: int = 0
    """Edited or relabelled rows that the gate is against."""
    changed: int = 0
    """Rows of the bench that are not what they were."""
    held: int = 0
    """Rows that wait for someone to look, because a sample of their lot failed."""

    def count(self, new: Sequence[Annotation], gone: Sequence[Annotation], taken: Taken) -> None:
        """Add a batch."""
        self.new += len(new)
        self.withdrawn += len(gone)
        self.decisions.update(review.decision for _, review in taken.reviews)
        self.unreadable += len(taken.rejects)
        self.changed += len({change.sample for change in taken.changes})
        self.dropped_again += sum(not all(v.passed for v in verdicts) for verdicts in taken.verdicts.values())

    @property
    def say(self) -> str:
        """A line on what came."""
        said = ", ".join(f"{name} {n}" for name, n in self.decisions.most_common())
        return f"{self.new} new annotations{f' ({said})' if said else ''}"


class Reader(Protocol):
    """What the annotations of one kind of project mean for the bench."""

    def take(self, new: Sequence[Annotation], gone: Sequence[Annotation]) -> Taken:
        """What new annotations, and the loss of others, come to."""


READERS: Mapping[Kind, Callable[[Bench], Reader]] = {
    "review": CandidateReader,
    "dialogues": DialogueReader,
    "rating": RatingReader,
}


def pull(bench: Bench, progress: Callable[[str], None] = lambda _: None) -> Pulled:
    """Bring in what changed since the last pull, of every project of the bench. Each batch is one transaction.

    Raises:
        ServiceError: Label Studio does not answer, or a project is gone; the others were read all the same.
    """
    pulled = Pulled()
    with bench.alone("review pull"), connect(bench) as studio:
        places = [place for kind in READERS if (place := bench.ledger.people.project(kind))]
        there = {place.kind: is_there(studio, place) for place in places}
        for place in places:
            if there[place.kind]:
                _pull_project(bench, studio, place, pulled, progress)
        pulled.held = hold_failed(bench)
    for place in places:
        # A project of another server that this bench used before is no error while there is work here.
        if not there[place.kind] and (place.url == studio.url or not any(there.values())):
            raise gone(studio, place)
    return pulled


def _pull_project(
    bench: Bench, studio: Studio, place: Project, pulled: Pulled, progress: Callable[[str], None]
) -> None:
    people = bench.ledger.people
    here = [annotation for annotation in people.annotations(place.kind) if annotation.place == place.place]
    known: dict[str, dict[int, Annotation]] = {}
    for annotation in here:
        known.setdefault(annotation.uid, {})[annotation.number] = annotation
    ours = {task.uid for task in people.asked(place.kind)}
    reader: Reader | None = None  # reads the whole bench: made for the first news
    for batch in studio.changed(place.number, people.cursor(place.place), set(known)):
        new, gone = [], []
        for seen in batch:
            if seen.uid not in ours:
                pulled.foreign += len(seen.annotations)
                continue
            now = {annotation.number: annotation for annotation in _annotations(place, seen)}
            before = known.get(seen.uid, {})
            new += [found for number, found in now.items() if number not in before or before[number].id != found.id]
            gone += [old for number, old in before.items() if number not in now]
            known[seen.uid] = now
        if not new and not gone:  # known already: every look goes back a little in time
            continue
        reader = reader or READERS[place.kind](bench)
        taken = reader.take(new, gone)
        _store(bench, place, batch[-1].changed, new, gone, taken)
        pulled.count(new, gone, taken)
        progress(f"{pulled.new} annotations")


def _store(
    bench: Bench, place: Project, cursor: str, new: Sequence[Annotation], gone: Sequence[Annotation], taken: Taken
) -> None:
    details = {"place": place.place, "cursor": cursor, "kind": place.kind, "annotations": len(new)}
    with bench.ledger.write("review", "pull", details) as writer:
        writer.annotations(new)
        writer.withdrawn([annotation.id for annotation in gone])
        writer.reviews(taken.reviews)
        writer.rejects(taken.rejects)
        writer.changes(taken.changes)
        for sample, verdicts in taken.verdicts.items():
            writer.verdicts(sample, verdicts)


def _annotations(place: Project, seen: Seen) -> list[Annotation]:
    return [
        Annotation(
            digest(place.place, seen.uid, str(a.number), a.updated),
            place.kind,
            seen.uid,
            place.place,
            a.number,
            a.annotator,
            a.created,
            a.updated,
            a.seconds,
            a.skipped,
            a.result,
        )
        for a in seen.annotations
    ]
