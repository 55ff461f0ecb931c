"""The quota loop against a scripted server: nothing that was received is lost, bought again or counted twice."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gates import PLAIN_GATE
from llm_server import Step, broken, llm_server

from workbench.bench import Bench
from workbench.errors import ServiceError, WorkbenchError
from workbench.flow.generate.plan import needs
from workbench.flow.generate.run import generate
from workbench.records import Need, Sample, Turn

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server():
    with llm_server() as script:
        yield script


LABELS = {"查余额": "话费流量积分余额套餐", "退订": "彩铃会员短信阅读天气"}
SENTENCES = {"查余额": "请问我的{}这个月还剩多少呢", "退订": "把那个{}业务给我取消掉"}


# Only what these tests are about: rows that repeat each other, and markup.
GATE = f"gate.rules={PLAIN_GATE}"


def make_bench(folder, endpoint, **settings):
    lines = [f"llm.endpoints=[{json.dumps(endpoint)}]", "encoder.name=hashed", "generate.batch_size=4", GATE]
    lines += [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    (folder / "wb.yaml").write_text("seed: 0\n", encoding="utf-8")
    bench = Bench.find(folder, lines)
    rows = []
    for label, words in LABELS.items():
        for i in range(0, len(words), 2):
            text = SENTENCES[label].format(words[i : i + 2])
            rows.append(Sample(f"real-{label}-{i}", (Turn("user", text),), label))
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows)
    return bench


def openai_bench(folder, server, **settings):
    return make_bench(folder, {"kind": "openai", "base_url": server.url, "model": "m", "retries": 0}, **settings)


def fresh_rows(monotone=None):
    """Rows of the asked class that are unlike each other; numbered, so that no reply repeats another."""
    count = iter(range(10_000))
    spoken = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥天地玄黄宇宙洪荒日月盈昃星宿列张寒来暑往秋收冬藏"

    def answer(body):
        prompt = body["messages"][-1]["content"]
        label = "查余额" if prompt.index("查余额") < (prompt + "退订").index("退订") else "退订"
        rows = []
        for _ in range(4):
            i = next(count)
            tail = "".join(spoken[(i * 7 + k * (i % 5 + 1)) % len(spoken)] for k in range(6))
            rows.append(f"{tail}还剩多少" if label == "查余额" else f"{tail}取消掉")
        return Step(json.dumps(rows, ensure_ascii=False))

    return answer


def want(bench, label="查余额", accept=6, **more):
    return needs(bench, [label], [], minority=False, accept=accept, **more)


def test_the_same_command_again_makes_no_request(tmp_path, server):
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server)
    done = generate(bench, want(bench))
    assert (done.stopped_by, done.accepted) == ("quota", {"查余额": 6})
    before = len(server.requests)
    assert before == done.new_replies == done.replies
    again = generate(bench, want(bench))
    assert len(server.requests) == before
    assert (again.new_replies, again.accepted, again.stopped_by) == (0, {"查余额": 6}, "quota")


def test_more_rows_come_from_the_surplus_first(tmp_path, server):
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server)
    generate(bench, want(bench, accept=5))
    spare = sum(not c.accepted and c.verdicts[-1].reason == "surplus" for c in bench.ledger.candidates())
    before = len(server.requests)
    done = generate(bench, needs(bench, ["查余额"], [], minority=False, more=min(1, spare)))
    assert spare > 0
    assert len(server.requests) == before
    assert done.accepted == {"查余额": 6}


def test_a_barren_model_is_given_up_and_every_drop_is_counted(tmp_path, server):
    server.default = Step('["**标题**", "", 5]')
    bench = openai_bench(tmp_path, server, generate__patience=2, llm__concurrency=1)
    done = generate(bench, want(bench))
    assert done.stopped_by == "saturated"
    n = done.new_replies
    assert 2 <= n <= 5  # some may be under way while the second is read
    assert done.dropped == {"markup": n, "empty_item": n, "wrong_type": n}
    assert "查余额: 0 of 6 (saturated)" in done.say


def test_a_failing_endpoint_ends_with_the_number_of_stored_replies(tmp_path, server):
    answers = fresh_rows()
    server.default = lambda body: answers(body) if len(server.requests) < 2 else broken()
    bench = openai_bench(tmp_path, server, llm__concurrency=1)
    with pytest.raises(ServiceError) as caught:
        generate(bench, want(bench, accept=20))
    assert "1 replies of this call are stored" in caught.value.hint
    assert len(bench.ledger.replies()) == 1
    server.default = answers
    assert generate(bench, want(bench, accept=20)).accepted == {"查余额": 20}
    assert [reply.draw for reply in bench.ledger.replies()] == list(range(len(bench.ledger.replies())))


def test_most_requests_are_kept(tmp_path, server):
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server)
    done = generate(bench, want(bench, accept=50), max_requests=2)
    assert (len(server.requests), done.stopped_by) == (2, "max_requests")


def test_replies_that_a_killed_command_left_are_read_not_bought_again(tmp_path, server):
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server, llm__concurrency=1)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from test_llm_loop import openai_bench, want\n"
        "from workbench.flow.generate import run as flow\n"
        "class server: url = sys.argv[2]\n"
        "bench = openai_bench(Path(sys.argv[1]), server, llm__concurrency=1)\n"
        "flow._Loop.read = lambda *_: os.kill(os.getpid(), 9)\n"
        "flow.generate(bench, want(bench))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), server.url], cwd=Path(__file__).parent, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    stored = bench.ledger.replies(unparsed=True)
    asked = len(server.requests)
    assert 1 <= len(stored) <= asked
    lines = []
    done = generate(bench, want(bench), progress=lines.append)
    assert "were not read yet" in lines[0]
    assert done.accepted == {"查余额": 6}
    later = {body["seed"] for body in server.requests[asked:]}
    assert not later & {reply.draw for reply in stored}  # the seed that is sent is the draw where the bench's is 0
    assert len(later) == len(server.requests) - asked == len(bench.ledger.replies()) - len(stored)
    assert bench.ledger.replies(unparsed=True) == []


def test_two_generations_of_one_bench_do_not_run_at_once(tmp_path, server):
    gate = threading.Event()
    answers = fresh_rows()
    server.default = lambda body: Step(answers(body).text, wait=gate)
    bench = openai_bench(tmp_path, server)
    first = threading.Thread(target=lambda: generate(bench, want(bench)))
    first.start()
    while not server.requests:
        pass
    other = Bench.find(tmp_path, ["encoder.name=hashed"])
    with pytest.raises(WorkbenchError, match="Another wb process"):
        generate(other, want(other))
    gate.set()
    first.join()
    assert len(bench.ledger.accepted()) == 6


def test_the_key_is_in_no_file_of_the_bench(tmp_path, server):
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server)
    generate(bench, want(bench))
    bench.ledger.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "wb.db" for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_pair_named_from_both_sides_is_one_pair(tmp_path):
    rows = [{"asked": label, "text": f"{label}的第{i}种说法{'甲乙丙丁戊'[i]}"} for label in LABELS for i in range(5)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    bench = make_bench(tmp_path, {"kind": "recorded", "path": "r.jsonl"})
    wanted = needs(bench, [], ["查余额:退订", "退订:查余额"], minority=False, accept=9)
    done = generate(bench, wanted)
    assert done.stopped_by == "exhausted"
    assert done.new_replies == len(bench.ledger.replies())
    assert len(wanted) == 2


@pytest.mark.parametrize("poison", ["[" * 5000, "[" + "1" * 5000 + "]"])
def test_a_degenerate_reply_does_not_block_the_bench(tmp_path, server, poison):
    server.steps.append(Step(poison))
    server.default = fresh_rows()
    bench = openai_bench(tmp_path, server, llm__concurrency=1)
    try:
        done = generate(bench, want(bench))
    except (RecursionError, ValueError):
        done = None  # not raised on: CPython 3.11 cannot always print so deep a traceback
    assert done is not None
    assert done.accepted == {"查余额": 6}


def test_a_refused_request_does_not_fail_a_filled_quota(tmp_path, server):
    answers = fresh_rows()
    server.default = lambda body: Step(status=400, body=b"{}") if len(server.requests) == 2 else answers(body)
    bench = openai_bench(tmp_path, server, llm__concurrency=3)
    assert generate(bench, [Need("查余额", 3, "minority")]).accepted == {"查余额": 3}
