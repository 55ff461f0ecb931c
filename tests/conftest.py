"""What tests share: isolation from the machine, a bench, the command line in this process, the shared data."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from label_studio import studio_server  # noqa: F401  # a fixture for every test that is marked `server`
from reviewing import home, person  # noqa: F401  # likewise

# A busy machine is no bug: examples have no deadline.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")

SHARED = Path(__file__).parents[2] / "shared"
CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # fonts and models stay cached between tests


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """A home and a working folder of the test's own, and no key of the person who runs it."""
    own = tmp_path.parent / f"{tmp_path.name}-home"
    own.mkdir()
    monkeypatch.setenv("HOME", str(own))
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE)
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shared():
    """The folder of shared data, which is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here")
    return SHARED


@pytest.fixture
def bench(tmp_path):
    """An empty bench in the working folder, with the hashed encoder."""
    from workbench.bench import Bench

    (tmp_path / "wb.yaml").write_text("encoder: {name: hashed}\n", encoding="utf-8")
    opened = Bench.find(tmp_path)
    yield opened
    if "ledger" in vars(opened):
        opened.ledger.close()


@dataclass(frozen=True)
class Done:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def wb(monkeypatch, capsys):
    """Run `wb` with these arguments, errors rendered as on the command line."""
    from workbench.cli import main

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["wb", *(str(arg) for arg in args)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exc:
            code = exc.code or 0
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run
