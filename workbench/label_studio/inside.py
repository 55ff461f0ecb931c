"""What runs in Label Studio's own Python, never in the product's: tables, accounts, the server itself.

    python -I inside.py version              prints the version of Label Studio
    python -I inside.py migrate FOLDER       makes or updates the tables of a data folder
    python -I inside.py accounts FOLDER      makes the accounts that stdin names, as JSON
    python -I inside.py serve FOLDER PORT    the same, then serves in the background; prints the port once it is bound

Secrets come over stdin, so that neither the process list nor an environment shows them. `label-studio start` is not used: where
its port is busy it silently takes the next one, and its accounts come from the environment. Nothing here imports the product,
and Label Studio is imported by name, since the product's environment does not have it.
"""

import contextlib
import fcntl
import json
import os
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
BUSY = 98
"""Exit code where the port that was asked for is taken."""
HELD = 97
"""Exit code where another server works on the folder."""


def setup(folder: Path) -> None:
    """Load Label Studio on a data folder, and update its tables where they are older than it."""
    package = import_module("label_studio")
    sys.path.insert(0, str(Path(str(package.__file__)).parent))  # its modules import each other by bare names
    os.environ["LABEL_STUDIO_BASE_DATA_DIR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "label_studio.core.settings.label_studio"
    with contextlib.redirect_stdout(sys.stderr):
        import_module("django.core.wsgi").get_wsgi_application()
        # Two writers that both read first deadlock in SQLite's default mode; Label Studio then retries an import with
        # its predictions already taken out, and answers 201. Writers that take the lock at once only wait.
        options = import_module("django.conf").settings.DATABASES["default"]["OPTIONS"]
        options.update(transaction_mode="IMMEDIATE", timeout=60)
        import_module("label_studio.server")._apply_database_migrations()


def make_accounts(wanted: list[dict[str, str]]) -> None:
    """Make accounts, or give existing ones the password named; one with a `token` administers.

    Args:
        wanted: `email`, `password` and, for the administrator, `token` of each.
    """
    users, tokens = import_module("users.models").User.objects, import_module("rest_framework.authtoken.models").Token
    organizations = import_module("organizations.models").Organization
    with import_module("django.db").transaction.atomic():
        for one in wanted:
            user = users.filter(email=one["email"]).first() or users.create_user(email=one["email"])
            user.set_password(one["password"])
            user.is_active = True
            user.is_staff = user.is_superuser = user.is_superuser or "token" in one
            user.save()
            home = organizations.objects.first() or organizations.create_organization(
                created_by=user, title="Label Studio"
            )
            home.add_user(user)
            user.active_organization = home
            user.save()
            if "token" in one:
                home.jwt.api_tokens_enabled = home.jwt.legacy_api_tokens_enabled = True
                home.jwt.save()
                tokens.objects.filter(user=user).delete()
                tokens.objects.create(user=user, key=one["token"])


def hold(folder: Path) -> Any:
    """Take the folder for this process's life; the open file is the lock, and the kernel ends it with the process.

    Raises:
        SystemExit: another server has it.
    """
    held = os.fdopen(os.open(folder / "server.pid", os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
    for _ in range(50):  # who looks whether a server lives holds it for a moment
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
        time.sleep(0.1)
    held.close()
    raise SystemExit(HELD)


def note(held: Any, port: int) -> None:
    """Write who serves into the file that is the lock; port 0 says that the port is not bound yet."""
    held.seek(0)
    held.truncate()
    json.dump({"pid": os.getpid(), "port": port}, held)
    held.flush()


def bind(port: int, *, strict: bool) -> Any:
    """A listening server on `port`; where it is taken on one that the system chooses, unless `strict`.

    Raises:
        SystemExit: the port is taken, and no other will do.
    """
    basehttp = import_module("django.core.servers.basehttp")
    mixin = import_module("socketserver").ThreadingMixIn
    kind = type("Server", (mixin, basehttp.WSGIServer), {"daemon_threads": True, "request_queue_size": 128})
    try:
        return kind((HOST, port), basehttp.WSGIRequestHandler)
    except OSError:
        if strict:
            raise SystemExit(BUSY) from None
        return kind((HOST, 0), basehttp.WSGIRequestHandler)


def serve(folder: Path, port: int, *, strict: bool) -> None:
    """Go to the background, make the accounts that stdin names, and serve; the caller returns once the port is bound.

    Raises:
        SystemExit: in the caller, with the reason as its code, where the server ended before that.
    """
    wanted = json.load(sys.stdin)
    ear, mouth = os.pipe()
    child = os.fork()
    if child:
        os.close(mouth)
        with os.fdopen(ear) as pipe:
            bound = pipe.read()
        if not bound:
            raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or 1)
        sys.stdout.write(bound)
        return
    os.close(ear)
    os.setsid()
    os.umask(0o077)
    os.chdir(folder)
    log = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, number)
    held = hold(folder)
    note(held, 0)
    setup(folder)
    make_accounts(wanted)
    server = bind(port, strict=strict)
    import_module("django.conf").settings.INTERNAL_PORT = str(server.server_port)
    server.set_app(import_module("django.core.servers.basehttp").get_internal_wsgi_application())
    note(held, server.server_port)
    os.write(mouth, f"{server.server_port}\n".encode())
    os.close(mouth)
    server.serve_forever()


def main(verb: str, *rest: str) -> None:
    """Do what the module's docstring says of `verb`."""
    if verb == "version":
        sys.stdout.write(version("label-studio"))
        return
    folder = Path(rest[0])
    if verb == "serve":
        serve(folder, int(rest[1]), strict="strict" in rest)
        return
    os.umask(0o077)
    wanted = json.load(sys.stdin) if verb == "accounts" else []
    setup(folder)
    make_accounts(wanted)


if __name__ == "__main__":
    main(*sys.argv[1:])
