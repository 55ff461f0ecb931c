"""Sending tasks: in batches, each verified, none twice, and with their predictions.

Label Studio answers 201 to an import whose predictions it lost (its own retry after a locked database starts from emptied
rows), carries out an import whose sender is gone, and takes the same task twice. So every count of an answer is compared,
and whatever may have been done is looked up before it is done again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from workbench.errors import ServiceError
from workbench.label_studio.batches import chunks, in_batches, prediction, unambiguous
from workbench.label_studio.contract import Task
from workbench.label_studio.faults import Gone, Unanswered, foreign
from workbench.label_studio.query import Copy, copies, count
from workbench.label_studio.transport import Transport
from workbench.label_studio.writer import Journal, alone

IMPORT_TIMEOUT = 300.0
_PAUSES = (0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0)
"""Seconds between looks after a lost answer: together longer than an import that waits for the database."""
_SETTLE_EVERY = 1.0
_MENDED_AT_ONCE = 100
"""Predictions in one call: each costs about 10 ms, against 1 ms inside the import of the task."""

Progress = Callable[[str], None]


def put(transport: Transport, project: int, tasks: Sequence[Task], progress: Progress) -> Iterator[list[str]]:
    """Bring the tasks into the project; yields the uids of each batch as soon as it stands there with its predictions.

    Tasks that are there already are not sent again; they are yielded first. While the iterator is alive, no other process
    of this user writes to the server.

    Raises:
        ServiceError: the server went away, or does not take them; what was yielded stands, and a second call goes on.
        DataError: two tasks have the same uid.
    """
    if not tasks:
        return
    with writing(transport, project, _uids(tasks), progress) as writer:
        yield from writer.put(tasks)


@contextmanager
def writing(transport: Transport, project: int, uids: Sequence[str], progress: Progress) -> Iterator["Writer"]:
    """Be the only one who writes to the server, for tasks with these uids that are made part by part.

    What the project holds of them is looked up once, before, and not again for every part.

    Raises:
        ServiceError: the server went away; or another process does not come to its end.
        DataError: two uids are the same.
    """
    unambiguous(uids)
    with alone(transport.url, progress):
        writer = Writer(transport, project, uids, progress)
        yield writer
        writer.close()


class Writer:
    """The one that writes, for the time of one `writing`."""

    def __init__(self, transport: Transport, project: int, uids: Sequence[str], progress: Progress) -> None:
        self.transport, self.project, self.progress = transport, project, progress
        self.what = f"project {project}"
        self.journal = Journal(transport.url, project)
        self.uids, self.done = uids, 0
        self._settle()
        self.size = count(transport, project)
        """Tasks that the project should have by now."""
        self._standing = self._find(uids) if self.size else {}

    def put(self, tasks: Sequence[Task]) -> Iterator[list[str]]:
        """Bring a part of the tasks in; yields as the function does."""
        found = self._standing
        there = [task for task in tasks if task.uid in found]
        self.done += len(there)
        if there:
            self._mend(there, found)
            yield [task.uid for task in there]
        for batch, body in in_batches(task for task in tasks if task.uid not in found):
            self._send(batch, body)
            self.done += len(batch)
            self.progress(f"{self.done} of {len(self.uids)} tasks stand in {self.what}")
            yield [task.uid for task in batch]

    def close(self) -> None:
        """Look for copies where somebody added tasks meanwhile: a person, or a request of a sender that was killed long ago."""
        if count(self.transport, self.project) > self.size:
            self._find(self.uids)

    def _settle(self) -> None:
        """Wait until an import whose sender was killed has ended, so that it is not overlooked and sent again."""
        uids, wait = self.journal.left()
        until = time.monotonic() + wait
        if uids and wait > 0:
            self.progress(f"an earlier push into {self.what} was cut off: looking whether its last batch arrives")
        while uids and time.monotonic() < until:
            if copies(self.transport, self.project, uids[:1], 0):
                break
            time.sleep(min(_SETTLE_EVERY, max(0.0, until - time.monotonic())))

    def _find(self, uids: Sequence[str]) -> dict[str, Copy]:
        """Those of the tasks that are in the project; surplus copies of one that nobody annotated are deleted."""
        every = copies(self.transport, self.project, uids, self.size)
        found: dict[str, Copy] = {}
        for uid, same in every.items():
            kept, *surplus = sorted(same, key=lambda copy: (not copy.annotated, copy.task))
            found[uid] = kept
            for copy in surplus:
                if not copy.annotated:  # a person's work is never deleted
                    self._delete(copy.task)
        return found

    def _delete(self, task: int) -> None:
        try:
            self.transport.call("DELETE", f"api/tasks/{task}/", what=f"task {task}")
        except Gone:
            return
        self.size -= 1

    def _send(self, batch: Sequence[Task], body: bytes) -> None:
        """Import one batch, and leave only when all of it stands."""
        self.journal.open([task.uid for task in batch])
        try:
            answer = self._import(body)
        except Unanswered as exc:
            self._recover(batch, body, exc)
        else:
            self._verify(batch, answer)
        self.size += len(batch)
        self.journal.close()

    def _import(self, body: bytes) -> dict[str, Any]:
        path = f"api/projects/{self.project}/import"
        answer = self.transport.call(
            "POST", path, what=self.what, params={"return_task_ids": "true"}, body=body, timeout=IMPORT_TIMEOUT
        )
        if not isinstance(answer, dict) or "task_count" not in answer:
            raise foreign(self.transport.url)
        return answer

    def _verify(self, batch: Sequence[Task], answer: Mapping[str, Any]) -> None:
        """Compare what the server says it stored with what was sent; mend what is missing."""
        predicted = sum(task.prediction is not None for task in batch)
        if answer["task_count"] == len(batch) and answer.get("prediction_count") == predicted:
            return
        self.progress(
            f"{answer['task_count']} tasks and {answer.get('prediction_count')} predictions were stored of {len(batch)} "
            f"and {predicted}: mending"
        )
        found = self._whole(batch)
        self._mend(batch, found)

    def _whole(self, batch: Sequence[Task]) -> dict[str, Copy]:
        """The batch in the project.

        Raises:
            ServiceError: some of it is not there, though the server said so.
        """
        found = self._find(_uids(batch))
        if len(found) < len(batch):
            say = f"Label Studio at {self.transport.url} took {len(found)} of {len(batch)} tasks into {self.what}."
            raise ServiceError(say, "Look into the server's log, then run this again: nothing is sent twice.")
        return found

    def _recover(self, batch: Sequence[Task], body: bytes, fault: Unanswered) -> None:
        """The answer to an import was lost: see whether it was carried out, else send it once more.

        Raises:
            ServiceError: the server stays away, or fails again; the journal keeps what was under way.
        """
        self.progress(f"{fault.message} Looking what of the last batch stands")
        pending = fault.pending
        for pause in _PAUSES:
            time.sleep(pause)
            try:
                found = self._find(_uids(batch))
            except Unanswered as exc:
                # Who does not listen any more does not work on our request either.
                pending, fault = pending and exc.reached, exc
                continue
            if len(found) == len(batch):
                self._mend(batch, found)
                return
            if not pending:
                break
        else:
            if not fault.reached:
                raise fault
        self._resend(batch, body)

    def _resend(self, batch: Sequence[Task], body: bytes) -> None:
        missing = {task.uid for task in batch} - set(self._find(_uids(batch)))
        if len(missing) == len(batch):
            self._verify(batch, self._import(body))
            return
        rest = [task for task in batch if task.uid in missing]
        for some, part in in_batches(rest):
            self._verify(some, self._import(part))
        self._mend(batch, self._whole(batch))

    def _mend(self, tasks: Sequence[Task], found: Mapping[str, Copy]) -> None:
        """Give those of the standing tasks their prediction that came without one.

        Raises:
            ServiceError: the server does not keep them.
        """
        for _ in range(3):
            bare = [task for task in tasks if task.prediction is not None and not found[task.uid].predicted]
            if not bare:
                return
            self.progress(f"sending {len(bare)} predictions again")
            for some in chunks(bare, _MENDED_AT_ONCE):
                self._predict([{"task": found[task.uid].task, **prediction(task)} for task in some])
            self._version(bare[-1].model_version)
            found = {**found, **self._find(_uids(bare))}
        say = f"Label Studio at {self.transport.url} took the tasks of {self.what}, but not the predictions of {len(bare)}."
        raise ServiceError(say, "Check that they fit the project's label config: it drops those that do not.")

    def _version(self, version: str) -> None:
        """Name the version whose predictions prefill, where the project names none: only an import of tasks does so itself."""
        path = f"api/projects/{self.project}/"
        if version and not self.transport.call("GET", path, what=self.what).get("model_version"):
            self.transport.call("PATCH", path, what=self.what, body={"model_version": version})

    def _predict(self, items: list[dict[str, Any]]) -> None:
        path = f"api/projects/{self.project}/import/predictions"
        try:
            self.transport.call("POST", path, what=self.what, body=items, timeout=IMPORT_TIMEOUT)
        except Unanswered as exc:
            if not exc.reached:
                raise
            time.sleep(_PAUSES[2])  # what was stored of it is looked up next


def _uids(tasks: Sequence[Task]) -> list[str]:
    return [task.uid for task in tasks]
