"""Projects, tasks, views and annotations of one Label Studio: what the review, dialogue and rating flows ask of it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from workbench.label_studio import changed as changes
from workbench.label_studio import put as sending
from workbench.label_studio import views
from workbench.label_studio.contract import Seen, Task, View
from workbench.label_studio.cursor import stamp
from workbench.label_studio.faults import Gone, foreign
from workbench.label_studio.query import copies, count
from workbench.label_studio.transport import Transport


class Studio:
    """One server, as one account sees it."""

    def __init__(self, transport: Transport, owner: str, version: str) -> None:
        self._transport = transport
        self._owner = owner
        self.url = transport.url
        self.version = version
        """The server's release, as `1.23.2`."""

    @classmethod
    def connect(cls, url: str, token: str) -> Self:
        """Reach the server, and see that it is one and knows the token (a legacy one or a personal access token).

        Raises:
            ServiceError: it is down, it is no Label Studio, or the token is wrong, expired or of a kind it does not take.
        """
        transport = Transport(url, token)
        try:
            return cls(transport, *_introduced(transport))
        except BaseException:
            transport.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def me(self) -> str:
        """E-mail of the token's owner."""
        return self._owner

    def people(self) -> dict[int, str]:
        """E-mails of the organization's accounts, by their number."""
        with self._transport.guarded("list of accounts"):
            return {user.id: user.email for user in self._transport.sdk.users.list()}

    def create(
        self, title: str, config: str, *, instruction: str = "", overlap: int = 1, model_version: str = ""
    ) -> int:
        """Make a project.

        Args:
            title: 3 to 50 characters.
            config: the label config.
            instruction: HTML that the page shows on request.
            overlap: how many people must annotate a task before it counts as done and is shown to nobody else. The
                Community edition has one number for the whole project; where some tasks are for more people than others it
                is the largest, and views with filters say who sees what.
            model_version: of the predictions that prefill and order; they must carry the same.

        Returns:
            Its number.
        """
        with self._transport.guarded(f"project {title!r}"):
            project = self._transport.sdk.projects.create(
                title=title,
                label_config=config,
                expert_instruction=instruction,
                show_instruction=False,  # a dialog that opens by itself would take the keys
                maximum_annotations=overlap,
                sampling="Sequential sampling",
                # What one skips goes to others and never comes back to the same person.
                skip_queue="REQUEUE_FOR_OTHERS",
                show_collab_predictions=True,
                **({"model_version": model_version} if model_version else {}),
            )
        return int(project.id)

    def find(self, title: str) -> int | None:
        """Number of the oldest project with exactly this title."""
        with self._transport.guarded("list of projects"):
            # The server finds titles that contain it.
            numbers = [
                one.id for one in self._transport.sdk.projects.list(title=title, page_size=100) if one.title == title
            ]
        return min(numbers, default=None)

    def made(self, number: int) -> str | None:
        """When the project was made, in microseconds: that tells it from another one with its number. None where there is none."""
        what = f"project {number}"
        try:
            found = self._transport.call("GET", f"api/projects/{number}/", what=what, params={"include": "created_at"})
            return stamp(found["created_at"])
        except Gone:
            return None
        except (TypeError, KeyError):
            raise foreign(self.url) from None

    def configure(
        self, number: int, config: str, *, overlap: int | None = None, model_version: str | None = None
    ) -> None:
        """Give a project another label config, overlap or model version.

        Label Studio refuses to remove a control that annotations use, but lets a used choice be removed. It takes only a
        model version of which it has predictions; where it has none, the next import decides.

        Raises:
            ServiceError: annotations stand against it; it says how many, of which control.
        """
        what = f"project {number}"
        fields: dict[str, Any] = {"label_config": config}
        if overlap is not None:
            fields["maximum_annotations"] = overlap
        with self._transport.guarded(what):
            self._transport.sdk.projects.update(number, **fields)
        if model_version is not None:
            known = self._transport.call("GET", f"api/projects/{number}/model-versions/", what=what)
            self._patch(number, {"model_version": model_version if model_version in known else ""})

    def _patch(self, number: int, fields: dict[str, Any]) -> None:
        self._transport.call("PATCH", f"api/projects/{number}/", what=f"project {number}", body=fields)

    def config(self, number: int) -> str:
        """The project's label config."""
        with self._transport.guarded(f"project {number}"):
            return str(self._transport.sdk.projects.get(number).label_config)

    def count(self, number: int) -> int:
        """Tasks in the project."""
        return count(self._transport, number)

    def present(self, number: int, uids: Sequence[str]) -> dict[str, int]:
        """Those of the uids that are in the project, with their task's number."""
        total = count(self._transport, number)
        found = copies(self._transport, number, uids, total) if total and uids else {}
        return {uid: same[0].task for uid, same in found.items()}

    def put(
        self, number: int, tasks: Sequence[Task], *, progress: Callable[[str], None] = lambda _: None
    ) -> Iterator[list[str]]:
        """Bring tasks with their predictions into the project; see `workbench.label_studio.put`.

        Yields:
            The uids of each batch as soon as it stands, those that were there already first.
        """
        return sending.put(self._transport, number, tasks, progress)

    def writing(
        self, number: int, uids: Sequence[str], *, progress: Callable[[str], None] = lambda _: None
    ) -> AbstractContextManager[sending.Writer]:
        """The same for many tasks that are made part by part: what is there of them is looked up once."""
        return sending.writing(self._transport, number, uids, progress)

    def changed(self, number: int, since: str, known: Collection[str] = ()) -> Iterator[list[Seen]]:
        """What people did since `since` (`Seen.changed` of what was stored last; empty for everything).

        A task may come again with nothing new about it: the caller knows its annotations by number and time.

        Args:
            number: of the project.
            since: where to go on.
            known: uids of which annotations are stored: a task whose last annotation was deleted is found among them.

        Yields:
            Batches in ascending order of change, so that `since` may be stored after each.
        """
        people = self.people()
        yield from changes.changed(self._transport, number, since, frozenset(known), people)

    def view(self, number: int, view: View) -> str:
        """Make the tab with this title or bring it up to date; its address (`labelling_link` makes the one of its queue)."""
        return views.view(self._transport, number, view)

    def answer(
        self,
        number: int,
        task: int,
        result: list[dict[str, Any]],
        *,
        seconds: float = 0.0,
        skipped: bool = False,
        as_user: int | None = None,
    ) -> int:
        """Annotate a task, as a person would in the page: for demonstrations and scripted decisions.

        Args:
            number: of the project, for errors.
            task: its number in Label Studio.
            result: what was decided.
            seconds: time spent on it.
            skipped: it was skipped.
            as_user: number of the account that it counts for; else the token's owner. Label Studio lets anybody do so.

        Returns:
            The annotation's number.
        """
        who = {} if as_user is None else {"completed_by": as_user}
        with self._transport.guarded(f"task {task} in project {number}"):
            annotation = self._transport.sdk.annotations.create(
                task, result=result, lead_time=seconds, was_cancelled=skipped, **who
            )
        return int(annotation.id)


def _introduced(transport: Transport) -> tuple[str, str]:
    """E-mail of the token's owner, and the server's release."""
    try:
        version = transport.call("GET", "api/version", what="page of its version")
        release = version["release"]
        whoami = transport.call("GET", "api/current-user/whoami", what="account of the token")
        return str(whoami["email"]), str(release)
    except (TypeError, KeyError, Gone):
        raise foreign(transport.url) from None
