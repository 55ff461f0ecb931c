"""Answers of models to people, and what their ratings come to."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.assets import find
from workbench.bench import Bench
from workbench.data import read_table
from workbench.errors import DataError
from workbench.flow.review.connect import Wanted, connect, project
from workbench.flow.review.deliver import deliver, waiting
from workbench.flow.review.push import Pushed
from workbench.flow.review.taken import Taken
from workbench.label_studio import Studio, Task, View
from workbench.label_studio.markup import with_dimensions
from workbench.ledger import Annotation, Asked, Project
from workbench.records import Reject
from workbench.review import rating
from workbench.review.rated import Ratings, Summary, summary
from workbench.review.rating import Answer, Answers, RatingConfig

CONFIG = "rating.xml"
INSTRUCTION = """Rate the answer, not the question: 1 is worst, 5 is best. Ctrl+Enter submits, Ctrl+Space skips."""
COLUMNS = ("data.question", "data.answer", "total_annotations")


@dataclass(frozen=True, slots=True)
class Read:
    """What a file of answers holds, and what of it is to be rated."""

    found: Answers
    chosen: tuple[Answer, ...]


def load(bench: Bench, file: Path) -> Read:
    """The answers of a file, and the sample of them.

    Raises:
        DataError: it cannot be read, has no column of questions or answers, or no row with both.
    """
    config = bench.config.review.rating
    table = read_table(file)
    rows = [(row.line, row.values) for row in table.rows if not row.problem]
    found = rating.answers(file.name, rows, table.columns, config)
    broken = [Reject(file.name, row.line, row.problem, row.say, row.raw) for row in table.rows if row.problem]
    if not found.answers:
        raise DataError(f"{file} has no row with a question and an answer.", "Name the columns under review.rating.")
    found = Answers(found.answers, (*broken, *found.rejects), found.repeated)
    return Read(found, tuple(rating.choose(found.answers, config.sample, bench.config.seed)))


def push(bench: Bench, file: Path, *, new: bool = False, progress: Callable[[str], None] = lambda _: None) -> Pushed:
    """Put answers of a file to people, who do not see whose they are. A second call sends what is new, and nothing twice.

    Args:
        bench: keeps who is asked what, and the settings (`review.rating`).
        file: of answers: any file of rows with columns for question and answer, perhaps also the model.
        new: make the project again where it was deleted.
        progress: gets a line now and then.

    Raises:
        DataError: the file cannot be used.
        ServiceError: Label Studio does not answer, or the project is gone.
    """
    with bench.alone("review push"), connect(bench) as studio:
        read = load(bench, file)
        plan(bench, file.name, read)
        page = wanted(bench)
        place = project(bench, studio, page, new=new)
        sent = deliver(bench, studio, place, page.config, build, progress)
        link = make_views(studio, place)
        queues = Counter({"rating": len(sent)} if sent else {})
        return Pushed(place, link, len(sent), 0, queues, len(waiting(bench, "rating")))


def plan(bench: Bench, name: str, read: Read) -> list[Asked]:
    """Store the sample, as far as it is new, and the rows that could not be used."""
    known = {task.uid for task in bench.ledger.people.asked("rating")}
    due = [Asked("rating", one.uid, "", "all", name, (), _shown(one)) for one in read.chosen if one.uid not in known]
    if due:
        with bench.ledger.write("review", "plan", {"rating": len(due), "file": name}) as writer:
            writer.asked(due)
            writer.rejects(read.found.rejects)
    return due


def _shown(one: Answer) -> dict[str, Any]:
    return {"question": one.question, "answer": one.answer, "models": list(one.models)}


def _answer(task: Asked) -> Answer:
    return Answer(task.uid, str(task.shown["question"]), str(task.shown["answer"]), tuple(task.shown["models"]))


def wanted(bench: Bench) -> Wanted:
    """The project: a rating per dimension, and as many people per answer as the settings say."""
    config: RatingConfig = bench.config.review.rating
    xml = find("label_configs", CONFIG, [bench.root]).read_text(encoding="utf-8")
    return Wanted("rating", with_dimensions(xml, config.dimensions), INSTRUCTION, config.raters)


def build(asked: Sequence[Asked]) -> list[Task]:
    """The tasks of what is asked."""
    return [Task(task.uid, rating.task(_answer(task))) for task in asked]


def make_views(studio: Studio, place: Project) -> str:
    """Make or update the tab; its link, where work begins."""
    return studio.view(place.number, View("Fewest ratings first", (), ("total_annotations",), COLUMNS))


class RatingReader:
    """Ratings are facts about answers, and change no row; those that cannot be read are told."""

    def __init__(self, bench: Bench) -> None:
        self._dimensions = bench.config.review.rating.dimensions

    def take(self, new: Sequence[Annotation], gone: Sequence[Annotation]) -> Taken:
        """Annotations that rate nothing, or what is no dimension."""
        rejects = []
        for annotation in new:
            try:
                _stars(annotation, self._dimensions)
            except ValueError as exc:
                slug, say = exc.args
                raw = str(list(annotation.result))
                rejects.append(Reject(annotation.uid, annotation.number, slug, say, raw))
        return Taken(rejects=rejects)


def results(bench: Bench) -> Summary:
    """What the ratings that were pulled come to.

    Raises:
        DataError: nothing was put to people yet.
    """
    config: RatingConfig = bench.config.review.rating
    answers = [_answer(task) for task in bench.ledger.people.asked("rating")]
    if not answers:
        raise DataError("No answers were put to people yet.", "Send some with: wb review push --project rating FILE")
    return summary(answers, ratings(bench), config.dimensions, config.raters, bench.config.seed)


def ratings(bench: Bench) -> Ratings:
    """What each person said of each answer, newest last; skips and what cannot be read left out."""
    config: RatingConfig = bench.config.review.rating
    found: dict[str, dict[str, Mapping[str, int]]] = {}
    for annotation in sorted(bench.ledger.people.annotations("rating"), key=lambda a: (a.updated, a.number)):
        try:
            stars = _stars(annotation, config.dimensions)
        except ValueError:
            continue  # told when it came
        if stars:
            found.setdefault(annotation.uid, {})[annotation.annotator] = stars
    return found


def _stars(annotation: Annotation, dimensions: Sequence[str]) -> dict[str, int]:
    return {} if annotation.skipped else rating.read(annotation.result, dimensions)
