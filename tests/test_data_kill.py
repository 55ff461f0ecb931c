"""`wb data add` under a kill, the same file again, and what a person must not mistake."""

import json
import signal
import subprocess
import sys

import pytest

from workbench.data import Told, read
from workbench.flow import data as flow

BAD = "text,label\n查余额,查询\n,查询\n退订\n取消会员,取消\n"
KILLED = """
import os, signal, sys
from workbench.ledger.writer import Writer

def killed(self, rows):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(Writer, sys.argv.pop(1), killed)
from workbench.cli import main
main()
"""


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(BAD, encoding="utf-8")
    return path


@pytest.mark.parametrize("step", ["samples", "label_ids", "rejects"])
def test_a_process_killed_in_an_import_leaves_nothing_and_the_next_one_works(bench, bad, wb, step):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, step, "data", "add", str(bad)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (bench.ledger.samples(), bench.ledger.operations(), bench.ledger.rejects()) == ([], [], [])
    assert not (bench.root / "rejects").exists()
    assert "2 new rows, 2 classes." in wb("data", "add", bad).out


def test_rejects_are_listed_and_kept_again_when_the_same_file_is_added_again(bench, bad, wb):
    first = wb("data", "add", bad, "--json").json
    kept = bench.root / "rejects" / "0001-bad.csv.jsonl"
    lines = kept.read_text(encoding="utf-8")
    kept.unlink()
    again = wb("data", "add", bad, "--json").json
    assert (again["new"], again["rejects"], again["rejects_file"]) == (0, first["rejects"], str(kept))
    assert kept.read_text(encoding="utf-8") == lines
    assert len(bench.ledger.rejects()) == len(first["rejects"]) == 2


def test_other_rejects_of_the_same_file_are_kept_as_well(bench, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,kind\na,x,y\nb,x,\n", encoding="utf-8")
    assert flow.add(bench, path).rejected == 0
    told = flow.add(bench, path, Told(label="kind"))
    assert (told.new, told.rejected) == (0, 1)
    assert told.rejects_file == bench.root / "rejects" / "0002-a.csv.jsonl"
    assert [reject.reason for reject in bench.ledger.rejects()] == ["no_label"]
    assert flow.add(bench, path, Told(label="kind")).rejects_file == told.rejects_file
    assert len(bench.ledger.operations()) == 2


def test_lines_in_another_encoding_are_rejected_and_not_guessed(tmp_path):
    path = tmp_path / "mixed.csv"
    path.write_bytes("text,label\n你好吗,问候\n".encode() + "话费查询,查询\n".encode("gb18030") + b"ok,x\n")
    batch = read(path, Told())
    assert [sample.text for sample in batch.samples] == ["你好吗", "ok"]
    assert [(r.line, r.reason, r.say) for r in batch.rejects] == [
        (3, "undecodable", "The line has bytes that do not fit the encoding of the file.")
    ]


@pytest.mark.parametrize("array", [False, True])
def test_a_missing_value_that_pandas_wrote_as_nan_is_no_label(tmp_path, array):
    lines = ['{"text": "a", "label": NaN, "n": Infinity}', '{"text": "b", "label": "x", "n": NaN}']
    path = tmp_path / "a.jsonl"
    path.write_text("[" + ",\n".join(lines) + "]" if array else "\n".join(lines))
    batch = read(path, Told())
    assert [reject.reason for reject in batch.rejects] == ["no_label"]
    assert [(sample.label, dict(sample.meta)) for sample in batch.samples] == [("x", {"n": None})]


def test_a_chat_file_that_mixes_splits_says_so(bench, bad, tmp_path):
    flow.add(bench, bad, split="train")
    (tmp_path / "held.csv").write_text("text,label\n退掉彩铃,取消\n", encoding="utf-8")
    flow.add(bench, tmp_path / "held.csv", split="test")
    mixed = flow.give(bench, tmp_path / "a.jsonl", "glm4")
    assert mixed.notes == ("glm4 has no place for the split: rows of train, test are mixed; --split takes one of them",)
    only = flow.give(bench, tmp_path / "b.jsonl", "glm4", split="train")
    assert (only.rows, only.notes) == (2, ())
    assert flow.give(bench, tmp_path / "c.csv", "csv").notes == ()


def test_the_splits_of_three_shared_files_come_back_from_one_table(bench, shared, tmp_path, wb):
    for name in ("train", "dev", "test"):
        wb("data", "add", shared / "demo/telecom" / f"{name}.csv", "--split", name)
    wb("data", "export", "all.csv", "--format", "csv")
    header, *_ = (tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()
    assert header == "sentence_sep,label_raw,c_numerical,speakers,split"
    back = read(tmp_path / "all.csv", Told())
    assert [(s.turns, s.label, s.split) for s in back.samples] == [
        (s.turns, s.label, s.split) for s in bench.ledger.samples()
    ]
    wb("data", "export", "test.jsonl", "--format", "glm4", "--split", "test")
    lines = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 224
    assert read(tmp_path / "test.jsonl", Told()).label_ids == bench.ledger.label_ids()
