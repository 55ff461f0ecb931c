"""What a bench keeps of its Label Studio beside the data: who may log in, and whether a server is at work."""

import json
import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.errors import DataError, ServiceError, UsageError

ADMINISTRATOR = "wb@localhost"
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}")
_DOMAIN = re.compile(r"localhost|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]*[a-z][a-z0-9-]*")
_PATIENCE = 10.0
"""Seconds that a server has to end by itself."""


@dataclass(frozen=True)
class Credentials:
    """The accounts of a bench's Label Studio, as `credentials.json` (mode 0600) holds them."""

    password: str
    token: str
    email: str = ADMINISTRATOR
    users: Mapping[str, str] = field(default_factory=dict)
    """Further accounts: e-mail -> password."""
    made: tuple[str, ...] = ()
    """E-mails of the accounts that Label Studio has; the others are still to be made."""

    def missing(self) -> list[dict[str, str]]:
        """The accounts to make, the administrator first, as `inside.py` wants them."""
        everyone = [{"email": self.email, "password": self.password, "token": self.token}]
        everyone += [{"email": email, "password": password} for email, password in self.users.items()]
        return [one for one in everyone if one["email"] not in self.made]

    def with_users(self, emails: Sequence[str]) -> "Credentials":
        """Also with accounts of these e-mails; who has one keeps the password."""
        new = {email: new_password() for email in emails if email not in self.users and email != self.email}
        return replace(self, users={**self.users, **new}) if new else self

    def all_made(self) -> "Credentials":
        """As it stands once Label Studio has every account."""
        return replace(self, made=(self.email, *self.users))


@dataclass(frozen=True)
class Served:
    """A server that is at work; `port` 0 where it is still starting."""

    pid: int
    port: int


def new_password() -> str:
    """128 random bits, as letters that survive copying."""
    return secrets.token_urlsafe(16)


def new_credentials() -> Credentials:
    """A random password and a random token, known to nobody yet."""
    return Credentials(password=new_password(), token=secrets.token_hex(20))


def email_of(user: str) -> str:
    """The e-mail of an account: `anna` is anna@localhost, which Label Studio's login form accepts.

    Raises:
        UsageError: it is neither a name nor an e-mail address.
    """
    name, _, domain = user.strip().lower().partition("@")
    domain = domain if "@" in user else "localhost"
    if not _NAME.fullmatch(name) or not _DOMAIN.fullmatch(domain) or ".." in name or name.endswith("."):
        raise UsageError(
            f"{user!r} is neither a name nor an e-mail address that Label Studio accepts.",
            "Write it in Latin letters and digits, such as anna or anna@example.org.",
        )
    return f"{name}@{domain}"


def make_folder(folder: Path) -> None:
    """Make the data folder, for its owner only, and keep it out of version control.

    Raises:
        ServiceError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
        if not (folder / ".gitignore").is_file():
            write_private(folder / ".gitignore", "*\n")
    except OSError as exc:
        raise ServiceError(
            f"The folder {folder} of Label Studio's data cannot be made: {exc.strerror}.",
            "Make the bench writable for you, and see to it that no file of this name is there.",
        ) from exc


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else may read, not even for a moment; it appears whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_credentials(folder: Path) -> Credentials | None:
    """The accounts of a data folder; None where it has none yet.

    Raises:
        DataError: the file is there, but not as it was written.
    """
    path = folder / "credentials.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = Credentials(**{**values, "made": tuple(values["made"])})
        if not all(isinstance(value, str) for value in (found.email, found.password, found.token, *found.made)):
            raise TypeError
        if not all(isinstance(value, str) for pair in found.users.items() for value in pair):
            raise TypeError
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise DataError(
            f"{path} cannot be read as the accounts of Label Studio.",
            "Delete it and run `wb review start`: the accounts get new passwords, the annotations stay.",
        ) from exc
    return found


def write_credentials(folder: Path, credentials: Credentials) -> None:
    """Keep the accounts in the data folder, for its owner only."""
    values = {**vars(credentials), "users": dict(credentials.users), "made": list(credentials.made)}
    write_private(folder / "credentials.json", json.dumps(values, indent=2) + "\n")


def served(folder: Path) -> Served | None:
    """The server that works on the folder. It holds a lock for its life, so a number of an ended process is never taken for it."""
    import fcntl

    try:
        with (folder / "server.pid").open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                values = _settled(file)
                return Served(values["pid"], values["port"])
    except FileNotFoundError:
        return None
    return None


def last_port(folder: Path) -> int:
    """The port of the last server, so that links stay valid; 0 where there was none."""
    try:
        port = json.loads((folder / "server.pid").read_text(encoding="utf-8"))["port"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return port if isinstance(port, int) and 0 < port < 65536 else 0


def halt(folder: Path) -> bool:
    """End the folder's server, and say whether there was one: it is asked, and after ten seconds killed.

    Raises:
        ServiceError: it belongs to somebody else, or does not end.
    """
    found = served(folder)
    if found is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(found.pid, number)
        except ProcessLookupError:
            return True
        except PermissionError as exc:
            raise ServiceError(
                f"Label Studio (process {found.pid}) was started by another user.", "Let that user stop it."
            ) from exc
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if served(folder) is None:
                return True
            time.sleep(0.05)
    raise ServiceError(f"Label Studio (process {found.pid}) does not end.", f"End it by hand: kill -9 {found.pid}")


@contextmanager
def alone(folder: Path, progress: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the folder while its server is started or stopped; a second process waits for the first.

    Raises:
        ServiceError: something in the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".start.lock", mode=0o600)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress("Another command starts or stops this Label Studio; waiting for it.")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as exc:
        raise ServiceError(
            f"{exc.filename or folder} cannot be read or written: {exc.strerror or exc}.",
            "Free the disk or mend the permissions, then run this again.",
        ) from exc


def _settled(file: Any) -> dict[str, int]:
    """What the holder of the lock has written; it may be about to write it.

    Raises:
        ServiceError: it does not write it.
    """
    for _ in range(50):
        file.seek(0)
        try:
            values = json.loads(file.read())
            return {"pid": int(values["pid"]), "port": int(values["port"])}
        except (ValueError, KeyError, TypeError):
            time.sleep(0.1)
    raise ServiceError(
        f"{file.name} does not say which process serves.", "Find the process with `fuser` on that file, and end it."
    )
