"""Dynamic batching: batches form under load, nobody waits for ever, nobody gets another's answer."""

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DataError
from workbench.serve.batching import Batcher, Busy
from workbench.serve.served import Served, Slot


class Lengths:
    """Says how long each text is, so that a mixed-up answer is seen."""

    labels = ("length", "one")
    version = "lengths"

    def __init__(self, seconds=0.0):
        self.batches, self.seconds, self.threads = [], seconds, set()

    def predict(self, texts):
        self.batches.append(len(texts))
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        if any(text == "bad" for text in texts):
            raise DataError("This text cannot be used.", "Send another one.")
        if any(text == "crash" for text in texts):
            raise RuntimeError("engine")
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


def asked(batcher, model, requests):
    """All requests at once; their answers in order, exceptions as values."""

    async def ask():
        return await asyncio.gather(*(batcher.ask(model, texts) for texts in requests), return_exceptions=True)

    return asyncio.run(ask())


def test_requests_at_once_become_few_batches_in_one_thread():
    model = Lengths()
    found = asked(Batcher(max_batch=16), model, [["x" * i] for i in range(1, 65)])
    assert [int(rows[0, 0]) for rows in found] == list(range(1, 65))
    assert model.batches == [16] * 4
    assert len(model.threads) == 1
    assert threading.get_ident() not in model.threads


def test_a_lone_request_waits_no_longer_than_told():
    start = time.perf_counter()
    assert asked(Batcher(max_wait=0.02), Lengths(), [["abc"]])[0].tolist() == [[3, 1]]
    assert time.perf_counter() - start < 2


@given(st.lists(st.lists(st.text("ab", max_size=9), max_size=9), max_size=9), st.integers(1, 7))
def test_every_request_gets_its_own_rows_in_order(requests, size):
    found = asked(Batcher(max_batch=size, max_wait=0.0), Lengths(), requests)
    assert [[int(row[0]) for row in rows] for rows in found] == [[len(t) for t in texts] for texts in requests]


def test_a_long_request_takes_turns_with_short_ones():
    model, ends = Lengths(0.01), []

    async def ask():
        batcher = Batcher(max_batch=4, max_wait=0.0)

        async def one(name, texts):
            await batcher.ask(model, texts)
            ends.append(name)

        await asyncio.gather(one("long", ["x"] * 40), one("short", ["y"]))

    asyncio.run(ask())
    assert ends == ["short", "long"]


def test_one_bad_text_fails_its_own_request_only():
    model = Lengths()
    good, bad, crash, more = asked(Batcher(), model, [["abc"], ["bad", "x"], ["crash"], ["ab"]])
    assert (good.tolist(), more.tolist()) == ([[3, 1]], [[2, 1]])
    assert isinstance(bad, DataError)
    assert isinstance(crash, RuntimeError)


def test_a_long_request_that_fails_in_the_middle_is_done_with():
    batcher, model = Batcher(max_batch=2), Lengths()
    bad, good = asked(batcher, model, [["x", "x", "x", "bad", "x", "x"], ["abc"]])
    assert isinstance(bad, DataError)
    assert good.tolist() == [[3, 1]]
    assert batcher.waiting == 0


def test_too_many_waiting_texts_are_sent_away_with_a_time():
    model = Lengths(0.05)
    found = asked(Batcher(max_batch=2, max_queue=6), model, [["x", "x"] for _ in range(8)])
    busy = [one for one in found if isinstance(one, Busy)]
    assert len(busy) == 5
    assert all(one.seconds >= 1 for one in busy)
    assert "are waiting already" in busy[0].message
    assert busy[0].hint.endswith("or fewer texts at a time.")
    assert sum(isinstance(one, np.ndarray) for one in found) == 3


def test_a_request_longer_than_the_queue_is_taken_by_an_idle_server():
    assert len(asked(Batcher(max_batch=2, max_queue=3), Lengths(), [["x"] * 9])[0]) == 9


def test_whoever_is_gone_costs_nothing():
    model = Lengths(0.02)

    async def ask():
        batcher = Batcher(max_batch=1, max_wait=0.0)
        first = asyncio.create_task(batcher.ask(model, ["a"]))
        await asyncio.sleep(0.005)
        gone = asyncio.create_task(batcher.ask(model, ["b"]))
        await asyncio.sleep(0)
        gone.cancel()
        return await asyncio.gather(first, batcher.ask(model, ["abc"]), return_exceptions=True)

    assert asyncio.run(ask())[1].tolist() == [[3, 1]]
    assert model.batches == [1, 1]


def test_the_batcher_serves_one_loop_after_another():
    batcher, model = Batcher(), Lengths()
    for n in range(3):
        assert asked(batcher, model, [["x" * n]])[0].tolist() == [[n, 1]]


def test_a_swap_leaves_each_request_with_the_model_it_began_with():
    class Other(Lengths):
        version = "other"

        def predict(self, texts):
            return -super().predict(texts)

    old, new = Lengths(0.01), Other(0.01)
    slot, batcher = Slot(Served(old)), Batcher(max_batch=2, max_wait=0.0)

    async def ask():
        before = asyncio.create_task(batcher.ask(slot.now.predictor, ["x"] * 8))
        await asyncio.sleep(0.015)
        slot.swap(Served(new))
        after = asyncio.create_task(batcher.ask(slot.now.predictor, ["x"] * 3))
        return await asyncio.gather(before, after)

    before, after = asyncio.run(ask())
    assert before.min() == 1
    assert after.max() == -1
    assert slot.now.predictor is new


@pytest.mark.parametrize("texts", [[], [""]])
def test_nothing_and_an_empty_text_are_answered(texts):
    assert asked(Batcher(), Lengths(), [texts])[0].shape == (len(texts), 2)
