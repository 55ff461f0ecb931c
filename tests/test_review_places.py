"""Where the tasks of a bench are: servers that get another address, projects that are gone, benches without rows."""

import json
from threading import Timer

import pytest
from reviewing import approve, edit, ledger, pulled, pushed, reject, states, stocked

from workbench.assets import find
from workbench.flow.review.connect import TITLE

pytestmark = pytest.mark.server


def elsewhere(url):
    """The same server by another address."""
    return f"review.url={url.replace('127.0.0.1', 'localhost')}"


def test_a_server_at_another_address_is_known_by_its_project(home, wb, person, studio_server):
    project = pushed(wb)["project"]
    tasks = list(person.tasks(project).values())
    person.annotate(tasks[0], *approve())
    assert pulled(wb)["new"] == 1
    person.annotate(tasks[1], *reject())
    moved = elsewhere(studio_server.url)
    assert wb("review", "pull", "--json", "--set", moved).json["new"] == 1
    again = pushed(wb, "--set", moved)
    assert (again["project"], again["tasks"]) == (project, 0)
    assert wb("review", "pull", "--json", "--set", moved).json["new"] == 0
    assert len(ledger(home).people.said()) == 2


def test_a_project_of_somebody_else_that_has_the_number_is_left_alone(home, wb, person):
    project = pushed(wb)["project"]
    other = person.http.post("/api/projects/", json={"title": "other", "label_config": "<View/>"}).json()
    with ledger(home).write("test", "number") as writer:
        known = ledger(home).people.project("review")
        writer.project(type(known)(known.place, known.kind, known.url, other["id"], known.config))
    for verb in ("push", "pull"):
        done = wb("review", verb)
        assert done.code == 1
        assert f"The project {other['id']}" in done.err
        assert "gone" in done.err
    assert pushed(wb, "--new")["project"] == project
    assert person.http.get(f"/api/projects/{other['id']}/").json()["label_config"] == "<View/>"


def test_the_long_name_of_a_folder_is_cut_in_the_title(tmp_path, wb, studio_server, person, monkeypatch):
    folder = stocked(tmp_path / ("一个很长的名字_" * 9), wb, studio_server.url)
    monkeypatch.chdir(folder)
    number = pushed(wb, "--sample", "0.05")["project"]
    assert len(person.http.get(f"/api/projects/{number}/").json()["title"]) == TITLE


def test_a_bench_without_rows_has_answers_rated(tmp_path, wb, studio_server, person, monkeypatch):
    (tmp_path / "wb.yaml").write_text(f"review: {{url: '{studio_server.url}', rating: {{dimensions: [fluency]}}}}\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.jsonl").write_text(json.dumps({"question": "q", "answer": "a"}) + "\n", encoding="utf-8")
    number = pushed(wb, "--project", "rating", "answers.jsonl")["project"]
    (task,) = person.tasks(number).values()
    stars = {"from_name": "rate_fluency", "to_name": "answer", "type": "rating", "value": {"rating": 4}}
    person.annotate(task, stars)
    assert pulled(wb)["new"] == 1
    assert wb("review", "status", "--project", "rating", "--json").json["rated"] == 1
    ledger(tmp_path).close()


def test_of_several_projects_those_that_are_there_are_read_though_one_is_gone(home, wb, person):
    (home / "answers.jsonl").write_text(json.dumps({"question": "q", "answer": "a"}) + "\n", encoding="utf-8")
    rating = pushed(wb, "--project", "rating", "answers.jsonl")["project"]
    project = pushed(wb)["project"]
    person.annotate(next(iter(person.tasks(project).values())), *approve())
    person.http.delete(f"/api/projects/{rating}/").raise_for_status()
    done = wb("review", "pull")
    assert done.code == 1
    assert "--project rating --new" in done.err
    assert len(ledger(home).people.said()) == 1


def test_what_one_of_two_reviewers_did_is_sent_to_a_new_project_for_the_other(home, wb, person):
    two = ("--set", "review.reviewers=[wb@localhost, anna]", "--set", "review.overlap=1", "--sample", "0.05")
    project = pushed(wb, *two)["project"]
    tasks = list(person.tasks(project).values())
    uid, text = tasks[0]["data"]["uid"], tasks[0]["data"]["text"]
    person.annotate(tasks[0], *edit("user: 我要查流量\nagent: 好的"))
    pulled(wb)
    person.http.delete(f"/api/projects/{project}/").raise_for_status()
    again = pushed(wb, "--new", *two)
    assert again["tasks"] == len(tasks)
    sent = person.tasks(again["project"])[uid]
    assert sent["data"]["text"] == text  # as the first one saw it, not as edited since
    anna = next(row["id"] for row in person.http.get("/api/users/").json() if row["email"].startswith("anna"))
    body = {"result": approve(), "completed_by": anna}
    person.http.post(f"/api/tasks/{sent['id']}/annotations/", json=body).raise_for_status()
    pulled(wb)
    assert states(home)[uid] == "disputed"


def test_an_answer_that_one_of_two_rated_is_sent_to_a_new_project_for_the_other(home, wb, person):
    (home / "answers.jsonl").write_text(json.dumps({"question": "q", "answer": "a"}) + "\n", encoding="utf-8")
    rate = ("--project", "rating", "answers.jsonl", "--set", "review.rating.dimensions=[fluency]")
    project = pushed(wb, *rate)["project"]
    (task,) = person.tasks(project).values()
    person.annotate(task, {"from_name": "rate_fluency", "to_name": "answer", "type": "rating", "value": {"rating": 4}})
    pulled(wb)
    person.http.delete(f"/api/projects/{project}/").raise_for_status()
    assert pushed(wb, *rate, "--new")["tasks"] == 1


def test_a_reviewer_without_an_account_is_named(home, wb, person):
    names = "review.reviewers=[anna, wb@localhost, carla]"
    done = wb("review", "push", "--sample", "0.02", "--set", names)
    assert done.code == 0
    assert "has no account of carla, whom" in done.err


def test_watch_ends_when_nobody_has_anything_left_to_do_of_any_kind(home, wb, person):
    (home / "answers.jsonl").write_text(json.dumps({"question": "q", "answer": "a"}) + "\n", encoding="utf-8")
    one = ("--set", "review.rating.dimensions=[fluency]", "--set", "review.rating.raters=1")
    project = pushed(wb, "--project", "rating", "answers.jsonl", *one)["project"]
    (task,) = person.tasks(project).values()
    stars = {"from_name": "rate_fluency", "to_name": "answer", "type": "rating", "value": {"rating": 4}}
    later = Timer(2.0, person.annotate, (task, stars))
    later.start()
    done = wb("review", "watch", "--until-done", "--every", "1", "--json", *one)
    later.join()
    assert [line["waiting"] for line in done.lines][-1] == 0
    assert sum(line["new"] for line in done.lines) == 1


def test_a_task_that_someone_deleted_is_sent_again_although_others_were_added(home, wb, person):
    project = pushed(wb, "--sample", "0.05")["project"]
    tasks = list(person.tasks(project).values())
    answered, lost = tasks[0], tasks[1]
    person.annotate(answered, *approve())
    pulled(wb)
    for task in (answered, lost):
        person.http.delete(f"/api/tasks/{task['id']}/").raise_for_status()
    strangers = [{"data": {**tasks[2]["data"], "uid": f"stranger {i}"}} for i in range(3)]
    person.http.post(f"/api/projects/{project}/import", json=strangers).raise_for_status()
    person.annotate(person.tasks(project)["stranger 0"], *reject())
    found = pulled(wb)
    assert (found["new"], found["foreign"]) == (0, 1)
    assert pushed(wb, "--sample", "0.05")["tasks"] == 1
    assert lost["data"]["uid"] in person.tasks(project)
    assert states(home)[answered["data"]["uid"]] == "approve"


def test_a_task_that_does_not_fit_the_label_config_is_not_sent(home, wb, person):
    shipped = find("label_configs", "review.xml", [home]).read_text(encoding="utf-8")
    (home / "label_configs").mkdir()
    for old, new, say in (
        ('value="$queue"', 'value="$origin"', "refers to $origin, and the task"),
        ('name="text" value="$text"', 'name="text" value="$txt"', "refers to $txt, and the task"),
    ):
        assert old in shipped
        (home / "label_configs" / "mine.xml").write_text(shipped.replace(old, new), encoding="utf-8")
        done = wb("review", "push", "--set", "review.config=mine.xml")
        assert done.code == 1
        assert say in done.err
        assert "There are: uid, text, label" in done.err
    assert person.tasks(ledger(home).people.project("review").number) == {}


def test_a_prediction_that_does_not_fit_the_label_config_is_not_sent(home, wb, person, monkeypatch):
    from workbench.review import tasks

    wrong = [{"from_name": "new_label", "to_name": "text", "type": "choices", "value": {"choices": ["nirgends"]}}]
    monkeypatch.setattr(tasks, "prediction", lambda beside: wrong)
    done = wb("review", "push")
    assert done.code == 1
    assert "'nirgends' is not a choice of 'new_label'" in done.err
