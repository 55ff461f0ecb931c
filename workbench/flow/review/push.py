"""`wb review push`: plan what people shall look at, store the plan, send what is not there yet."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from workbench.assets import find
from workbench.bench import Bench
from workbench.flow.review.beside import Context
from workbench.flow.review.connect import Wanted, connect, project
from workbench.flow.review.deliver import deliver, waiting
from workbench.flow.review.plan import Options, plan
from workbench.flow.review.views import make_views
from workbench.label_studio import Studio, Task, labelling_link
from workbench.label_studio.labelling import read_review, with_choices
from workbench.ledger import Asked, Project
from workbench.records import digest
from workbench.review import tasks

INSTRUCTION = (
    """a: approve, e: edit, l: relabel, r: reject; Ctrl+Enter submits, Ctrl+Space skips what you cannot decide."""
)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did, and what is open after it."""

    project: Project
    url: str
    """Where to work: the most doubtful rows first."""
    tasks: int
    """New ones in the project."""
    predictions: int
    queues: Counter[str]
    """Queue -> new tasks."""
    waiting: int
    """Tasks in all that people have yet to do."""

    @property
    def work(self) -> str:
        """Where the tasks of that tab open one after the other."""
        return labelling_link(self.url)

    @property
    def say(self) -> str:
        """A line on what was sent."""
        why = ", ".join(f"{name} {n}" for name, n in self.queues.most_common())
        return f"{self.tasks} new tasks{f' ({why})' if why else ''}, {self.waiting} waiting"


def push(bench: Bench, options: Options, *, new: bool = False, progress: Callable[[str], None]) -> Pushed:
    """Put candidates to people. A second call sends what became due since, and nothing twice.

    Args:
        bench: where they are.
        options: whom to show, beside the settings.
        new: make the project again where it was deleted.
        progress: gets a line now and then.

    Raises:
        ServiceError: Label Studio does not answer, or the project is gone.
        UsageError: a class is not known.
    """
    with bench.alone("review push"), connect(bench) as studio:
        _tell_strangers(bench, studio, progress)
        context = plan(bench, options)
        wanted = _wanted(bench)
        place = project(bench, studio, wanted, new=new)
        build = _Builder(bench, context)
        sent = deliver(bench, studio, place, wanted.config, build, progress)
        asked = bench.ledger.people.asked("review")
        link = make_views(studio, place, asked, context.pairs(asked), bench.config.review)
        return _pushed(bench, place, link, sent)


def _tell_strangers(bench: Bench, studio: Studio, progress: Callable[[str], None]) -> None:
    """Say who of the reviewers has no account there: their tasks would wait for nobody."""
    names = bench.config.review.reviewers
    known = {part for mail in studio.people().values() for part in (mail, mail.partition("@")[0])} if names else ()
    if strangers := [name for name in names if name not in known]:
        progress(
            f"{studio.url} has no account of {', '.join(strangers)}, whom review.reviewers names; "
            "a local Label Studio makes one with: wb review start --user NAME"
        )


def _pushed(bench: Bench, place: Project, link: str, sent: Sequence[Task]) -> Pushed:
    queues = {task.uid: task.queue for task in bench.ledger.people.asked("review")}
    counts = Counter(queues[task.uid] for task in sent)
    predictions = sum(bool(task.prediction) for task in sent)
    return Pushed(place, link, len(sent), predictions, counts, len(waiting(bench, "review")))


def _wanted(bench: Bench) -> Wanted:
    """The project: the label config with this bench's classes and reasons."""
    config = bench.config.review
    labels = sorted({sample.label for sample in bench.ledger.samples()} | set(bench.config.labels))
    xml = find("label_configs", config.config, [bench.root]).read_text(encoding="utf-8")
    xml = with_choices(with_choices(xml, "new_label", labels), "reject_reason", config.reasons, hotkeys="123456789")
    read_review(xml, config.config)
    return Wanted("review", xml, INSTRUCTION, 2 if config.overlap else 1, _model(bench))


def _model(bench: Bench) -> str:
    """Whose predictions these are: the gate's classifier, by its settings and encoder."""
    return f"wb-{digest(bench.config.classifier.model_dump_json(), bench.encoder.fingerprint)[:8]}"


class _Builder:
    """Planned tasks -> what is sent."""

    def __init__(self, bench: Bench, context: Context) -> None:
        self._context, self._model = context, _model(bench)
        self._rows = {candidate.sample.id: candidate.sample for candidate in context.candidates}

    def __call__(self, asked: Sequence[Asked]) -> list[Task]:
        asked = [task for task in asked if task.sample in self._rows]
        # As it stood when it was planned, also where the first of two reviewers edited it since.
        rows = [replace(self._rows[one.sample], turns=one.turns, label=str(one.shown["label"])) for one in asked]
        return [
            Task(
                task.uid,
                tasks.data(row, task.uid, task.queue, task.reviewers, beside),
                tasks.prediction(beside),
                round(beside.certainty, 4),
                self._model,
            )
            for task, row, beside in zip(asked, rows, self._context.of(asked), strict=True)
        ]
