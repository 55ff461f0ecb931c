"""`wb serve` on the wire: what it answers, what it refuses, who may ask."""

import asyncio
import contextlib
import json
from base64 import b64encode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_serve import DYNAMIC, JSON, PLAIN, TOKEN, Client, Words, task

from workbench.errors import ConfigError, DataError
from workbench.serve import ServeConfig
from workbench.serve.app import serving_app
from workbench.serve.doors import hosts_of
from workbench.serve.ranked import ranked
from workbench.serve.said import joined
from workbench.serve.served import Examples, Served, Slot

ROWS = ["我想查余额", "余额还有多少", "帮我退订", "我要投诉", "我要投诉"]
CLASSES = ["查余额", "查余额", "退订", "投诉", "投诉"]


def vectors(texts):
    found = np.array([[1.0, t.count("余"), t.count("退"), t.count("投")] for t in texts], dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


class Echo:
    """A language model that repeats the last message."""

    def complete(self, messages, *, max_tokens, temperature, top_p, seed):
        from workbench.serve.served import Written

        if messages[-1]["content"] == "refuse":
            raise DataError("The dialogue is too long.", "Send fewer turns.")
        text = f"{messages[-1]['content']}|{max_tokens}|{temperature}|{top_p}|{seed}"
        return Written(text, "stop", len(messages), 7)


@pytest.fixture
def slot():
    return Slot(Served(Words(), Examples(vectors, ROWS, CLASSES, vectors(ROWS)), at=5))


@pytest.fixture
def ask(slot):
    return Client(serving_app(slot))


def test_one_text_and_several_are_answered_by_the_contract(ask):
    one = ask("POST", "/predict", json={"text": "余额多少"}).json()
    assert one["predictions"] == [
        {
            "label": "查余额",
            "probability": 0.818182,
            "top": [["查余额", 0.818182], ["退订", 0.090909], ["投诉", 0.090909]],
        }
    ]
    many = ask("POST", "/predict", json={"texts": ["退", "余额", "投诉"], "top": 1}).json()
    assert [p["label"] for p in many["predictions"]] == ["退订", "查余额", "投诉"]
    assert [len(p["top"]) for p in many["predictions"]] == [1, 1, 1]
    assert many["model_version"] == Words.version
    assert ask("POST", "/predict", json={"texts": []}).json()["predictions"] == []


def test_a_text_without_characters_among_others_gets_a_reason_and_is_not_dropped(ask):
    found = ask("POST", "/predict", json={"texts": ["", "余额", " \n"]}).json()["predictions"]
    assert [p["label"] for p in found] == [None, "查余额", None]
    assert found[0] == {"label": None, "probability": None, "top": [], "reason": "empty_text"}


def test_a_dialogue_is_joined_as_in_training():
    assert joined("a") == "a"
    assert joined(["您好", {"role": "user", "text": "余额"}, {"role": "user", "content": "x"}]) == "您好[SEP]余额[SEP]x"


@given(JSON)
def test_whatever_a_text_is_it_is_read_or_refused_in_a_sentence(value):
    if isinstance(value, str):
        assert joined(value) == value
    elif value and isinstance(value, list) and all(isinstance(turn, str) for turn in value):
        assert joined(value).split("[SEP]") == value
    else:
        with contextlib.suppress(ValueError):
            assert joined(value).encode()


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9), st.integers(1, 12))
def test_classes_are_ranked_by_probability(row, k):
    labels = [str(i) for i in range(len(row))]
    found = ranked(labels, np.array(row, np.float32), k)
    assert len(found) == min(k, len(row))
    assert [p for _, p in found] == sorted((round(p, 6) for p in row), reverse=True)[:k]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "neither `text` nor `texts`"),
        ({"text": "a", "texts": ["b"]}, "both `text` and `texts`"),
        ({"text": " "}, "text: it has no characters."),
        ({"text": 5}, "text: a text is a string, or a list of turns"),
        ({"texts": "abc"}, "texts: Input should be a valid list."),
        ({"texts": ["a", None]}, "texts.1: a text is a string"),
        ({"texts": ["a", [{"role": "user"}]]}, "texts.1: each turn is a string, or an object with a `text`."),
        ({"text": "a", "top": 0}, "top: Input should be greater than or equal to 1."),
        ({"text": "a", "tops": 3}, "There is no field 'tops' here."),
        ({"text": "abcdefghijk"}, "text: it has 11 characters; at most 10 are taken."),
        ({"texts": ["a"] * 4}, "texts: there are 4 of them; at most 3 are taken at a time."),
        ({"texts": ["a", "abcdefghijk"]}, "texts.1: it has 11 characters"),
    ],
)
def test_bad_requests_are_answered_with_two_sentences(slot, body, said):
    ask = Client(serving_app(slot, ServeConfig(max_chars=10, max_texts=3)))
    answer = ask("POST", "/predict", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert answer.json()["hint"].endswith((".", "."))


def test_what_is_no_json_or_too_large_is_refused(slot):
    ask = Client(serving_app(slot, ServeConfig(max_body_mb=0.001)))
    as_json = {"content-type": "application/json"}
    assert ask("POST", "/predict", content=b"{", headers=as_json).status_code == 400
    assert ask("POST", "/predict", json=["a"]).json()["error"] == "The request body is not a JSON object."
    assert ask("POST", "/predict", json={"text": "x" * 2000}).status_code == 413
    assert ask("GET", "/predict").status_code == 405
    assert ask("GET", "/nothing").status_code == 404


def test_half_characters_are_answered(ask):
    body = b'{"texts": ["\\ud83d", "\\u4f59\\u989d \\ud83d"]}'
    answer = ask("POST", "/predict", content=body, headers={"content-type": "application/json"})
    assert answer.json()["predictions"][1]["label"] == "查余额"


def test_a_failing_model_is_500_with_a_sentence_and_no_details(slot):
    import httpx

    class Broken(Words):
        def predict(self, texts):
            raise RuntimeError(TOKEN)

    slot.swap(Served(Broken()))

    async def post():
        transport = httpx.ASGITransport(app=serving_app(slot), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post("/predict", json={"text": "a"})

    answer = asyncio.run(post())
    assert answer.status_code == 500
    assert "failed on this request (RuntimeError)" in answer.json()["error"]
    assert TOKEN not in answer.text


def test_health_labels_and_nearest(ask):
    assert ask("GET", "/health").json() == {"status": "UP", "model_version": Words.version, "waiting": 0}
    assert ask("GET", "/labels").json() == {"labels": list(Words.labels), "model_version": Words.version}
    found = ask("POST", "/nearest", json={"text": "我的余额", "k": 9}).json()["examples"]
    assert {row["text"] for row in found[:2]} == {"我想查余额", "余额还有多少"}
    assert [row["label"] for row in found[:2]] == ["查余额", "查余额"]
    assert len(found) == 4  # one row is there twice, and no more than there are settings for are given
    assert found[0]["similarity"] == pytest.approx(1, abs=1e-3)
    assert len(ask("POST", "/nearest", json={"text": "余额", "k": 2}).json()["examples"]) == 2


def test_rows_are_not_given_out_where_the_setting_says_so(slot):
    ask = Client(serving_app(slot, ServeConfig(examples=0)))
    assert ask("POST", "/nearest", json={"text": "余额", "k": 3}).json() == {"examples": []}


def test_the_label_studio_routes_are_mounted(ask):
    found = ask("POST", "/label-studio/predict", json={"tasks": [task("余额")], "label_config": PLAIN}).json()
    assert found["results"][0]["result"][0]["value"]["choices"] == ["查余额"]
    assert ask("POST", "/label-studio/setup", json={"schema": DYNAMIC}).status_code == 200
    assert ask("GET", "/label-studio/health").json()["model_version"] == Words.version


def test_the_pages_load_nothing_from_elsewhere_and_only_their_own_script_runs(ask):
    page = ask("GET", "/")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
    docs = ask("GET", "/docs")
    for text in (page.text, docs.text):
        assert "http://" not in text
        assert "https://" not in text
    assert "POST /predict" in docs.text
    assert "GET /health" in docs.text
    schema = ask("GET", "/openapi.json").json()
    assert "/v1/chat/completions" in schema["paths"]


# The key, and the names of the machine.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic ???"}, 401),
        ({"Authorization": "sesame"}, 401),
        ({"X-API-Key": "sesame "}, 200),
        ({"Authorization": "Bearer sesame"}, 200),
        ({"Authorization": "bearer sesame"}, 200),
        ({"Authorization": "Basic " + b64encode(b"anybody:sesame").decode()}, 200),
    ],
)
def test_with_a_key_only_who_has_it_is_answered(slot, monkeypatch, headers, status):
    monkeypatch.setenv("WB_SERVE_KEY", "sesame")
    ask = Client(serving_app(slot))
    answer = ask("POST", "/predict", json={"text": "余额"}, headers=headers)
    assert answer.status_code == status
    assert ask("GET", "/openapi.json", headers=headers).status_code == status
    if status == 401:
        assert "sesame" not in answer.text
        assert answer.json()["hint"].startswith("Send the header Authorization: Bearer KEY")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask("GET", "/health").status_code == ask("GET", "/").status_code == 200


def test_an_empty_key_is_an_error_and_not_an_open_door(slot, monkeypatch):
    monkeypatch.setenv("WB_SERVE_KEY", " ")
    with pytest.raises(ConfigError, match="is set, but empty"):
        serving_app(slot)


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:9090", 200), ("localhost", 200), ("[::1]:9090", 200), ("evil.example", 403), ("", 403)],
)
def test_a_page_whose_name_was_led_here_gets_nothing(slot, host, status):
    ask = Client(serving_app(slot, hosts=hosts_of(ServeConfig(), "127.0.0.1")))
    assert ask("GET", "/labels", headers={"Host": host}).status_code == status


def test_further_names_can_be_allowed():
    assert hosts_of(ServeConfig(allowed_hosts=("*",)), "127.0.0.1") == ()
    assert "box.lan" in hosts_of(ServeConfig(allowed_hosts=("box.lan",)), "localhost")
    assert hosts_of(ServeConfig(), "0.0.0.0") == ()


# OpenAI's interface.


def test_a_tuned_language_model_answers_chats(slot):
    slot.swap(Served(Words(), chat=Echo(), at=5))
    ask = Client(serving_app(slot, ServeConfig(max_tokens=50)))
    (model,) = ask("GET", "/v1/models").json()["data"]
    assert (model["id"], model["object"], model["created"]) == (Words.version, "model", 5)
    parts = [{"type": "text", "text": "你"}, {"type": "text", "text": "好"}]
    body = {"model": Words.version, "messages": [{"role": "user", "content": parts}], "seed": 3, "max_tokens": 900}
    found = ask("POST", "/v1/chat/completions", json=body).json()
    assert found["choices"][0]["message"] == {"role": "assistant", "content": "你好|50|0.0|1.0|3"}
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"] == {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
    body |= {"stop": ["|"], "max_completion_tokens": 9}
    assert ask("POST", "/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "你好"
    events = ask("POST", "/v1/chat/completions", json=body | {"stream": True}).text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0][6:])["choices"][0]["delta"]["content"] == "你好"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"model": "gpt-4"}, "not the name of the served model"),
        ({"n": 2}, "not supported"),
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "only those with `text`"),
        ({"messages": [{"role": "user", "content": "refuse"}]}, "The dialogue is too long. Send fewer turns."),
        ({"temperature": 9}, "temperature"),
    ],
)
def test_bad_chats_are_refused_in_the_form_that_openais_clients_read(slot, body, said):
    slot.swap(Served(Words(), chat=Echo()))
    answer = Client(serving_app(slot))(
        "POST", "/v1/chat/completions", json={"messages": [{"role": "user", "content": "a"}]} | body
    )
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_classifier_says_that_it_does_not_write(ask):
    assert ask("GET", "/v1/models").json()["data"] == []
    answer = ask("POST", "/v1/chat/completions", json={"messages": [{"role": "user", "content": "a"}]})
    assert "tells classes and does not write" in answer.json()["error"]["message"]
