"""The client against a scripted server: faults, garbage, secrets, many requests at once."""

import asyncio
import gc
import json
from decimal import Decimal
from pathlib import Path

import pytest
from llm_server import Step, broken, closed, cut, garbage, llm_server, rate_limited

from workbench.errors import ConfigError, DataError, ServiceError, WorkbenchError
from workbench.llm import (
    Answer,
    Exhausted,
    LlmConfig,
    OpenAI,
    OpenAIEndpoint,
    Recorded,
    RecordedEndpoint,
    Request,
    complete,
    identity,
    open_client,
)

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def running():
    with llm_server() as script:
        yield script


@pytest.fixture
def server(running):
    running.steps.clear()
    running.requests.clear()
    running.default, running.models, running.peak = Step(), ["scripted"], 0
    return running


def request(draw=0, label="查余额"):
    return Request(label, "", "minority", 10, draw, 0, "p@1", (), ({"role": "user", "content": f"写 10 条 {label}"},))


def ask(server, one=None, **options):
    async def answer():
        client = OpenAI(OpenAIEndpoint(**{"base_url": server.url, "model": "m", "retries": 2, **options}), LlmConfig())
        try:
            return await client.answer(one or request())
        finally:
            await client.close()

    return asyncio.run(answer())


# --- one request


def test_an_answer_carries_text_tokens_and_cost(server):
    server.steps.append(Step("好", usage={"prompt_tokens": 2_000_000, "completion_tokens": 1_000_000}))
    found = ask(server, price_in=Decimal(5), price_out=Decimal("2.5"))
    settings = json.dumps(["m", 1.0, 4096])
    told = ("m", f"{server.url}/", settings, "CNY")
    assert found == Answer("好", "stop", 2_000_000, 1_000_000, Decimal("12.5"), *told)


def test_no_price_is_no_cost_rather_than_zero(server):
    assert ask(server).cost is None
    assert ask(server, price_in=Decimal(5)).cost is None


@pytest.mark.parametrize("fault", [rate_limited, broken, closed])
def test_passing_faults_are_tried_again(server, fault):
    server.steps.extend([fault(), Step("好")])
    assert ask(server).text == "好"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (rate_limited(), "429"),
        (broken(), "server on fire"),
        (closed(), "cannot be reached"),
        (Step(status=401, body=b"{}"), "refused the key"),
        (Step(status=404, body=b'{"error": {"message": "no such model"}}'), "no such model"),
        (Step(body=b'{"choices": []}'), "not with a chat completion"),
        (Step(body=b'{"error": {"message": "quota"}}'), "not with a chat completion"),
    ],
)
def test_lasting_faults_are_service_errors_with_a_cure(server, fault, words):
    server.default = fault
    with pytest.raises(ServiceError) as caught:
        ask(server, retries=1 if fault.close else 2)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_cut_reply_says_so(server):
    server.steps.append(cut())
    assert ask(server).finish == "length"


def test_draws_of_one_prompt_have_seeds_and_names_of_their_own(server):
    client = OpenAI(OpenAIEndpoint(base_url=server.url, model="m"), LlmConfig())
    ask(server, request(0))
    ask(server, request(1))
    assert server.requests[0]["seed"] != server.requests[1]["seed"]
    assert identity(client, request(0)) != identity(client, request(1))
    assert identity(client, request(0)) == identity(client, request(0))
    asyncio.run(client.close())


@pytest.mark.parametrize(
    "reply",
    [
        garbage(),
        garbage(b"not json", "application/json"),
        garbage(b"", "application/json"),
        garbage(b"[]", "application/json"),
        garbage(b"null", "application/json"),
        garbage(b'{"choices": [{}]}', "application/json"),
        garbage(b'{"choices": [{"message": null}]}', "application/json"),
    ],
)
def test_a_reply_that_is_no_completion_is_a_service_error(server, reply):
    server.default = reply
    with pytest.raises(ServiceError):
        ask(server)


@pytest.mark.parametrize("usage", [b"{}", b'{"prompt_tokens": null, "completion_tokens": 3}'])
def test_a_paid_answer_is_kept_whatever_its_usage_block_says(server, usage):
    body = b'{"choices": [{"message": {"content": "x"}}], "usage": ' + usage + b"}"
    server.steps.append(garbage(body, "application/json"))
    assert ask(server, price_in=Decimal(1), price_out=Decimal(1)).text == "x"


@pytest.mark.parametrize("status", [400, 404, 422])
def test_the_key_never_stands_in_an_error(server, status):
    server.default = Step(status=status, echo_key=True)
    with pytest.raises(WorkbenchError) as caught:
        ask(server)
    assert KEY not in caught.value.message + caught.value.hint


def test_a_password_in_the_address_is_not_repeated(server, monkeypatch):
    address = server.url.replace("http://", "http://user:hunter2@")
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    client = OpenAI(OpenAIEndpoint(model="m"), LlmConfig())
    asyncio.run(client.close())
    assert "hunter2" not in client.name
    with pytest.raises(ConfigError) as caught:
        LlmConfig.read({"endpoints": [{"base_url": address}]}, where="wb.yaml")
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_key_across_the_end_of_a_long_error_is_hidden_too(server):
    server.default = Step(status=400, body=json.dumps({"error": {"message": "x" * 150 + KEY}}).encode())
    with pytest.raises(WorkbenchError) as caught:
        ask(server)
    assert KEY[:6] not in caught.value.message


@pytest.mark.parametrize("address", ["http://x:port/v1", "http://[::1/v1"])
def test_an_address_that_is_none_is_named(address, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(ConfigError, match="address"):
        OpenAI(OpenAIEndpoint(model="m"), LlmConfig())


# --- which endpoint


def test_without_endpoint_and_environment_the_error_says_what_to_export(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError) as caught:
        open_client(LlmConfig(), Path())
    assert "OPENAI_BASE_URL" in caught.value.hint


def test_the_environment_serves_where_no_endpoint_is_set(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    client = open_client(LlmConfig(), Path())
    assert (client.name, client.model) == (server.url + "/", "scripted")
    asyncio.run(client.close())


def test_of_several_models_one_must_be_named(server):
    server.models = ["a", "b"]
    with pytest.raises(ConfigError) as caught:
        OpenAI(OpenAIEndpoint(base_url=server.url), LlmConfig())
    assert "lists 2 models" in caught.value.message
    assert "a, b" in caught.value.hint


def test_an_endpoint_without_kind_is_an_openai_one_as_the_presets_show():
    found = LlmConfig.read({"endpoints": [{"base_url": "http://x/v1", "model": "glm-4-plus"}]}, where="wb.yaml")
    assert isinstance(found.endpoints[0], OpenAIEndpoint)


# --- recorded completions


def recording(folder, rows):
    path = folder / "r.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path.name


def test_a_recording_hands_out_each_row_once_and_then_says_it_is_at_its_end(tmp_path):
    name = recording(tmp_path, [{"asked": "查余额", "text": f"第{i}行"} for i in range(12)])
    client = Recorded(RecordedEndpoint(path=name), tmp_path)
    rows = [json.loads(asyncio.run(client.answer(request(draw))).text) for draw in (0, 1)]
    assert [len(some) for some in rows] == [10, 2]
    assert len({*rows[0], *rows[1]}) == 12
    with pytest.raises(Exhausted, match="查余额"):
        asyncio.run(client.answer(request(2)))


def test_shuffling_keeps_all_rows_and_the_number_of_each_class(tmp_path):
    rows = [{"asked": "ab"[i % 2], "text": f"{'ab'[i % 2]}{i}"} for i in range(40)]
    client = Recorded(RecordedEndpoint(path=recording(tmp_path, rows), shuffle_labels=True), tmp_path)
    found = {label: [] for label in "ab"}
    for label in "ab":
        for draw in (0, 1):
            found[label] += json.loads(asyncio.run(client.answer(request(draw, label))).text)
    assert sorted(found["a"] + found["b"]) == sorted(row["text"] for row in rows)
    assert len(found["a"]) == 20
    assert 0 < sum(text.startswith("b") for text in found["a"]) < 20


@pytest.mark.parametrize("line", ["{", '{"text": "x"}', "[1]", "3"])
def test_a_broken_recording_is_named_with_file_and_line(tmp_path, line):
    (tmp_path / "r.jsonl").write_text('{"asked": "a", "text": "b"}\n' + line, encoding="utf-8")
    with pytest.raises(DataError, match=r"r\.jsonl:2"):
        Recorded(RecordedEndpoint(path="r.jsonl"), tmp_path)


# --- many requests


class Scripted:
    """A client without network: `script` maps a draw to an answer, an error, or an event to wait for first."""

    name = model = settings = "scripted"
    currency = ""
    most = 0

    def __init__(self, script):
        self.script = script

    async def answer(self, one):
        found = self.script(one.draw)
        if asyncio.iscoroutine(found):
            found = await found
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self):
        pass


ANSWER = Answer("[]", "stop", 1, 1, None)


def supply(n):
    waiting = [request(draw) for draw in range(n)]
    return lambda: waiting.pop(0) if waiting else None


def test_every_answer_is_recorded_before_it_is_used():
    recorded, used = [], []

    def use(batch):
        assert {one.draw for one in batch} <= set(recorded)
        used.extend(one.draw for one in batch)

    client = Scripted(lambda draw: ANSWER)
    errors = asyncio.run(complete(client, supply(20), lambda one, _: recorded.append(one.draw), use, 4))
    assert errors == []
    assert sorted(recorded) == sorted(used) == list(range(20))


def test_no_more_requests_fly_than_allowed(server):
    server.default = Step()

    async def go():
        client = OpenAI(OpenAIEndpoint(base_url=server.url, model="m"), LlmConfig())
        try:
            await complete(client, supply(12), lambda *_: None, lambda _: None, 3)
        finally:
            await client.close()

    asyncio.run(go())
    assert len(server.requests) == 12
    assert server.peak <= 3


def test_after_a_service_error_nothing_is_sent_and_what_flies_is_recorded():
    asked, recorded = [], []

    async def slow():
        await asyncio.sleep(0.05)
        return ANSWER

    def script(draw):
        asked.append(draw)
        return ServiceError("down") if draw == 0 else slow()

    errors = asyncio.run(
        complete(Scripted(script), supply(50), lambda one, _: recorded.append(one.draw), lambda _: None, 4)
    )
    assert [error.message for error in errors] == ["down"]
    assert asked == [0, 1, 2, 3]
    assert sorted(recorded) == [1, 2, 3]


def test_the_end_of_a_recording_stops_only_its_class():
    recorded = []
    client = Scripted(lambda draw: Exhausted("no more") if draw == 0 else ANSWER)
    errors = asyncio.run(complete(client, supply(5), lambda one, _: recorded.append(one.draw), lambda _: None, 2))
    assert len(errors) == 1
    assert sorted(recorded) == [1, 2, 3, 4]


def test_an_exception_while_reading_does_not_lose_answers_under_way():
    recorded = []

    async def slow():
        await asyncio.sleep(0.1)
        return ANSWER

    def use(batch):
        raise DataError("the disk is full")

    client = Scripted(lambda draw: ANSWER if draw == 0 else slow())
    with pytest.raises(DataError):
        asyncio.run(complete(client, supply(4), lambda one, _: recorded.append(one.draw), use, 4))
    assert sorted(recorded) == [0, 1, 2, 3]


def test_an_exception_while_supplying_does_not_lose_answers_under_way():
    recorded, given = [], iter([request(0), request(1)])

    def hand_out():
        one = next(given, None)
        if one is None:
            raise ConfigError("Prompt pair.zh.j2 cannot be rendered.")
        return one

    async def slow():
        await asyncio.sleep(0.05)
        return ANSWER

    with pytest.raises(ConfigError):
        asyncio.run(
            complete(Scripted(lambda _: slow()), hand_out, lambda one, _: recorded.append(one.draw), lambda _: None, 4)
        )
    assert sorted(recorded) == [0, 1]


def test_an_interrupted_run_records_what_is_under_way():
    recorded = []

    async def slow():
        await asyncio.sleep(0.1)
        return ANSWER

    async def go():
        client = Scripted(lambda _: slow())
        run = asyncio.create_task(complete(client, supply(3), lambda one, _: recorded.append(one.draw), print, 3))
        await asyncio.sleep(0.02)
        run.cancel()
        await run

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(go())
    assert sorted(recorded) == [0, 1, 2]


def test_stopiteration_in_a_callback_does_not_hang_the_loop():
    def use(batch):
        next(iter(()))

    async def go():
        client = Scripted(lambda _: ANSWER)
        await asyncio.wait_for(complete(client, supply(2), lambda *_: None, use, 2), 5)

    with pytest.raises(RuntimeError, match="StopIteration"):
        asyncio.run(go())


def test_errors_behind_the_first_are_not_printed(caplog):
    async def fail():
        await asyncio.sleep(0.02)
        raise DataError("second")

    def use(batch):
        raise DataError("first")

    client = Scripted(lambda draw: ANSWER if draw == 0 else fail())
    with pytest.raises(DataError, match="first"):
        asyncio.run(complete(client, supply(3), lambda *_: None, use, 3))
    gc.collect()
    assert caplog.records == []
