"""A local Label Studio per bench: started with one command, found again, stopped.

Its data, log and accounts lie in one folder of the bench. The server listens on 127.0.0.1, sends nothing out, and lives on when
the command or the terminal ends. At most one server works on a folder: it holds a lock there for as long as it lives.
"""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.errors import ServiceError, UsageError
from workbench.label_studio import state
from workbench.label_studio.install import DATABASE, Progress, last_line, python_of, run_inside, template

FOLDER = "label-studio"
"""The data folder, in the bench."""
_BOOT = 180.0
"""Seconds that a server has to bind its port: three on a quick machine, more where its Python was never used."""
_HEALTH = 30.0
"""Seconds that a server has to answer /health."""
_LOG = 10_000_000
"""Bytes from which on the log is put aside at a start."""


@dataclass(frozen=True)
class Local:
    """A running local server. Its secrets are not shown when it is printed."""

    url: str
    token: str = field(repr=False)
    email: str
    password: str = field(repr=False)
    pid: int
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further accounts: e-mail -> password."""


def start(
    folder: Path,
    *,
    users: Sequence[str] = (),
    executable: Path | None = None,
    port: int = 0,
    progress: Progress = lambda _: None,
) -> Local:
    """Have a server on the data in `folder`: the running one, or a new one, installed first where need be.

    Args:
        folder: its data folder; made where it is not there.
        users: names or e-mails that shall have accounts; `anna` is anna@localhost.
        executable: a `label-studio` executable or its virtual environment; WB_LABEL_STUDIO or the product's own where not given.
        port: the port to listen on; where not given that of the last time, if it is free, else a free one.
        progress: told what takes long.

    Raises:
        UsageError: a user's name cannot be one.
        ServiceError: it could not be installed or started, or it does not answer.
        DataError: the file of accounts is damaged.
    """
    emails = [state.email_of(user) for user in users]
    if os.name != "posix":
        raise ServiceError(
            "A local Label Studio is started on Linux and macOS only.", "Name one that runs elsewhere in review.url."
        )
    state.make_folder(folder)
    folder = folder.resolve()
    with state.alone(folder, progress):
        found = state.served(folder)
        accounts = (state.read_credentials(folder) or state.new_credentials()).with_users(emails)
        if found is None:
            _launch(folder, accounts, executable, port, progress)
        elif accounts.missing():
            state.write_credentials(folder, accounts)
            python, _ = python_of(executable, progress)
            done = run_inside(python, folder, "accounts", str(folder), stdin=json.dumps(accounts.missing()))
            if done.returncode:
                raise ServiceError(
                    f"Label Studio could not make the accounts: {last_line(done.stderr)}.", "Run the command again."
                )
            state.write_credentials(folder, accounts.all_made())
        return _healthy(folder)


def stop(folder: Path) -> bool:
    """End the server of `folder`, and say whether there was one. Its data stay.

    Raises:
        ServiceError: it is another user's, or does not end.
    """
    if not folder.is_dir():
        return False
    with state.alone(folder):
        return state.halt(folder)


def running(folder: Path) -> Local | None:
    """The server that works on `folder`; None where there is none, or where it is not ready yet."""
    found, accounts = state.served(folder), state.read_credentials(folder)
    if found is None or accounts is None or not found.port:
        return None
    url = f"http://127.0.0.1:{found.port}"
    return Local(url, accounts.token, accounts.email, accounts.password, found.pid, dict(accounts.users))


def _launch(folder: Path, accounts: state.Credentials, executable: Path | None, port: int, progress: Progress) -> None:
    """Start a server that nobody serves yet, with the accounts that it lacks.

    The accounts are written first: a server whose start was interrupted has those that the file names, or none.
    """
    from workbench.label_studio.inside import BUSY

    python, version = python_of(executable, progress)
    if not (folder / DATABASE).is_file():
        _copy(template(python, version, progress), folder)
        accounts = replace(accounts, made=())
    state.write_credentials(folder, accounts)
    log = folder / "server.log"
    if log.is_file() and log.stat().st_size > _LOG:
        log.replace(folder / "server.log.1")
    said = log.stat().st_size if log.is_file() else 0
    progress("Starting Label Studio.")
    arguments = ["serve", str(folder), str(port or state.last_port(folder)), *(["strict"] if port else [])]
    done = run_inside(python, folder, *arguments, stdin=json.dumps(accounts.missing()), seconds=_BOOT)
    if done.returncode == BUSY:
        raise UsageError(f"Port {port} is taken by another program.", "Name another port, or none to have a free one.")
    if done.returncode:
        state.halt(folder)
        written = log.read_bytes()[said:].decode("utf-8", "replace") if log.is_file() else ""
        raise ServiceError(
            f"Label Studio did not start: {last_line(written or done.stderr)}.",
            f"Look into {log}; then run this again.",
        )
    state.write_credentials(folder, accounts.all_made())


def _copy(source: Path, folder: Path) -> None:
    """Put the empty database into the folder, whole or not at all, without the journals of one that was deleted."""
    for old in folder.glob(f"{DATABASE}-*"):
        old.unlink()
    partial = folder / f"{DATABASE}.partial"
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    shutil.copyfile(source, partial)
    partial.replace(folder / DATABASE)


def _healthy(folder: Path) -> Local:
    """The server of the folder once it answers; another command may have started it a moment ago.

    Raises:
        ServiceError: it does not answer, or has ended.
    """
    began = time.monotonic()
    while (passed := time.monotonic() - began) < _BOOT:
        local = running(folder)
        if local and _answers(local.url):
            return local
        if state.served(folder) is None or (local and passed > _HEALTH):
            break
        time.sleep(0.1)
    raise ServiceError(
        f"Label Studio on the data in {folder} does not answer.",
        f"Look into {folder / 'server.log'}; `wb review stop` and `wb review start` begin anew on the same data.",
    )


def _answers(url: str) -> bool:
    """Whether Label Studio says at this address that it is up; proxies of the environment are not asked."""
    from urllib.request import ProxyHandler, build_opener

    try:
        with build_opener(ProxyHandler({})).open(f"{url}/health", timeout=5) as answer:
            return bool(json.load(answer).get("status") == "UP")
    except (OSError, ValueError):
        return False
