"""`wb review start` and `wb review stop`: the local Label Studio of a bench."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.output import BenchOption, JsonOption, SetOption, open_bench, say, show, show_json

if TYPE_CHECKING:
    from workbench.bench import Bench
    from workbench.label_studio.server import Local

UserOption = Annotated[
    list[str] | None,
    typer.Option("--user", help="Also an account for this person, by name or e-mail. May be given several times."),
]
ShowLoginOption = Annotated[bool, typer.Option("--show-login", help="Print the e-mail and password of every account.")]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, help="0 for that of the last time, or a free one.")
]


def register(group: typer.Typer) -> None:
    """Add the verbs to `wb review`."""
    group.command("start")(start)
    group.command("stop")(stop)


def start(
    user: UserOption = None,
    show_login: ShowLoginOption = False,
    port: PortOption = 0,
    bench: BenchOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a Label Studio for this bench on 127.0.0.1, or find the running one; the first time it is installed.

    It lives on until `wb review stop`. Data and accounts lie in `label-studio/` of the bench.
    """
    from workbench.label_studio import server

    opened = open_bench(bench, set_)
    _own(opened)
    local = server.start(opened.root / server.FOLDER, users=user or (), port=port, progress=say)
    if as_json:
        if show_login:
            _logins(local, say)
        show_json({"url": local.url, "token": local.token})
        return
    show(local.url)
    if show_login:
        _logins(local, show)
    else:
        show("Login: wb review start --show-login")


def stop(bench: BenchOption = None, set_: SetOption = None, as_json: JsonOption = False) -> None:
    """Stop the Label Studio of this bench; projects and annotations stay."""
    from workbench.label_studio import server

    stopped = server.stop(open_bench(bench, set_).root / server.FOLDER)
    if as_json:
        show_json({"stopped": stopped})
    else:
        show("Stopped." if stopped else "No Label Studio of this bench was running.")


def _own(bench: "Bench") -> None:
    """Refuse where the settings name a server that exists: two would share the people's work.

    Raises:
        UsageError: review.url is set.
    """
    from workbench.errors import UsageError

    url = getattr(getattr(bench.config, "review", None), "url", "")
    if url:
        raise UsageError(
            f"review.url names {url}, so this bench starts no Label Studio of its own.",
            "Work there, or take review.url out of wb.yaml to have a local one.",
        )


def _logins(local: "Local", line: Callable[[str], None]) -> None:
    for email, password in ((local.email, local.password), *local.users.items()):
        line(f"{email}  {password}")
