"""Dialogues of a bench: which are put to people, and what their annotations change."""

import json

import pytest

from workbench.bench import Bench
from workbench.flow.data import add
from workbench.flow.review import dialogues
from workbench.label_studio.labelling import problems
from workbench.label_studio.labelling import read as read_page
from workbench.ledger import Annotation, Project
from workbench.records import digest

TAGS = {
    "topic": {"study": "学业", "family": "家庭"},
    "user": {"emotion": {"anxious": "焦虑", "calm": "平静"}},
    "assistant": {"tone": {"warm": "温暖", "firm": "坚定"}, "phase": {"opening": "开场", "closing": "收尾"}},
}
ROWS = [
    {
        "id": "c1",
        "topic": "study",
        "turns": [
            {"role": "user", "text": "睡不着", "emotion": "anxious"},
            {"role": "assistant", "text": "多久了？", "tone": "warm", "phase": "closing"},
            {"role": "assistant", "text": "说说看。", "tone": "icy", "phase": "opening"},
        ],
    },
    {"id": "c2", "topic": "family", "turns": [{"role": "assistant", "text": "您好"}, {"role": "user", "text": "嗯"}]},
]


def make(folder, rows=ROWS):
    (folder / "wb.yaml").write_text("encoder: {name: hashed}\ntokens: {file: tags.json}\n", encoding="utf-8")
    (folder / "tags.json").write_text(json.dumps(TAGS), encoding="utf-8")
    file = folder / "dialogues.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    bench = Bench.find(folder)
    add(bench, file)
    return bench


@pytest.fixture
def bench(tmp_path):
    opened = make(tmp_path)
    yield opened
    opened.ledger.close()


class People:
    """Annotates as a pull would store it."""

    def __init__(self, bench):
        self.bench, self.number = bench, 0
        with bench.ledger.write("review", "project") as writer:
            writer.project(Project("p", "dialogues", "http://labels.example", 1, ""))

    def says(self, task, result, *, number=0, skipped=False, by="anna@example.org"):
        self.number += 1
        at = f"2026-01-01T00:00:{self.number:02d}Z"
        number = number or self.number
        new = Annotation(
            digest(task.uid, str(number), at), "dialogues", task.uid, "p", number, by, at, at, 3.0, skipped, result
        )
        taken = dialogues.DialogueReader(self.bench).take([new], [])
        self._store(taken, [new], [])
        return new, taken

    def withdraws(self, annotation):
        taken = dialogues.DialogueReader(self.bench).take([], [annotation])
        self._store(taken, [], [annotation])

    def _store(self, taken, new, gone):
        with self.bench.ledger.write("review", "pull") as writer:
            writer.annotations(new)
            writer.withdrawn([annotation.id for annotation in gone])
            writer.rejects(taken.rejects)
            writer.changes(taken.changes)


def chosen(control, about, value):
    return {"from_name": control, "to_name": about, "type": "choices", "value": {"choices": [value]}}


def accept(bench, task):
    (built,) = dialogues.builder(dialogues.vocabulary(bench))([task])
    return list(built.prediction or [])


def row(bench, own):
    return next(s for s in bench.ledger.samples(everything=True) if s.meta["id"] == own)


def tags(bench, own):
    return [dict(turn.tags) for turn in row(bench, own).turns]


def test_every_dialogue_is_asked_once(bench):
    first = dialogues.plan(bench)
    assert [task.shown["title"] for task in first] == ["c1", "c2"]
    assert dialogues.plan(bench) == []


def test_tasks_show_what_is_missing_unknown_or_out_of_order_and_fit_the_label_config(bench):
    asked = dialogues.plan(bench)
    known = dialogues.vocabulary(bench)
    page = read_page(dialogues.wanted(known).config)
    built = dialogues.builder(known)(asked)
    assert [problems(page, task.prediction or [], task.data) for task in built] == [[], []]
    assert {task.data["title"]: task.data["places"] for task in built} == {
        "c1": "3 tone, 3 phase",
        "c2": "1 tone, 1 phase, 2 emotion",
    }
    assert [task.uid for task in built] == [task.data["uid"] for task in built]


def test_a_single_text_is_no_dialogue(tmp_path):
    single = {"id": "t", "topic": "study", "turns": [{"role": "user", "text": "只有一句"}]}
    bench = make(tmp_path, [*ROWS, single])
    assert [task.shown["title"] for task in dialogues.plan(bench)] == ["c1", "c2"]
    bench.ledger.close()


def test_an_annotation_becomes_the_tags_of_the_row(bench):
    task = dialogues.plan(bench)[0]
    said = [*accept(bench, task), chosen("assistant_tone_2", "turn_2", "firm"), chosen("usable", "dialogue", "yes")]
    _, taken = People(bench).says(task, said)
    assert tags(bench, "c1") == [
        {"emotion": "anxious"},
        {"tone": "warm", "phase": "closing"},
        {"tone": "firm", "phase": "opening"},
    ]
    assert [(change.field, change.reason) for change in taken.changes] == [("turns", "annotated")]


def test_an_annotation_that_says_the_same_again_changes_nothing(bench):
    task, people = dialogues.plan(bench)[0], People(bench)
    said = [*accept(bench, task), chosen("assistant_tone_2", "turn_2", "firm")]
    people.says(task, said)
    _, taken = people.says(task, said, by="bert@example.org")
    assert (taken.changes, taken.rejects) == ([], [])


def test_the_topic_goes_where_it_came_from(bench):
    task = dialogues.plan(bench)[0]
    People(bench).says(task, [chosen("topic", "dialogue", "family")])
    assert row(bench, "c1").label == "family"


def test_the_topic_goes_into_its_column_where_classes_are_something_else(tmp_path):
    bench = make(tmp_path, [{**ROWS[0], "label": "other"}, {**ROWS[1], "label": "thing"}])
    task = dialogues.plan(bench)[0]
    assert task.shown["topic"] == "study"
    People(bench).says(task, [chosen("topic", "dialogue", "family")])
    assert (row(bench, "c1").label, row(bench, "c1").meta["topic"]) == ("other", "family")
    bench.ledger.close()


def test_an_unusable_dialogue_is_dropped_and_comes_back_when_someone_says_otherwise(bench):
    task, people = dialogues.plan(bench)[0], People(bench)
    people.says(task, [*accept(bench, task), chosen("usable", "dialogue", "no")])
    assert [s.meta["id"] for s in bench.ledger.samples()] == ["c2"]
    people.says(task, [*accept(bench, task), chosen("usable", "dialogue", "yes")])
    assert [s.meta["id"] for s in bench.ledger.samples()] == ["c1", "c2"]


def test_all_dialogues_may_be_unusable(bench):
    people = People(bench)
    for task in dialogues.plan(bench):
        people.says(task, [chosen("usable", "dialogue", "no")])
    assert bench.ledger.samples() == []


def test_a_withdrawn_annotation_leaves_the_row_as_the_one_before_or_as_it_was(bench):
    task, people = dialogues.plan(bench)[0], People(bench)
    before = row(bench, "c1")
    first, _ = people.says(task, [chosen("user_emotion_0", "turn_0", "calm"), chosen("topic", "dialogue", "family")])
    text = {"from_name": "edit_0", "to_name": "turn_0", "type": "textarea", "value": {"text": ["改过"]}}
    second, _ = people.says(task, [text, chosen("usable", "dialogue", "no")])
    assert row(bench, "c1").turns[0].text == "改过"
    people.withdraws(second)
    after = row(bench, "c1")
    assert (after.turns[0].text, tags(bench, "c1")[0], after.label) == ("睡不着", {"emotion": "calm"}, "family")
    people.withdraws(first)
    assert row(bench, "c1") == before
    assert len(bench.ledger.samples()) == 2


def test_a_skip_changes_nothing(bench):
    task = dialogues.plan(bench)[0]
    _, taken = People(bench).says(task, [], skipped=True)
    assert (taken.changes, taken.rejects) == ([], [])


def test_what_cannot_be_read_is_told_and_the_annotation_before_it_stands(bench):
    task, people = dialogues.plan(bench)[0], People(bench)
    people.says(task, [chosen("user_emotion_0", "turn_0", "calm")])
    _, taken = people.says(task, [chosen("user_emotion_0", "turn_0", "furious")])
    assert [(reject.reason, reject.place) for reject in taken.rejects] == [("unknown_value", task.uid)]
    assert "holds 'furious'" in taken.rejects[0].say
    assert taken.changes == []
    assert tags(bench, "c1")[0] == {"emotion": "calm"}


def test_a_text_that_was_cleaned_since_stays_clean(bench):
    from dataclasses import replace

    from workbench.records import Change

    task, old = dialogues.plan(bench)[0], row(bench, "c1")
    clean = (replace(old.turns[0], text="睡不着。"), *old.turns[1:])
    with bench.ledger.write("data", "clean") as writer:
        writer.changes([Change(old.id, "turns", clean, "punctuation")])
    People(bench).says(task, [chosen("user_emotion_0", "turn_0", "calm")])
    assert row(bench, "c1").turns[0].text == "睡不着。"
    assert tags(bench, "c1")[0] == {"emotion": "calm"}


def test_an_annotation_of_a_dialogue_whose_turns_are_others_now_is_told(bench):
    from workbench.records import Change

    task, old = dialogues.plan(bench)[0], row(bench, "c1")
    with bench.ledger.write("data", "clean") as writer:
        writer.changes([Change(old.id, "turns", old.turns[1:], "first_turn")])
    _, taken = People(bench).says(task, [chosen("user_emotion_0", "turn_0", "calm")])
    assert [reject.reason for reject in taken.rejects] == ["other_turns"]
    assert taken.changes == []


def test_a_proposal_that_comes_after_the_answer_is_put_to_people(bench, monkeypatch):
    from workbench.flow.tokens.fill import Proposal

    first, people = dialogues.plan(bench)[0], People(bench)
    proposed = [Proposal(first.sample, 2, "tone", "firm", "")]
    monkeypatch.setattr(dialogues, "proposals", lambda _: proposed)
    assert dialogues.plan(bench) == []  # its task waits: nobody has answered
    people.says(first, accept(bench, first))
    (second,) = dialogues.plan(bench)
    assert (second.sample, second.uid != first.uid) == (first.sample, True)
    assert chosen("assistant_tone_2", "turn_2", "firm") in accept(bench, second)
    people.says(second, accept(bench, second))
    assert tags(bench, "c1")[2] == {"tone": "firm", "phase": "opening"}
    assert dialogues.plan(bench) == []
