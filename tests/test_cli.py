"""The command line as a whole: help, errors in two sentences, exit codes, stdout for data and stderr for people."""

import signal
import subprocess
import sys
import time

import pytest

VERBS = ("init", "config", "data", "diagnose", "generate", "gate", "train", "evaluate", "report", "run", "demo", "why")


def test_help_lists_every_verb(wb):
    done = wb("--help")
    assert done.code == 0
    for verb in VERBS:
        assert f" {verb} " in done.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(wb, verb):
    done = wb(verb, "-h")
    assert done.code == 0
    assert "Usage:" in done.out


@pytest.mark.parametrize(
    "args",
    [
        ("diagnose",),
        ("generate", "--minority"),
        ("gate",),
        ("train",),
        ("evaluate",),
        ("report",),
        ("run",),
        ("why", "x"),
        ("data", "show"),
    ],
)
def test_without_a_bench_every_verb_says_how_to_make_one(wb, args):
    done = wb(*args)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Error: ")
    assert "What to do: Make a bench with: wb init" in done.err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("evaluate", "--baseline-predictions", "x.csv"), 2, "--predictions"),
        (("evaluate", "--predictions", "nowhere.csv"), 1, "nowhere.csv does not exist"),
        (("evaluate",), 1, "wb "),
        (("generate",), 1, "no rows"),
        (("train", "--set", "trian.replicas=3"), 1, "train"),
        (("train", "--set", "train.replicas"), 1, "key.sub=value"),
        (("why", "abc"), 1, "wb data show"),
        (("report",), 1, "wb evaluate"),
        (("gate", "nowhere.csv"), 1, "nowhere.csv does not exist"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_errors_say_what_is_wrong_and_what_to_do(bench, wb, args, code, words):
    done = wb(*args)
    assert done.out == ""
    assert words in done.err
    assert done.code == code
    assert "Traceback" not in done.err


def test_the_bench_is_found_from_a_folder_below_or_named(bench, wb, tmp_path, monkeypatch):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert wb("config").code == 0
    monkeypatch.chdir("/")
    assert wb("config").code == 1
    assert "name: hashed" in wb("config", "--bench", tmp_path).out


def test_a_file_is_scored_without_a_bench(wb, tmp_path):
    (tmp_path / "p.csv").write_text("y_true,y_pred\na,a\nb,a\n", encoding="utf-8")
    done = wb("evaluate", "--predictions", "p.csv")
    assert done.code == 0
    assert "2 rows, macro-F1 over 2 classes (union), 95 % intervals" in done.out
    assert not (tmp_path / "wb.db").exists()


def test_ctrl_c_is_130_and_two_sentences(tmp_path):
    """On a real process: the signal arrives in the middle of the demo."""
    command = [sys.executable, "-m", "workbench", "demo", str(tmp_path / "d"), "--set", "encoder.name=hashed"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        seen = process.stderr.readline()
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[1]
    assert "RECORDED" in seen
    # Interrupted inside a C extension, CPython ends itself by the signal even after an orderly exit; a shell shows 130 for both.
    assert process.returncode in (130, -signal.SIGINT), rest
    assert "Stopped." in rest
    assert "the same command goes on from there" in rest
    assert "Traceback" not in rest


def test_version(wb):
    from workbench import __version__

    assert wb("--version").out.strip() == __version__
