"""The local Label Studio: started, found again, stopped, killed; its secrets lie in one file."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from http.cookiejar import CookieJar
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from workbench.cli import review_server
from workbench.errors import DataError, ServiceError, UsageError
from workbench.label_studio import server, state
from workbench.label_studio.inside import HELD
from workbench.label_studio.install import python_of, run_inside
from workbench.label_studio.server import Local, running, start, stop
from workbench.label_studio.state import Credentials, Served, email_of

ROOT = Path(__file__).parents[1]
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "email"),
    [
        ("anna", "anna@localhost"),
        (" Anna ", "anna@localhost"),
        ("a.b+c@Example.org", "a.b+c@example.org"),
        ("anna@localhost", "anna@localhost"),
    ],
)
def test_a_user_is_a_name_or_an_e_mail(user, email):
    assert email_of(user) == email


@pytest.mark.parametrize(
    "user", ["", "小王", "a b", "@", "a@", "@b.org", "a@b", "a@b@c.org", "a@-b.org", ".a", "a..b", "a.", "x" * 65]
)
def test_what_the_login_form_would_refuse_is_refused_here(user):
    with pytest.raises(UsageError, match="neither a name nor an e-mail") as caught:
        email_of(user)
    assert repr(user) in caught.value.message


@given(TEXT)
def test_the_e_mail_of_an_e_mail_is_itself(user):
    try:
        email = email_of(user)
    except UsageError:
        return
    assert email_of(email) == email
    assert re.fullmatch(r"[^@\s]+@[^@\s]+", email)


@given(st.builds(Credentials, TEXT, TEXT, TEXT, st.dictionaries(TEXT, TEXT), st.lists(TEXT).map(tuple)))
def test_accounts_are_read_as_they_were_written(tmp_path_factory, accounts):
    folder = tmp_path_factory.mktemp("accounts")
    state.write_credentials(folder, accounts)
    assert state.read_credentials(folder) == accounts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"password": 1, "token": "t", "made": []}',
        '{"password": "p", "token": "t", "made": [], "new": 1}',
        '{"password": "p", "token": "t", "made": [], "users": {"a": 1}}',
        '{"password": "p", "token": "t", "made": [], "users": 3}',
        "\udcff",
    ],
)
def test_a_damaged_file_of_accounts_is_two_sentences(tmp_path, text):
    (tmp_path / "credentials.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"credentials\.json cannot be read as the accounts") as caught:
        state.read_credentials(tmp_path)
    assert "get new passwords, the annotations stay" in caught.value.hint


def test_who_has_an_account_keeps_the_password_and_only_new_ones_are_made():
    first = state.new_credentials().with_users(["a@localhost"])
    assert [one["email"] for one in first.missing()] == ["wb@localhost", "a@localhost"]
    second = first.all_made().with_users(["a@localhost", "b@localhost", "wb@localhost"])
    assert second.users["a@localhost"] == first.users["a@localhost"]
    assert second.missing() == [{"email": "b@localhost", "password": second.users["b@localhost"]}]
    assert second.all_made().missing() == []
    assert len({first.password, first.token, *second.users.values()}) == 4


def test_a_local_server_that_is_printed_shows_no_secret():
    shown = repr(Local("http://x", "tok", "e@x", "pass", 1, {"a": "word"}))
    assert not [secret for secret in ("tok", "pass", "word") if repr(secret) in shown]


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_private_file_is_private_from_its_first_moment_and_whole(tmp_path, monkeypatch):
    path = tmp_path / "credentials.json"
    seen = []
    replace = Path.replace

    def look(self, target):
        seen.append((mode(self), self.read_text()))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    old = os.umask(0)
    try:
        state.write_private(path, "one")
        state.write_private(path, "two")
    finally:
        os.umask(old)
    assert (mode(path), path.read_text()) == (0o600, "two")
    assert seen == [(0o600, "one"), (0o600, "two")]
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_is_for_its_owner_and_out_of_version_control(tmp_path):
    (tmp_path / "wide").mkdir(mode=0o755)
    for folder in (tmp_path / "new" / "deep", tmp_path / "wide"):
        state.make_folder(folder)
        assert mode(folder) == 0o700
        assert (folder / ".gitignore").read_text() == "*\n"


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "label-studio").touch()
    with pytest.raises(ServiceError, match="label-studio of Label Studio's data cannot be made: File exists"):
        start(tmp_path / "label-studio")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"port": "x"}', '{"port": 99999}', '{"port": true, "x": 1}', '{"port": -1}']
)
def test_no_port_is_taken_from_a_damaged_file(tmp_path, text):
    assert state.last_port(tmp_path) == 0
    (tmp_path / "server.pid").write_text(text)
    assert state.last_port(tmp_path) in (0, True)


def holder(folder, *, stubborn=False, port=1234):
    """A process that holds the folder as a server does; it may ignore a polite request to end."""
    code = f"""
import signal, sys, time
from pathlib import Path
from workbench.label_studio import inside
if {stubborn}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = inside.hold(Path(sys.argv[1])); inside.note(held, {port}); print("held", flush=True); time.sleep(60)
"""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, env=environ, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_number_of_a_living_process_that_is_no_server_is_not_trusted(tmp_path):
    (tmp_path / "server.pid").write_text(json.dumps({"pid": os.getpid(), "port": 1234}))
    assert state.served(tmp_path) is None
    assert running(tmp_path) is None
    assert state.halt(tmp_path) is False
    assert state.last_port(tmp_path) == 1234


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_server_is_asked_to_end_and_else_killed(tmp_path, monkeypatch, stubborn):
    monkeypatch.setattr(state, "_PATIENCE", 0.3)
    with holder(tmp_path, stubborn=stubborn) as process:
        assert state.served(tmp_path) == Served(process.pid, 1234)
        assert stop(tmp_path) is True
        assert process.wait(10) == -(signal.SIGKILL if stubborn else signal.SIGTERM)
    assert stop(tmp_path) is False


def test_a_second_server_on_the_same_folder_gives_up(tmp_path):
    from workbench.label_studio.inside import hold

    with holder(tmp_path) as process:
        with pytest.raises(SystemExit) as caught:
            hold(tmp_path)
        process.kill()
    assert caught.value.code == HELD


def test_stop_where_nothing_was_ever_started(tmp_path):
    assert stop(tmp_path / "nowhere") is False
    assert stop(tmp_path) is False


# -- command line -----------------------------------------------------------------------------------------------------


def test_an_existing_server_of_the_settings_is_not_joined_by_a_local_one():
    bench = SimpleNamespace(config=SimpleNamespace(review=SimpleNamespace(url="http://elsewhere")))
    with pytest.raises(UsageError, match=r"review\.url names http://elsewhere") as caught:
        review_server._own(bench)
    assert "take review.url out of wb.yaml" in caught.value.hint


@pytest.fixture
def review(bench, capsys):
    """Run `start` and `stop` as below `wb review`; returns the lines on stdout."""
    app = typer.Typer(pretty_exceptions_enable=False)
    review_server.register(app)

    def run(*args):
        capsys.readouterr()
        app([*args, "--bench", str(bench.root)], standalone_mode=False)
        return capsys.readouterr().out.splitlines()

    yield run
    stop(bench.root / "label-studio")


# -- a real server ----------------------------------------------------------------------------------------------------


def get(local, path, **headers):
    request = Request(f"{local.url}{path}", headers={"Authorization": f"Token {local.token}", **headers})
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        return json.load(answer)


def post(local, path, values):
    headers = {"Authorization": f"Token {local.token}", "Content-Type": "application/json"}
    request = Request(f"{local.url}{path}", data=json.dumps(values).encode(), headers=headers)
    with build_opener(ProxyHandler({})).open(request, timeout=120) as answer:
        return json.load(answer)


def login(local, email, password):
    """Log in as a browser does; whether that leads in."""
    jar = CookieJar()
    opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(jar))
    opener.open(f"{local.url}/user/login/", timeout=30).close()
    token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
    form = {"email": email, "password": password, "csrfmiddlewaretoken": token}
    request = Request(f"{local.url}/user/login/", data=urlencode(form).encode(), headers={"Referer": local.url})
    with opener.open(request, timeout=30) as answer:
        return "/user/login" not in answer.url


def project(local, title):
    config = '<View><Text name="text" value="$text"/><Choices name="v" toName="text"><Choice value="a"/><Choice value="b"/></Choices></View>'
    return post(local, "/api/projects", {"title": title, "label_config": config})["id"]


@pytest.fixture
def folder(tmp_path):
    """A folder of the test's own, whose server ends with the test."""
    yield tmp_path / "label-studio"
    stop(tmp_path / "label-studio")


@pytest.mark.server
def test_the_shared_server_lets_its_administrator_and_its_people_in(studio_server):
    assert get(studio_server, "/api/current-user/whoami")["email"] == studio_server.email
    assert set(studio_server.users) == {"anna@localhost", "bert@localhost"}
    assert login(studio_server, studio_server.email, studio_server.password)
    assert all(login(studio_server, *one) for one in studio_server.users.items())
    assert not login(studio_server, "anna@localhost", studio_server.password)
    assert get(studio_server, "/api/version")["release"] == "1.23.2"


@pytest.mark.server
def test_it_answers_this_machine_only_and_asks_nobody(studio_server):
    with pytest.raises(HTTPError) as caught:
        get(studio_server, "/api/version", Host="rebound.example")
    assert caught.value.code == 400
    began = time.monotonic()
    with pytest.raises(HTTPError) as caught:  # the page that Label Studio would fetch from a host of its maker
        get(studio_server, "/heidi-tips")
    assert caught.value.code == 404
    assert time.monotonic() - began < 2
    port = int(studio_server.url.rpartition(":")[2])
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)} - {
        "127.0.0.1"
    }:
        with socket.socket() as outside:
            assert outside.connect_ex((address, port)) or address.startswith("127.")


@pytest.mark.server
def test_parallel_imports_lose_nothing(studio_server):
    """With SQLite's default transactions, an import that met a lock lost its predictions and still answered 201."""
    numbers = [project(studio_server, f"parallel {i}") for i in range(3)]
    result = [{"from_name": "v", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}]
    tasks = [{"data": {"text": "x" * 500}, "predictions": [{"result": result}]} for _ in range(400)]

    def twice(number):
        for _ in range(2):
            post(studio_server, f"/api/projects/{number}/import", tasks)

    threads = [Thread(target=twice, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [get(studio_server, f"/api/projects/{number}") for number in numbers]
    assert [(one["task_number"], one["total_predictions_number"]) for one in found] == [(800, 800)] * 3


@pytest.mark.server
def test_the_command_ends_the_server_lives_and_is_found_again(bench, review):
    """A process starts it and ends; another finds it, adds people, stops it; the next start has the same address."""
    code = "import typer; from workbench.cli import review_server; app = typer.Typer(); review_server.register(app); app(['start', '--json'])"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environ, text=True, check=True)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert set(answer) == {"url", "token"}
    assert "Starting Label Studio." in done.stderr
    assert not [word for word in (answer["token"], "Traceback") if word in done.stderr]
    folder = bench.root / "label-studio"
    local = running(folder)
    assert (local.url, local.token) == (answer["url"], answer["token"])
    assert os.getsid(local.pid) == local.pid, "it would end with the terminal"

    began = time.monotonic()
    assert review("start") == [local.url, "Login: wb review start --show-login"]
    assert time.monotonic() - began < 1
    lines = review("start", "--show-login", "--user", "anna", "--user", "Bea@example.org")
    assert lines[:2] == [local.url, f"wb@localhost  {local.password}"]
    people = dict(line.split() for line in lines[2:])
    assert set(people) == {"anna@localhost", "bea@example.org"}
    assert all(login(local, *one) for one in people.items())
    assert review("start", "--show-login", "--user", "anna") == lines
    assert running(folder).pid == local.pid
    assert json.loads(review("start", "--json", "--show-login")[-1]) == answer

    assert review("stop") == ["Stopped."]
    assert review("stop") == ["No Label Studio of this bench was running."]
    assert review("stop", "--json") == ['{"stopped": false}']
    assert running(folder) is None
    assert json.loads(review("start", "--json")[-1]) == answer
    assert login(local, *next(iter(people.items())))


@pytest.mark.server
def test_secrets_lie_in_one_private_file_and_nowhere_else(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    local = start(folder, users=["anna"])
    login(local, local.email, local.password)
    secrets = [local.password, local.token, *local.users.values(), "sk-hunter2"]
    assert not [path for path in folder.rglob("*") if mode(path) & 0o077], "others may read it"
    assert mode(folder) == 0o700
    texts = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    holding = {path.name for path, text in texts.items() for secret in secrets if secret.encode() in text}
    assert holding == {"credentials.json", "label_studio.sqlite3"}, "the token is a column of Label Studio's"
    assert not [
        path for path, text in texts.items() if local.password.encode() in text and path.name != "credentials.json"
    ]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            shown = (process / "cmdline").read_bytes()
            shown += (process / "environ").read_bytes() if process.name == str(local.pid) else b""
        except (FileNotFoundError, ProcessLookupError):
            continue
        assert not [secret for secret in secrets if secret.encode() in shown]
    assert not (Path.home() / ".config" / "label-studio").exists()
    assert (folder / ".config" / "label-studio" / "user_id").is_file()
    assert not [path for path in tmp_path.iterdir() if path != folder]


@pytest.mark.server
def test_after_a_kill_it_starts_again_on_the_same_data_and_port_or_on_another_where_that_is_taken(folder):
    local = start(folder)
    number = project(local, "kept")
    os.kill(local.pid, signal.SIGKILL)
    while state.served(folder):
        time.sleep(0.01)
    assert running(folder) is None
    again = start(folder)
    assert (again.url, again.token, again.pid != local.pid) == (local.url, local.token, True)
    assert get(again, f"/api/projects/{number}")["title"] == "kept"

    stop(folder)
    port = int(local.url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(UsageError, match=f"Port {port} is taken"):
            start(folder, port=port)
        assert running(folder) is None
        moved = start(folder)
    assert moved.url != local.url
    assert get(moved, f"/api/projects/{number}")["title"] == "kept"


@pytest.mark.server
def test_two_starts_at_once_give_one_server_also_when_the_first_is_killed_on_the_way(folder):
    code = """
import sys
from pathlib import Path
from workbench.label_studio.server import start
local = start(Path(sys.argv[1]), progress=lambda line: print(line, file=sys.stderr, flush=True))
print(local.pid, local.url, local.token)
"""
    command = [sys.executable, "-c", code, str(folder)]
    kept = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
    }
    with subprocess.Popen(command, **kept) as killed:
        while killed.stderr.readline() != "Starting Label Studio.\n":
            pass
        time.sleep(0.5)  # its server is on the way
        killed.kill()
    with subprocess.Popen(command, **kept) as one, subprocess.Popen(command, **kept) as two:
        answers = [one.communicate(timeout=120), two.communicate(timeout=120)]
    assert len({out for out, _ in answers}) == 1
    assert sum("waiting for it" in err for _, err in answers) == 1
    local = running(folder)
    assert answers[0][0] == f"{local.pid} {local.url} {local.token}\n"
    assert get(local, "/api/current-user/whoami")["email"] == local.email
    assert login(local, local.email, local.password)

    python, _ = python_of(None, print)
    done = run_inside(python, folder, "serve", str(folder), "0", stdin="[]")
    assert (done.returncode, done.stdout) == (HELD, "")
    assert running(folder) == local


@pytest.mark.server
def test_no_two_benches_share_a_key_and_lost_files_are_made_anew(folder, tmp_path):
    local = start(folder)
    other = start(tmp_path / "other")
    try:
        assert (folder / ".env").read_text() != (tmp_path / "other" / ".env").read_text()
        with pytest.raises(HTTPError) as caught:
            get(Local(local.url, other.token, "", "", 0), "/api/current-user/whoami")
        assert caught.value.code == 401
    finally:
        stop(tmp_path / "other")
    number = project(local, "kept")
    (folder / "credentials.json").unlink()
    renewed = start(folder)
    assert renewed.pid == local.pid
    assert renewed.token != local.token
    assert get(renewed, f"/api/projects/{number}")["title"] == "kept"
    assert login(renewed, renewed.email, renewed.password)

    stop(folder)
    (folder / "label_studio.sqlite3").unlink()
    empty = start(folder)
    assert (empty.token, empty.password) == (renewed.token, renewed.password)
    assert get(empty, "/api/projects")["count"] == 0
    assert login(empty, empty.email, empty.password)


@pytest.mark.server
def test_a_server_that_hangs_or_cannot_start_is_two_sentences(folder, monkeypatch):
    local = start(folder)
    monkeypatch.setattr(server, "_HEALTH", 1.0)
    os.kill(local.pid, signal.SIGSTOP)
    with pytest.raises(ServiceError, match="does not answer") as caught:
        start(folder)
    assert "wb review stop" in caught.value.hint
    monkeypatch.setattr(state, "_PATIENCE", 0.5)
    assert stop(folder), "a stopped process is killed"
    (folder / "label_studio.sqlite3").write_bytes(b"no database at all" * 100)
    with pytest.raises(ServiceError, match=r"did not start: .*not a database") as caught:
        start(folder)
    assert "server.log" in caught.value.hint
    assert running(folder) is None
