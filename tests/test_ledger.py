"""The store: whole or not at all, after kills and beside other processes; what is true now follows from the facts."""

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from workbench.errors import DataError
from workbench.ledger import Ledger, Reply
from workbench.ledger.schema import SCHEMA_VERSION, metadata
from workbench.records import Change, Origin, Reject, Sample, Turn, Verdict

MESSAGE = {"role": "user", "content": "写"}
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60)
TEXT = st.text(max_size=12)
TURNS = st.lists(
    st.builds(Turn, TEXT, st.text(alphabet=st.characters(), max_size=12), st.dictionaries(TEXT, TEXT, max_size=2)),
    min_size=1,
    max_size=3,
).map(tuple)
META = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2), max_size=3)
ORIGINS = st.none() | st.builds(Origin, TEXT, TEXT, TEXT, st.lists(TEXT, max_size=2).map(tuple), st.integers(), TEXT)
SAMPLES = st.lists(
    st.builds(
        Sample,
        st.text("0123456789abcdef", min_size=16, max_size=16),
        TURNS,
        TEXT,
        st.sampled_from(["train", "dev", "test", "pool"]),
        st.sampled_from(["human", "synthetic"]),
        ORIGINS,
        META,
    ),
    max_size=5,
    unique_by=lambda row: row.id,
)


@pytest.fixture
def ledger(tmp_path):
    found = Ledger.open(tmp_path / "wb.db")
    yield found
    found.close()


def row(row_id, label="a", text="x", source="human", split="train"):
    return Sample(row_id, (Turn("user", text),), label, split, source)


def add(ledger, *rows):
    with ledger.write("data", "add") as writer:
        return writer.samples(rows)


def change(ledger, *changes):
    with ledger.write("data", "clean") as writer:
        writer.changes([Change(*one, "mended") for one in changes])
        return writer.operation


def judge(ledger, sample, *verdicts):
    with ledger.write("gate", "all") as writer:
        writer.verdicts(sample, verdicts)


def reply(reply_id, draw=0, text="[]"):
    asked = (reply_id, "a", "", "minority", draw, 10, "p@1", ("r1",), 0, (MESSAGE,))
    return Reply(*asked, "m", "e", text, "stop", 1, 2, "0.5")


# --- what goes in comes out


@CALM
@given(SAMPLES)
def test_samples_are_read_back_in_order(tmp_path_factory, rows):
    ledger = Ledger.open(tmp_path_factory.mktemp("ledger") / "wb.db")
    assert add(ledger, *rows) == len(rows)
    assert ledger.samples(source=None) == rows
    ledger.close()


def test_rows_that_are_there_are_kept_as_they_are(ledger):
    assert add(ledger, row("1"), row("2")) == 2
    assert add(ledger, row("2", label="b"), row("3")) == 1
    assert [sample.label for sample in ledger.samples()] == ["a", "a", "a"]


def test_rows_are_chosen_by_split_and_source(ledger):
    add(ledger, row("1"), row("2", split="test"), row("3", source="synthetic"))
    assert [s.id for s in ledger.samples(split="test")] == ["2"]
    assert [s.id for s in ledger.samples(source="synthetic")] == ["3"]
    assert [s.id for s in ledger.samples()] == ["1", "2"]


def test_a_reply_is_stored_once_and_read_back(ledger):
    ledger.add_reply(reply("r"))
    ledger.add_reply(reply("r", text="another"))
    found = ledger.reply("r")
    assert (found.text, found.parents, found.messages, found.cost) == ("[]", ("r1",), (MESSAGE,), "0.5")
    assert found.at
    assert ledger.reply("s") is None


def test_a_reply_with_a_lone_surrogate_is_stored(ledger):
    ledger.add_reply(reply("r", text="查\ud83d"))
    assert ledger.reply("r").text == "查?"


def test_a_reply_is_unread_until_it_was_parsed_and_is_never_parsed_twice(ledger):
    ledger.add_reply(reply("r"))
    ledger.add_reply(reply("s", draw=1))
    with ledger.write("generate", "read") as writer:
        writer.parsed("r", 3, 1)
    assert [found.id for found in ledger.replies(unparsed=True)] == ["s"]
    assert len(ledger.replies()) == 2
    with pytest.raises(IntegrityError), ledger.write("generate", "read") as writer:
        writer.parsed("r", 3, 1)


def test_rejects_label_numbers_openings_and_runs_are_read_back(ledger):
    reject = Reject("a.csv", 3, "empty_text", "The row has no text.", ",,")
    with ledger.write("data", "add") as writer:
        writer.rejects([reject])
        writer.label_ids({"办理取消": "32"})
        writer.opening("hash", "verdict of x")
        writer.run("20260101-000000-train", "train", None, {"rows": 3})
    assert ledger.rejects() == [reject]
    assert ledger.rejects(operation=99) == []
    assert ledger.label_ids() == {"办理取消": "32"}
    assert ledger.openings() == [("hash", "verdict of x")]
    assert [(run.id, run.summary) for run in ledger.runs("train")] == [("20260101-000000-train", {"rows": 3})]
    assert ledger.runs("evaluate") == []


# --- what is true now


def test_the_newest_change_counts_and_undoing_it_brings_the_older_back(ledger):
    add(ledger, row("1"))
    change(ledger, ("1", "label", "b"))
    second = change(ledger, ("1", "label", "c"), ("1", "turns", (Turn("user", "y"),)))
    assert [(s.label, s.text) for s in ledger.samples()] == [("c", "y")]
    with ledger.write("data", "revert", undoes=second):
        pass
    assert [(s.label, s.text) for s in ledger.samples()] == [("b", "x")]
    assert [operation.undone for operation in ledger.operations()] == [False, False, True, False]
    assert [found.value for _, found in ledger.changes_of("1")] == ["b", "c", [["user", "y", {}]]]


def test_dropped_rows_are_out_of_sight_but_there(ledger):
    add(ledger, row("1"), row("2"))
    change(ledger, ("1", "dropped", True))
    assert [s.id for s in ledger.samples()] == ["2"]
    assert [s.id for s in ledger.samples(everything=True)] == ["1", "2"]
    assert ledger.sample("1").id == "1"


def test_the_newest_gating_counts_as_a_whole(ledger):
    add(ledger, row("1", source="synthetic"), row("2", source="synthetic"))
    assert not any(candidate.accepted for candidate in ledger.candidates())
    judge(ledger, "1", Verdict("length", False, "too_short", 3.0), Verdict("format", True))
    judge(ledger, "1", Verdict("format", True))
    first, second = ledger.candidates()
    assert first.accepted
    assert first.verdicts == (Verdict("format", True),)
    assert second.verdicts == ()
    assert [s.id for s in ledger.accepted()] == ["1"]
    assert [len(verdicts) for _, verdicts in ledger.verdict_history("1")] == [2, 1]


def test_a_version_is_its_content_whatever_the_order(ledger):
    rows = [row("1"), row("2", source="synthetic")]
    with ledger.write("train", "x") as writer:
        first = writer.version(rows)
        assert writer.version(rows[::-1]) == first
        assert writer.version([rows[0]]) != first
        assert writer.version([rows[0], row("2", label="b")]) != first
    assert first in ledger.versions_of("1")
    assert len(ledger.versions_of("1")) == 3


@pytest.mark.parametrize(
    ("asked", "found"),
    [("ab1", "ab1"), ("ab1f", "ab1f"), ("c", "c_1"), ("c_", "c_1"), ("c%", None), ("ab", None), ("z", None)],
)
def test_a_row_is_found_by_a_unique_beginning_of_its_id(ledger, asked, found):
    add(ledger, row("ab1"), row("ab1f"), row("c_1"))
    if found:
        assert ledger.sample(asked).id == found
        return
    with pytest.raises(DataError) as caught:
        ledger.sample(asked)
    assert ("several rows begin with" in caught.value.message) == (asked == "ab")


# --- kills, processes, foreign files


def run_python(code, *args):
    return subprocess.Popen([sys.executable, "-c", code, *args], stderr=subprocess.PIPE, text=True)


def test_a_kill_inside_an_operation_leaves_nothing(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from workbench.ledger import Ledger\nfrom workbench.records import Sample, Turn\n"
        "ledger = Ledger.open(Path(sys.argv[1]))\n"
        "rows = [Sample(str(i), (Turn('user', 'x' * 500),), 'a') for i in range(25_000)]\n"
        "with ledger.write('data', 'add') as writer:\n"
        "    writer.samples(rows)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    process = run_python(code, str(tmp_path / "wb.db"))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    ledger = Ledger.open(tmp_path / "wb.db")
    assert (ledger.samples(), ledger.operations()) == ([], [])
    assert add(ledger, row("1")) == 1
    ledger.close()


def test_a_kill_after_a_reply_keeps_the_reply(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from test_ledger import reply\nfrom workbench.ledger import Ledger\n"
        "Ledger.open(Path(sys.argv[1])).add_reply(reply('r'))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "wb.db")], cwd=Path(__file__).parent, check=False)
    ledger = Ledger.open(tmp_path / "wb.db")
    assert [found.id for found in ledger.replies(unparsed=True)] == ["r"]
    ledger.close()


def test_an_exception_inside_an_operation_takes_it_back(ledger):
    def fail(writer):
        writer.samples([row("1")])
        raise RuntimeError

    with pytest.raises(RuntimeError), ledger.write("data", "add") as writer:
        fail(writer)
    assert (ledger.samples(), ledger.operations()) == ([], [])


def test_processes_that_start_a_bench_at_once_all_get_their_facts_in(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom workbench.ledger import Ledger\n"
        "ledger = Ledger.open(Path(sys.argv[1]))\n"
        "for i in range(15):\n    with ledger.write('data', 'add', {'i': i}): pass\n"
    )
    started = [run_python(code, str(tmp_path / "wb.db")) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in started] == [("", 0)] * 3
    ledger = Ledger.open(tmp_path / "wb.db")
    assert [operation.id for operation in ledger.operations()] == list(range(1, 46))
    ledger.close()


def test_threads_write_one_after_another(ledger):
    threads = [threading.Thread(target=add, args=(ledger, row(str(i)))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.samples()) == len(ledger.operations()) == 8


def test_reading_sees_a_finished_state_while_another_writes(ledger, tmp_path):
    add(ledger, row("1"))
    other = Ledger.open(tmp_path / "wb.db")
    with ledger.write("data", "add") as writer:
        writer.samples([row("2")])
        assert [s.id for s in other.samples()] == ["1"]
    assert [s.id for s in other.samples()] == ["1", "2"]
    other.close()


def test_opening_to_read_does_not_wait_for_a_writer(ledger, tmp_path):
    done = threading.Event()

    def look():
        Ledger.open(tmp_path / "wb.db").close()
        done.set()

    with ledger.write("data", "add"):
        thread = threading.Thread(target=look)
        thread.start()
        came = done.wait(1)
    thread.join()
    assert came


def test_a_newer_ledger_is_refused_with_the_cure(tmp_path):
    Ledger.open(tmp_path / "wb.db").close()
    connection = sqlite3.connect(tmp_path / "wb.db")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(DataError, match="newer version") as caught:
        Ledger.open(tmp_path / "wb.db")
    assert "pip install -U" in caught.value.hint


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path):
    (tmp_path / "wb.db").write_text("this is a letter to my aunt, and it is long enough for a header " * 9)
    before = (tmp_path / "wb.db").read_bytes()
    with pytest.raises(DataError, match="is not a ledger"):
        Ledger.open(tmp_path / "wb.db")
    assert (tmp_path / "wb.db").read_bytes() == before


@pytest.mark.parametrize("place", ["absent/wb.db", "."])
def test_a_place_where_no_ledger_can_be_is_a_data_error(tmp_path, place):
    with pytest.raises(DataError):
        Ledger.open(tmp_path / place)


@pytest.mark.parametrize("folder", ["a?b", "a%20b", "a#b", "数据 集"])
def test_a_ledger_lies_where_it_was_asked_for(tmp_path, folder, request):
    (tmp_path / folder).mkdir()
    Ledger.open(tmp_path / folder / "wb.db").close()
    assert (tmp_path / folder / "wb.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [folder]


def test_a_reject_with_a_lone_surrogate_can_be_stored(ledger):
    with ledger.write("data", "add") as writer:
        writer.rejects([Reject("\udcff.jsonl", 1, "bad", "Bad row.", "\ud83d")])
    assert len(ledger.rejects()) == 1


def test_what_was_paid_for_survives_a_power_cut(ledger):
    with ledger._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_every_table_is_explained():
    from workbench.ledger import schema

    explained = {line.split()[0] for line in schema.__doc__.splitlines()[2:] if line}
    assert explained == set(metadata.tables) - {"version_rows"}
