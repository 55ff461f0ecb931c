"""Label Studio in an environment of its own, made once for the user: it needs `openai<2`, which the product does not.

The cache holds `label-studio-<version>/` (the environment) and `label-studio-<version>.sqlite3` (its tables, empty): making them
takes half a minute, copying them none. Both appear whole or not at all, and two processes make them once.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from workbench.errors import ServiceError

VERSION = "1.23.2"
"""Of Label Studio. What the client guards against was measured on this one."""
NAMED = "WB_LABEL_STUDIO"
"""The environment variable that names a Label Studio which is already installed."""
DATABASE = "label_studio.sqlite3"
INSIDE = Path(__file__).with_name("inside.py")

_ROOM = 1_500_000_000
"""Bytes: pip needs 1.0 GB for the environment, and the packages while it unpacks them."""
_PARTIAL = ".partial-"
_BEAT = 20.0
"""Seconds between two signs of life of an installation."""
# What a server needs of the user's environment. All else stays out: a server that lives for weeks must not hold the keys of
# the shell that started it, and Label Studio takes settings from plain names such as HOST, CI or PASSWORD.
_PASSED = ("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
_NOWHERE = "http://127.0.0.1:9"
"""A proxy that refuses at once: what Label Studio would send or fetch ends there."""
_SETTINGS = {
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LOCAL_FILES_SERVING_ENABLED": "false",
    "ALLOWED_HOSTS": "127.0.0.1,localhost",  # a page elsewhere cannot reach it through a name that it controls
    "CORS_ALLOW_ALL_ORIGINS": "false",
    "ML_BLOCK_LOCAL_IP": "false",  # `wb serve` answers on this machine; everything else is behind the proxy above
    "SSRF_PROTECTION_ENABLED": "false",
}

Progress = Callable[[str], None]
Done = subprocess.CompletedProcess[str]


def cache() -> Path:
    """The user's cache folder of the product."""
    named = os.environ.get("XDG_CACHE_HOME")
    system = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return (Path(named) if named else system) / "intent-workbench"


def environment(folder: Path) -> dict[str, str]:
    """The environment of everything that runs in Label Studio's Python: no secret, nothing of the user's, no way out.

    HOME is `folder`, since Label Studio keeps an identifier of the user in it.
    """
    passed = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith("LC_")}
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE) | {"NO_PROXY": "127.0.0.1,localhost"}
    lower = {name.lower(): value for name, value in proxies.items()}
    settings = {f"LABEL_STUDIO_{name}": value for name, value in _SETTINGS.items()}
    return {**passed, "HOME": str(folder), "LOG_LEVEL": "WARNING", **proxies, **lower, **settings}


def run_inside(python: Path, folder: Path, *arguments: str, stdin: str = "", seconds: float = 600) -> Done:
    """Run `inside.py` in Label Studio's Python, in a session of its own: Ctrl-C here does not end what it starts."""
    command = [str(python), "-I", "-u", "-X", "utf8", str(INSIDE), *arguments]
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment(folder),
            start_new_session=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return Done(command, returncode=124, stdout="", stderr=f"nothing happened in {seconds:.0f} s")
    except OSError as exc:
        return Done(command, returncode=126, stdout="", stderr=f"{python}: {exc.strerror}")


def python_of(named: Path | None, progress: Progress) -> tuple[Path, str]:
    """The Python of Label Studio and its version: the one named, that of WB_LABEL_STUDIO, or the product's own, made if need be.

    Raises:
        ServiceError: what is named is no Label Studio, or another one; or it could not be installed.
    """
    chosen = named or (Path(os.environ[NAMED]) if os.environ.get(NAMED) else None)
    if chosen is None:
        return _installed(progress), VERSION
    python = _beside(chosen.expanduser())
    said = run_inside(python, python.parent, "version").stdout if python.is_file() else ""
    if not re.fullmatch(r"\d+\.\d+.*", said):
        raise ServiceError(
            f"{chosen} is not an installed Label Studio.",
            f"Name its `label-studio` executable or its virtual environment in {NAMED}, or unset {NAMED}.",
        )
    if said.split(".")[:2] != VERSION.split(".")[:2]:
        raise ServiceError(
            f"{chosen} is Label Studio {said}; this works with {VERSION}.",
            f"Unset {NAMED} to have {VERSION} installed in an environment of its own.",
        )
    return python, said


def template(python: Path, version: str, progress: Progress) -> Path:
    """A database with all tables and nothing in them, made once per version.

    Raises:
        ServiceError: Label Studio could not make it.
    """
    path = cache() / f"label-studio-{version}.sqlite3"
    if path.is_file():
        return path
    with _alone(f"template-{version}") as partial:
        if not path.is_file():
            progress("Preparing Label Studio's database, once: half a minute or more.")
            done = run_inside(python, partial, "migrate", str(partial))
            if done.returncode or not (partial / DATABASE).is_file():
                raise ServiceError(
                    f"Label Studio could not make its database: {last_line(done.stderr)}.", "Run the command again."
                )
            (partial / DATABASE).replace(path)
    return path


def last_line(text: str) -> str:
    """The last line that says something, without secrets of URLs and without a full stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"//[^/@\s]+@", "//", lines[-1]).rstrip(".")[:500] if lines else "it gave no reason"


def _beside(named: Path) -> Path:
    """The Python that belongs to a virtual environment, or to an executable in one (a link to it is followed)."""
    if named.is_dir():
        return named / "bin" / "python"
    found = shutil.which(named) or str(named)
    return Path(found) if Path(found).name.startswith("python") else Path(found).resolve().with_name("python")


def _installed(progress: Progress) -> Path:
    """The Python of the product's own environment, which is made where it is not there."""
    home = cache() / f"label-studio-{VERSION}"
    python = Path("bin") / "python"
    if (home / python).exists():
        return home / python
    with _alone(home.name) as partial:
        if not (home / python).exists():
            began = time.monotonic()
            progress(f"Installing Label Studio {VERSION} into {home}, once: about 1 GB and a minute or two.")
            _install(partial / "venv", partial, progress)
            shutil.rmtree(home, ignore_errors=True)  # its Python is gone: a link to one that was uninstalled
            (partial / "venv").replace(home)
            progress(f"Installed in {time.monotonic() - began:.0f} s.")
    return home / python


def _install(venv: Path, folder: Path, progress: Progress) -> None:
    """Make a virtual environment with Label Studio in it: by uv where there is one, else, or if that fails, by pip."""
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        raise ServiceError(
            f"{cache()} has {free / 1e9:.1f} GB of free disk; Label Studio needs {_ROOM / 1e9:.1f} GB.",
            "Free some, or point XDG_CACHE_HOME to a larger disk.",
        )
    package, uv = f"label-studio=={VERSION}", shutil.which("uv")
    if uv:
        making = [uv, "venv", "--quiet", "--python", sys.executable, str(venv)]
        fetching = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(venv / "bin/python"),
            package,
        ]
        if not _run(making, folder, progress) and not _run(fetching, folder, progress):
            return
        progress("uv could not install it; trying pip.")
        shutil.rmtree(venv, ignore_errors=True)
    failed = _run([sys.executable, "-m", "venv", str(venv)], folder, progress)
    if failed:
        raise ServiceError(
            f"{sys.executable} could not make a virtual environment: {last_line(failed)}.",
            f"Install Python's venv module, or name an installed Label Studio in {NAMED}.",
        )
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    failed = _run([*pip, package], folder, progress)
    if failed:
        said = [line.removeprefix("ERROR:") for line in failed.splitlines() if line.startswith("ERROR:")]
        raise ServiceError(
            f"pip could not install {package}: {last_line(said[-1] if said else failed)}.",
            f"Check the network, pip's index and the free disk; or name an installed Label Studio in {NAMED}.",
        )


def _run(command: Sequence[str], folder: Path, progress: Progress) -> str:
    """Run an installer with the user's environment; returns what it complained of, empty where it succeeded."""
    environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": ""}  # the product's packages must not satisfy pip
    began = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=environ,
    ) as process:
        try:
            while True:
                try:
                    said = process.communicate(timeout=_BEAT)[0]
                    break
                except subprocess.TimeoutExpired:
                    progress(f"Installing: {_size(folder) / 1e6:.0f} MB after {time.monotonic() - began:.0f} s.")
        except BaseException:
            process.kill()
            raise
    return "" if process.returncode == 0 else said.strip() or f"exit code {process.returncode}"


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except FileNotFoundError:  # the installer moved it away
                continue
    return total


@contextmanager
def _alone(name: str) -> Iterator[Path]:
    """Hold a lock of the cache, and give an empty folder beside what is to be made; a second process waits.

    A killed process may leave an installer that still writes: each attempt has a folder of its own, so that it harms nobody.
    """
    from filelock import FileLock

    try:
        cache().mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(cache() / f".{name}.lock"):
            for old in cache().glob(f"{_PARTIAL}{name}-*"):
                shutil.rmtree(old, ignore_errors=True)
            partial = Path(mkdtemp(dir=cache(), prefix=f"{_PARTIAL}{name}-"))
            try:
                yield partial
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as exc:
        raise ServiceError(
            f"{cache()} cannot be written: {exc.strerror or exc}.", "Set XDG_CACHE_HOME to a folder that you may write."
        ) from exc
