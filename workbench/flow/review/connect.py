"""The Label Studio of a bench, and its projects there."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.bench import Bench
from workbench.errors import ConfigError, ServiceError
from workbench.label_studio import Studio
from workbench.label_studio.labelling import fingerprint
from workbench.label_studio.server import FOLDER, running
from workbench.ledger import Kind, Project
from workbench.records import digest

TITLE = 50
"""Most characters of a project's title."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A project as it should be."""

    kind: Kind
    config: str
    """Label config, XML."""
    instruction: str = ""
    overlap: int = 1
    """Most people who do the same task."""
    model_version: str = ""
    """Whose predictions stand filled in."""


def folder(bench: Bench) -> Path:
    """Where the bench's own Label Studio lives."""
    return bench.root / FOLDER


def connect(bench: Bench) -> Studio:
    """The Label Studio that the settings name, or the bench's own.

    Raises:
        ConfigError: there is no token for the one that is named.
        ServiceError: it does not answer, refuses the token, or the bench's own does not run.
    """
    config = bench.config.review
    if config.url:
        token = os.environ.get(config.token_env, "")
        if not token:
            raise ConfigError(
                f"review.url names {config.url}, and the environment has no {config.token_env}.",
                "Put a token of your account there: Account & Settings in Label Studio shows it.",
            )
        return Studio.connect(config.url, token)
    local = running(folder(bench))
    if local is None:
        raise ServiceError(
            f"No Label Studio runs for {bench.root}.",
            "Start one with `wb review start`, or name yours under review.url in wb.yaml.",
        )
    return Studio.connect(local.url, local.token)


def project(bench: Bench, studio: Studio, wanted: Wanted, *, new: bool = False) -> Project:
    """The project of this kind, made or brought up to date where that is due.

    A project is known by its number and the moment when it was made, not by the server's address: a local server may get
    another port, and one whose data were deleted counts from 1 again.

    Args:
        bench: whose tasks go there.
        studio: where it is.
        wanted: what it should be like.
        new: a project that is gone may be made again.

    Raises:
        ServiceError: it was deleted, or its annotations stand against the new label config.
    """
    mark = digest(fingerprint(wanted.config), str(wanted.overlap), wanted.model_version, wanted.instruction)
    known = bench.ledger.people.project(wanted.kind)
    if known is not None:
        if is_there(studio, known):
            if known.config != mark:
                _configure(studio, known.number, wanted)
            now = replace(known, url=studio.url, config=mark)
            return known if now == known else _note(bench, now)
        if known.url == studio.url and not new:
            raise gone(studio, known)
    # A killed command may have made it without noting it.
    title = _title(bench, wanted.kind)
    found = studio.find(title)
    if found is None:
        found = studio.create(
            title,
            wanted.config,
            instruction=wanted.instruction,
            overlap=wanted.overlap,
            model_version=wanted.model_version,
        )
    else:
        _configure(studio, found, wanted)
    return _note(bench, Project(_place(found, studio.made(found) or ""), wanted.kind, studio.url, found, mark))


def is_there(studio: Studio, place: Project) -> bool:
    """Whether the server still has the project, and not another one with its number."""
    made = studio.made(place.number)
    return made is not None and _place(place.number, made) == place.place


def gone(studio: Studio, place: Project) -> ServiceError:
    """The error of a project that the server does not have."""
    if place.url == studio.url:
        say = f"The project {place.number} in {studio.url} is gone: someone deleted it."
        new = " --new"
    else:
        say = f"{studio.url} does not have the project {place.number} of {place.url}, where the {place.kind} tasks are."
        new = ""
    return ServiceError(
        say,
        f"What was pulled is safe. Send the open tasks to a new one with: wb review push --project {place.kind}{new}",
    )


def _place(number: int, made: str) -> str:
    return digest("project", str(number), made)


def _configure(studio: Studio, number: int, wanted: Wanted) -> None:
    studio.configure(number, wanted.config, overlap=wanted.overlap, model_version=wanted.model_version or None)


def _note(bench: Bench, project: Project) -> Project:
    details = {"kind": project.kind, "url": project.url, "number": project.number}
    with bench.ledger.write("review", "project", details) as writer:
        writer.project(project)
    return project


def _title(bench: Bench, kind: Kind) -> str:
    """Told from other benches of the same name on the same server. Label Studio takes 50 characters."""
    end = f" {kind} {digest(str(bench.root))[:6]}"
    name = bench.root.name.encode("utf-8", "replace").decode()  # a folder's name may be no text
    return name[: TITLE - len(end)] + end
