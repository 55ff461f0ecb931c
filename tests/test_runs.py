"""Run folders: never two of a name, finished only with a manifest, files whole or not at all."""

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.runs import MANIFEST, find_run, finish, new_run, read_json, read_jsonl, write_json, write_jsonl

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # CI machines are slow and shared

CLEAN = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CLEAN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CLEAN, inner, max_size=3),
    max_leaves=6,
)


def _make(root):
    return [str(new_run(Path(root), "train")) for _ in range(5)]


def test_processes_of_the_same_second_get_folders_of_their_own(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        names = [name for some in pool.map(_make, [str(tmp_path)] * 2) for name in some]
    assert len(set(names)) == 10


def test_last_is_the_newest_finished_run_of_its_kind(tmp_path):
    for name, kind, done in [
        ("20260101-000000-train", "train", True),
        ("20260101-000001-train", "train", True),
        ("20260101-000002-evaluate", "evaluate", True),
        ("20260101-000003-train", "train", False),
    ]:
        (tmp_path / name).mkdir()
        if done:
            finish(tmp_path / name, kind, {})
    assert find_run(tmp_path, "last", "train").name == "20260101-000001-train"
    assert find_run(tmp_path, "20260101-000000-train", "train").name == "20260101-000000-train"
    assert find_run(tmp_path, str(tmp_path / "20260101-000000-train"), "train") == tmp_path / "20260101-000000-train"
    with pytest.raises(DataError) as caught:
        find_run(tmp_path, "20260101-000003-train", "train")
    assert "20260101-000001-train" in caught.value.hint


def test_without_runs_the_hint_is_the_command(tmp_path):
    with pytest.raises(DataError) as caught:
        find_run(tmp_path / "runs", "last", "train")
    assert caught.value.hint == "Make one with: wb train"


def test_the_newest_of_eleven_runs_of_one_second_is_the_eleventh(tmp_path):
    for n in range(1, 12):
        folder = tmp_path / ("20260101-000000-train" + (f"-{n}" if n > 1 else ""))
        folder.mkdir()
        finish(folder, "train", {})
    assert find_run(tmp_path, "last", "train").name == "20260101-000000-train-11"


def test_a_path_to_a_run_of_another_kind_is_refused(tmp_path):
    finish(tmp_path, "evaluate", {})
    with pytest.raises(DataError):
        find_run(tmp_path.parent, str(tmp_path), "train")


@CALM
@given(st.lists(st.dictionaries(CLEAN, JSON, max_size=3), max_size=5))
def test_json_lines_are_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    write_jsonl(path, rows)
    assert read_jsonl(path) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


@CALM
@given(JSON)
def test_json_is_read_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


@pytest.mark.parametrize("write", [write_json, lambda path, value: write_jsonl(path, [value])])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, write):
    write(tmp_path / "x", {"a": 1})
    before = (tmp_path / "x").read_bytes()
    with pytest.raises(TypeError):
        write(tmp_path / "x", {"a": object()})
    assert (tmp_path / "x").read_bytes() == before


def test_lone_surrogates_can_be_written(tmp_path):
    write_jsonl(tmp_path / "rejects.jsonl", [{"raw": "\ud83d"}])
    assert read_jsonl(tmp_path / "rejects.jsonl") == [{"raw": "\ud83d"}]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_manifest_is_json_for_every_reader(tmp_path, value):
    def refuse(name):
        raise AssertionError(name)

    try:
        write_json(tmp_path / MANIFEST, {"f1": value})
    except ValueError:
        return
    json.loads((tmp_path / MANIFEST).read_text(), parse_constant=refuse)
