"""Rating answers of models: reading them, choosing which, blindness, and what ratings come to."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.flow.review import rating as flow
from workbench.flow.review.deliver import waiting
from workbench.label_studio.labelling import lacking, problems
from workbench.label_studio.labelling import read as read_page
from workbench.label_studio.markup import dimensions
from workbench.ledger import Annotation, Project
from workbench.records import digest
from workbench.review import rating
from workbench.review.rated import summary
from workbench.review.rating import Answer, RatingConfig

NAMES = ("共情 empathy", "fluency")


def found(rows, config=None):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return rating.answers("a.jsonl", list(enumerate(rows, 1)), columns, config or RatingConfig())


def stars(**given):
    names = dict(zip(("empathy", "fluency"), NAMES, strict=True))
    return [
        {"from_name": dimensions(NAMES)[names[name]], "to_name": "answer", "type": "rating", "value": {"rating": value}}
        for name, value in given.items()
    ]


# The file


def test_columns_are_found_by_their_names():
    (one,) = found([{"prompt": "问？", "response": "答。", "model": "m1"}]).answers
    assert (one.question, one.answer, one.models) == ("问？", "答。", ("m1",))


def test_columns_can_be_named():
    config = RatingConfig(question="a", answer="b", model="c")
    (one,) = found([{"question": "x", "answer": "y", "a": "问", "b": "答", "c": "m"}], config).answers
    assert (one.question, one.answer, one.models) == ("问", "答", ("m",))


def test_a_named_column_that_is_not_there_is_an_error():
    with pytest.raises(DataError, match=r"no column 'reply2', which review.rating.answer names"):
        found([{"question": "x", "reply": "y"}], RatingConfig(answer="reply2"))


def test_a_file_without_answers_is_an_error():
    with pytest.raises(DataError, match=r"No column looks like the answer; there are: question, label"):
        found([{"question": "x", "label": "y"}])


@pytest.mark.parametrize("as_text", [False, True])
def test_a_dialogue_is_shown_with_its_speakers(as_text):
    turns = [{"role": "user", "content": "你好"}, {"from": "gpt", "value": "您好"}, {"text": "嗯"}]
    (one,) = found([{"messages": json.dumps(turns) if as_text else turns, "answer": "a"}]).answers
    assert one.question == "user: 你好\ngpt: 您好\n嗯"


def test_a_question_that_begins_like_a_list_and_is_none_stays_as_it_is():
    assert found([{"question": "[笑] 在吗", "answer": "a"}]).answers[0].question == "[笑] 在吗"


def test_rows_without_text_are_rejected_with_a_reason():
    read = found(
        [{"question": "q", "answer": " "}, {"question": None, "answer": "a"}, {"question": "q", "answer": "a"}]
    )
    assert [(reject.line, reject.reason) for reject in read.rejects] == [(1, "empty_text"), (2, "empty_text")]
    assert "no text under 'answer'" in read.rejects[0].say
    assert len(read.answers) == 1


def test_the_same_answer_of_two_models_is_rated_once_for_both():
    row = {"question": "q", "answer": "a"}
    read = found([{**row, "model": "m1"}, {**row, "model": "m2"}, {**row, "model": "m1"}])
    assert [one.models for one in read.answers] == [("m1", "m2")]
    assert read.repeated == 1


def test_the_page_does_not_tell_whose_an_answer_is():
    (one,) = found([{"question": "q", "answer": "a", "model": "gpt-secret"}]).answers
    assert "gpt-secret" not in json.dumps(rating.task(one))
    assert one.uid == found([{"question": "q", "answer": "a", "model": "other"}]).answers[0].uid


# The sample

ANSWERS = [Answer(f"{m}{q}", f"q{q}", f"{m} to {q}", (m,)) for m in ("m1", "m2", "m3") for q in range(20)]


def test_each_model_gives_as_many_answers_to_the_same_questions():
    chosen = rating.choose(ANSWERS, 15, seed=1)
    assert Counter(one.models[0] for one in chosen) == {"m1": 5, "m2": 5, "m3": 5}
    assert len({one.question for one in chosen}) == 5


def test_a_model_with_few_answers_gives_all_and_the_others_make_up_for_it():
    some = [one for one in ANSWERS if one.models != ("m3",) or one.question in ("q0", "q1")]
    assert Counter(one.models[0] for one in rating.choose(some, 20, seed=1)) == {"m1": 9, "m2": 9, "m3": 2}


def test_another_seed_is_another_sample():
    assert rating.choose(ANSWERS, 15, seed=1) != rating.choose(ANSWERS, 15, seed=2)


@given(st.integers(1, 70), st.integers(0, 10), st.randoms())
def test_a_larger_sample_holds_the_smaller_one_whatever_the_order_of_the_file(n, more, order):
    shuffled = list(ANSWERS)
    order.shuffle(shuffled)
    chosen = rating.choose(ANSWERS, n, seed=3)
    assert len(chosen) == len({one.uid for one in chosen}) == min(n, len(ANSWERS))
    assert {one.uid for one in chosen} <= {one.uid for one in rating.choose(shuffled, n + more, seed=3)}


def test_no_number_is_all_of_them():
    assert rating.choose(ANSWERS, 0, seed=1) == ANSWERS


# What a person said


def test_ratings_are_read_by_dimension():
    assert rating.read(stars(empathy=4, fluency=1), NAMES) == {"共情 empathy": 4, "fluency": 1}


@pytest.mark.parametrize(
    ("result", "slug", "say"),
    [
        ([], "no_rating", "rates nothing"),
        (stars(empathy=6), "no_rating", "holds 6"),
        (stars(empathy=True), "no_rating", "holds True"),
        ([{"from_name": "safety", "value": {"rating": 3}}], "unknown_control", "'safety', which is no dimension"),
        ([{**stars(empathy=3)[0], "value": None}], "no_rating", "holds None"),
    ],
)
def test_what_is_no_rating_is_refused_with_a_sentence(result, slug, say):
    with pytest.raises(ValueError, match=slug) as caught:
        rating.read(result, NAMES)
    assert caught.value.args[0] == slug
    assert say in caught.value.args[1]


# What it comes to


def rated(values, names=("fluency",)):
    """Answers (model, question, stars of each rater), and their ratings."""
    answers = [Answer(f"{m}/{q}", q, "a", (m,)) for m, q, _ in values]
    ratings = {
        f"{m}/{q}": {f"r{i}": dict.fromkeys(names, star) for i, star in enumerate(some)}
        for m, q, some in values
        if some
    }
    return answers, ratings


def test_a_mean_counts_each_answer_once_however_many_raters_it_has():
    answers, ratings = rated([("m", "q1", [5, 5, 5]), ("m", "q2", [1])])
    (mean,) = summary(answers, ratings, ["fluency"], 1).means
    assert (mean.value, mean.n, mean.where) == (3.0, 2, {"dimension": "fluency", "model": "m"})


def test_an_answer_of_two_models_counts_for_both():
    ratings = {"u": {"r": {"fluency": 4}}}
    found = summary([Answer("u", "q", "a", ("m1", "m2"))], ratings, ["fluency"], 1)
    assert [(mean.where["model"], mean.value) for mean in found.means] == [("m1", 4.0), ("m2", 4.0)]


def test_one_question_says_nothing_of_others():
    answers, ratings = rated([("m", "q1", [4, 4])])
    (mean,) = summary(answers, ratings, ["fluency"], 1).means
    assert (mean.low, mean.high) == (1.0, 5.0)


def test_ratings_that_are_all_alike_leave_something_open():
    answers, ratings = rated([("m", f"q{i}", [5]) for i in range(20)])
    (mean,) = summary(answers, ratings, ["fluency"], 1).means
    assert (mean.value, mean.high) == (5.0, 5.0)
    assert 4.8 < mean.low < 4.9


def test_models_that_answered_the_same_questions_are_compared_question_by_question():
    hard = [1 + i % 4 for i in range(24)]  # questions differ a lot, models by one star throughout
    answers, ratings = rated([(m, f"q{i}", [h + (m == "b")]) for m in "ab" for i, h in enumerate(hard)])
    found = summary(answers, ratings, ["fluency"], 1)
    (difference,) = found.differences
    assert (difference.value, difference.n, difference.where["paired"]) == (-1.0, 24, "yes")
    assert difference.high < 0
    assert any("on 24 questions that both answered: b is better." in line for line in found.say)
    assert all(mean.high - mean.low > 0.8 for mean in found.means)


def test_models_that_answered_other_questions_are_compared_all_the_same():
    values = [("a", f"q{i}", [2 + i % 2]) for i in range(10)] + [("b", f"p{i}", [2 + i % 3]) for i in range(9)]
    found = summary(*rated(values), ["fluency"], 1)
    (difference,) = found.differences
    assert (difference.value, difference.n, difference.where["paired"]) == (-0.5, 19, "no")
    assert any("19 questions, not the same ones: cannot tell which is better." in line for line in found.say)


def test_agreement_is_ordinal_and_by_dimension():
    ratings = {f"u{i}": {"a": {"fluency": 1 + i % 5}, "b": {"fluency": 1 + i % 5}} for i in range(10)}
    found = summary([Answer(u, u, "a", ("",)) for u in ratings], ratings, ["fluency"], 2)
    assert found.agreement["fluency"].alpha.value == 1.0
    assert found.agreement["fluency"].alpha.where == {"level": "ordinal"}


def test_progress_is_told_in_answers_and_people():
    answers, ratings = rated([("m", "q1", [3, 4]), ("m", "q2", [3]), ("m", "q3", [])])
    found = summary(answers, ratings, ["fluency"], 2)
    assert (found.answers, found.rated, found.done) == (3, 2, 1)
    assert found.per_answer == {0: 1, 1: 1, 2: 1}
    assert found.raters == {"r0": 2, "r1": 1}
    assert found.say[0] == "2 of 3 answers are rated, 1 of them by at least 2 people; 3 ratings by 2 people."


def test_the_figures_do_not_change_from_call_to_call():
    answers, ratings = rated([("m", f"q{i}", [1 + i % 5, 1 + i % 3]) for i in range(12)])
    assert summary(answers, ratings, ["fluency"], 2, seed=7) == summary(answers, ratings, ["fluency"], 2, seed=7)


@pytest.mark.slow
def test_intervals_hold_what_they_promise():
    """Simulated: question, model and rater effects; the mean over many questions is known."""
    chance, held, compared, runs = np.random.default_rng(0), 0, 0, 150
    for _ in range(runs):
        quality = chance.normal(3, 0.8, size=25)
        values = [
            (m, f"q{i}", [int(np.clip(round(q + up + chance.normal(0, 0.7)), 1, 5)) for _ in range(2)])
            for m, up in (("a", 0.0), ("b", 0.3))
            for i, q in enumerate(quality)
        ]
        found = summary(*rated(values), ["fluency"], 2)
        held += found.means[0].low <= TRUE["a"] <= found.means[0].high
        compared += found.differences[0].low <= TRUE["a"] - TRUE["b"] <= found.differences[0].high
    assert held >= 0.93 * runs
    assert compared >= 0.93 * runs


def _true(up):
    chance = np.random.default_rng(1)
    return float(np.clip(np.round(chance.normal(3, 0.8, 400_000) + up + chance.normal(0, 0.7, 400_000)), 1, 5).mean())


TRUE = {"a": _true(0.0), "b": _true(0.3)}


# In a bench


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "wb.yaml").write_text(
        "encoder: {name: hashed}\nreview: {rating: {dimensions: [共情 empathy, fluency], sample: 8, raters: 2}}\n",
        encoding="utf-8",
    )
    rows = [{"question": f"q{i}", "answer": f"{m} 说 {i}", "model": m} for i in range(10) for m in ("a", "b")]
    random.Random(0).shuffle(rows)
    file = tmp_path / "answers.jsonl"
    file.write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"question": "", "answer": "x"}]), encoding="utf-8"
    )
    opened = Bench.find(tmp_path)
    yield opened
    opened.ledger.close()


def asked(bench):
    file = bench.root / "answers.jsonl"
    flow.plan(bench, file.name, flow.load(bench, file))
    return bench.ledger.people.asked("rating")


def store(bench, *annotations):
    with bench.ledger.write("review", "pull") as writer:
        if bench.ledger.people.project("rating") is None:
            writer.project(Project("p", "rating", "http://labels.example", 1, ""))
        writer.annotations(annotations)


def annotation(task, result, *, number, by, skipped=False):
    at = f"2026-01-01T00:00:{number:02d}Z"
    return Annotation(digest(task.uid, str(number)), "rating", task.uid, "p", number, by, at, at, 2.0, skipped, result)


def test_a_sample_of_a_file_is_asked_once_and_fits_the_label_config(bench):
    tasks = asked(bench)
    assert len(tasks) == 8
    assert Counter(task.shown["models"][0] for task in tasks) == {"a": 4, "b": 4}
    assert [task.uid for task in asked(bench)] == [task.uid for task in tasks]
    page = read_page(flow.wanted(bench).config)
    assert all(lacking(page, built.data) == [] and built.prediction is None for built in flow.build(tasks))
    assert problems(page, stars(empathy=3, fluency=5)) == []
    assert (flow.wanted(bench).overlap, len(waiting(bench, "rating"))) == (2, 8)
    assert [reject.reason for reject in bench.ledger.rejects()] == ["empty_text"]


def test_ratings_come_back_as_means_with_intervals(bench):
    tasks = asked(bench)
    number = 0
    for task in tasks:
        for by in ("anna", "bert"):
            number += 1
            level = 4 if task.shown["models"] == ["a"] else 2
            store(bench, annotation(task, stars(empathy=level, fluency=3), number=number, by=by))
    results = flow.results(bench)
    assert {(m.where["dimension"], m.where["model"]): m.value for m in results.means} == {
        ("共情 empathy", "a"): 4.0,
        ("共情 empathy", "b"): 2.0,
        ("fluency", "a"): 3.0,
        ("fluency", "b"): 3.0,
    }
    assert (results.done, waiting(bench, "rating")) == (8, [])


def test_of_two_ratings_of_one_person_the_newer_counts_and_a_skip_is_no_rating(bench):
    first, second, *_ = asked(bench)
    store(
        bench,
        annotation(first, stars(empathy=1, fluency=1), number=1, by="anna"),
        annotation(first, stars(empathy=5, fluency=5), number=2, by="anna"),
        annotation(second, [], number=3, by="anna", skipped=True),
    )
    assert flow.ratings(bench) == {first.uid: {"anna": {"共情 empathy": 5, "fluency": 5}}}


def test_an_annotation_that_rates_nothing_is_told(bench):
    task = asked(bench)[0]
    taken = flow.RatingReader(bench).take([annotation(task, [], number=1, by="anna")], [])
    assert [(reject.place, reject.reason) for reject in taken.rejects] == [(task.uid, "no_rating")]
    assert taken.changes == ()


def test_a_file_without_a_usable_row_is_an_error(bench):
    file = bench.root / "empty.jsonl"
    file.write_text('{"question": "", "answer": ""}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no row with a question and an answer"):
        flow.load(bench, file)


def test_results_before_any_push_are_an_error(bench):
    with pytest.raises(DataError, match="No answers were put to people yet"):
        flow.results(bench)
