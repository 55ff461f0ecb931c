"""A person works through reviews in a real Label Studio, in a real browser, by keyboard; what it then holds is exactly that."""

import pytest
from studio_pages import Api, Reviewer, open_browser, said

from workbench.assets import find
from workbench.label_studio.labelling import problems, read, read_review, with_choices, with_dimensions

pytestmark = [pytest.mark.server, pytest.mark.browser]

CANCEL, FEES = "办理取消", "咨询（含查询）业务资费"
ODD = ["$5 off", "a <b> & \"c\" 'd'", "true", "😣 表情", " lead"]
CLASSES = [CANCEL, FEES, "办理开通", "投诉网络问题", *(f"类别 {i:03d}" for i in range(140)), *ODD]
REASONS = ["unnatural", "wrong_class", "duplicate", "unsafe", "truncated"]
LITERAL = "第09条 <b>粗</b><script>window.ran = 1</script>&amp;<img src=x onerror='window.ran = 2'> \x0b 完"
DIALOGUE = "用户：第03条 你好，我想问彩铃怎么取消\n客服：您好，是本机吗？\n用户：是的   谢谢😣"
EXAMPLES = ["彩铃我不想要了，帮我取消", "把那个流量包退了吧，用不上", "来电提醒请给我关掉，每个月都扣钱"]
OTHERS = ["彩铃一个月多少钱", "流量包怎么收费的？我先了解一下", "来电提醒业务是不是免费的"]


def config():
    text = find("label_configs", "review.xml").read_text(encoding="utf-8")
    return with_choices(with_choices(text, "new_label", CLASSES), "reject_reason", REASONS, hotkeys="123456789")


def task(number, text="", *, suggested="", pair=False, **more):
    data = {
        "uid": f"row-{number:02d}",
        "text": text or f"第{number:02d}条 麻烦帮我把彩铃业务取消了，谢谢",
        "label": CANCEL,
        "against": FEES if pair else "",
        "queue": f"{CANCEL} · 抽样 sample",
        "reviewers": 1,
        "doubt": round(1 - number / 100, 2),
        "evidence": [{"text": "分类器 classifier：0.62 咨询（含查询）业务资费，0.31 办理取消"}] if pair else [],
        "examples": [{"text": text} for text in EXAMPLES],
        "against_examples": [{"text": text} for text in OTHERS] if pair else [],
        "opinions": [],
        "suggested": suggested,
        **more,
    }
    guess = {"from_name": "new_label", "to_name": "text", "type": "choices", "value": {"choices": [suggested]}}
    prediction = {"model_version": "test", "score": data["doubt"], "result": [guess]}
    return {"data": data, "predictions": [prediction] if suggested else []}


@pytest.fixture(scope="module")
def chromium():
    with open_browser() as browser:
        yield browser


@pytest.fixture
def api(studio_server):
    return Api(studio_server)


@pytest.fixture
def anna(chromium, studio_server):
    email = "anna@localhost"
    reviewer = Reviewer(chromium, studio_server, email, studio_server.users[email])
    yield reviewer
    reviewer.page.close()


def approve(anna, number):
    anna.press("a", *"n" * (number % 3))
    return {"verdict": ["approve"], **({"naturalness": number % 3} if number % 3 else {})}


def reject(anna, number):
    anna.press("r", "2", *("5" if number % 2 else ""))
    return {"verdict": ["reject"], "reject_reason": ["wrong_class", "truncated"] if number % 2 else ["wrong_class"]}


def edit(anna, number):
    anna.press("e")
    box = anna.page.locator("textarea[name=edited_text]")
    before = box.input_value()
    box.focus()
    anna.press("Control+End")
    anna.write("\n客服：好的，再见！")
    anna.shot("review-edit")
    anna.press("Tab")
    return {"verdict": ["edit"], "edited_text": [before + "\n客服：好的，再见！"]}


def relabel(anna, number, search, name):
    anna.press("l", "f")
    anna.write(search)
    anna.shot("review-relabel")
    anna.press("Enter", "Tab")
    return {"verdict": ["relabel"], "new_label": [name]}


def take_suggestion(anna, number):
    anna.press("l")
    return {"verdict": ["relabel"], "new_label": [FEES]}


def work(anna, number):
    """Decide on a task, as its number says; returns what should then be said of it."""
    if number == 3:
        return edit(anna, number)
    if number in (4, 5, 6, 7, 8):
        name = ODD[number - 4]
        return relabel(anna, number, name.strip().replace("$", ""), name)
    if number == 10:
        return take_suggestion(anna, number)
    if number in (11, 12, 13):
        return reject(anna, number)
    return approve(anna, number)


def test_twenty_tasks_by_keyboard_are_held_exactly(api, anna):
    tasks = [task(number, suggested=FEES if number in (4, 10) else "") for number in range(21)]
    tasks[3], tasks[9], tasks[10] = task(3, DIALOGUE), task(9, LITERAL), task(10, suggested=FEES, pair=True)
    columns = ("text", "label", "against", "doubt")
    number, tab = api.project("Review 审核", config(), tasks[::-1], order="-tasks:data.doubt", columns=columns)
    anna.look(number, tab)
    anna.shot("review-queue")
    anna.start(number, tab)
    expected = {}
    for index, one in enumerate(tasks):  # most doubtful first
        anna.see(f"第{index:02d}条")
        assert anna.page.locator(".wb-other").is_visible() == (index == 10)
        if index in (2, 10):
            anna.shot("review-task" if index == 2 else "review-pair")
        if index == 1:
            anna.skip()
            continue
        expected[one["data"]["uid"]] = work(anna, index)
        anna.submit()
    held = api.annotations(number)
    assert {uid: [said(one) for one in found if not one["was_cancelled"]] for uid, found in held.items()} == {
        uid: [expected[uid]] if uid in expected else [] for uid in held
    }
    assert [one["was_cancelled"] for one in held["row-01"]] == [True]
    assert sum(len(found) for found in held.values()) == len(tasks)
    assert all(one["lead_time"] > 0 for found in held.values() for one in found)
    known = read_review(config())
    assert [say for found in held.values() for one in found for say in problems(known, one["result"])] == []
    assert anna.page.evaluate("window.ran") is None, "text of a task was run as a script"
    assert anna.outside == [], "the page asked somebody else"


def test_text_is_shown_literally_however_long_and_lines_stay(api, anna):
    long = "第02条 " + "字<i>" * 25_000
    tasks = [task(0, LITERAL), task(1, DIALOGUE.replace("03", "01")), task(2, long)]
    number, tab = api.project("Literal 原样", config(), tasks, order="-tasks:data.doubt")
    anna.start(number, tab)
    for one in tasks:
        text = one["data"]["text"]
        anna.see(text[:12].split("\n")[0])
        shown = anna.page.locator(".lsf-richtext__container").first
        assert shown.evaluate("box => box.innerText.replaceAll('\\u00a0', ' ')") == text
        anna.press("e")
        assert anna.page.locator("textarea[name=edited_text]").input_value() == text
        anna.press("a")
        anna.submit()
    assert anna.page.evaluate("window.ran") is None
    held = api.annotations(number)
    assert [said(one) for found in held.values() for one in found] == [{"verdict": ["approve"]}] * 3, (
        "hidden text was sent"
    )


def test_a_stray_key_chooses_no_class_and_no_verdict_is_no_review(api, anna):
    number, tab = api.project("Stray 误按", config(), [task(0, suggested=FEES)])
    anna.start(number, tab)
    anna.see("第00条")
    anna.press(*"qwtzxcvbdgsyopjkm0976", "Space")
    assert anna.checked() == [FEES], "the suggestion, which waits for the verdict relabel"
    anna.press("Control+Enter")
    anna.page.get_by_text("Choose a verdict").wait_for()
    assert api.annotations(number) == {"row-00": []}
    anna.page.keyboard.press("Enter")
    anna.page.get_by_text("Choose a verdict").wait_for(state="hidden")
    anna.page.locator("body").click(position={"x": 700, "y": 780})
    anna.press("r", "1")
    anna.submit()
    (review,) = api.annotations(number)["row-00"]
    assert said(review) == {"verdict": ["reject"], "reject_reason": ["unnatural"]}, "the suggestion was hidden: dropped"


def test_searching_twice_keeps_to_what_was_searched_for(api, anna):
    number, tab = api.project("Search 搜索", config(), [task(0, suggested=FEES), task(1)], order="-tasks:data.doubt")
    anna.start(number, tab)
    anna.see("第00条")
    anna.press("l", "f")
    anna.write("网络")
    anna.press("Enter", "Enter")
    assert set(anna.checked()) == {"relabel"}, "the second Enter takes the class back and chooses no other"
    anna.press("Control+Enter")
    assert set(anna.checked()) == {"relabel", "投诉网络问题"}, "in the field, Ctrl+Enter is an Enter"
    assert api.annotations(number)["row-00"] == []
    anna.press("Tab")
    anna.submit()
    anna.see("第01条")
    (review,) = api.annotations(number)["row-00"]
    assert said(review) == {"verdict": ["relabel"], "new_label": ["投诉网络问题"]}


def test_opinions_are_shown_to_whoever_settles_a_disagreement(api, anna):
    opinions = [{"text": "anna@localhost：通过 approve"}, {"text": "bert@localhost：拒绝 reject（wrong_class）"}]
    number, tab = api.project("Settle 裁决", config(), [task(0, opinions=opinions), task(1)], order="-tasks:data.doubt")
    anna.start(number, tab)
    anna.see("第00条")
    assert anna.page.locator(".wb-opinions .wb-item").all_inner_texts() == [one["text"] for one in opinions]
    anna.shot("review-settle")
    anna.press("a")
    anna.submit()
    anna.see("第01条")
    assert not anna.page.locator(".wb-opinions").is_visible()


def test_an_answer_is_rated_by_number_keys(api, anna):
    template = find("label_configs", "rating.xml").read_text(encoding="utf-8")
    filled = with_dimensions(template, ["有用 Helpful", "准确 Accurate", "tone"])
    data = {
        "uid": "answer-1",
        "question": "用户：最近期末考试压力好大，晚上总是睡不着\n客服：这种情况持续多久了？\n用户：快两周了",
        "answer": "听起来这两周你一直撑得很辛苦。睡前可以先把担心的事写下来，给明天的自己留一张清单；如果连续几天仍睡不好，"
        "建议和校医或心理老师聊聊。你愿意说说，最让你放不下的是哪一门考试吗？",
    }
    number, tab = api.project("Rating 评分", filled, [{"data": data}])
    anna.start(number, tab)
    anna.see("听起来")
    anna.press(*"1111", *"22222", "3")
    anna.shot("rating-task")
    anna.submit()
    (rating,) = api.annotations(number)["answer-1"]
    assert sorted(said(rating).values()) == [1, 4, 5]
    assert said(rating)["rate_tone"] == 1
    assert problems(read(filled), rating["result"]) == []
