"""Label Studio's own environment: made once, whole or not at all; what goes wrong is said in two sentences.

The installers here are scripts that do what uv, venv and pip do, or fail as they do; the real ones run in the tests marked
`server`, unless WB_LABEL_STUDIO names an installed Label Studio.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ServiceError
from workbench.label_studio import install

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no Label Studio but what the test makes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(install.NAMED, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path / "cache" / "intent-workbench"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def fake_uv(tmp_path, installing="true"):
    """A `uv` whose `venv DIR` makes DIR/bin/python and whose `pip install` does `installing`; it counts its installations."""
    return script(
        tmp_path / "bin" / "uv",
        f"""if [ "$1" = venv ]; then for last; do :; done; mkdir -p "$last/bin"; echo half > "$last/bin/python"; exit 0; fi
echo one >> {tmp_path / "installations"}
{installing}""",
    )


def ask(said):
    return install.python_of(None, said.append)


def test_it_is_installed_once_and_says_so(cache, tmp_path):
    fake_uv(tmp_path)
    said = []
    assert ask(said) == (cache / "label-studio-1.23.2" / "bin" / "python", install.VERSION)
    assert [line.split()[0] for line in said] == ["Installing", "Installed"]
    again = []
    assert ask(again)[0].read_text() == "half\n"
    assert again == []
    assert (tmp_path / "installations").read_text() == "one\n"


@pytest.mark.parametrize("there", [True, False])
def test_without_uv_or_where_it_fails_pip_installs(cache, tmp_path, monkeypatch, there):
    if there:
        fake_uv(tmp_path, "exit 2")
    python = (
        f'mkdir -p "$3/bin"; printf "#!/bin/sh\\ntouch {tmp_path}/pip\\n" > "$3/bin/python"; chmod +x "$3/bin/python"'
    )
    monkeypatch.setattr(install.sys, "executable", str(script(tmp_path / "base" / "python", python)))
    said = []
    assert ask(said)[0].is_file()
    assert (tmp_path / "pip").exists()
    assert ("uv could not install it; trying pip." in said) == there


def test_a_failing_pip_is_two_sentences_without_its_passwords_and_leaves_nothing(cache, tmp_path, monkeypatch):
    error = "ERROR: Could not find it at https://me:hunter2@packages.example/simple."
    pip = f"#!/bin/sh\\necho {error}; echo bye; exit 1\\n"
    python = f'mkdir -p "$3/bin"; printf "{pip}" > "$3/bin/python"; chmod +x "$3/bin/python"'
    monkeypatch.setattr(install.sys, "executable", str(script(tmp_path / "base" / "python", python)))
    with pytest.raises(ServiceError) as caught:
        ask([])
    assert caught.value.message == (
        "pip could not install label-studio==1.23.2: Could not find it at https://packages.example/simple."
    )
    assert install.NAMED in caught.value.hint
    assert [path.name for path in cache.iterdir()] == [".label-studio-1.23.2.lock"]


def test_a_python_without_venv_is_named(cache, tmp_path, monkeypatch):
    broken = script(tmp_path / "base" / "python", "echo 'No module named venv' >&2; exit 1")
    monkeypatch.setattr(install.sys, "executable", str(broken))
    with pytest.raises(ServiceError, match="could not make a virtual environment: No module named venv") as caught:
        ask([])
    assert str(broken) in caught.value.message


def test_a_full_disk_is_said_before_anything_is_fetched(cache, tmp_path, monkeypatch):
    fake_uv(tmp_path)
    monkeypatch.setattr(install.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**8))
    with pytest.raises(ServiceError, match=r"has 0\.1 GB of free disk; Label Studio needs 1\.5 GB"):
        ask([])
    assert not (tmp_path / "installations").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv(install.NAMED, raising=False)
    with pytest.raises(ServiceError, match="cannot be written") as caught:
        ask([])
    assert "XDG_CACHE_HOME" in caught.value.hint


def other(tmp_path):
    """Another process that asks for the installation."""
    code = "from workbench.label_studio.install import python_of; print(python_of(None, lambda _: None)[0])"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environ, text=True)


def test_two_processes_at_once_install_once(cache, tmp_path):
    fake_uv(tmp_path, "sleep 1")
    with other(tmp_path) as one, other(tmp_path) as two:
        answers = {one.communicate(timeout=60)[0], two.communicate(timeout=60)[0]}
    assert answers == {f"{cache / 'label-studio-1.23.2' / 'bin' / 'python'}\n"}
    assert (tmp_path / "installations").read_text() == "one\n"


def test_what_a_killed_installation_left_is_not_trusted_and_its_installer_harms_nobody(cache, tmp_path):
    # The installer outlives the process that was killed, and writes on into its environment.
    orphan = 'sleep 2; for last; do :; done; mkdir -p "$(dirname $6)"; echo orphan > "$6"'
    fake_uv(tmp_path, orphan)
    with other(tmp_path) as killed:
        while not (tmp_path / "installations").exists():
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=60)
    assert not (cache / "label-studio-1.23.2").exists()
    fake_uv(tmp_path)
    python, _ = ask([])
    time.sleep(2.5)
    assert python.read_text() == "half\n"
    assert (tmp_path / "installations").read_text() == "one\n" * 2


def test_a_named_executable_gives_its_environments_python_also_through_a_link(cache, tmp_path, monkeypatch):
    venv = tmp_path / "venv"
    script(venv / "bin" / "python", f"printf {install.VERSION}")
    script(venv / "bin" / "label-studio", "")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "label-studio").symlink_to(venv / "bin" / "label-studio")
    for named in (venv, venv / "bin" / "label-studio", tmp_path / "bin" / "label-studio", "label-studio"):
        monkeypatch.setenv(install.NAMED, str(named))
        assert ask([]) == (venv / "bin" / "python", install.VERSION)
    monkeypatch.setenv(install.NAMED, "/nowhere")
    assert install.python_of(venv, print) == (venv / "bin" / "python", install.VERSION), "the parameter comes first"


@pytest.mark.parametrize("named", ["nowhere", "empty", "empty/python", "other", "not-executable"])
def test_what_is_no_label_studio_is_said_with_the_way_out(cache, tmp_path, monkeypatch, named):
    (tmp_path / "empty").mkdir()
    script(tmp_path / "other" / "bin" / "python", "echo 'PackageNotFoundError: label-studio' >&2; exit 1")
    script(tmp_path / "not-executable" / "bin" / "python", "").chmod(0o644)
    monkeypatch.setenv(install.NAMED, str(tmp_path / named))
    with pytest.raises(ServiceError, match="is not an installed Label Studio") as caught:
        ask([])
    assert named in caught.value.message
    assert f"unset {install.NAMED}" in caught.value.hint


def test_another_version_is_refused(cache, tmp_path, monkeypatch):
    script(tmp_path / "venv" / "bin" / "python", "printf 1.19.0")
    monkeypatch.setenv(install.NAMED, str(tmp_path / "venv"))
    with pytest.raises(ServiceError, match=r"is Label Studio 1\.19\.0; this works with 1\.23\.2"):
        ask([])


def test_a_database_that_could_not_be_made_is_not_kept(cache, tmp_path):
    python = script(
        tmp_path / "python", "for last; do :; done; echo half > $last/label_studio.sqlite3; echo 'no table' >&2; exit 1"
    )
    with pytest.raises(ServiceError, match="could not make its database: no table"):
        install.template(python, "1.23.2", print)
    assert [path.name for path in cache.iterdir()] == [".template-1.23.2.lock"]


def test_the_database_is_made_once_per_version(cache, tmp_path):
    python = script(tmp_path / "python", "for last; do :; done; echo whole > $last/label_studio.sqlite3")
    said = []
    path = install.template(python, "1.23.2", said.append)
    assert path.read_text() == "whole\n"
    assert install.template(tmp_path / "gone", "1.23.2", said.append) == path
    assert len(said) == 1


def test_nothing_of_the_users_environment_reaches_label_studio_but_what_a_program_needs(tmp_path, monkeypatch):
    for name in (
        "OPENAI_API_KEY",
        "CI",
        "HOST",
        "PASSWORD",
        "USERNAME",
        "SECRET_KEY",
        "LABEL_STUDIO_USER_TOKEN",
        "DJANGO_DB",
    ):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("https_proxy", "http://hunter2@proxy")
    got = install.environment(tmp_path)
    assert "hunter2" not in repr(got)
    assert (got["LC_ALL"], got["PATH"], got["HOME"]) == ("C.UTF-8", os.environ["PATH"], str(tmp_path))
    assert {got[name] for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy")} == {"http://127.0.0.1:9"}
    assert got["LABEL_STUDIO_COLLECT_ANALYTICS"] == "false"


@given(st.lists(st.sampled_from(["https://u:p@host/x", "plain", "", "  ", "ends."])))
def test_the_last_line_says_something_and_hides_passwords_of_addresses(lines):
    said = install.last_line("\n".join(lines))
    assert said
    assert "u:p" not in said
    assert not said.endswith(".")
