"""The whole way with a person at the keyboard: `wb review push`, a browser, `wb review pull`, the ledger."""

import json

import pytest
from reviewing import stocked
from studio_pages import Reviewer, open_browser

from workbench.bench import Bench

pytestmark = [pytest.mark.server, pytest.mark.browser]
BILLS, NOTHING = "咨询（含查询）业务资费", "投诉（含抱怨）不知情定制问题"


@pytest.fixture
def anna(studio_server, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio_server.token)
    with open_browser() as browser:
        email = "anna@localhost"
        yield Reviewer(browser, studio_server, email, studio_server.users[email])


def decide(anna, number, other):
    """One task by keys; what the ledger should then hold: decision, text (of an edit, how it ends), class, reasons."""
    if number == 1:
        anna.skip()
        return ("skipped", "", "", ())
    if number in (3, 8):
        anna.press("e")
        anna.page.locator("textarea[name=edited_text]").focus()
        anna.press("Control+End")
        anna.write("，麻烦快一点")
        anna.press("Tab")
        anna.submit()
        return ("edit", "，麻烦快一点", "", ())
    if number in (4, 9, 14):
        anna.press("l", "f")
        anna.write(other)
        anna.press("Enter", "Tab")
        anna.submit()
        return ("relabel", "", other, ())
    if number % 5 == 0:
        anna.press("r", "1")
        anna.submit()
        return ("reject", "", "", ("unnatural",))
    anna.press("a")
    anna.submit()
    return ("approve", "", "", ())


def test_twenty_tasks_by_keyboard_are_in_the_ledger_exactly(tmp_path, wb, studio_server, anna, monkeypatch):
    rows = [{"text": f"您好[SEP]第{i:02d}条：我想查一下上个月的账单明细", "asked": BILLS} for i in range(21)]
    folder = stocked(tmp_path / "bench", wb, studio_server.url, rows=rows)
    monkeypatch.chdir(folder)
    pushed = wb("review", "push", "--json").json
    assert pushed["tasks"] == 21
    link = pushed["url"]
    anna.start(pushed["project"], link.rpartition("tab=")[2])
    with_text = {c.sample.turns[1].text[:4]: c.sample.id for c in Bench.find(folder).ledger.candidates()}
    expected, seen = {}, set()
    for number in range(21):
        text = anna.page.locator(".lsf-richtext__container").first.inner_text()
        mark = text[text.index("第") : text.index("第") + 4]
        assert mark not in seen, "a task was shown twice"
        seen.add(mark)
        expected[with_text[mark]] = decide(anna, number, NOTHING)
        if number < 20:
            anna.page.wait_for_function(
                "mark => { const box = document.querySelector('.lsf-richtext__container');"
                " return box && box.innerText.includes('第') && !box.innerText.includes(mark) }",
                arg=mark,
            )
            anna.ready()
    pulled = json.loads(wb("review", "pull", "--json").out.splitlines()[-1])
    assert {name: pulled[name] for name in ("new", "approve", "edit", "relabel", "reject", "skipped")} == {
        "new": 21,
        "approve": sum(what[0] == "approve" for what in expected.values()),
        "edit": 2,
        "relabel": 3,
        "reject": sum(what[0] == "reject" for what in expected.values()),
        "skipped": 1,
    }
    found = {c.sample.id: c for c in Bench.find(folder).ledger.candidates()}
    for row, (state, ending, label, reasons) in expected.items():
        judged = found[row].judgement
        assert judged.state == state
        assert found[row].sample.label == (label or BILLS)
        assert found[row].sample.turns[-1].text.endswith(ending)
        if judged.review is not None:
            assert judged.review.reviewer == "anna@localhost"
            assert judged.review.reasons == reasons
            assert judged.review.seconds > 0
    assert anna.outside == []
