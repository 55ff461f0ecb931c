"""The Label Studio of a bench, and its projects there."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from workbench.bench import Bench
from workbench.errors import ConfigError, ServiceError
from workbench.label_studio import Studio
from workbench.label_studio.labelling import fingerprint
from workbench.label_studio.server import FOLDER, running
from workbench.ledger import Kind, Project
from workbench.records import digest

TITLES: dict[Kind, str] = {"review": "review", "dialogues": "dialogues", "rating": "rating"}


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
    if known is not None and known.url == studio.url:
        if studio.exists(known.number):
            if known.config == mark:
                return known
            _configure(studio, known.number, wanted)
            return _note(bench, replace(known, config=mark))
        if not new:
            check_there(studio, known)
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
    place = digest(studio.url, str(found), datetime.now(UTC).isoformat())
    return _note(bench, Project(place, wanted.kind, studio.url, found, mark))


def check_there(studio: Studio, place: Project) -> None:
    """Look whether the project was deleted.

    Raises:
        ServiceError: it was.
    """
    if not studio.exists(place.number):
        raise ServiceError(
            f"The project {place.number} in {studio.url} is gone: someone deleted it.",
            f"What was pulled is safe. Send the open tasks to a new one with: "
            f"wb review push --project {place.kind} --new",
        )


def _configure(studio: Studio, number: int, wanted: Wanted) -> None:
    studio.configure(number, wanted.config, overlap=wanted.overlap, model_version=wanted.model_version or None)


def _note(bench: Bench, project: Project) -> Project:
    details = {"kind": project.kind, "url": project.url, "number": project.number}
    with bench.ledger.write("review", "project", details) as writer:
        writer.project(project)
    return project


def _title(bench: Bench, kind: Kind) -> str:
    """Told from other benches of the same name on the same server."""
    return f"{bench.root.name} {TITLES[kind]} {digest(str(bench.root))[:6]}"
