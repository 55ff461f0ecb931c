"""`wb generate` as real processes: killed, started twice, dry, short of rows; recorded completions and a scripted server."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from gates import PLAIN_GATE
from llm_server import Step, llm_server
from test_llm_loop import fresh_rows

GATE = PLAIN_GATE
SETTINGS = "encoder: {name: hashed}\ngenerate: {batch_size: 4, patience: 2}\nllm: {concurrency: 1}\ngate: {rules: %s}\n"
ROWS = [
    *(f"请问我的{x}这个月还剩多少呢,查余额" for x in ("话费", "流量", "积分", "余额", "套餐", "短信")),
    *(f"把那个{x}业务给我取消掉,退订" for x in ("彩铃", "会员", "阅读")),
]
WANT = ("generate", "--class", "查余额", "--json")


@pytest.fixture
def filled(bench, tmp_path, wb):
    (tmp_path / "wb.yaml").write_text(SETTINGS % GATE, encoding="utf-8")
    (tmp_path / "train.csv").write_text("text,label\n" + "\n".join(ROWS) + "\n", encoding="utf-8")
    assert wb("data", "add", "train.csv", "--split", "train").code == 0
    return bench


@pytest.fixture
def server(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with llm_server() as script:
        script.default = fresh_rows()
        monkeypatch.setenv("OPENAI_BASE_URL", script.url)
        yield script


@contextmanager
def started(folder, *args):
    command = [sys.executable, "-m", "workbench", *args, "--bench", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=dict(os.environ)) as process:
        try:
            yield process
        finally:
            process.kill()


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def drawn(server):
    """What tells apart the requests that were sent."""
    return [(body["seed"], body["messages"][-1]["content"]) for body in server.requests]


def test_after_kill_9_the_same_command_goes_on_and_buys_nothing_twice(filled, wb, server, tmp_path):
    answers, hold = fresh_rows(), threading.Event()

    def third_waits(body):
        return Step(answers(body).text, wait=hold if len(server.requests) == 3 else None)

    server.default = third_waits
    with started(tmp_path, *WANT, "--accept", "20") as process:
        until(lambda: len(server.requests) == 3 and len(filled.ledger.replies()) == 2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
    hold.set()
    stored = {reply.id for reply in filled.ledger.replies()}
    assert len(stored) == 2
    before = drawn(server)
    done = wb(*WANT, "--accept", "20")
    assert done.code == 0, done.err
    last = json.loads(done.out.splitlines()[-1])
    assert (last["accepted"], last["stopped_by"]) == (20, "quota")
    assert {reply.id for reply in filled.ledger.replies()} > stored
    later = drawn(server)[len(before) :]
    assert not set(later) & set(before[:2])  # only the third, which never arrived, is asked again
    assert len(set(later)) == len(later)
    assert filled.ledger.replies(unparsed=True) == []
    assert last["replies"] == len(filled.ledger.replies()) == len(later) + 2


def test_the_second_process_gets_a_sentence_and_buys_nothing(filled, wb, server, tmp_path):
    hold, answers = threading.Event(), fresh_rows()
    server.default = lambda body: Step(answers(body).text, wait=hold)
    with started(tmp_path, *WANT, "--accept", "3") as first:
        until(lambda: server.requests)
        second = wb(*WANT, "--accept", "3")
        asked = len(server.requests)
        hold.set()
        out, err = first.communicate(timeout=60)
    assert (second.code, second.out, asked) == (1, "", 1)
    assert re.search(r"^Error: Another .* is at work in .*\n +What to do: Wait for its end", second.err)
    assert first.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["accepted"] == 3


def test_more_adds_to_what_is_there_and_takes_the_surplus_first(filled, wb, server):
    assert wb(*WANT, "--accept", "2").json["accepted"] == 2
    sent = len(server.requests)
    spare = sum(not candidate.accepted for candidate in filled.ledger.candidates())
    assert spare == 2  # four rows came with the one reply
    assert wb(*WANT, "--more", "2").json["accepted"] == 4
    assert len(server.requests) == sent
    assert wb(*WANT, "--more", "1").json["accepted"] == 5
    assert len(server.requests) > sent


def test_a_dry_run_asks_nothing_and_needs_no_endpoint(filled, wb):
    done = wb("generate", "--class", "查余额", "--accept", "8", "--dry-run")
    assert done.code == 0, done.err
    for words in ("Plan", "查余额", "--- user", "4 条", "requests", "price unknown"):
        assert words in done.out
    found = wb(*WANT, "--accept", "8", "--dry-run").json
    assert found["plan"] == [{"class": "查余额", "against": "", "accepted": 0, "wanted": 8}]
    assert found["estimate"]["requests"] >= 2
    assert found["stopped_by"] == "dry_run"
    assert filled.ledger.replies() == []


def test_a_dry_run_counts_the_cost_where_prices_are_known(filled, wb):
    endpoint = "llm.endpoints=[{kind: openai, base_url: 'http://127.0.0.1:9/v1', model: m, price_in: 1, price_out: 2}]"
    done = wb(*WANT, "--accept", "8", "--dry-run", "--set", endpoint)
    assert done.json["estimate"]["cost"] > 0
    assert "CNY" in wb("generate", "--class", "查余额", "--accept", "8", "--dry-run", "--set", endpoint).out


def recorded(folder, *texts):
    lines = [json.dumps({"asked": "查余额", "text": text}, ensure_ascii=False) for text in texts]
    (folder / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return "--set", "llm.endpoints=[{kind: recorded, path: r.jsonl}]"


def test_a_recording_at_its_end_is_said(filled, wb, tmp_path):
    endpoint = recorded(tmp_path, "我号里还剩几块钱", "这个月套餐够不够用")
    done = wb(*WANT, "--accept", "5", *endpoint)
    assert done.code == 0, done.err
    assert (done.json["requested"], done.json["accepted"], done.json["stopped_by"]) == (5, 2, "exhausted")
    said = wb("generate", "--class", "查余额", "--accept", "5", *endpoint).out
    assert "Stopped short (exhausted): 查余额: 2 of 5 (exhausted)" in said
    assert len(filled.ledger.candidates()) == 2


def test_a_model_that_repeats_itself_is_given_up(filled, wb, server):
    server.default = Step(json.dumps(["我号里还剩几块钱"] * 4, ensure_ascii=False))
    done = wb("generate", "--class", "查余额", "--accept", "5")
    assert done.code == 0, done.err
    assert "Stopped short (saturated): 查余额: 1 of 5 (saturated)" in done.out
    assert "sibling" in done.out
    assert len(server.requests) <= 4


def test_a_dead_endpoint_is_an_error_of_two_sentences(filled, wb, server):
    server.default = Step(status=401, body=b'{"error": {"message": "who are you"}}')
    done = wb(*WANT, "--accept", "5")
    assert done.code == 1
    assert done.err.count("Error: ") == 1
    assert "What to do:" in done.err
    assert filled.ledger.replies() == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "Nothing is named"),
        (("--class", "查余"), "Did you mean"),
        (("--pair", "查余额"), "A:B"),
        (("--pair", "查余额:无此类"), "无此类"),
    ],
)
def test_a_wrong_name_is_answered_before_anything_is_bought(filled, wb, server, args, words):
    done = wb("generate", *args)
    assert done.code in (1, 2)
    assert words in done.err
    assert server.requests == []
