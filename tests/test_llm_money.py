"""A cap on the cost that is never passed, calls noted before they go out, and what a killed command had in flight."""

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_server import Step, broken, closed, llm_server, rate_limited
from test_llm_loop import fresh_rows, make_bench, want

from workbench.errors import ServiceError, UsageError
from workbench.flow.generate.pulse import Pulse, State, line
from workbench.flow.generate.purchases import Purchases, in_flight, key_of, spent_before
from workbench.flow.generate.run import generate
from workbench.ledger import Ledger, Reply, Sent
from workbench.ledger.schema import SCHEMA_VERSION
from workbench.llm import Answer, OverCap, Purse, Request, complete
from workbench.llm.money import most_tokens

MONEY = st.decimals(min_value=0, max_value=100, places=4)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")


@pytest.fixture
def server():
    with llm_server() as script:
        script.default = fresh_rows()
        yield script


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


def request(draw=0, content="写 10 条"):
    return Request("a", "", "minority", 10, draw, 0, "p@1", (), ({"role": "user", "content": content},))


def priced_bench(folder, server, retries=0, **settings):
    endpoint = {"base_url": server.url, "model": "m", "retries": retries, "price_in": 10, "price_out": 100}
    return make_bench(folder, endpoint, llm__max_tokens=1000, **settings)


# --- the purse


@given(MONEY, st.lists(st.tuples(MONEY, st.floats(0, 1), st.booleans()), max_size=40))
def test_a_purse_never_passes_its_cap(cap, calls):
    purse, held = Purse(cap), []
    for amount, share, settle in calls:
        if purse.take(amount):
            held.append((amount, amount * Decimal(share)))
        assert purse.spent + purse.held <= cap
        if settle and held:
            purse.pay(*held.pop(0))
        assert purse.spent + purse.held <= cap
    for amount, price in held:
        purse.pay(amount, price)
    assert purse.held == 0
    assert purse.spent <= cap


@given(st.text(), st.text())
def test_the_bound_on_tokens_is_one_for_each_byte_and_more(one, two):
    found = most_tokens(Request("a", "", "m", 1, 0, 0, "p", (), ({"role": "user", "content": one + two},)))
    assert found >= len((one + two).encode("utf-8", "surrogatepass")) + 64


class Market:
    """A client whose calls end as scripted, each at some price up to what it asked for."""

    name = settings = model = "market"
    currency, most = "CNY", 0

    def __init__(self, purse, fates):
        self.purse, self.fates, self.spent, self.peaks = purse, iter(fates), Decimal(0), []

    def ceiling(self, one):
        return Decimal(one.rows)

    async def answer(self, one, account=None):
        while True:
            await account.out(self, one)
            self.peaks.append(self.purse.spent + self.purse.held)
            await asyncio.sleep(0)
            fate, share = next(self.fates, ("answer", 100))
            if fate == "answer":
                cost = Decimal(one.rows * share) / 100
                self.spent += cost
                return Answer("[]", "stop", 1, 1, cost, "market", "market", "market")
            if fate == "lost":
                self.spent += Decimal(one.rows)  # the worst: it was billed
                account.lost()
            else:
                account.free()
                if fate == "dead":
                    raise ServiceError("dead")

    async def close(self):
        pass


FATES = st.lists(st.tuples(st.sampled_from(["answer", "answer", "lost", "free"]), st.integers(0, 100)), max_size=60)


@settings(max_examples=25)
@given(st.integers(0, 60), FATES, st.lists(st.integers(1, 9), max_size=30))
def test_whatever_calls_come_to_the_cap_on_the_cost_is_never_passed(tmp_path_factory, cap, fates, rows):
    ledger = Ledger.open(tmp_path_factory.mktemp("l") / "l.db")
    purse = Purse(Decimal(cap))
    waiting = [Request("a", "", "m", n, i, 0, "p", (), ()) for i, n in enumerate(rows)]
    client = Market(purse, fates)

    async def go(bought):
        def supply():
            return waiting.pop(0) if waiting and bought.reserve(waiting[0]) else None

        return await complete(
            client, supply, bought.record, lambda _: None, 4, lambda one, _: bought.failed(one), bought.account
        )

    with ledger.outbox() as outbox:
        errors = asyncio.run(go(Purchases(client, outbox, purse)))
    assert all(isinstance(error, OverCap) for error in errors)
    assert all(peak <= cap for peak in client.peaks)
    assert client.spent == purse.spent <= cap
    assert purse.held == 0
    costs = sum((Decimal(cost) for cost in ledger.costs()), Decimal(0))
    lost = sum((Decimal(call.reserved) for call in ledger.unanswered()), Decimal(0))
    assert costs + lost == purse.spent
    assert all(call.lost for call in ledger.unanswered())
    ledger.close()


# --- the cap of a command


def test_the_cap_ends_a_command_with_a_sentence_and_holds_for_the_next(tmp_path, server):
    answers, usage = fresh_rows(), {"prompt_tokens": 100, "completion_tokens": 500}
    server.default = lambda body: Step(answers(body).text, usage=usage)
    bench = priced_bench(tmp_path, server, llm__concurrency=2, generate__patience=50)
    done = generate(bench, want(bench, accept=500), max_cost=Decimal("0.3"))
    assert done.stopped_by == "max_cost"
    assert "Of --max-cost 0.3 CNY the bench has spent" in done.say
    assert done.new_replies > 0
    assert done.cost <= Decimal("0.3")
    assert sum(Decimal(reply.cost) for reply in bench.ledger.replies()) == done.cost
    asked = len(server.requests)
    again = generate(bench, want(bench, accept=500), max_cost=Decimal("0.3"))
    assert (again.stopped_by, again.new_replies, len(server.requests)) == ("max_cost", 0, asked)
    more = generate(bench, want(bench, accept=500), max_cost=Decimal("0.5"))
    assert more.new_replies > 0
    assert spent_before(bench)[0] <= Decimal("0.5")


def test_usage_that_is_not_told_costs_what_was_set_aside(tmp_path, server):
    answers = fresh_rows()
    server.default = lambda body: Step(answers(body).text, usage=None)
    bench = priced_bench(tmp_path, server)
    done = generate(bench, want(bench, accept=500), max_cost=Decimal("0.5"))
    assert done.cost <= Decimal("0.5")
    assert done.cost / done.new_replies > Decimal("0.1")  # the longest answer alone


def test_a_dropped_connection_keeps_its_money_and_a_429_gives_it_back(tmp_path, server):
    server.steps.extend([closed(), rate_limited(0.01), broken()])
    bench = priced_bench(tmp_path, server, retries=5, llm__concurrency=1)
    done = generate(bench, want(bench, accept=4), max_cost=Decimal(1))
    assert done.stopped_by == "quota"
    assert Decimal("0.1") < done.cost_lost < Decimal("0.2")
    assert spent_before(bench)[0] == done.cost + done.cost_lost
    assert [call.lost for call in bench.ledger.unanswered()] == [True]


def test_a_lost_call_is_not_bought_again_beyond_the_cap(tmp_path, server):
    server.default = closed()
    bench = priced_bench(tmp_path, server, retries=5)
    done = generate(bench, want(bench, accept=4), max_cost=Decimal("0.15"))
    assert (done.stopped_by, done.new_replies, len(server.requests)) == ("max_cost", 0, 1)
    assert bench.ledger.unanswered()[0].lost


def test_a_cap_without_a_price_is_refused_with_the_setting_to_set(tmp_path, server):
    bench = make_bench(tmp_path, {"base_url": server.url, "model": "m", "price_out": 3})
    with pytest.raises(UsageError) as caught:
        generate(bench, want(bench), max_cost=Decimal(1))
    assert "llm.endpoints.0.price_in is not set" in caught.value.message
    assert "llm.endpoints.0.price_in" in caught.value.hint
    assert server.requests == []


def test_without_a_cap_no_price_is_needed(tmp_path, server):
    bench = make_bench(tmp_path, {"base_url": server.url, "model": "m"})
    assert generate(bench, want(bench)).stopped_by == "quota"


def test_a_recording_costs_nothing_whatever_the_cap(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"asked": "查余额", "text": "我号里还剩几块钱"}', encoding="utf-8")
    bench = make_bench(tmp_path, {"kind": "recorded", "path": "r.jsonl"})
    assert generate(bench, want(bench, accept=1), max_cost=Decimal(0)).accepted == {"查余额": 1}
    assert bench.ledger.unanswered() == []


@pytest.mark.parametrize("amount", ["much", "-1", "nan", "1e"])
def test_a_cap_that_is_no_amount_is_refused(wb, bench, tmp_path, server, amount):
    priced_bench(tmp_path, server).ledger.close()
    done = wb("generate", "--class", "查余额", "--max-cost", amount)
    assert done.code == 2
    assert "is not an amount of money" in done.err


# --- kill -9


def test_a_killed_command_is_reported_with_what_it_had_in_flight(tmp_path, server):
    bench = priced_bench(tmp_path, server, llm__concurrency=3)
    hold, answers = threading.Event(), fresh_rows()
    server.default = lambda body: Step(answers(body).text, wait=hold if len(server.requests) > 2 else None)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from test_llm_money import generate, priced_bench, want\n"
        "class server: url = sys.argv[2]\n"
        "bench = priced_bench(Path(sys.argv[1]), server, llm__concurrency=3)\n"
        "generate(bench, want(bench, accept=40))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), server.url]
    with subprocess.Popen(command, cwd=Path(__file__).parent) as process:
        end = time.monotonic() + 60
        while len(server.requests) < 5 or len(bench.ledger.replies()) < 2:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    hold.set()
    time.sleep(0.1)
    left = bench.ledger.unanswered()
    assert (len(bench.ledger.replies()), len(left)) == (2, 3)
    spent, _ = spent_before(bench)
    assert spent == sum(Decimal(r.cost) for r in bench.ledger.replies()) + sum(Decimal(c.reserved) for c in left)
    lines = []
    done = generate(bench, want(bench, accept=40), progress=lines.append)
    assert done.resumed == {"stored": 2, "in_flight": 3}
    assert "2 replies were stored, 3 requests were in flight and are bought again" in lines
    assert done.accepted == {"查余额": 40}
    assert generate(bench, want(bench, accept=40)).resumed["in_flight"] == 0
    assert spent_before(bench)[0] == spent + done.cost  # the calls of the killed command still count


def test_requests_that_end_in_an_error_are_not_in_flight(tmp_path, server):
    server.default = Step(status=400, body=b"{}")
    bench = priced_bench(tmp_path, server, generate__patience=1, llm__concurrency=1)
    assert generate(bench, want(bench)).stopped_by == "refused"
    assert bench.ledger.unanswered() == []
    server.default = broken()
    with pytest.raises(ServiceError):
        generate(bench, want(bench))
    assert bench.ledger.unanswered() == []


def test_the_numbers_of_a_resumed_command_stand_in_its_json(wb, bench, tmp_path, server):
    opened = priced_bench(tmp_path, server)
    with opened.ledger.outbox() as outbox:
        outbox.sent(Sent("c", "r", "查余额", "", "minority", 0, 0, "e", "0.1"))
    endpoint = f"llm.endpoints=[{{base_url: '{server.url}', model: m, price_in: 1, price_out: 1}}]"
    gate = "gate.rules={label_agreement: off, length: off}"
    found = wb("generate", "--class", "查余额", "--accept", "2", "--json", "--set", endpoint, "--set", gate,
               "--set", "encoder.name=hashed")  # fmt: skip
    assert found.code == 0, found.err
    assert found.json["resumed"] == {"stored": 0, "in_flight": 1}
    assert "0 replies were stored, 1 requests were in flight" in found.err


def test_a_request_of_a_killed_command_that_has_a_reply_now_is_not_in_flight():
    calls = [Sent(str(i), "r", "a", "", "minority", 0, i % 2, "e", "") for i in range(4)]
    assert in_flight(calls, {key_of(request(1))}, 0) == {("a", "", "minority", 0): 2}
    assert in_flight(calls, set(), 7) == {}


# --- the way to the ledger


def stored(reply_id, draw=0):
    return Reply(reply_id, "a", "", "minority", draw, 10, "p@1", (), 0, (), "m", "e", "[]", "stop", 1, 2, "0.5")


def sent(call, draw=0):
    return Sent(call, f"r{draw}", "a", "", "minority", 0, draw, "e", "0.25")


def test_what_was_handed_in_is_stored_in_order_and_settled_with_its_reply(ledger):
    with ledger.outbox() as outbox:
        outbox.sent(sent("c0", 0)).result(10)
        outbox.sent(sent("c1", 1))
        outbox.sent(sent("c2", 2))
        outbox.settled("c1", "free")
        outbox.settled("c2", "lost")
        outbox.reply(stored("r0"), "c0")
    assert [(call.id, call.lost) for call in ledger.unanswered()] == [("c2", True)]
    assert [reply.id for reply in ledger.replies()] == ["r0"]


def test_a_call_is_stored_when_its_future_is_done(ledger, tmp_path):
    with ledger.outbox() as outbox:
        outbox.sent(sent("c0")).result(10)
        rows = sqlite3.connect(tmp_path / "ledger.db").execute("select id, reserved from sent").fetchall()
    assert rows == [("c0", "0.25")]


def test_another_process_with_the_lock_delays_what_is_stored_and_nothing_else(ledger, tmp_path):
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def go(outbox):
        waiting = asyncio.wrap_future(outbox.reply(stored("r0"), ""))
        for _ in range(20):  # the event loop turns meanwhile
            await asyncio.sleep(0.005)
        assert not waiting.done()
        other.execute("ROLLBACK")
        await asyncio.wait_for(waiting, 10)

    with ledger.outbox() as outbox:
        asyncio.run(go(outbox))
    assert [reply.id for reply in ledger.replies()] == ["r0"]


def test_a_reply_that_cannot_be_stored_is_an_error_of_who_waits(ledger):
    with ledger.outbox() as outbox, pytest.raises(Exception, match="FOREIGN KEY"):
        outbox.reply(stored("r0"), "no such call").result(10)
    assert ledger.replies() == []


def test_a_ledger_of_the_first_schema_is_brought_up_in_place(tmp_path):
    path = tmp_path / "old.db"
    first = Ledger.open(path)
    first.add_reply(stored("r0"))
    first.close()
    connection = sqlite3.connect(path)
    connection.executescript("drop table settled; drop table sent; pragma user_version = 1;")
    connection.close()
    opened = Ledger.open(path)
    with opened.outbox() as outbox:
        outbox.sent(sent("c0"))
    assert [reply.id for reply in opened.replies()] == ["r0"]
    assert [call.id for call in opened.unanswered()] == ["c0"]
    opened.close()
    assert sqlite3.connect(path).execute("pragma user_version").fetchone() == (SCHEMA_VERSION,)


# --- the line that tells how it goes


def test_the_line_tells_speed_cost_and_the_time_that_is_left():
    state = State(30, 50, 8, 12, 3, Decimal("0.25"), "CNY")
    assert line(state, 10, 10.0) == (
        "accepted 30 of 50 (2.0/s), 8 replies, 12 rows dropped, 3 in flight, cost 0.2500 CNY, about 10 s to go"
    )
    assert "to go" not in line(State(10, 50, 8, 12, 3, None, ""), 10, 5.0)
    assert "price unknown" in line(State(10, 50, 8, 12, 3, None, ""), 10, 5.0)


def test_lines_come_at_most_one_a_second_and_the_last_one_always():
    lines = []
    pulse = Pulse(lines.append, lambda: State(len(lines), 9, 0, 0, 0, Decimal(0), ""))
    pulse.beat(last=True)
    assert lines == []
    pulse.start()
    for _ in range(1000):
        pulse.beat()
    assert lines == []
    pulse.beat(last=True)
    assert len(lines) == 1


def test_a_command_reports_its_last_state(tmp_path, server):
    bench, lines = priced_bench(tmp_path, server), []
    done = generate(bench, want(bench), progress=lines.append)
    assert re.search(
        r"accepted 6 of 6 \(\d+\.\d/s\), \d+ replies, \d+ rows dropped, 0 in flight, cost 0\.\d{4} CNY", lines[-1]
    )
    assert json.dumps(dict(done.resumed)) == '{"stored": 0, "in_flight": 0}'
