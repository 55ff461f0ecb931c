"""A real Label Studio connects the backend, asks it for predictions and serves the most doubtful task first."""

import threading
from contextlib import contextmanager
from time import sleep

import pytest

from workbench.assets import find
from workbench.flow.serve.run import listen, open_model, url_of
from workbench.flow.train.run import train
from workbench.label_studio.labelling import read, with_choices
from workbench.records import Sample, Turn
from workbench.serve import label_studio_app

CLASSES = {"查余额": "我想查一下余额", "退订": "把这个业务退订", "投诉": "我要投诉客服态度"}
pytestmark = pytest.mark.server


@pytest.fixture
def model(bench):
    """A model of three classes that the hashed encoder tells apart."""
    rows = [
        Sample(f"{label}-{i}", (Turn("user", f"{text}{i}"),), label, "train")
        for label, text in CLASSES.items()
        for i in range(6)
    ]
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows)
    train(bench)
    return open_model(bench)[0]


@pytest.fixture
def studio(studio_server):
    import httpx

    headers = {"Authorization": f"Token {studio_server.token}"}
    with httpx.Client(base_url=studio_server.url, headers=headers, timeout=60) as client:
        yield client


@contextmanager
def backend(predictor, log):
    """The backend on a port of its own, in a thread."""
    import uvicorn

    with listen("127.0.0.1", 0) as listening:
        app = label_studio_app(predictor, versions=[predictor.version], log=log.append)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            sleep(0.01)
        yield url_of(listening)
        server.should_exit = True
        thread.join()


def project(studio, title, config):
    answer = studio.post("/api/projects", json={"title": title, "label_config": config})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def connect(studio, number, url, title):
    return studio.post("/api/ml", json={"project": number, "url": url, "title": title})


def tasks_of(studio, number):
    asked = {"project": number, "page_size": 100, "fields": "all", "include": "id,data,predictions,predictions_score"}
    return studio.get("/api/tasks", params=asked).json()["tasks"]


def test_label_studio_takes_predictions_and_serves_the_most_doubtful_task_first(model, studio, studio_server):
    config = with_choices(find("label_configs", "review.xml").read_text("utf-8"), "new_label", model.labels)
    texts = ["我想查一下余额", "余额投诉", "把这个业务退订吧", "  ", "态度", "我要投诉客服态度"]
    number, log = project(studio, "backend review", config), []
    every = dict.fromkeys(read(config).fields, "") | {name: [] for name in ("examples", "rivals", "opinions")}
    data = [every | {"uid": f"u{i}", "text": text} for i, text in enumerate(texts)]
    answer = studio.post(f"/api/projects/{number}/import", json=[{"data": one} for one in data])
    assert answer.status_code == 201, answer.text
    with backend(model, log) as url:
        answer = connect(studio, number, url, model.version)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["state"], answer.json()["model_version"]) == ("CO", model.version)
        # Named like its version, the backend is what the project's predictions, scores and order go by.
        assert studio.get(f"/api/projects/{number}").json()["model_version"] == model.version
        answer = studio.post(
            "/api/dm/actions",
            params={"id": "retrieve_tasks_predictions", "project": number},
            json={"selectedItems": {"all": True, "excluded": []}},
        )
        assert answer.status_code == 200, answer.text
        stored = {task["data"]["uid"]: task for task in tasks_of(studio, number)}
        expected = dict(zip(texts, model.predict(texts), strict=True))
        for task in stored.values():
            if not task["data"]["text"].strip():
                assert task["predictions"] == []
                continue
            (prediction,) = task["predictions"]
            row = expected[task["data"]["text"]]
            assert prediction["result"][0]["value"]["choices"] == [model.labels[row.argmax()]]
            assert prediction["score"] == pytest.approx(float(row.max()), abs=1e-6)
            assert task["predictions_score"] == prediction["score"]
        studio.patch(f"/api/projects/{number}", json={"sampling": "Uncertainty sampling"})
        served = []
        for _ in range(4):
            task = studio.get(f"/api/projects/{number}/next").json()
            served.append(task["data"]["uid"])
            verdict = {"from_name": "verdict", "to_name": "text", "type": "choices", "value": {"choices": ["approve"]}}
            studio.post(f"/api/tasks/{task['id']}/annotations", json={"result": [verdict]})
        by_score = sorted((t for t in stored.values() if t["predictions"]), key=lambda t: t["predictions_score"])
        assert served == [task["data"]["uid"] for task in by_score[:4]]
        # A task without text is opened without harm.
        blank = next(task for task in stored.values() if not task["data"]["text"].strip())
        assert studio.get(f"/api/tasks/{blank['id']}").status_code == 200
        connected = studio.get("/api/ml", params={"project": number}).json()[0]
        assert studio.get(f"/api/ml/{connected['id']}/versions").json() == {"versions": [model.version]}
        studio.post(f"/api/ml/{connected['id']}/train")
        assert studio.get("/api/ml", params={"project": number}).json()[0]["state"] == "CO"
    assert any(line.startswith("predict: 6 tasks, 1 without text, ") for line in log)
    assert "webhook: ANNOTATION_CREATED (4 so far)" in log
    assert "webhook: START_TRAINING (1 so far)" in log
    assert not any(studio_server.token in line for line in log)
    studio.delete(f"/api/projects/{number}")


def test_a_project_of_plain_classification_is_filled_when_a_task_is_opened(model, studio):
    choices = "".join(f'<Choice value="{label}"/>' for label in model.labels)
    config = f'<View><Text name="t" value="$text"/><Choices name="class" toName="t">{choices}</Choices></View>'
    number, log = project(studio, "backend plain", config), []
    studio.post(f"/api/projects/{number}/import", json=[{"data": {"text": "我要投诉客服态度"}}])
    with backend(model, log) as url:
        assert connect(studio, number, url, model.version).status_code == 201
        (task,) = tasks_of(studio, number)
        (prediction,) = studio.get(f"/api/tasks/{task['id']}").json()["predictions"]
    assert prediction["result"][0]["value"] == {"choices": ["投诉"]}
    assert (prediction["model_version"], prediction["result"][0]["from_name"]) == (model.version, "class")
    studio.delete(f"/api/projects/{number}")


def test_a_project_without_a_usable_control_is_not_connected_and_the_log_says_why(model, studio):
    config = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="no"/></Choices></View>'
    number, log = project(studio, "backend unusable", config), []
    with backend(model, log) as url:
        answer = connect(studio, number, url, model.version)
    assert answer.status_code == 400
    assert "incompatible" in answer.text
    assert log[0].startswith(
        "setup: refused. The label config has no <Choices> with classes of the model; its choices are: no."
    )
    studio.delete(f"/api/projects/{number}")
