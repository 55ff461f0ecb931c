"""Label Studio's ML backend: what it answers on the wire, what it refuses, what it never repeats."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.assets import find
from workbench.encode import Cached, HashedNgrams
from workbench.errors import DataError, ServiceError, WorkbenchError
from workbench.flow.models import predictors as flow
from workbench.flow.models.predictors import RunPredictor
from workbench.flow.serve.run import listen, open_model, servable
from workbench.flow.train.run import predict, train
from workbench.label_studio.labelling import problems, read, with_choices
from workbench.records import Sample, Turn
from workbench.serve import ServeConfig, label_studio_app
from workbench.serve.fill import control, fill

LABELS = ("查余额", "退订", "投诉")
REVIEW = with_choices(find("label_configs", "review.xml").read_text("utf-8"), "new_label", LABELS)
PLAIN = """<View><Text name="utterance" value="$query"/>
<Choices name="intent" toName="utterance"><Choice value="查余额"/><Choice value="退订"/><Choice value="别的"/></Choices></View>"""
DYNAMIC = (
    '<View><Text name="t" value="$text"/><Choices name="class" toName="t" value="$label_options"/>'
    '<Choices name="sure" toName="t"><Choice value="yes"/><Choice value="no"/></Choices></View>'
)
TOKEN = "c0ffee" * 6 + "abcd"


class Words:
    """Probabilities by the words of a text: a predictor whose answers are plain to see."""

    labels = LABELS
    version = "20260101-000000-train"

    def predict(self, texts):
        scores = np.array([[1 + 8 * ("余额" in t), 1 + 6 * ("退" in t), 1 + 4 * ("投诉" in t)] for t in texts])
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32).reshape(len(texts), 3)


class Client:
    """Requests to an app in this process."""

    def __init__(self, app):
        self.app = app

    def __call__(self, method, path, **options):
        import httpx

        async def ask():
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())


@pytest.fixture
def log():
    return []


@pytest.fixture
def ask(log):
    return Client(
        label_studio_app(Words(), versions=["20260101-000000-train", "20250101-000000-train"], log=log.append)
    )


def task(text, **data):
    return {"id": 7, "data": {"uid": "u", "text": text, "query": text, **data}}


def predicted(ask, tasks, config=PLAIN):
    answer = ask("POST", "/predict", json={"tasks": tasks, "label_config": config, "project": "1.2", "params": {}})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_health_setup_and_versions_name_the_model(ask):
    assert ask("GET", "/health").json() == {"status": "UP", "model_version": Words.version}
    assert ask("POST", "/setup", json={"schema": PLAIN}).json() == {"model_version": Words.version}
    assert ask("GET", "/versions").json() == {"versions": [Words.version, "20250101-000000-train"]}


def test_predictions_come_in_the_order_of_the_tasks_with_class_certainty_and_version(ask):
    first, second = predicted(ask, [task("帮我退掉"), task("余额多少")])
    item = {"from_name": "intent", "to_name": "utterance", "type": "choices", "value": {"choices": ["退订"]}}
    assert first == {"result": [item], "score": pytest.approx(7 / 9), "model_version": Words.version}
    assert second["result"][0]["value"]["choices"] == ["查余额"]
    assert second["score"] > first["score"]


def test_the_review_config_gets_a_new_label_and_never_a_verdict(ask):
    options = [{"value": label} for label in LABELS]
    (found,) = predicted(ask, [task("我要投诉", label="退订", label_options=options, examples=[])], REVIEW)
    assert [item["from_name"] for item in found["result"]] == ["new_label"]
    assert found["result"][0]["value"] == {"choices": ["投诉"]}
    assert problems(read(REVIEW), found["result"]) == []


def test_classes_called_like_verdicts_still_fill_no_verdict():
    classes = ["approve", "reject", "edit"]
    assert control(with_choices(REVIEW, "new_label", classes), classes).control.name == "new_label"


def test_of_dynamic_choices_only_those_the_task_offers_are_chosen_and_their_probability_is_not_scaled_up(ask):
    tasks = [task("余额", label_options=[{"value": "退订"}, "投诉"]), task("余额", label_options=[{"value": "无关"}])]
    some, none = predicted(ask, tasks, DYNAMIC)
    assert some["result"][0]["value"]["choices"] == ["退订"]
    assert some["score"] == pytest.approx(1 / 11)
    assert none == []


def test_an_alias_is_what_stands_in_the_result(ask):
    config = PLAIN.replace('<Choice value="退订"/>', '<Choice value="Unsubscribe" alias="退订"/>')
    assert predicted(ask, [task("退")], config)[0]["result"][0]["value"]["choices"] == ["退订"]


def test_tasks_without_text_get_no_prediction_and_are_counted_in_the_log(ask, log):
    tasks = [task(""), task(" \n"), task(None), {"id": 1}, {"id": 2, "data": None}, task("余额")]
    found = predicted(ask, tasks)
    assert found[:5] == [[]] * 5
    assert found[5]["score"] > 0.5
    assert log[-1].startswith("predict: 6 tasks, 5 without text,")


def test_a_dialogue_is_joined_as_in_training(ask):
    asked = []

    class Spy(Words):
        def predict(self, texts):
            asked.extend(texts)
            return super().predict(texts)

    config = PLAIN.replace("<Text ", '<Paragraphs textKey="said" ')
    dialogue = [{"author": "用户", "said": "你好"}, {"author": "客服", "said": "余额不足"}]
    fill(Spy(), config, [{"data": {"query": dialogue}}])
    assert asked == ["你好[SEP]余额不足"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("<View", "not readable as XML"),
        ('<View><Text name="t" value="$text"/></View>', "no <Choices> with classes of the model"),
        (PLAIN.replace("查余额", "a").replace("退订", "b"), "its choices are: a, b, 别的"),
        (PLAIN.replace('value="$query"', 'value="$url" valueType="url"'), "no <Choices> with classes of the model"),
        (PLAIN.replace('toName="utterance">', 'toName="utterance" perRegion="true">'), "no <Choices>"),
        (
            PLAIN.replace(
                "</View>",
                '<Choices name="other" toName="utterance"><Choice value="查余额"/><Choice value="投诉"/></Choices></View>',
            ),
            "2 controls that take classes of the model: intent, other",
        ),
    ],
)
def test_a_config_that_cannot_be_filled_is_refused_with_two_sentences_at_setup_too(ask, log, config, said):
    for answer in (
        ask("POST", "/predict", json={"tasks": [task("余额")], "label_config": config}),
        ask("POST", "/setup", json={"schema": config}),
    ):
        assert answer.status_code == 422
        assert said in answer.json()["error"]
        assert answer.json()["hint"].strip()
    assert log[0].startswith("predict: refused. ")
    assert log[1].startswith("setup: refused. ")
    assert all(said in line for line in log)


def test_the_token_that_setup_hands_over_is_neither_logged_nor_answered(ask, log):
    bodies = [
        {"schema": PLAIN, "access_token": TOKEN, "project": "1.2", "hostname": "http://x", "extra_params": None},
        {"schema": "<View", "access_token": TOKEN},
        {"schema": {"access_token": TOKEN}},
        [TOKEN],
    ]
    answers = [ask("POST", "/setup", json=body) for body in bodies]
    answers.append(
        ask("POST", "/setup", content=f'{{"access_token": "{TOKEN}",', headers={"content-type": "application/json"})
    )
    assert [answer.status_code for answer in answers] == [200, 422, 422, 422, 400]
    assert not any(TOKEN in answer.text or TOKEN in str(answer.headers) for answer in answers)
    assert not any(TOKEN in line for line in log)


def test_bad_bodies_are_answered_with_a_sentence(ask):
    def post(**options):
        answer = ask("POST", "/predict", **options)
        return answer.status_code, answer.json()["error"]

    as_json = {"content-type": "application/json"}
    assert post(content=b"{", headers=as_json) == (400, "The request body is not JSON (character 1).")
    assert post(content=b"\xff\xfe", headers=as_json)[0] == 400
    assert post(content=b"[" * 100_000, headers=as_json)[0] == 400
    assert post(json=[]) == (422, "The request body is not a JSON object.")
    assert post() == (422, "The request body is not a JSON object.")
    assert post(json={"tasks": []}) == (422, "label_config: Field required.")
    assert post(json={"tasks": ["x"], "label_config": PLAIN}) == (422, "tasks.0: Input should be a valid dictionary.")
    assert ask("GET", "/nothing").json()["error"] == "There is nothing at this path."
    assert ask("GET", "/predict").status_code == 405


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_answered_with_413_whether_its_length_was_announced_or_not(announced):
    ask = Client(label_studio_app(Words(), ServeConfig(max_body_mb=0.01)))
    body = json.dumps({"tasks": [task("余额" * 9000)], "label_config": PLAIN}).encode()

    async def pieces():
        for i in range(0, len(body), 1000):
            yield body[i : i + 1000]

    answer = ask(
        "POST", "/predict", content=body if announced else pieces(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.json()["error"] == "The request body is larger than 0.01 MB."
    assert "serve.max_body_mb" in answer.json()["hint"]
    assert ask("POST", "/predict", json={"tasks": [task("余额")], "label_config": PLAIN}).status_code == 200


def test_webhook_events_are_counted_and_training_is_left_to_wb_train(ask, log):
    for _ in range(2):
        ask("POST", "/webhook", json={"action": "ANNOTATION_CREATED", "annotation": {"token": TOKEN}})
    ask("POST", "/webhook", json={"action": "a\nforged line"})
    answer = ask("POST", "/webhook", json={"action": "START_TRAINING", "project": {}})
    assert answer.status_code == 200
    assert "wb train" in answer.json()["message"]
    assert log == [
        "webhook: ANNOTATION_CREATED (1 so far)",
        "webhook: ANNOTATION_CREATED (2 so far)",
        "webhook: unknown event (1 so far)",
        "webhook: START_TRAINING (1 so far)",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["query", "text", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "data", "x"]), JSON, max_size=3), max_size=4))
def test_any_tasks_are_answered_one_for_one(tasks):
    found = fill(Words(), PLAIN, tasks)
    assert len(found.results) == len(tasks)
    assert sum(result == [] for result in found.results) == found.without_text + found.without_class


@given(st.text() | st.builds(lambda inner: f"<View>{inner}</View>", st.text(alphabet="<>/ChoicesTxtname='$ ")))
def test_any_config_is_read_or_refused(config):
    with contextlib.suppress(WorkbenchError):
        control(config, LABELS)


# What a bench serves.


@pytest.fixture
def filled(bench):
    """Two classes that the hashed encoder tells apart."""
    rows = [
        Sample(f"{label}-{i}", (Turn("user", f"{text}{i}"),), label, "train")
        for label, text in (("查余额", "我想查一下余额"), ("退订", "把这个业务退订"))
        for i in range(6)
    ]
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows)
    return bench


def test_the_newest_run_of_gated_rows_is_served_then_the_newest_then_the_named(filled):
    human = train(filled, "human").run.name
    assert open_model(filled)[0].version == human
    gated = train(filled, "gated").run.name
    later = train(filled, "human").run.name
    predictor, versions = open_model(filled)
    assert predictor.version == gated
    assert versions == [gated, later, human]
    assert open_model(filled, later)[0].version == later


def test_runs_of_another_encoder_are_not_offered_and_the_error_says_so(filled):
    run = train(filled).run

    class Other(HashedNgrams):
        name, fingerprint = "other", "f" * 16

    assert servable(filled, Other()) == []
    with pytest.raises(DataError, match="another encoder"):
        RunPredictor(run, Other())


def test_the_served_model_says_what_evaluation_would_say(filled):
    run = train(filled).run
    rows = filled.ledger.samples(split="train")
    predictor, _ = open_model(filled)
    texts = [row.text for row in rows]
    assert predictor.labels == ("查余额", "退订")
    expected = predict(filled, run, rows).probabilities
    assert np.allclose(predictor.predict(texts), expected, atol=1e-6)
    assert np.allclose(predictor.predict([texts[3], texts[3], "新的"])[:2], expected[3], atol=1e-6)
    assert predictor.predict([]).shape == (0, 2)
    assert predictor.predict(["\ud83d", "\0", "x" * 100_000]).shape == (3, 2)


def test_what_was_computed_is_remembered_up_to_a_limit_and_not_written_to_disk(filled, monkeypatch):
    train(filled)
    monkeypatch.setattr(flow, "_REMEMBERED", 5)
    monkeypatch.setattr(flow, "_CHUNK", 2)
    predictor, _ = open_model(filled)
    stored = sorted((filled.root / "cache" / "vectors").rglob("*.npz"))
    texts = [f"没见过{i}" for i in range(9)]
    first = predictor.predict(texts)
    assert len(predictor._recent) == 5
    with monkeypatch.context() as patched:
        patched.setattr(predictor, "_encoder", None)  # would fail if it were asked
        assert np.array_equal(predictor.predict(texts[-5:]), first[-5:])
    assert np.allclose(predictor.predict(texts), first, atol=1e-6)
    assert sorted((filled.root / "cache" / "vectors").rglob("*.npz")) == stored


def test_a_read_only_cache_gives_what_is_stored_and_keeps_nothing(tmp_path):
    folder = tmp_path / "vectors"
    Cached(HashedNgrams(), folder).encode(["一"])
    reader = Cached(HashedNgrams(), folder, store=False)
    files = sorted(folder.rglob("*"))
    assert np.array_equal(reader.encode(["二", "一"]), HashedNgrams().encode(["二", "一"]))
    assert sorted(folder.rglob("*")) == files
    assert len(reader._known) == 1


def test_many_threads_get_their_own_answers(filled):
    train(filled)
    predictor, _ = open_model(filled)
    texts = [f"{word}{i}" for word in ("余额", "退订") for i in range(40)]
    expected = dict(zip(texts, open_model(filled)[0].predict(texts), strict=True))
    wrong = []

    def work(some):
        found = predictor.predict(some)
        wrong.extend(t for t, row in zip(some, found, strict=True) if not np.allclose(row, expected[t], atol=1e-6))

    threads = [threading.Thread(target=work, args=(texts[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_no_run_and_nothing_to_serve_are_two_sentences(bench, wb):
    done = wb("serve", "--label-studio", "--port", "0")
    assert done.code == 1
    assert "There is no finished train run" in done.err
    assert "Make one with: wb train" in done.err
    done = wb("serve", "--port", "0")
    assert done.code == 1
    assert "There is no finished train run" in done.err
    done = wb("serve", "--port", "0", "--model", "promoted")
    assert "No run of this bench was promoted" in done.err
    assert "wb models promote RUN" in done.err


def test_a_port_in_use_is_found_before_a_model_is_loaded(bench, wb):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = wb("serve", "--label-studio", "--port", port)
    assert done.code == 1
    assert f"Cannot listen on 127.0.0.1, port {port}: Address already in use." in done.err
    assert "--port" in done.err


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ServiceError, match=r"Cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", 0)
    with pytest.raises(ServiceError, match=r"^Cannot listen on nowhere\.invalid, port 80: [^()]*\.$"):
        listen("nowhere.invalid", 80)


def test_a_client_that_gave_up_finds_the_work_done_when_it_asks_again(filled, monkeypatch):
    train(filled)
    predictor, _ = open_model(filled)
    encode, asked, busy = predictor._encoder.encode, [], threading.Event()

    def slow(texts):
        asked.extend(texts)
        busy.wait(10)
        return encode(texts)

    monkeypatch.setattr(predictor._encoder, "encode", slow)
    threads = [threading.Thread(target=predictor.predict, args=(["甲", "乙"],)) for _ in range(2)]
    for thread in threads:
        thread.start()
    busy.set()
    for thread in threads:
        thread.join()
    assert asked == ["甲", "乙"]


def test_it_listens_on_this_machine_only_unless_told_otherwise():
    assert ServeConfig().host == "127.0.0.1"


def test_the_command_serves_until_ctrl_c_and_ends_well(filled):
    run = train(filled).run.name
    command = [sys.executable, "-m", "workbench", "serve", "--label-studio", "--port", "0", "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(flow.__file__).parents[2])}
    with subprocess.Popen(
        command, cwd=filled.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        said = json.loads(server.stdout.readline())
        with urlopen(f"{said['url']}/health", timeout=10) as answer:
            assert json.load(answer)["status"] == "UP"
        assert said["url"].startswith("http://127.0.0.1:")
        assert (said["model_version"], said["classes"]) == (run, 2)
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=20)
    assert server.returncode == 0
    assert err.splitlines()[-1] == "Stopped."
    assert "Traceback" not in err
