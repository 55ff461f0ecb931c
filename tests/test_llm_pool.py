"""Several endpoints, servers that differ in structured output, 429s: against scripted servers."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Step, broken, closed, garbage, llm_server, rate_limited

from workbench.errors import ConfigError, ServiceError
from workbench.llm import LlmConfig, OpenAI, OpenAIEndpoint, Pool, Refused, Request, identity, open_client, open_clients
from workbench.llm.faults import Fault, retry_after
from workbench.llm.pace import Pace
from workbench.llm.pool import Breaker

SCHEMA = {
    "type": "object",
    "properties": {"samples": {"type": "array", "items": {"type": "string"}}},
    "required": ["samples"],
    "additionalProperties": False,
}
UNKNOWN = Step(status=404, body=b'{"error": {"message": "no such model"}}')


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "ZHIPUAI_API_KEY", "VLLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def servers():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(llm_server()) for _ in range(2)]


@pytest.fixture
def server(servers):
    return servers[0]


def request(draw=0, schema=None):
    message = {"role": "user", "content": "写 10 条 查余额"}
    return Request("查余额", "", "minority", 10, draw, 0, "p@1", (), (message,), schema)


def config(servers, *more, **settings):
    more = [*more, *({} for _ in servers)]
    found = [{"base_url": s.url, "model": f"m{i}", "retries": 0, **more[i]} for i, s in enumerate(servers)]
    return LlmConfig.read({"endpoints": found, **settings}, where="wb.yaml")


def ask(settings, requests, *, at_once=1):
    """Answers or errors of the requests, in their order."""

    async def go():
        client, room = open_client(settings, None), asyncio.Semaphore(at_once)

        async def one(request):
            async with room:
                return await client.answer(request)

        try:
            return await asyncio.gather(*(one(r) for r in requests), return_exceptions=True)
        finally:
            await client.close()

    return asyncio.run(go())


# --- the pool


def test_requests_are_shared_by_weight_and_answers_say_from_where(servers):
    answers = ask(config(servers, {"weight": 3}), [request(i) for i in range(12)])
    assert [len(s.requests) for s in servers] == [9, 3]
    assert Counter(answer.model for answer in answers) == {"m0": 9, "m1": 3}
    assert {answer.endpoint for answer in answers} == {f"{s.url}/" for s in servers}


def test_the_identity_of_a_reply_names_the_model_that_answered(servers):
    first, second = ask(config(servers), [request(0), request(0)])
    assert first.model != second.model
    assert identity(first, request(0)) != identity(second, request(0))
    alone = OpenAI(OpenAIEndpoint(base_url=servers[0].url, model=first.model), LlmConfig())
    assert identity(alone, request(0)) == identity(first, request(0))
    asyncio.run(alone.close())


@pytest.mark.parametrize(
    "fault", [broken(), UNKNOWN, closed(), garbage(), Step(status=401, body=b"{}"), rate_limited()]
)
def test_what_fails_at_one_endpoint_is_answered_by_the_other(servers, fault):
    servers[0].default = fault
    answers = ask(config(servers), [request(i) for i in range(8)])
    assert [answer.model for answer in answers] == ["m1"] * 8


def test_an_endpoint_that_no_retry_helps_is_left_alone_at_once(servers):
    servers[0].default = UNKNOWN
    ask(config(servers, {"retries": 5}), [request(i) for i in range(8)])
    assert len(servers[0].requests) == 1


def test_an_endpoint_is_left_alone_after_failures_in_a_row(servers):
    servers[0].default = broken()
    ask(config(servers, bench_after=2), [request(i) for i in range(10)])
    assert len(servers[0].requests) == 2


def test_an_endpoint_that_was_left_alone_is_probed_and_comes_back(servers):
    servers[0].steps.append(UNKNOWN)
    settings = config(servers, bench_for=0.05)

    async def go():
        client = open_client(settings, None)
        models = [(await client.answer(request(0))).model]
        await asyncio.sleep(0.06)
        models += [(await client.answer(request(i))).model for i in range(1, 5)]
        await client.close()
        return models

    models = asyncio.run(go())
    assert models[0] == "m1"
    assert "m0" in models[1:]


def test_when_no_endpoint_is_left_the_error_says_what_each_said(servers):
    servers[0].default, servers[1].default = UNKNOWN, Step(status=401, body=b"{}")
    start = time.monotonic()
    errors = ask(config(servers), [request(i) for i in range(20)], at_once=20)
    assert all(isinstance(error, ServiceError) for error in errors)
    assert time.monotonic() - start < 5
    assert "None of the 2 endpoints is left." in errors[0].message
    assert "no such model" in errors[0].message
    assert "refused the key" in errors[0].message
    assert errors[0].hint


def test_requests_that_wait_for_a_slot_go_on_elsewhere_when_the_endpoint_is_left_alone(servers):
    servers[0].default = UNKNOWN
    answers = ask(config(servers, concurrency=1), [request(i) for i in range(10)], at_once=10)
    assert [answer.model for answer in answers] == ["m1"] * 10


def test_a_refused_request_is_not_passed_on(servers):
    for server in servers:
        server.default = Step(status=400, body=b'{"error": {"message": "content filter"}}')
    (error,) = ask(config(servers), [request()])
    assert isinstance(error, Refused)
    assert sum(len(s.requests) for s in servers) == 1


def test_several_models_can_be_asked_the_same(servers):
    async def go():
        clients = open_clients(config(servers), None)
        answers = await asyncio.gather(*(client.answer(request()) for client in clients))
        for client in clients:
            await client.close()
        return answers

    assert [answer.model for answer in asyncio.run(go())] == ["m0", "m1"]


def test_a_breaker_lets_one_probe_through_and_doubles_its_time():
    breaker = Breaker(after=1, seconds=0.02)
    breaker.failed(for_good=False)
    assert not breaker.may_send()
    time.sleep(0.03)
    assert breaker.may_send()
    breaker.sent()
    assert not breaker.may_send()
    breaker.failed(for_good=False)
    time.sleep(0.03)
    assert not breaker.may_send()
    time.sleep(0.03)
    assert breaker.may_send()
    breaker.worked()
    assert breaker.may_send()
    assert not breaker.open


# --- settings


def test_presets_fill_what_is_known_and_fields_override():
    zhipu = OpenAIEndpoint.read({"preset": "zhipu"}, where="x")
    assert (zhipu.base_url, zhipu.model, zhipu.key_env) == (
        "https://open.bigmodel.cn/api/paas/v4", "glm-4-plus", "ZHIPUAI_API_KEY",
    )  # fmt: skip
    assert (zhipu.price_in, zhipu.price_out, zhipu.currency) == (5, 5, "CNY")
    assert OpenAIEndpoint.read({"preset": "zhipu", "model": "glm-4-flash"}, where="x").price_out == 0
    assert OpenAIEndpoint.read({"preset": "zhipu", "model": "glm-9"}, where="x").price_in is None
    assert OpenAIEndpoint.read({"preset": "zhipu", "price_in": 1}, where="x").price_out is None
    assert OpenAIEndpoint.read({"preset": "vllm"}, where="x").base_url == "http://localhost:8000/v1"
    assert OpenAIEndpoint.read({"preset": "openai"}, where="x").price_in is None


def test_a_local_preset_needs_no_key_and_a_provider_does():
    asyncio.run(OpenAI(OpenAIEndpoint(preset="vllm", model="glm-4-9b-chat"), LlmConfig()).close())
    with pytest.raises(ConfigError, match="ZHIPUAI_API_KEY is not set"):
        OpenAI(OpenAIEndpoint(preset="zhipu"), LlmConfig())


@pytest.mark.parametrize(
    ("endpoints", "words"),
    [
        ([{"kind": "recorded", "path": "a"}, {"base_url": "http://x/v1"}], "stands alone"),
        ([{"preset": "zhipu"}, {"preset": "openai", "price_in": 1, "price_out": 1}], "CNY and USD"),
        ([{"preset": "zipu"}], "preset"),
        ([{"weight": 0}], "weight"),
    ],
)
def test_endpoints_that_do_not_fit_together_are_refused(endpoints, words):
    with pytest.raises(ConfigError, match=words):
        LlmConfig.read({"endpoints": endpoints}, where="wb.yaml")


# --- structured output


def forms(server):
    return [body.get("response_format", {}).get("type", "text") for body in server.requests]


def bears(*kinds, status=400):
    """A server that refuses other forms of structured output."""

    def answer(body):
        kind = body.get("response_format", {}).get("type", "text")
        return Step() if kind in kinds else Step(status=status, body=b'{"error": {"message": "response_format"}}')

    return answer


@pytest.mark.parametrize(
    ("kinds", "status", "seen"),
    [
        (("json_schema", "json_object", "text"), 400, ["json_schema"]),
        (("json_object", "text"), 400, ["json_schema", "json_object"]),
        (("json_object", "text"), 422, ["json_schema", "json_object"]),
        (("json_object", "text"), 501, ["json_schema", "json_object"]),
        (("text",), 400, ["json_schema", "json_object", "text"]),
        (("json_object", "text"), 500, ["json_schema", "json_schema", "json_object"]),
    ],
)
def test_a_refused_form_is_stepped_down_once_for_all_requests(server, kinds, status, seen):
    server.default = bears(*kinds, status=status)
    answers = ask(config([server], {"retries": 3}), [request(i, SCHEMA) for i in range(3)])
    assert [answer.text for answer in answers] == ['["你好"]'] * 3
    assert forms(server) == [*seen, seen[-1], seen[-1]]


def test_the_schema_is_sent_as_it_is(server):
    ask(config([server]), [request(0, SCHEMA)])
    sent = server.requests[0]["response_format"]["json_schema"]
    assert (sent["schema"], sent["strict"]) == (SCHEMA, True)


def test_no_schema_is_plain_text(server):
    ask(config([server]), [request()])
    assert forms(server) == ["text"]


@pytest.mark.parametrize("kind", ["json_schema", "json_object", "text"])
def test_a_form_that_is_set_is_kept(server, kind):
    server.default = bears("none")
    (error,) = ask(config([server], {"structured": kind}), [request(0, SCHEMA)])
    assert isinstance(error, Refused)
    assert forms(server) == [kind]


def test_a_refusal_for_another_reason_does_not_step_down(server):
    answered = ask(config([server]), [request(0, SCHEMA)])
    assert len(answered) == 1
    settings = config([server])

    async def go():
        client = open_client(settings, None)
        await client.answer(request(0, SCHEMA))
        server.steps.append(Step(status=400, body=b"{}"))
        with pytest.raises(Refused):
            await client.answer(request(1, SCHEMA))
        await client.answer(request(2, SCHEMA))
        await client.close()

    asyncio.run(go())
    assert set(forms(server)) == {"json_schema"}


def test_a_request_that_no_form_helps_leaves_the_ladder_where_it_was(server):
    server.steps.extend([Step(status=400, body=b"{}")] * 3)
    refused, good = ask(config([server]), [request(0, SCHEMA), request(1, SCHEMA)])
    assert isinstance(refused, Refused)
    assert good.text
    assert forms(server) == ["json_schema", "json_object", "text", "json_schema"]


def test_a_passing_500_does_not_step_down(server):
    server.steps.append(broken())
    ask(config([server], {"retries": 2}), [request(i, SCHEMA) for i in range(2)])
    assert set(forms(server)) == {"json_schema"}


def test_an_empty_answer_is_an_answer(server):
    server.default = Step("")
    (answer,) = ask(config([server], {"retries": 5}), [request(0, SCHEMA)])
    assert (answer.text, answer.finish, len(server.requests)) == ("", "stop", 1)


def test_the_identity_does_not_depend_on_the_rung(server):
    server.default = bears("text")
    (low,) = ask(config([server]), [request(0, SCHEMA)])
    server.default = Step()
    (high,) = ask(config([server]), [request(0, SCHEMA)])
    assert identity(low, request(0, SCHEMA)) == identity(high, request(0, SCHEMA))


# --- 429


def test_a_burst_of_429s_takes_a_quarter_of_the_slots_once_and_pauses_as_asked():
    async def go():
        pace = Pace(8)
        entered = [await pace.enter() for _ in range(8)]
        for moment in entered:
            pace.limited(moment, 0.1)
            pace.leave()
        assert pace.limit == 6
        start = time.monotonic()
        await pace.enter()
        return time.monotonic() - start

    assert 0.09 <= asyncio.run(go()) < 1


def test_slots_come_back_with_answers_and_never_fall_below_one():
    pace = Pace(2)
    for _ in range(5):
        pace.limited(time.monotonic(), 0.0)
    assert pace.limit == 1
    for _ in range(24):
        pace.answered()
    assert pace.limit == 1
    for _ in range(100):
        pace.answered()
    assert pace.limit == 2


def test_a_tenth_of_429s_at_random_keeps_the_slots():
    pace = Pace(64)
    for i in range(3000):
        pace.limited(time.monotonic(), 0.0) if (i * 7919) % 10 == 3 else pace.answered()
    assert pace.limit >= 48


def test_one_who_gives_up_waiting_takes_no_slot():
    async def go():
        pace = Pace(1)
        await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pace.leave()
        waiting[1].cancel()
        await asyncio.gather(*waiting[:2], return_exceptions=True)
        await asyncio.wait_for(waiting[2], 1)
        return pace.flying

    assert asyncio.run(go()) == 1


def test_a_server_that_bears_three_calls_at_once_answers_all_of_eight_at_once(server):

    def bearing(body):
        return rate_limited(0.05) if server.flying >= 3 else Step()

    server.default = bearing
    answers = ask(config([server], {"retries": 3}, concurrency=8), [request(i) for i in range(40)], at_once=8)
    assert all(getattr(answer, "text", "") for answer in answers)


def test_a_wait_that_is_too_long_ends_the_use_of_the_endpoint(servers):
    servers[0].default = rate_limited(3600)
    answers = ask(config(servers, {"retries": 6}), [request(i) for i in range(4)])
    assert [answer.model for answer in answers] == ["m1"] * 4
    assert len(servers[0].requests) == 1


def test_no_money_left_is_no_rate_limit(server):
    server.default = Step(status=429, body=b'{"error": {"message": "out", "code": "insufficient_quota"}}')
    (error,) = ask(config([server], {"retries": 6}), [request()])
    assert "no money left" in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(1_000_030, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(999_000, usegmt=True)}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers, seconds):
    assert retry_after(headers, 1_000_000) == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_retry_after_header_is_a_pause_or_nothing(seconds, milliseconds):
    found = retry_after({"retry-after": seconds, "retry-after-ms": milliseconds}, 0.0)
    assert found is None or 0 <= found < float("inf")


@pytest.mark.parametrize("wait", [None, 0.0])
def test_without_a_pause_from_the_server_pauses_grow(wait):
    pauses = [Fault("limited", ServiceError("x"), wait=wait).pause(tries) for tries in (0, 3, 6)]
    assert pauses == sorted(pauses)
    assert pauses[0] > 0


@given(st.integers(0, 5000))
def test_pauses_between_tries_are_bounded(tries):
    assert 0 < Fault("passing", ServiceError("x")).pause(tries) <= 40


def test_a_server_that_lets_time_run_out_twice_is_not_waited_for(server):
    import threading

    hold = threading.Event()
    server.default = Step(wait=hold)
    start = time.monotonic()
    (error,) = ask(config([server], {"timeout": 0.2, "retries": 6}), [request()])
    hold.set()
    assert "in time" in error.message
    assert time.monotonic() - start < 3
    assert len(server.requests) == 2


def test_a_pool_asks_what_a_call_can_cost_at_the_dearest(servers):
    dear = {"price_in": 0, "price_out": 10}
    cheap = {"price_in": 0, "price_out": 1}
    settings = config(servers, cheap, dear)
    clients = open_clients(settings, None)
    assert (
        Pool(clients, [1, 1], settings).ceiling(request())
        == clients[1].ceiling(request())
        > clients[0].ceiling(request())
    )
    assert open_client(config(servers, dear), None).ceiling(request()) is None
    assert json.loads(clients[0].settings)[0] == "m0"
