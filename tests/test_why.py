"""`wb why`: the whole story of a human row, of an accepted and of a dropped synthetic one."""

import json

import pytest
from gates import PLAIN_GATE

from workbench.bench import Bench
from workbench.flow.generate.plan import needs
from workbench.flow.generate.run import generate
from workbench.flow.train.run import train
from workbench.flow.why import why

GATE = f"gate.rules={PLAIN_GATE}"
TEXTS = ["不想要彩铃了给我停掉", "**退订**流量包", "上个月开的会员麻烦关了", "那个天气短信别再发过来"]


@pytest.fixture
def story(tmp_path, wb):
    """A bench with two classes, one recorded reply with a dropped row, and a trained model."""
    rows = [f"请问我的{x}这个月还剩多少,查余额,甲{i}" for i, x in enumerate(("话费", "流量", "积分", "余额"))]
    rows += [f"把那个{x}业务取消,退订,乙{i}" for i, x in enumerate(("彩铃", "会员", "阅读"))]
    (tmp_path / "train.csv").write_text("text,label,agent\n" + "\n".join(rows) + "\n", encoding="utf-8")
    lines = [json.dumps({"asked": "退订", "text": text}, ensure_ascii=False) for text in TEXTS]
    (tmp_path / "r.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "wb.yaml").write_text(
        "encoder: {name: hashed}\nllm: {endpoints: [{kind: recorded, path: r.jsonl}]}\ntrain: {replicas: 2}\n",
        encoding="utf-8",
    )
    assert wb("data", "add", "train.csv", "--split", "train").code == 0
    bench = Bench.find(tmp_path, [GATE])
    generate(bench, needs(bench, ["退订"], [], minority=False, accept=3))
    train(bench)
    yield bench
    bench.ledger.close()


def one(bench, *, accepted):
    return next(c.sample for c in bench.ledger.candidates() if c.accepted == accepted)


def test_a_human_row(story, wb):
    row = next(row for row in story.ledger.samples() if row.label == "退订")
    found = why(story, row.id)
    assert (found.reply, found.verdicts, found.parents) == (None, (), ())
    assert len(found.versions) == len(found.runs) == 1
    said = wb("why", row.id).out
    for words in (
        row.id,
        row.text,
        "(human, train)",
        "Came in as a row of yours",
        "agent=乙0",
        "used by run",
        "In training set",
    ):
        assert words in said
    if found.children:
        assert f"Shown as an example for {len(found.children)} synthetic rows" in said


def test_an_accepted_synthetic_row(story, wb):
    row = one(story, accepted=True)
    found = why(story, row.id)
    assert found.reply is not None
    assert (found.reply.model, found.siblings) == ("recorded", 4)
    assert found.parents
    assert len(found.versions) == 1
    said = wb("why", row.id).out
    for words in (
        "synthetic, train",
        "written by recorded at recorded:r.jsonl, strategy minority, seed 0, draw 0",
        "prompt minority.zh.j2@",
        f"reply {found.reply.id}, row {found.position + 1} of 4",
        "cost:",
        f"shown: {found.parents[0].id}",
        "gate: passed",
        "used by run",
    ):
        assert words in said


def test_a_dropped_synthetic_row(story, wb):
    row = one(story, accepted=False)
    said = wb("why", row.id).out
    assert "gate: dropped (artefact: markup)" in said
    assert "Not in any training set so far." in said


def test_the_prompt_itself_can_be_seen(story, wb):
    row = one(story, accepted=True)
    found = wb("why", row.id, "--json").json
    assert "退订" in found["reply"]["messages"][-1]["content"]
    assert found["reply"]["text"]
    assert found["reply"]["messages"][-1]["content"] not in wb("why", row.id).out
    said = wb("why", row.id, "--prompt").out
    assert found["reply"]["messages"][-1]["content"] in said
    assert found["reply"]["text"] in said
    human = story.ledger.samples()[0]
    assert "No model was asked" in wb("why", human.id, "--prompt").out


def test_the_beginning_of_an_id_is_enough_and_a_wrong_one_is_said(story, wb):
    row = one(story, accepted=True)
    assert wb("why", row.id[:10]).out.splitlines()[0].startswith(row.id)
    wrong = wb("why", "zzzz")
    assert wrong.code == 1
    assert "no row has the id 'zzzz'" in wrong.err
    several = wb("why", "")
    assert several.code == 1
    assert "several rows" in several.err


def test_a_second_gating_is_a_second_line(story, wb):
    row = one(story, accepted=True)
    assert wb("gate").code == 0
    assert wb("why", row.id).out.count("gate: ") == 2


def test_a_change_and_its_reversal_are_told(story, wb, tmp_path):
    (tmp_path / "more.csv").write_text("text,label\n查一下&amp;看看\u200b话费,查余额\n", encoding="utf-8")
    assert wb("data", "add", "more.csv", "--split", "train").code == 0
    assert wb("data", "clean").code == 0
    row = story.ledger.samples()[-1]
    said = wb("why", row.id).out
    assert "changed by `wb data clean`" in said
    assert "Not in any training set so far." in said
