"""Candidates to people and back, through a real Label Studio."""

import signal
import time

import pytest
from reviewing import DEMO, TOKEN, approve, edit, ledger, pulled, pushed, reject, relabel, spawn, states, stocked

pytestmark = pytest.mark.server


def test_push_sends_what_is_due_once(home, wb, person):
    first = pushed(wb, "--sample", "0.1")
    assert set(first) == {"project", "url", "tasks", "predictions"}
    assert first["tasks"] > 15
    assert first["predictions"] == first["tasks"]
    assert pushed(wb, "--sample", "0.1") | {"url": ""} == first | {"url": "", "tasks": 0, "predictions": 0}
    tasks = person.tasks(first["project"])
    assert len(tasks) == first["tasks"]
    for uid, task in tasks.items():
        row = ledger(home).sample(uid)
        assert task["data"]["label"] == row.label
        assert task["data"]["examples"]
        (prediction,) = task["predictions"]
        assert prediction["result"][0]["from_name"] == "new_label"
        assert prediction["result"][0]["value"]["choices"] != [row.label]


def test_what_people_say_comes_back_once_and_changes_the_rows(home, wb, person):
    project = pushed(wb)["project"]
    tasks = sorted(person.tasks(project).values(), key=lambda task: "\n" not in task["data"]["text"])
    label = next(t["data"]["label"] for t in tasks if t["data"]["label"] != tasks[2]["data"]["label"])
    person.annotate(tasks[0], *approve(), seconds=4.5)
    person.annotate(tasks[1], *edit("agent: 我想把宽带停了\ncustomer: 好的，帮您登记"))
    person.annotate(tasks[2], *relabel(label))
    person.annotate(tasks[3], *reject("unnatural", "truncated"))
    person.annotate(tasks[4], skipped=True)
    first = pulled(wb)
    assert {k: first[k] for k in ("new", "approve", "edit", "relabel", "reject", "skipped")} == {
        "new": 5, "approve": 1, "edit": 1, "relabel": 1, "reject": 1, "skipped": 1,
    }  # fmt: skip
    assert pulled(wb)["new"] == 0
    uids = [task["data"]["uid"] for task in tasks[:5]]
    found = {c.sample.id: c for c in ledger(home).candidates()}
    assert [found[uid].judgement.state for uid in uids] == ["approve", "edit", "relabel", "reject", "skipped"]
    assert [turn.text for turn in found[uids[1]].sample.turns] == ["我想把宽带停了", "好的，帮您登记"]
    assert found[uids[2]].sample.label == label
    review = found[uids[0]].judgement.review
    assert (review.seconds, review.reviewer) == (4.5, "wb@localhost.local") or review.reviewer
    assert found[uids[3]].judgement.review.reasons == ("unnatural", "truncated")
    assert [found[uid].accepted for uid in uids] == [True, found[uids[1]].passed, found[uids[2]].passed, False, False]


def test_an_edit_that_the_gate_is_against_is_not_accepted(home, wb, person):
    task = next(iter(person.tasks(pushed(wb)["project"]).values()))
    person.annotate(task, *edit("agent: 喂喂喂\ncustomer: 你好"))
    assert pulled(wb)["dropped_again"] == 1
    (row,) = [c for c in ledger(home).candidates() if c.sample.id == task["data"]["uid"]]
    assert not row.passed
    assert not row.accepted


def test_a_change_of_mind_counts_and_a_deleted_annotation_does_not(home, wb, person):
    tasks = list(person.tasks(pushed(wb)["project"]).values())
    one, other = (task["data"]["uid"] for task in tasks[:2])
    first, second = person.annotate(tasks[0], *edit("user: 别的\nagent: 好的")), person.annotate(tasks[1], *reject())
    before = ledger(home).sample(one)
    pulled(wb)
    assert ledger(home).sample(one) != before
    person.change(first, *approve())
    person.delete(second)
    again = pulled(wb)
    assert (again["new"], again["approve"], again["withdrawn"]) == (1, 1, 1)
    assert ledger(home).sample(one) == before
    assert states(home)[one] == "approve"
    assert states(home)[other] == "unseen"


def test_an_annotation_that_decides_nothing_is_noted_and_its_row_waits(home, wb, person):
    tasks = list(person.tasks(pushed(wb)["project"]).values())
    blank = person.annotate(tasks[0])
    person.annotate(tasks[1], *edit("   "))
    found = pulled(wb)
    assert (found["new"], found["unreadable"]) == (2, 2)
    assert {reject.reason for reject in ledger(home).rejects()} >= {"no_verdict", "empty_edit"}
    assert states(home)[tasks[0]["data"]["uid"]] == "unseen"
    status = wb("review", "status", "--json").json
    assert status["waiting"] == len(tasks)
    assert sorted(row["reason"] for row in status["unreadable"]) == ["empty_edit", "no_verdict"]
    person.change(blank, *approve())
    pulled(wb)
    status = wb("review", "status", "--json").json
    assert status["waiting"] == len(tasks) - 1
    assert [row["reason"] for row in status["unreadable"]] == ["empty_edit"]


def test_a_failed_lot_is_held_back_and_then_looked_at_in_full(tmp_path, wb, studio_server, person, monkeypatch):
    rows = [{"text": f"您好[SEP]我要查第{i}个月的话费账单明细", "asked": "咨询（含查询）业务资费"} for i in range(80)]
    folder = stocked(tmp_path / "lot", wb, studio_server.url, rows=rows)
    monkeypatch.chdir(folder)
    project = pushed(wb)["project"]
    tasks = person.tasks(project)
    assert 10 < len(tasks) < 60
    for task in tasks.values():
        person.annotate(task, *reject("unnatural"))
    held = pulled(wb)["held"]
    assert held == 80 - len(tasks)
    assert not ledger(folder).accepted()
    assert pushed(wb)["tasks"] == held
    for uid, task in person.tasks(project).items():
        if uid not in tasks:
            person.annotate(task, *approve())
    pulled(wb)
    assert len(ledger(folder).accepted()) == held


def test_people_who_disagree_get_a_third(home, wb, person, studio_server):
    project = pushed(wb)["project"]
    task = next(iter(person.tasks(project).values()))
    uid = task["data"]["uid"]
    person.annotate(task, *approve())
    people = {row["email"]: row["id"] for row in person.http.get("/api/users/").json()}
    body = {"result": reject(), "completed_by": next(n for mail, n in people.items() if mail.startswith("anna"))}
    person.http.post(f"/api/tasks/{task['id']}/annotations/", json=body).raise_for_status()
    pulled(wb)
    assert states(home)[uid] == "disputed"
    assert pushed(wb)["tasks"] == 1
    last = person.tasks(project)[f"{uid}.adjudicate"]
    assert {line["text"] for line in last["data"]["opinions"]} == {"approve", "reject"}
    person.annotate(last, *reject("unsafe"))
    pulled(wb)
    assert states(home)[uid] == "reject"


def test_a_deleted_project_is_told_and_made_again_with_what_is_open(home, wb, person):
    project = pushed(wb)["project"]
    tasks = list(person.tasks(project).values())
    person.annotate(tasks[0], *approve())
    pulled(wb)
    person.http.delete(f"/api/projects/{project}/").raise_for_status()
    for verb in ("push", "pull"):
        done = wb("review", verb)
        assert done.code == 1
        assert "gone" in done.err or "deleted" in done.err
        assert "--new" in done.err
    again = pushed(wb, "--new")
    assert again["tasks"] == len(tasks) - 1
    assert states(home)[tasks[0]["data"]["uid"]] == "approve"


def test_a_class_that_came_later_can_be_chosen(home, wb, person):
    first = pushed(wb, "--sample", "0.1")
    (home / "more.csv").write_text("text,label\n我要开发票,开发票\n发票怎么开,开发票\n", encoding="utf-8")
    assert wb("data", "add", "more.csv", "--split", "train").code == 0
    assert pushed(wb, "--sample", "0.1")["project"] == first["project"]
    config = person.http.get(f"/api/projects/{first['project']}/").json()["label_config"]
    assert "开发票" in config


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script><b>粗</b>", "a\x00\x07\x1bb", "长" * 100_000, "半个\ud83d表情"]
)
def test_any_text_is_shown_as_it_is(text, tmp_path, wb, studio_server, person, monkeypatch):
    folder = stocked(tmp_path / "odd", wb, studio_server.url, rows=[{"text": "查话费", "asked": "办理开户"}])
    monkeypatch.chdir(folder)
    from workbench.records import Origin, Sample, Turn, Verdict

    opened = ledger(folder)
    row = Sample("odd", (Turn("user", text),), "办理开户", "train", "synthetic", Origin("x", "", "", (), 0, ""))
    if "\ud83d" in text:
        row = Sample("odd", (Turn("user", "半个�表情"),), row.label, "train", "synthetic", row.origin)
    with opened.write("generate", "read") as writer:
        writer.samples([row])
        writer.verdicts("odd", [Verdict("length", True)])
    project = pushed(wb)["project"]
    task = person.tasks(project)["odd"]
    assert task["data"]["text"] == row.text
    person.annotate(task, *edit(row.text + "！"))
    pulled(wb)
    assert ledger(folder).sample("odd").text == row.text + "！"


def test_wrong_token_and_no_server_are_said(home, wb, monkeypatch):
    monkeypatch.setenv(TOKEN, "0" * 40)
    done = wb("review", "push")
    assert done.code == 1
    assert "token" in done.err
    assert "0" * 40 not in done.err
    monkeypatch.delenv(TOKEN)
    done = wb("review", "push")
    assert TOKEN in done.err
    monkeypatch.setenv(TOKEN, "1" * 40)
    done = wb("review", "pull", "--set", "review.url=http://127.0.0.1:9")
    assert done.code == 1
    assert "127.0.0.1:9" in done.err


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_of_two_processes_at_once_one_is_told(verb, home, wb, person):
    pushed(wb)
    both = [spawn(home, verb), spawn(home, verb)]
    errors = [process.communicate()[1].decode() for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 1])  # one may have ended before the other began
    if 1 in codes:
        assert any("Another wb process" in error for error in errors)


def many(tmp_path, wb, url, n):
    rows = [{"text": f"您好[SEP]我要查第{i}号账单，帮我看一下", "asked": "咨询（含查询）业务资费"} for i in range(n)]
    return stocked(tmp_path / "many", wb, url, rows=rows, full_below=10_000)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.5, 1.5, 3.0])
def test_a_push_that_was_killed_goes_on_and_doubles_nothing(after, tmp_path, wb, studio_server, person, monkeypatch):
    folder = many(tmp_path, wb, studio_server.url, 3000)
    monkeypatch.chdir(folder)
    process = spawn(folder, "push")
    began = time.monotonic()
    while ledger(folder).people.project("review") is None and time.monotonic() - began < 60:
        time.sleep(0.05)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    project = pushed(wb)["project"]
    tasks = person.http.get("/api/tasks", params={"project": project, "page_size": 1}).json()
    assert tasks["total"] == 3000
    assert tasks["total_predictions"] == 3000
    assert len(person.tasks(project)) == 3000
    assert pushed(wb)["tasks"] == 0


@pytest.mark.slow
def test_a_pull_that_was_killed_goes_on_and_doubles_nothing(tmp_path, wb, studio_server, person, monkeypatch):
    folder = many(tmp_path, wb, studio_server.url, 1500)
    monkeypatch.chdir(folder)
    project = pushed(wb)["project"]
    for task in list(person.tasks(project).values())[:600]:
        person.annotate(task, *approve())
    for after in (0.8, 1.4, 2.0):
        process = spawn(folder, "pull")
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    pulled(wb)
    found = ledger(folder)
    assert len(found.people.annotations("review")) == 600
    assert len(found.people.said()) == 600
    assert sum(state == "approve" for state in states(folder).values()) == 600


@pytest.mark.slow
def test_the_loop_waits_for_people_and_goes_on(tmp_path, wb, studio_server, person, monkeypatch):
    folder = stocked(tmp_path / "loop", wb, studio_server.url)
    monkeypatch.chdir(folder)
    for split in ("dev", "test"):
        assert wb("data", "add", DEMO / f"{split}.csv", "--split", split).code == 0
    loop = ("run", "--set", "run.review=true", "--set", "run.minority=false", "--set", "review.sample=0.1")
    done = wb(*loop)
    assert done.code == 75, done.err
    assert "tasks wait for people" in done.err
    project = ledger(folder).people.project("review").number
    tasks = person.tasks(project)
    assert f"{len(tasks)} tasks wait" in done.err
    assert wb(*loop).code == 75
    for task in tasks.values():
        person.annotate(task, *reject("unnatural"))
    done = wb(*loop)
    assert done.code == 0, done.err
    refused = {uid for uid, state in states(folder).items() if state == "reject"}
    assert refused == set(tasks)
    version = ledger(folder).runs("train")[-1].version
    assert not refused & ledger(folder).rows_of(version)


def test_status_says_what_people_did(tmp_path, wb, studio_server, person, monkeypatch):
    rows = [{"text": f"您好[SEP]我要查第{i}个月的话费账单明细", "asked": "咨询（含查询）业务资费"} for i in range(80)]
    rows += [{"text": f"喂喂喂[SEP]第{i}次", "asked": "咨询（含查询）业务资费"} for i in range(20)]
    folder = stocked(tmp_path / "status", wb, studio_server.url, rows=rows, wage=36)
    monkeypatch.chdir(folder)
    project = pushed(wb, "--audit", "10")["project"]
    tasks = person.tasks(project)
    audited = [task for task in tasks.values() if task["data"]["queue"] == "audit"]
    assert len(audited) == 10
    assert {task["data"]["evidence"] == [] for task in audited} == {True}
    for i, task in enumerate(tasks.values()):
        bad = task in audited
        person.annotate(task, *(reject("unnatural") if bad or i == 3 else approve()), seconds=10)
    pulled(wb)
    found = wb("review", "status", "--json").json
    assert (found["tasks"], found["waiting"]) == (len(tasks), 0)
    assert found["progress"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": len(tasks)}
    rate = found["defects"]["咨询（含查询）业务资费"]
    assert rate.keys() == {"value", "low", "high", "n"}
    assert 0 <= rate["low"] <= rate["value"] <= rate["high"] < 1
    assert found["gate"]["dropped_bad"]["value"] == 1.0
    assert found["gate"]["rules"]["keyword"]["precision"]["n"] == 10
    (one,) = found["reviewers"]
    assert one["seconds"] == 10
    assert found["seconds_per_approved"] == pytest.approx(10 * len(tasks) / found["approved"])
    assert found["cost_per_approved"] == pytest.approx(0.1 * len(tasks) / found["approved"], rel=1e-6)
    shown = wb("review", "status")
    assert "Defect rate of the rows that nobody looked at" in shown.out or rate["high"] == 0


def test_agreement_of_rows_that_two_reviewed(home, wb, person):
    project = pushed(wb)["project"]
    people = {row["email"]: row["id"] for row in person.http.get("/api/users/").json()}
    anna = next(n for mail, n in people.items() if mail.startswith("anna"))
    for i, task in enumerate(list(person.tasks(project).values())[:12]):
        person.annotate(task, *(approve() if i % 2 else reject()))
        body = {"result": approve() if i % 2 or i == 0 else reject(), "completed_by": anna}
        person.http.post(f"/api/tasks/{task['id']}/annotations/", json=body).raise_for_status()
    pulled(wb)
    found = wb("review", "status", "--json").json["agreement"]
    assert found["raw"]["value"] == pytest.approx(11 / 12)
    for name in ("cohen_kappa", "fleiss_kappa", "krippendorff_alpha"):
        assert found[name].keys() == {"value", "low", "high", "n"}
        assert 0.7 < found[name]["value"] < 1
        assert found[name]["n"] == 12
