"""Dialogues to people, with what is proposed for missing tags, and their tags back into the bench."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from workbench.bench import Bench
from workbench.flow.review.connect import Wanted, connect, project
from workbench.flow.review.deliver import deliver, waiting
from workbench.flow.review.push import Pushed
from workbench.flow.review.taken import Taken
from workbench.flow.tokens.dialogues import Dialogues, load, vocabulary
from workbench.flow.tokens.fill import contradicted, proposals
from workbench.label_studio import Studio, Task, View
from workbench.ledger import Annotation, Asked, Project
from workbench.records import Change, Reject, Sample, Turn, digest
from workbench.review import dialogues
from workbench.review.dialogues import Dialogue, Place, Reading
from workbench.tokens import TOPIC, Vocabulary, coverage

MODEL = "wb-tags"
"""Whose predictions these are: tags that were there, and proposals for those that were not."""
INSTRUCTION = """y: usable, n: unusable; Ctrl+Enter submits, Ctrl+Space skips. Red lines say what is missing or doubted; a value \
that stands there is cleared by choosing it again. Open "Correct the text" only to change it."""
ANNOTATED, UNUSABLE = "annotated", "unusable"
"""Reasons of the changes that an annotation makes: new tags, texts and topics; and dialogues that shall not be used."""
Key = tuple[str, str, int]
"""Place, uid and number of an annotation."""
COLUMNS = ("data.title", "data.todo", "data.places", "data.topic", "total_annotations")


def push(bench: Bench, *, new: bool = False, progress: Callable[[str], None] = lambda _: None) -> Pushed:
    """Put the bench's dialogues to people. A second call sends dialogues and proposals that came since, and nothing twice.

    Args:
        bench: where they are.
        new: make the project again where it was deleted.
        progress: gets a line now and then.

    Raises:
        ConfigError: there is no vocabulary.
        DataError: there are no dialogues, or a role is not in the vocabulary.
        ServiceError: Label Studio does not answer, or the project is gone.
    """
    with bench.alone("review push"), connect(bench) as studio:
        known = vocabulary(bench)
        plan(bench)
        page = wanted(known)
        place = project(bench, studio, page, new=new)
        sent = deliver(bench, studio, place, page.config, builder(known), progress)
        link = make_views(studio, place)
        queues = Counter({"dialogues": len(sent)} if sent else {})
        filled = sum(bool(task.prediction) for task in sent)
        return Pushed(place, link, len(sent), filled, queues, len(waiting(bench, "dialogues")))


def wanted(known: Vocabulary) -> Wanted:
    """The project, with the label config of this vocabulary."""
    return Wanted("dialogues", dialogues.config(known), INSTRUCTION, model_version=MODEL)


def plan(bench: Bench) -> list[Asked]:
    """Store which dialogues are to be looked at: those that were not asked, and those with proposals that came after the answer.

    A dialogue that waits in the project is not sent again, whatever is proposed for it meanwhile.
    """
    found = load(bench, None)
    marked = _marked(bench, found)
    people = bench.ledger.people
    answered = {annotation.uid for annotation in people.annotations("dialogues")}
    before: dict[str, list[Asked]] = {}
    for task in people.asked("dialogues"):
        before.setdefault(task.sample, []).append(task)
    due = []
    for entry in found.entries:
        told = marked[entry.sample]
        known = before.get(entry.sample, [])
        fresh = {tuple(one) for one in told["proposals"]} - {tuple(p) for t in known for p in t.shown["proposals"]}
        if known and (not fresh or any(task.uid not in answered for task in known)):
            continue
        # The first task of a dialogue is known by its row, so that two plans at once make one.
        uid = digest("dialogues", entry.sample, *([str(sorted(map(str, fresh)))] if known else []))
        due.append(Asked("dialogues", uid, entry.sample, "all", "", (), {"title": entry.id, **told}))
    if due:
        with bench.ledger.write("review", "plan", {"dialogues": len(due)}) as writer:
            writer.asked(due)
    return due


def _marked(bench: Bench, found: Dialogues) -> dict[str, dict[str, Any]]:
    """Row -> what its task shows: turns, topic, proposals, doubts."""
    rows = {sample.id: sample for sample in bench.ledger.samples()}
    read = list(found.read())
    proposed: dict[str, list[list[Any]]] = {}
    for one in proposals(bench):
        proposed.setdefault(one.sample, []).append([one.turn, one.field, one.value])
    doubts: dict[int, list[list[Any]]] = {}
    for place in (*coverage(read, found.vocabulary).order, *contradicted(bench)):
        told = doubts.setdefault(place.at, [])
        if [place.turn, place.field] not in told:
            told.append([place.turn, place.field])
    return {
        entry.sample: {
            "turns": [[turn.role, turn.text, dict(turn.tags)] for turn in rows[entry.sample].turns],
            "topic": dialogue.topic,
            "proposals": proposed.get(entry.sample, []),
            "doubts": doubts.get(at, []),
        }
        for at, (entry, dialogue) in enumerate(zip(found.entries, read, strict=True))
    }


def builder(known: Vocabulary) -> Callable[[Sequence[Asked]], list[Task]]:
    """Makes the tasks of what is asked."""

    def build(asked: Sequence[Asked]) -> list[Task]:
        found = []
        for one in asked:
            data, prediction = dialogues.task(one.uid, str(one.shown["title"]), _dialogue(one), known)
            found.append(Task(one.uid, data, prediction or None, None, MODEL))
        return found

    return build


def _dialogue(task: Asked) -> Dialogue:
    shown = task.shown
    filled: dict[Place, str] = {(turn, name): value for turn, name, value in shown["proposals"]}
    return Dialogue(task.turns, str(shown["topic"]), filled, [(turn, name) for turn, name in shown["doubts"]])


def make_views(studio: Studio, place: Project) -> str:
    """Make or update the tabs; the link to the first of them, where work begins."""
    work = ("-data.todo",)
    some = (("data.todo", "greater", 0, "Number"),)
    first = studio.view(place.number, View("Most to do first", (), work, COLUMNS, ("data.todo",)))
    studio.view(place.number, View("Missing or doubted", some, work, COLUMNS, ("data.todo",)))
    studio.view(place.number, View("By topic", (), ("data.topic",), COLUMNS, ("data.todo",)))
    return first


class DialogueReader:
    """Reads annotations of dialogues, batch by batch. Of a dialogue the newest annotation counts, whoever made it."""

    def __init__(self, bench: Bench) -> None:
        ledger = bench.ledger
        self._known = vocabulary(bench)
        self._asked = {task.uid: task for task in ledger.people.asked("dialogues")}
        self._first: dict[str, Asked] = {}
        """Row -> the task that was asked first, which shows it as it was before any annotation."""
        for task in self._asked.values():
            self._first.setdefault(task.sample, task)
        self._said: dict[str, dict[Key, Annotation]] = {}
        """Row -> its annotations that stand."""
        for annotation in ledger.people.annotations("dialogues"):
            self._of(annotation)[_key(annotation)] = annotation
        self._rows = {sample.id: sample for sample in ledger.samples(everything=True)}
        self._dropped = self._rows.keys() - {sample.id for sample in ledger.samples()}
        self._changed = ledger.changed(ANNOTATED) | ledger.changed(UNUSABLE)
        labels = {self._rows[key].label for key in self._first if key in self._rows} - {""}
        self._labelled = not labels or bool(labels & self._known.topics.keys())

    def take(self, new: Sequence[Annotation], gone: Sequence[Annotation]) -> Taken:
        """What new annotations, and the loss of others, change in the dialogues; those that cannot be read change nothing."""
        rejects = []
        for annotation in gone:
            self._of(annotation).pop(_key(annotation), None)
        for annotation in new:
            self._of(annotation)[_key(annotation)] = annotation
            try:
                self._read(annotation)
            except ValueError as exc:
                slug, say = exc.args
                raw = str(list(annotation.result))
                rejects.append(Reject(annotation.uid, annotation.number, slug, say, raw))
        touched = dict.fromkeys(self._asked[annotation.uid].sample for annotation in (*new, *gone))
        changes = [change for sample in touched if sample in self._rows for change in self._changes(sample)]
        return Taken(rejects=rejects, changes=changes)

    def _of(self, annotation: Annotation) -> dict[Key, Annotation]:
        return self._said.setdefault(self._asked[annotation.uid].sample, {})

    def _read(self, annotation: Annotation) -> Reading | None:
        """What it says of the dialogue; None for a skip.

        Raises:
            ValueError: slug and sentence, where it cannot be read.
        """
        if annotation.skipped:
            return None
        task = self._asked[annotation.uid]
        turns, topic = self._before(task)
        if [turn.role for turn in turns] != [turn.role for turn in task.turns]:
            raise ValueError("other_turns", "The dialogue has other turns now than the task shows.")
        return dialogues.read(annotation.result, turns, topic, self._known)

    def _before(self, task: Asked) -> tuple[tuple[Turn, ...], str]:
        """Turns and topic without what annotations changed: as the task shows them, or as they were cleaned since."""
        row = self._rows[task.sample]
        turns = task.turns if (row.id, "turns") in self._changed else row.turns
        told = {(row.id, "label"), (row.id, "meta")} & self._changed
        return turns, str(task.shown["topic"]) if told else self._topic(row)

    def _stands(self, sample: str) -> tuple[Asked, Reading | None]:
        """The newest annotation that can be read and is no skip, and its task; the first task where there is none."""
        newest = sorted(self._said.get(sample, {}).values(), key=lambda a: (a.updated, a.number), reverse=True)
        for annotation in newest:
            try:
                reading = self._read(annotation)
            except ValueError:
                continue  # told when it came
            if reading is not None:
                return self._asked[annotation.uid], reading
        return self._first[sample], None

    def _changes(self, sample: str) -> list[Change]:
        """From the row as it is to the row as its annotations have it."""
        row = self._rows[sample]
        task, reading = self._stands(sample)
        turns, topic = (reading.turns, reading.topic) if reading else self._before(task)
        wanted = self._with_topic(replace(row, turns=turns), topic)
        changes = _differences(row, wanted)
        drop = reading is not None and not reading.usable
        if drop and sample not in self._dropped:
            changes.append(Change(sample, "dropped", True, UNUSABLE))
            self._dropped = self._dropped | {sample}
        if not drop and sample in self._dropped and (sample, "dropped") in self._changed:
            changes.append(Change(sample, "dropped", False, UNUSABLE))
            self._dropped = self._dropped - {sample}
        self._rows[sample] = wanted
        self._changed |= {(sample, change.field) for change in changes}
        return changes

    def _topic(self, row: Sample) -> str:
        """The column `topic`, else the class where classes are topics."""
        return str(row.meta.get(TOPIC) or "") if self._in_column(row) else row.label

    def _with_topic(self, row: Sample, topic: str) -> Sample:
        if topic == self._topic(row):
            return row
        if not self._in_column(row):
            return replace(row, label=topic)
        return replace(row, meta={name: value for name, value in row.meta.items() if name != TOPIC} | {TOPIC: topic})

    def _in_column(self, row: Sample) -> bool:
        return TOPIC in row.meta or not self._labelled


def _differences(row: Sample, wanted: Sample) -> list[Change]:
    changes = []
    if wanted.turns != row.turns:
        changes.append(Change(row.id, "turns", wanted.turns, ANNOTATED))
    if wanted.label != row.label:
        changes.append(Change(row.id, "label", wanted.label, ANNOTATED))
    if wanted.meta != row.meta:
        changes.append(Change(row.id, "meta", dict(wanted.meta), ANNOTATED))
    return changes


def _key(annotation: Annotation) -> Key:
    return annotation.place, annotation.uid, annotation.number
