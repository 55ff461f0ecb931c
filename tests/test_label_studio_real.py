"""The client against a real Label Studio: nothing lost, nothing doubled, whatever is killed or cut off."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from label_studio import studio_server as studio_server

from workbench.errors import ServiceError
from workbench.label_studio import (
    Denied,
    Gone,
    Refused,
    Studio,
    Task,
    Unanswered,
    View,
    changed,
    labelling_link,
    put,
    writer,
)
from workbench.label_studio.query import walk
from workbench.label_studio.transport import Transport

pytestmark = pytest.mark.server
pytest.importorskip("label_studio_sdk")

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="verdict" toName="text" required="true"><Choice value="approve"/><Choice value="reject"/></Choices>
<TextArea name="edited_text" toName="text"/></View>"""
ROOT = Path(__file__).parents[1]


def verdict(value):
    return [{"from_name": "verdict", "to_name": "text", "type": "choices", "value": {"choices": [value]}}]


def tasks(count, start=0, *, predicted=True, **data):
    prediction = verdict("approve") if predicted else None
    return [Task(f"u{i:05}", {"text": f"文本 {i}", **data}, prediction, 0.5, "wb") for i in range(start, start + count)]


def send(studio, number, wanted, progress=lambda _: None):
    return [uid for batch in studio.put(number, wanted, progress=progress) for uid in batch]


def standing(studio, number):
    """uid -> whether it has a prediction, of all tasks; fails where one is there twice."""
    rows = list(walk(studio._transport, number, [], "id,data,predictions"))
    found = {row["data"]["uid"]: bool(row["predictions"]) for row in rows}
    assert len(found) == len(rows)
    return found


def seen(studio, number, since="", known=()):
    return [one for batch in studio.changed(number, since, known) for one in batch]


@pytest.fixture
def studio(studio_server):
    with Studio.connect(studio_server.url, studio_server.token) as opened:
        yield opened


@pytest.fixture
def project(studio):
    return studio.create("client test", CONFIG, model_version="wb")


@pytest.fixture
def wire(monkeypatch):
    """Every call of the client: a list of (method, path, bytes of the answer), and hooks before and after it."""

    class Wire:
        calls: list = []  # noqa: RUF012
        before = after = staticmethod(lambda *_: None)

    wire, call = Wire(), Transport.call
    wire.calls = []

    def recorded(self, method, path, *, body=None, **rest):
        changed_body = wire.before(method, path, body)
        answer = call(self, method, path, body=body if changed_body is None else changed_body, **rest)
        wire.calls.append((method, path, len(json.dumps(answer))))
        wire.after(method, path, answer)
        return answer

    monkeypatch.setattr(Transport, "call", recorded)
    return wire


@pytest.fixture
def quick(monkeypatch):
    """No long pauses."""
    monkeypatch.setattr(put, "_PAUSES", (0.05,) * 4)


# Sending


def test_a_push_stands_with_its_predictions_and_a_second_one_adds_nothing(studio, project, monkeypatch):
    monkeypatch.setattr(put.in_batches, "__kwdefaults__", {"rows": 20, "most": 10**6})
    batches = list(studio.put(project, tasks(50)))
    assert [len(batch) for batch in batches] == [20, 20, 10]
    assert send(studio, project, tasks(60)) == [task.uid for task in tasks(60)]
    assert standing(studio, project) == {task.uid: True for task in tasks(60)}
    assert studio.count(project) == 60


def test_a_fresh_project_is_filled_without_looking_anything_up(studio, project, wire):
    send(studio, project, tasks(30))
    assert not [path for _, path, _ in wire.calls if path == "api/tasks"]


def test_what_is_there_is_looked_up_once_for_tasks_that_are_made_part_by_part(studio, project, wire):
    send(studio, project, tasks(10))
    wanted = tasks(60)
    wire.calls.clear()
    with studio.writing(project, [task.uid for task in wanted]) as writer:
        sent = [uid for start in (0, 20, 40) for batch in writer.put(wanted[start : start + 20]) for uid in batch]
    assert sorted(sent) == [task.uid for task in wanted]
    assert len([path for _, path, _ in wire.calls if path == "api/tasks"]) == 1
    assert standing(studio, project) == {task.uid: True for task in wanted}


def test_no_tasks_are_no_request(studio, project, wire):
    assert send(studio, project, []) == []
    assert wire.calls == []
    assert studio.present(project, []) == {}
    assert seen(studio, project) == []


def test_text_comes_back_as_it_was_sent_whatever_it_is(studio, project):
    texts = {
        "long": "字" * 100_000,
        "html": "<script>alert(1)</script><b onclick=x>&amp;</b>",
        "control": "a\x00b\x01\r\n\t\u2028\u202e\ufeff",
        "emoji": "👩‍👩‍👧 𠀀",
        "percent": "100%25 %41 +",
    }
    send(studio, project, [Task(uid, {"text": text}) for uid, text in texts.items()])
    send(studio, project, [Task("half", {"text": "a\ud83d", "list": ["\udc00"]})])
    rows = {row["data"]["uid"]: row["data"] for row in walk(studio._transport, project, [], "id,data")}
    assert {uid: rows[uid]["text"] for uid in texts} == texts
    assert rows["half"] == {"uid": "half", "text": "a\ufffd", "list": ["\ufffd"]}


def test_any_uid_is_found_again(studio, project):
    uids = ["%41", "a+b c", '"quoted"', "\\u0041", "安娜", "&=#?", "A" * 300]
    send(studio, project, [Task(uid, {"text": "t"}) for uid in uids])
    found = studio.present(project, [*uids, "A", "b"])
    assert set(found) == set(uids)
    assert len(set(found.values())) == len(uids)


def test_present_finds_the_same_by_looking_up_and_by_reading_everything(studio, project):
    send(studio, project, tasks(250))
    uids = [task.uid for task in tasks(300)]
    everything = studio.present(project, uids)
    assert set(everything) == {task.uid for task in tasks(250)}
    assert studio.present(project, uids[:5]) == {uid: everything[uid] for uid in uids[:5]}


def test_predictions_that_the_server_loses_are_sent_again(studio, project, wire):
    def lose(_, path, body):
        """What the server makes of an import that hit a locked database: tasks without their predictions, and 201."""
        if path.endswith("/import"):
            return [{"data": row["data"]} for row in json.loads(body)]
        return None

    wire.before, said = lose, []
    send(studio, project, tasks(250), said.append)
    assert all(standing(studio, project).values())
    assert len(standing(studio, project)) == 250
    assert any("250 tasks and 0 predictions were stored of 250 and 250: mending" in line for line in said)


def test_a_push_mends_the_predictions_that_an_earlier_one_could_not(studio, project):
    send(studio, project, tasks(30, predicted=False))
    send(studio, project, tasks(30))
    assert set(standing(studio, project).values()) == {True}


def test_mended_predictions_prefill_although_the_project_named_no_version(studio):
    number = studio.create("client test", CONFIG)
    send(studio, number, tasks(3, predicted=False))
    send(studio, number, tasks(3))
    assert studio._transport.sdk.projects.get(number).model_version == "wb"


def test_predictions_that_do_not_fit_the_config_are_not_reported_as_stored(studio, project):
    send(studio, project, tasks(2, predicted=False))
    wrong = [Task(task.uid, task.data, verdict("nope"), 0.5, "wb") for task in tasks(2)]
    with pytest.raises(ServiceError, match="but not the predictions of 2"):
        send(studio, project, wrong)


@pytest.mark.parametrize("done", [True, False], ids=["carried out", "never arrived"])
def test_a_lost_answer_neither_doubles_nor_loses_a_batch(studio, project, wire, quick, done):
    lost = []

    def cut(_, path, *__):
        if path.endswith("/import") and not lost:
            lost.append(path)
            raise Unanswered("No answer.", "")

    setattr(wire, "after" if done else "before", cut)
    send(studio, project, tasks(40))
    assert standing(studio, project) == {task.uid: True for task in tasks(40)}
    assert len([path for _, path, _ in wire.calls if path.endswith("/import")]) == 1


def test_a_batch_of_which_only_a_part_arrived_is_completed(studio, project, wire, quick):
    lost = []

    def cut(_, path, body):
        if path.endswith("/import") and not lost:
            lost.append(path)
            studio._transport.call("POST", path, what="half", body=json.loads(body)[:7])
            raise Unanswered("No answer.", "")

    wire.before = cut
    send(studio, project, tasks(20))
    assert standing(studio, project) == {task.uid: True for task in tasks(20)}


def test_a_server_that_stays_away_is_an_error_and_the_next_push_waits_for_what_was_under_way(
    studio, project, wire, quick, monkeypatch
):
    monkeypatch.setattr(writer, "SETTLED", 0.5)

    def away(_, path, *__):
        raise Unanswered("Away.", "Start it.", reached=not path.endswith("/tasks"))

    wire.before = lambda method, path, body: away(method, path) if "import" in path or path == "api/tasks" else None
    with pytest.raises(Unanswered, match="Away"):
        send(studio, project, tasks(5))
    wire.before, said = staticmethod(lambda *_: None), []
    # The request of the dead sender arrives after all.
    late = threading.Timer(0.1, lambda: send_raw(studio, project, tasks(5)))
    late.start()
    send(studio, project, tasks(8), said.append)
    late.join()
    assert "cut off" in said[0]
    assert standing(studio, project) == {task.uid: True for task in tasks(8)}


def send_raw(studio, number, wanted):
    body = [put.in_batches([task]) for task in wanted]
    rows = [row for batches in body for _, sent in batches for row in json.loads(sent)]
    studio._transport.call("POST", f"api/projects/{number}/import", what="project", body=rows)


def test_copies_of_a_task_go_but_never_one_that_somebody_annotated(studio, project):
    send_raw(studio, project, tasks(3) + tasks(3))
    rows = list(walk(studio._transport, project, [("data.uid", "equal", "u00001", "String")], "id"))
    studio.answer(project, rows[1]["id"], verdict("reject"))
    send(studio, project, tasks(4))
    assert standing(studio, project) == {task.uid: True for task in tasks(4)}
    assert studio.present(project, ["u00001"]) == {"u00001": rows[1]["id"]}


def test_copies_that_arrive_late_from_a_sender_long_dead_are_found_at_the_end(studio, project, wire):
    arrived = []

    def late(_, path, *__):
        if path.endswith("/import") and not arrived:
            arrived.append(path)
            send_raw(studio, project, tasks(4, 2))

    wire.after = late
    send(studio, project, tasks(10))
    assert standing(studio, project) == {task.uid: True for task in tasks(10)}


def test_a_push_that_is_given_up_leaves_the_server_to_the_next(studio, project, monkeypatch):
    monkeypatch.setattr(put.in_batches, "__kwdefaults__", {"rows": 5, "most": 10**6})
    given_up = studio.put(project, tasks(20))
    assert len(next(given_up)) == 5
    given_up.close()
    said = []
    assert len(send(studio, project, tasks(20), said.append)) == 20
    assert not [line for line in said if "waiting" in line]


def test_a_kill_of_the_sender_at_any_moment_loses_and_doubles_nothing(studio, studio_server, project, tmp_path):
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
        from test_label_studio_real import Studio, tasks
        from workbench.label_studio import batches
        batches.in_batches.__kwdefaults__["rows"] = 150
        studio = Studio.connect({studio_server.url!r}, sys.stdin.readline().strip())
        for batch in studio.put({project}, tasks(3000)):
            print(len(batch), flush=True)
    """)
    for pause in (0.05, 0.3):
        with subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as sender:
            sender.stdin.write(studio_server.token + "\n")
            sender.stdin.flush()
            assert sender.stdout.readline()
            time.sleep(pause)
            sender.kill()
    assert studio.count(project) < 3000
    assert send(studio, project, tasks(3000))
    assert standing(studio, project) == {task.uid: True for task in tasks(3000)}


def test_two_processes_that_push_at_once_lose_no_predictions(studio, studio_server):
    numbers = [studio.create(f"at once {i}", CONFIG, model_version="wb") for i in range(2)]
    script = textwrap.dedent(f"""
        import sys
        sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
        from test_label_studio_real import Studio, send, tasks
        from workbench.label_studio import batches
        batches.in_batches.__kwdefaults__["rows"] = 100
        send(Studio.connect({studio_server.url!r}, sys.stdin.readline().strip()), int(sys.argv[1]), tasks(600))
    """)
    senders = [
        subprocess.Popen([sys.executable, "-c", script, str(number)], stdin=subprocess.PIPE, text=True)
        for number in numbers
    ]
    for sender in senders:
        sender.communicate(studio_server.token + "\n", timeout=300)
    assert [sender.returncode for sender in senders] == [0, 0]
    for number in numbers:
        assert standing(studio, number) == {task.uid: True for task in tasks(600)}


# What people did


def test_new_changed_skipped_and_deleted_annotations_are_found_and_nothing_else(studio, project, wire):
    send(studio, project, tasks(300))
    there = studio.present(project, [task.uid for task in tasks(300)])
    wire.calls.clear()
    assert seen(studio, project) == []
    assert sum(size for _, _, size in wire.calls) < 2000
    number = studio.answer(project, there["u00001"], verdict("approve"), seconds=4.5)
    studio.answer(project, there["u00002"], [], skipped=True)
    first = seen(studio, project)
    assert [one.uid for one in first] == ["u00001", "u00002"]
    made, skip = (one.annotations[0] for one in first)
    assert (made.number, made.annotator, made.seconds, made.skipped) == (number, studio.me(), 4.5, False)
    assert made.result == verdict("approve")
    assert (skip.skipped, skip.result) == (True, [])
    known = {one.uid for one in first}

    sdk = studio._transport.sdk
    sdk.annotations.update(number, result=verdict("reject"))
    second = {one.uid: one for one in seen(studio, project, first[-1].changed, known)}
    assert set(second) == {"u00001"}
    assert second["u00001"].annotations[0].result == verdict("reject")
    assert second["u00001"].annotations[0].updated > made.updated
    sdk.annotations.delete(number)
    third = seen(studio, project, second["u00001"].changed, known)
    assert [(one.uid, one.annotations) for one in third] == [("u00001", ())]


@pytest.mark.parametrize("few", [500, 0], ids=["read", "looked up"])
def test_a_deleted_annotation_is_found_beside_a_fresh_push(studio, project, wire, monkeypatch, few):
    monkeypatch.setattr(changed, "_FEW", few)
    send(studio, project, tasks(5))
    task = studio.present(project, ["u00000"])["u00000"]
    number = studio.answer(project, task, verdict("approve"))
    since = seen(studio, project)[-1].changed
    send(studio, project, tasks(400, 5))
    studio._transport.sdk.annotations.delete(number)
    wire.calls.clear()
    assert [(one.uid, one.annotations) for one in seen(studio, project, since, {"u00000"})] == [("u00000", ())]
    assert sum(size for _, _, size in wire.calls) < 4000
    assert [one.uid for one in seen(studio, project, "", {"u00000"})] == ["u00000"]


def test_a_pull_that_is_cut_off_after_any_batch_goes_on_from_there(studio, project, monkeypatch):
    monkeypatch.setattr(changed, "BATCH", 3)
    send(studio, project, tasks(20))
    there = studio.present(project, [task.uid for task in tasks(20)])
    order = [f"u{i:05}" for i in (7, 3, 9, 1, 12, 0, 5)]
    for uid in order:
        studio.answer(project, there[uid], verdict("approve"))
    got, since = [], ""
    for _ in range(10):
        batch = next(iter(studio.changed(project, since)), None)
        if batch is None:
            break
        got += [one.uid for one in batch]
        since = batch[0].changed
    assert got == order


def test_a_second_look_transfers_nothing_of_the_first(studio, project, wire):
    send(studio, project, tasks(60))
    there = studio.present(project, [task.uid for task in tasks(60)])
    everything = {"selectedItems": {"all": False, "included": [there[f"u{i:05}"] for i in range(50)]}}
    params = {"id": "predictions_to_annotations", "project": project}
    studio._transport.call("POST", "api/dm/actions", what="action", params=params, body=everything)
    first = seen(studio, project)
    assert len(first) == 50
    assert seen(studio, project, first[-1].changed, [one.uid for one in first]) == []
    studio.answer(project, there["u00055"], verdict("reject"))
    second = seen(studio, project, first[-1].changed)
    assert [one.uid for one in second] == ["u00055"]
    assert seen(studio, project, second[-1].changed) == []


def test_what_a_bulk_action_changes_in_one_moment_is_all_found(studio, project, monkeypatch):
    monkeypatch.setattr(changed, "BATCH", 7)
    send(studio, project, tasks(30))
    everything = {"selectedItems": {"all": True, "excluded": []}}

    def act(name):
        params = {"id": name, "project": project}
        studio._transport.call("POST", "api/dm/actions", what="action", params=params, body=everything)

    act("predictions_to_annotations")
    first = seen(studio, project)
    assert {one.uid for one in first} == {task.uid for task in tasks(30)}
    act("delete_tasks_annotations")
    known = [one.uid for one in first]
    second = seen(studio, project, first[-1].changed, known)
    assert [one.annotations for one in second] == [()] * 30


def test_an_answer_for_somebody_else_carries_their_name(studio, project):
    send(studio, project, tasks(1))
    other = next(
        number for number, email in studio.people().items() if email.startswith("anna")
    )  # other tests make and drop accounts
    studio.answer(project, studio.present(project, ["u00000"])["u00000"], verdict("approve"), as_user=other)
    assert seen(studio, project)[0].annotations[0].annotator == studio.people()[other]


def test_annotation_numbers_are_not_handed_out_again(studio, project):
    send(studio, project, tasks(1))
    task = studio.present(project, ["u00000"])["u00000"]
    first = studio.answer(project, task, verdict("approve"))
    studio._transport.sdk.annotations.delete(first)
    assert studio.answer(project, task, verdict("approve")) > first


# Projects and tabs


def test_a_project_is_found_by_its_exact_title_only(studio):
    title = f"title {time.time()}"
    number = studio.create(title, CONFIG, overlap=2, instruction="<b>Do it.</b>")
    studio.create(f"{title} longer", CONFIG)
    assert studio.find(title) == number
    assert studio.find(title[:-1]) is None
    assert studio.config(number) == CONFIG
    assert studio.made(number)


def test_a_project_that_is_gone_is_told_apart(studio, project):
    send(studio, project, tasks(1))
    studio._transport.sdk.projects.delete(project)
    assert studio.made(project) is None
    for ask in (
        lambda: studio.count(project),
        lambda: send(studio, project, tasks(1)),
        lambda: seen(studio, project),
        lambda: studio.config(project),
        lambda: studio.view(project, View("tab")),
        lambda: studio.configure(project, CONFIG),
    ):
        with pytest.raises(Gone, match=f"has no project {project}"):
            ask()


def test_annotations_stand_against_a_config_without_their_control(studio, project):
    send(studio, project, tasks(2))
    for task in studio.present(project, ["u00000", "u00001"]).values():
        studio.answer(project, task, verdict("approve"))
    with pytest.raises(Refused, match="2 with from_name=verdict") as caught:
        studio.configure(project, CONFIG.replace('"verdict"', '"decision"'))
    assert "--new" in caught.value.hint
    wider = CONFIG.replace("</Choices>", '<Choice value="edit"/></Choices>')
    studio.configure(project, wider, overlap=3, model_version="of no prediction yet")
    assert studio.config(project) == wider
    send(studio, project, [Task("new", {"text": "t"}, verdict("edit"), 0.1, "of no prediction yet")])
    assert studio._transport.sdk.projects.get(project).model_version == "of no prediction yet"
    studio.configure(project, wider, model_version="wb")
    assert studio._transport.sdk.projects.get(project).model_version == "wb"


def test_a_config_that_is_none_is_refused_with_the_reason(studio):
    with pytest.raises(Refused, match="toName"):
        studio.create("wrong", CONFIG.replace('toName="text"', 'toName="nothing"'))


def test_a_tab_is_made_once_and_brought_up_to_date(studio, project):
    send(studio, project, tasks(3, quality=0.5))
    wanted = View("doubtful", [("data.uid", "contains", "1", "String")], ["-data.quality"], ["id", "data.text"])
    link = studio.view(project, wanted)
    assert studio.view(project, wanted) == link
    tab = int(link.rpartition("=")[2])
    queue = next_task(studio, project, tab)
    assert queue["data"]["uid"] == "u00001"
    data = studio._transport.sdk.views.get(str(tab)).data
    assert "tasks:data.text" not in data["hiddenColumns"]["explore"]
    assert "tasks:data.uid" in data["hiddenColumns"]["explore"]
    plain = studio.view(project, View("doubtful"))
    assert not studio._transport.sdk.views.get(plain.rpartition("=")[2]).data.get("ordering")
    assert labelling_link(plain).endswith("&labeling=1")


def next_task(studio, number, tab):
    """What the page's queue of this tab serves next, asked as the page asks; None at its end."""
    data = studio._transport.sdk.views.get(str(tab)).data
    body = {"filters": data["filters"], "ordering": data["ordering"]}
    params = {"id": "next_task", "project": number}
    with contextlib.suppress(Gone):
        return studio._transport.call("POST", "api/dm/actions", what="task left", params=params, body=body)
    return None


def token_of(server, email):
    """A personal access token of another account, made as its owner would in the page."""
    import httpx

    with httpx.Client(base_url=server.url, trust_env=False) as page:
        page.get("/user/login/")
        form = {"email": email, "password": server.users[email], "csrfmiddlewaretoken": page.cookies["csrftoken"]}
        page.post("/user/login/", data=form)
        headers = {"X-CSRFToken": page.cookies["csrftoken"], "Referer": server.url}
        for old in page.get("/api/token/").json():
            page.post("/api/token/blacklist/", json={"refresh": old["token"]}, headers=headers)
        made = page.post("/api/token/", headers=headers)
        assert made.status_code == 201, made.text
        return made.json()["token"]


def test_named_reviewers_have_queues_of_their_own_and_overlap_where_both_are_named(studio, studio_server):
    number = studio.create("reviewers", CONFIG, overlap=2, model_version="wb")
    names = sorted(studio_server.users)[:2]
    who = [f"|{names[0]}|{names[1]}|", f"|{names[0]}|", f"|{names[1]}|", f"|{names[0]}|{names[1]}|"]
    send(studio, number, [Task(f"t{i}", {"text": "t", "reviewers": some}) for i, some in enumerate(who)])
    tabs = {
        name: studio.view(number, View(name, [("data.reviewers", "contains", f"|{name}|", "String")], ["id"]))
        for name in names
    }
    people = {name: Studio.connect(studio_server.url, token_of(studio_server, name)) for name in names}
    served = {name: [] for name in names}
    for _ in range(4):
        for name, person in people.items():
            task = next_task(person, number, tabs[name].rpartition("=")[2])
            if task:
                served[name].append(task["data"]["uid"])
                # A skipped task does not come back to the same person, and still comes to the other.
                person.answer(number, task["id"], verdict("approve"), skipped=task["data"]["uid"] == "t0")
    for person in people.values():
        person.close()
    assert served == {names[0]: ["t0", "t1", "t3"], names[1]: ["t0", "t2", "t3"]}
    assert {one.uid: len(one.annotations) for one in seen(studio, number)} == {"t0": 2, "t1": 1, "t2": 1, "t3": 2}


# Tokens, kills


def test_a_personal_token_is_refreshed_when_its_access_runs_out(studio_server):
    person = sorted(studio_server.users)[0]
    with Studio.connect(studio_server.url, token_of(studio_server, person)) as studio:
        assert studio.me() == person
        tokens = studio._transport._wrapper._tokens_client
        first = tokens._access_token
        tokens._access_token = first[:-4] + "AAAA"  # the server no longer takes it, its date says it may
        assert studio.people()
        assert studio.count(studio.create("by person", CONFIG)) == 0
        assert tokens._access_token not in (first, first[:-4] + "AAAA")


def test_a_revoked_personal_token_is_said_to_be(studio_server):
    person = sorted(studio_server.users)[1]
    old = token_of(studio_server, person)
    token_of(studio_server, person)
    with pytest.raises(Denied, match="expired or was revoked") as caught:
        Studio.connect(studio_server.url, old)
    assert old[-20:] not in caught.value.message + caught.value.hint


def test_a_wrong_token_is_said_to_be(studio_server):
    with pytest.raises(Denied, match="does not know the token"):
        Studio.connect(studio_server.url, "0" * 40)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with a server that the test may kill."""
    from workbench.label_studio.server import start, stop

    folder = tmp_path_factory.mktemp("own") / "studio"
    yield lambda: start(folder)
    stop(folder)


def test_a_server_that_is_killed_in_mid_import_and_started_again_has_every_task_once(own):
    server = own()
    studio = Studio.connect(server.url, server.token)
    number = studio.create("killed", CONFIG, model_version="wb")
    wanted, got, fault = tasks(3000), [], []

    def push():
        try:
            got.extend(send(studio, number, wanted))
        except ServiceError as exc:
            fault.append(exc)

    pushing = threading.Thread(target=push)
    pushing.start()
    time.sleep(1.5)  # in the middle of the second batch, or near it
    os.kill(server.pid, signal.SIGKILL)
    time.sleep(0.5)
    assert own().url == server.url
    pushing.join(120)
    assert fault == []
    assert got == [task.uid for task in wanted]
    assert standing(studio, number) == {task.uid: True for task in wanted}
    studio.close()


def test_a_server_without_legacy_tokens_says_what_to_use(own):
    server = own()
    with Studio.connect(server.url, server.token) as studio:
        settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
        studio._transport.call("POST", "api/jwt/settings", what="settings", body=settings)
        with pytest.raises(Denied, match="does not take legacy tokens") as caught:
            studio.count(1)
        assert "personal access token" in caught.value.hint
