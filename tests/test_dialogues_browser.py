"""Dialogues and ratings in a real Label Studio and a real browser: what stands filled in, and what the bench has of it then."""

import json

import pytest
from studio_pages import Reviewer, open_browser

from workbench.bench import Bench
from workbench.flow.data import add
from workbench.flow.review import dialogues, rating
from workbench.flow.review.connect import connect
from workbench.flow.review.deliver import waiting
from workbench.flow.review.pull import pull

pytestmark = pytest.mark.server

TAGS = {
    "topic": {"study": "学业", "family": "家庭"},
    "user": {"emotion": {"anxious": "焦虑", "calm": "平静"}, "intent": {"ask": "询问", "thank": "感谢"}},
    "assistant": {"tone": {"warm": "温暖", "firm": "坚定"}, "phase": {"opening": "开场", "closing": "收尾"}},
    "来访者": {"状态": ["好", "一般"]},
    "observer": {},
}
LITERAL = "$title <b>粗</b><script>window.ran = 1</script>&amp;<img src=x onerror='window.ran = 2'>  两格\r\n第二行 😣"
ROWS = [
    {
        "id": "c1",
        "topic": "study",
        "turns": [
            {"role": "assistant", "text": "您好，今天想聊些什么？", "tone": "warm", "phase": "opening"},
            {"role": "user", "text": "下周期末考，一想到就心慌。", "emotion": "anxious", "intent": "ask"},
            {"role": "user", "text": "还有，最近总睡不着 😣", "emotion": "furious", "intent": "ask"},
            {"role": "observer", "text": "（沉默）"},
            {"role": "assistant", "text": "多久了？", "phase": "closing"},
            {"role": "来访者", "text": LITERAL, "状态": "一般"},
        ],
    },
    {"id": "c2", "topic": "money", "turns": [{"role": "user", "text": "嗯"}, {"role": "user", "text": "谢谢"}]},
]


@pytest.fixture
def bench(tmp_path, studio_server, monkeypatch):
    settings = {
        "encoder": {"name": "hashed"},
        "tokens": {"file": "tags.json"},
        "review": {"url": studio_server.url, "rating": {"dimensions": ["共情 empathy", "fluency"], "sample": 4}},
    }
    (tmp_path / "wb.yaml").write_text(json.dumps(settings), encoding="utf-8")
    (tmp_path / "tags.json").write_text(json.dumps(TAGS), encoding="utf-8")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio_server.token)
    opened = Bench.find(tmp_path)
    add(opened, tmp_path / "d.jsonl")
    yield opened
    opened.ledger.close()


def row(bench, own):
    return next(s for s in bench.ledger.samples(everything=True) if s.meta["id"] == own)


class Page:
    """The page of a dialogue."""

    def __init__(self, reviewer):
        self.reviewer, self.page = reviewer, reviewer.page

    def turn(self, n):
        return self.page.locator(f".wb-turn-{n}")

    def field(self, n, name):
        return self.turn(n).locator(f".wb-{name} button")

    def value(self, n, name):
        return self.field(n, name).inner_text()

    def choose(self, button, shown):
        """An entry of a list of choices; the one that is chosen already is cleared so."""
        button.click()
        self.page.locator(f'[data-testid="select-popup"] [data-testid="select-option-{shown}"]').click()
        self.page.locator('[data-testid="select-popup"]').wait_for(state="detached")


@pytest.mark.browser
def test_a_person_tags_a_dialogue_and_the_bench_holds_exactly_that(bench, studio_server):
    pushed = dialogues.push(bench)
    assert (pushed.tasks, pushed.predictions, pushed.waiting) == (2, 1, 2)
    with open_browser() as browser:
        anna = Reviewer(browser, studio_server, "anna@localhost", studio_server.users["anna@localhost"])
        anna.page.goto(f"{pushed.url}&labeling=1")
        anna.see("c2")  # most to do
        anna.press("n")
        anna.submit()
        anna.see("c1")
        page = Page(anna)
        assert [page.turn(n).locator(".wb-field").count() for n in range(6)] == [2, 2, 2, 0, 2, 1]
        assert [page.value(0, "tone"), page.value(1, "emotion"), page.value(2, "emotion")] == [
            "温暖 warm",
            "焦虑 anxious",
            "",
        ]
        assert page.value(5, "状态") == "一般"
        assert page.page.locator(".wb-topic button").inner_text() == "学业 study"
        assert page.turn(2).locator(".wb-note").inner_text() == "⚠ 不在词表 unknown: emotion = furious"
        assert page.turn(4).locator(".wb-note").inner_text() == "⚠ 缺 missing: tone"
        lines = page.turn(5).locator(".lsf-richtext__line").all_inner_texts()
        assert lines == LITERAL.split("\r\n")
        anna.shot("dialogues")
        page.choose(page.field(2, "emotion"), "平静 calm")
        page.choose(page.field(4, "tone"), "坚定 firm")
        page.choose(page.field(1, "intent"), "询问 ask")  # cleared
        page.choose(page.page.locator(".wb-topic button"), "家庭 family")
        page.turn(5).get_by_text("Correct the text").click()  # looked at, not changed
        page.turn(4).get_by_text("Correct the text").click()
        page.page.locator("textarea[name=edit_4]").fill("多久了？\n说说看 😣")
        page.page.locator(".wb-title").click()
        anna.press(*"1234qwet")  # slips
        anna.press("y")
        anna.submit()
        assert page.page.evaluate("window.ran") is None
        assert anna.outside == []
    pulled = pull(bench)
    assert (pulled.new, pulled.unreadable, pulled.foreign) == (2, 0, 0)
    one = row(bench, "c1")
    assert [dict(turn.tags) for turn in one.turns] == [
        {"tone": "warm", "phase": "opening"},
        {"emotion": "anxious"},
        {"emotion": "calm", "intent": "ask"},
        {},
        {"tone": "firm", "phase": "closing"},
        {"状态": "一般"},
    ]
    assert [turn.text for turn in one.turns] == [
        *(turn["text"] for turn in ROWS[0]["turns"][:4]),
        "多久了？\n说说看 😣",
        LITERAL,
    ]
    assert one.label == "family"
    assert [sample.meta["id"] for sample in bench.ledger.samples()] == ["c1"]  # c2 is unusable
    assert pull(bench).new == 0
    assert dialogues.push(bench).tasks == 0


def test_ratings_come_back_with_means_and_agreement(bench):
    file = bench.root / "answers.jsonl"
    rows = [{"question": f"问题{i}", "answer": f"{m} 的回答 {i}", "model": m} for i in range(4) for m in ("a", "b")]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pushed = rating.push(bench, file)
    assert (pushed.tasks, pushed.waiting) == (4, 4)
    asked = {task.uid: task for task in bench.ledger.people.asked("rating")}
    with connect(bench) as studio:
        accounts = studio.people()
        people = [number for number, email in accounts.items() if email in ("anna@localhost", "bert@localhost")]
        number = pushed.project.number
        for uid, task in studio.present(number, list(asked)).items():
            level = 5 if asked[uid].shown["models"] == ["a"] else 2
            for person in people:
                result = [
                    {"from_name": control, "to_name": "answer", "type": "rating", "value": {"rating": level}}
                    for control in rating.rating.dimensions(bench.config.review.rating.dimensions).values()
                ]
                studio.answer(number, task, result, as_user=person)
    assert pull(bench).new == 8
    found = rating.results(bench)
    assert (found.done, waiting(bench, "rating")) == (4, [])
    assert {(m.where["dimension"], m.where["model"]): m.value for m in found.means} == {
        (name, model): value for name in ("共情 empathy", "fluency") for model, value in (("a", 5.0), ("b", 2.0))
    }
    assert found.agreement["fluency"].alpha.value == 1.0
