"""The client of Label Studio without a server: batches, text, moments, addresses, and what is said of strange answers."""

import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError, ServiceError
from workbench.label_studio import (
    Denied,
    Gone,
    Refused,
    Studio,
    Task,
    Unanswered,
    batches,
    cursor,
    labelling_link,
    writer,
)
from workbench.label_studio.batches import in_batches, payload, storable, unambiguous
from workbench.label_studio.faults import from_status
from workbench.label_studio.query import lookups
from workbench.label_studio.transport import address, encode
from workbench.label_studio.writer import Journal, alone

pytest.importorskip("label_studio_sdk")
TOKEN = "0123456789abcdef0123456789abcdef01234567"

ANY_TEXT = st.text(st.characters())  # lone surrogates too
VALUES = st.recursive(
    ANY_TEXT | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_everything_can_be_encoded_once_it_is_storable(value):
    assert json.loads(encode(storable(value))) == storable(value)


@given(st.text())
def test_text_without_lone_surrogates_is_left_as_it_is(text):
    assert storable({"a": [text]}) == {"a": [text]}


def test_a_lone_surrogate_is_replaced_and_an_emoji_is_not():
    assert storable({"text": "a\ud83d b😀", "turns": [{"t": "\udc00"}]}) == {
        "text": "a\ufffd b😀",
        "turns": [{"t": "\ufffd"}],
    }


TASKS = st.lists(st.text(max_size=40), max_size=30).map(
    lambda texts: [Task(f"u{i}", {"text": text}, [{"n": i}] if i % 2 else None) for i, text in enumerate(texts)]
)


@given(TASKS, st.integers(1, 7), st.integers(10, 400))
def test_batches_hold_every_task_once_in_order_within_both_bounds(tasks, rows, most):
    sent = list(in_batches(tasks, rows=rows, most=most))
    assert [task for batch, _ in sent for task in batch] == tasks
    for batch, body in sent:
        assert json.loads(body) == [payload(task) for task in batch]
        assert len(batch) <= rows
        assert len(body) <= most or len(batch) == 1


def test_a_task_is_sent_with_its_uid_and_its_prediction():
    task = Task("u1", {"text": "t"}, [{"from_name": "verdict"}], 0.25, "wb")
    assert payload(task) == {
        "data": {"text": "t", "uid": "u1"},
        "predictions": [{"result": [{"from_name": "verdict"}], "model_version": "wb", "score": 0.25}],
    }
    assert payload(Task("u1", {"text": "t"})) == {"data": {"text": "t", "uid": "u1"}}


def test_a_number_that_json_lacks_is_an_error_that_says_so():
    with pytest.raises(DataError, match="not finite"):
        list(in_batches([Task("u", {"x": float("nan")})]))


@pytest.mark.parametrize(("uids", "say"), [(["a", "a"], "Two tasks have the uid 'a'"), ([""], "the uid ''")])
def test_uids_that_cannot_tell_tasks_apart_are_refused(uids, say):
    with pytest.raises(DataError, match=say):
        unambiguous(uids)


@given(st.lists(st.text(min_size=1, max_size=80), max_size=600))
def test_lookups_hold_every_uid_once_in_order(uids):
    groups = list(lookups(uids))
    assert [uid for group in groups for uid in group] == uids
    assert all(group and len(group) <= 200 for group in groups)


MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, MOMENTS)
def test_moments_order_as_text_as_they_do_in_time_and_none_is_lost_by_looking_back(one, two):
    first, second = cursor.stamp(one.isoformat()), cursor.stamp(two.isoformat().replace("+00:00", "Z"))
    assert (first < second) == (one < two)
    assert cursor.stamp(first) == first
    assert cursor.back(first) < first
    assert datetime.fromisoformat(first) - datetime.fromisoformat(cursor.back(first)) == cursor.OVERLAP


CURSORS = st.builds(
    cursor.Cursor,
    MOMENTS.map(lambda moment: cursor.stamp(moment.isoformat())),
    st.frozensets(st.binary(min_size=6, max_size=6)),
)


@given(CURSORS)
def test_a_cursor_is_read_as_it_was_written(place):
    assert cursor.Cursor.parse(place.text()) == place


@given(CURSORS, CURSORS)
def test_later_cursors_sort_behind_earlier_ones(one, two):
    if one.moment < two.moment:
        assert one.text() < two.text()


@given(CURSORS, st.lists(MOMENTS.map(lambda moment: cursor.stamp(moment.isoformat())), min_size=1))
def test_a_cursor_never_goes_back_and_remembers_what_the_next_look_sees_again(place, moments):
    stored = {cursor.trace(i, moment): moment for i, moment in enumerate(moments)}
    then = place.after(max(moments), stored)
    assert then.moment >= place.moment
    assert then.stored == {trace for trace, moment in stored.items() if moment >= then.since()}


def test_an_empty_cursor_asks_for_everything():
    assert cursor.Cursor.parse("") == cursor.Cursor()
    assert cursor.Cursor().since() == ""


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z~ä", "2026-01-01T00:00:00Z~abc", "now~"])
def test_a_cursor_that_is_none_is_an_error(text):
    with pytest.raises(DataError, match="is no"):
        cursor.Cursor.parse(text)


def test_a_moment_on_the_second_gets_the_microseconds_without_which_the_server_fails():
    assert cursor.stamp("2026-01-01T00:00:00Z") == "2026-01-01T00:00:00.000000Z"
    with pytest.raises(DataError, match="'yesterday' is not a moment"):
        cursor.stamp("yesterday")


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        (" https://host/label-studio/?x=1#y ", "https://host/label-studio"),
    ],
)
def test_an_address_is_stripped_of_what_does_not_belong(url, clean):
    assert address(url) == clean


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://host", "http://", "http://[::1", "http://host:99999"])
def test_what_is_no_address_is_said_to_be_none(url):
    with pytest.raises(ServiceError, match="is not the address of a server") as caught:
        address(url)
    assert "http://127.0.0.1:8080" in caught.value.hint


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ServiceError, match="holds a user name or password") as caught:
        address("https://me:hunter2@host")
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("token", ["", "zwölf", "a b", "a\nb"])
def test_a_token_that_cannot_be_one_is_refused_before_anything_is_sent(token):
    with pytest.raises(ServiceError, match="no token has"):
        Studio.connect("http://127.0.0.1:1", token)


@pytest.mark.parametrize(
    ("status", "body", "kind", "say"),
    [
        (401, {"detail": "Invalid token."}, Denied, "does not know the token"),
        (401, {"detail": "Token is blacklisted"}, Denied, "has expired or was revoked"),
        (401, {"detail": "legacy token authentication has been disabled"}, Denied, "does not take legacy tokens"),
        (403, {"detail": "You do not have permission"}, Denied, "does not allow it for project 7"),
        (404, "<html>", Gone, "has no project 7"),
        (400, {"validation_errors": {"title": ["Too short."]}, "detail": "Validation error"}, Refused, "Too short."),
        (500, {"detail": f"boom {TOKEN}"}, Unanswered, r"failed \(HTTP 500\): boom \*\*\*"),
        (502, "<html>nginx</html>", Unanswered, r"failed \(HTTP 502\)\."),
        (302, "", ServiceError, "sends on to another address"),
    ],
)
def test_each_status_is_said_in_two_sentences_without_the_token(status, body, kind, say):
    fault = from_status("http://h", "project 7", status, body)
    assert isinstance(fault, kind)
    assert fault.hint
    assert TOKEN not in fault.message + fault.hint
    with pytest.raises(kind, match=say):
        raise fault


class _Stub(BaseHTTPRequestHandler):
    """Answers every request as the test says: (status, content type, body), or a callable."""

    def do_GET(self):
        said = self.server.said
        if callable(said):
            return said(self)
        status, kind, body = said
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def stub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Stub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "said",
    [
        (200, "text/html", b"<html>hello</html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"status": "ok"}'),
        (404, "text/plain", b"no"),
    ],
)
def test_another_server_is_not_taken_for_a_label_studio(stub, said):
    stub.said = said
    with pytest.raises(ServiceError, match="answers, but not as Label Studio does") as caught:
        Studio.connect(stub.url, TOKEN)
    assert "review.url" in caught.value.hint


def test_a_server_that_is_down_is_said_to_be_unreachable():
    with pytest.raises(Unanswered, match="cannot be reached") as caught:
        Studio.connect("http://127.0.0.1:9", TOKEN)
    assert "wb review start" in caught.value.hint
    assert not caught.value.reached


def test_a_connection_that_breaks_off_says_that_nothing_is_sent_twice(stub):
    stub.said = lambda handler: handler.connection.close()
    with pytest.raises(Unanswered, match="broke off the connection") as caught:
        Studio.connect(stub.url, TOKEN)
    assert caught.value.pending
    assert "nothing is sent twice" in caught.value.hint


def test_an_expired_personal_token_is_known_without_a_request():
    import jwt

    expired = jwt.encode({"exp": 1, "token_type": "refresh"}, "k" * 32, algorithm="HS256")
    with pytest.raises(Denied, match="has expired"):
        Studio.connect("http://127.0.0.1:9", expired)


def test_a_personal_token_that_was_revoked_is_said_to_be(stub):
    import jwt

    good = jwt.encode({"exp": 4_000_000_000, "token_type": "refresh"}, "k" * 32, algorithm="HS256")
    stub.said = (401, "application/json", b'{"detail": "Token is blacklisted"}')
    with pytest.raises(Denied, match="has expired or was revoked") as caught:
        Studio.connect(stub.url, good)
    assert good not in str(caught.value)


def test_the_second_writer_waits_for_the_first(tmp_path):
    order, entered = [], threading.Event()

    def first():
        with alone("http://h", lambda _: None, tmp_path):
            entered.set()
            time.sleep(0.3)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(10)
    said = []
    with alone("http://h", said.append, tmp_path):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert "another process is writing" in said[0]


def test_a_writer_that_does_not_end_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_PATIENCE", 0.1)
    with (
        alone("http://h", lambda _: None, tmp_path),
        pytest.raises(ServiceError, match="has been writing"),
        alone("http://h", lambda _: None, tmp_path),
    ):
        pass


def test_writers_to_two_servers_do_not_wait_for_each_other(tmp_path):
    with alone("http://h", lambda _: None, tmp_path), alone("http://other", pytest.fail, tmp_path):
        pass


def test_the_journal_tells_what_a_dead_writer_had_under_way(tmp_path):
    journal = Journal("http://h", 7, tmp_path)
    assert journal.left() == ([], 0.0)
    journal.open(["u1", "u2"])
    uids, wait = Journal("http://h", 7, tmp_path).left()
    assert uids == ["u1", "u2"]
    assert 0 < wait <= writer.SETTLED
    assert Journal("http://h", 8, tmp_path).left() == ([], 0.0)
    journal.close()
    assert journal.left() == ([], 0.0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": "x", "uids": []}', '{"uids": ["a"]}'])
def test_a_damaged_journal_holds_nobody_up(tmp_path, text):
    journal = Journal("http://h", 7, tmp_path)
    journal.open(["u"])
    next(tmp_path.glob("*-7.json")).write_text(text, encoding="utf-8")
    assert journal.left() == ([], 0.0)


def test_a_journal_of_the_future_holds_nobody_up_for_long(tmp_path, monkeypatch):
    journal = Journal("http://h", 7, tmp_path)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e6)
    journal.open(["u"])
    monkeypatch.setattr(time, "time", lambda: now)
    assert journal.left() == (["u"], writer.SETTLED)


def test_the_queue_of_a_tab_has_its_own_address():
    assert labelling_link("http://h/projects/1/data?tab=2") == "http://h/projects/1/data?tab=2&labeling=1"


def test_one_import_is_bounded_so_that_the_server_can_hold_it():
    assert batches.ROWS <= 1000
    assert batches.BYTES < 250e6


def test_a_cache_that_cannot_be_written_is_two_sentences(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ServiceError, match="cannot be written"), alone("http://x", print, tmp_path / "file" / "cache"):
        pass
