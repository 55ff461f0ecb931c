"""Sending planned tasks, and counting those that wait. What a project was seen to hold is noted batch by batch."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.label_studio import Studio, Task, labelling
from workbench.ledger import Asked, Kind, Project

CHUNK = 1000
"""Tasks that are built at a time."""


def deliver(
    bench: Bench,
    studio: Studio,
    place: Project,
    config: str,
    build: Callable[[Sequence[Asked]], Sequence[Task]],
    progress: Callable[[str], None],
) -> list[Task]:
    """Send every planned task that the project does not hold and that still waits. Returns those that are there now.

    A killed call leaves tasks that are there and not noted; the client looks each up before it sends it.

    Args:
        bench: where the plan is.
        studio: where they go.
        place: into which project.
        config: its label config, which Label Studio does not hold tasks against.
        build: makes the tasks that are sent.
        progress: gets a line a batch.

    Raises:
        DataError: a task does not fit the label config.
        ServiceError: Label Studio does not answer, or does not take them.
    """
    due, there = waiting(bench, place.kind), bench.ledger.people.delivered(place.place)
    known = [task.uid for task in due if task.uid in there]
    # Someone deleted tasks or added some, or went back to an older copy.
    if known and studio.count(place.number) != len(there):
        there = set(studio.present(place.number, known))
    todo = [task for task in due if task.uid not in there]
    sent: list[Task] = []
    if not todo:
        return sent
    page = labelling.read(config)
    with studio.writing(place.number, [task.uid for task in todo], progress=progress) as writer:
        for start in range(0, len(todo), CHUNK):
            built = build(todo[start : start + CHUNK])
            _check(page, built)
            by_uid = {task.uid: task for task in built}
            for uids in writer.put(built):
                with bench.ledger.write("review", "delivered", {"place": place.place, "tasks": len(uids)}) as ledger:
                    ledger.delivered(place.place, uids)
                sent += [by_uid[uid] for uid in uids]
    return sent


def _check(page: labelling.Labelling, built: Sequence[Task]) -> None:
    for task in built:
        if lacks := labelling.lacking(page, task.data):
            raise DataError(
                f"The label config refers to ${lacks[0]}, and the task {task.uid} has no such field.",
                f"Take it out of the config. There are: {', '.join(task.data)}.",
            )
        if task.prediction and (wrong := labelling.problems(page, task.prediction, task.data)):
            raise DataError(
                f"What shall stand filled in of task {task.uid} does not fit the label config. {wrong[0]}",
                "Use the label config that is shipped, or put that control and its values into yours.",
            )


def waiting(bench: Bench, kind: Kind) -> list[Asked]:
    """Planned tasks that fewer people have done than shall. A skip is an answer; what cannot be read is none."""
    people = bench.ledger.people
    unreadable = {(reject.place, reject.line) for reject in people.unreadable(kind)}
    did: dict[str, set[str]] = defaultdict(set)
    for annotation in people.annotations(kind):
        if (annotation.uid, annotation.number) not in unreadable:
            did[annotation.uid].add(annotation.annotator)
    raters = bench.config.review.rating.raters if kind == "rating" else 1
    return [task for task in people.asked(kind) if len(did[task.uid]) < max(raters, len(task.reviewers))]
