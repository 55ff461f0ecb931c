"""What annotations of candidates come to, without a server: the gate's second look, and the ledger's view of it."""

from dataclasses import replace

import numpy as np
import pytest
from test_gate_flow import CANDIDATES, filled, only  # noqa: F401  # the fixture

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.flow.gate.judge import Judge
from workbench.flow.review.candidates import CandidateReader
from workbench.flow.review.deliver import waiting
from workbench.flow.review.plan import Options, plan
from workbench.flow.review.status import status
from workbench.ledger import Annotation, Project
from workbench.records import Turn

RULES = only("format", "near_copy", "sibling")


@pytest.fixture
def asked(filled, wb):  # noqa: F811
    """Candidates that passed, all of which were put to people."""
    assert wb("gate", "--set", RULES).code == 0
    opened = Bench.find(filled.root, [RULES])
    plan(opened, Options(whole=("查余额", "退订")))
    assert {task.sample for task in opened.ledger.people.asked("review")} >= {"good", "fine"}
    yield opened
    opened.ledger.close()


def said(bench, sample, verdict, number=1, by="anna", **more):
    items = [("verdict", {"choices": [verdict]})]
    items += [("edited_text", {"text": [more["text"]]})] if "text" in more else []
    items += [("new_label", {"choices": [more["label"]]})] if "label" in more else []
    result = [{"from_name": name, "to_name": "text", "type": "x", "value": value} for name, value in items]
    return Annotation(f"{sample}{number}{by}", "review", sample, "p", number, by, "", f"t{number}", 3.0, False, result)


def store(bench, *annotations):
    taken = CandidateReader(bench).take(annotations, [])
    with bench.ledger.write("review", "pull") as writer:
        writer.project(Project("p", "review", "http://labels.example", 1, ""))
        writer.annotations(annotations)
        writer.reviews(taken.reviews)
        writer.rejects(taken.rejects)
        writer.changes(taken.changes)
        for sample, verdicts in taken.verdicts.items():
            writer.verdicts(sample, verdicts)
    return taken


def test_what_the_classifier_said_of_a_text_says_nothing_of_the_edited_one(filled):  # noqa: F811
    judge = Judge.of(filled, CANDIDATES)
    row = CANDIDATES[0]
    edited = replace(row, turns=(Turn("user", "我要退订这个业务"),))
    old, new = judge.rows([row]).probabilities, judge.rows([edited]).probabilities
    assert np.array_equal(old[0], judge.seen[row.id, row.text])
    assert not np.allclose(old, new)
    assert judge.head.labels[int(new[0].argmax())] == "退订"


def test_an_edited_row_is_seen_by_the_gate_beside_those_of_earlier_batches(asked):
    reader, text = CandidateReader(asked), "那个什么业务别再扣我钱了行不行呀"
    first = reader.take([said(asked, "fine", "edit", text=text)], [])
    assert all(verdict.passed for verdict in first.verdicts["fine"])
    again = reader.take([said(asked, "phone", "edit", text=text)], [])
    assert [verdict.rule for verdict in again.verdicts["phone"] if not verdict.passed] == ["sibling"]


def test_what_models_said_of_a_row_is_forgotten_when_it_changes(asked, monkeypatch):
    reader, looked = CandidateReader(asked), []
    judge = reader._judge
    object.__setattr__(judge, "marks", {"llm_judge": {"good": 1.0}})
    stack = type(judge.stack([]))
    check = stack.check
    monkeypatch.setattr(stack, "check", lambda self, rows: looked.append(rows.marks) or check(self, rows))
    reader.take([said(asked, "good", "relabel", label="退订")], [])
    assert looked == [{}]


def test_status_holds_people_against_the_verdicts_of_the_row_that_they_saw(asked):
    before = asked.ledger.gated()
    store(asked, said(asked, "good", "edit", text="帮我查一下话费还剩多少"))
    assert not all(verdict.passed for verdict in asked.ledger.gated()["good"])
    assert asked.ledger.gated(but="review")["good"] == before["good"]
    found = status(asked).gate
    assert (found.kept.n, found.kept.value, found.dropped.n) == (1, 1.0, 0)


def test_status_does_not_calibrate_the_gate_where_no_threshold_is_suggested(asked, monkeypatch):
    store(asked, said(asked, "good", "approve"))
    monkeypatch.setattr(Judge, "of", None)
    assert status(asked).gate is not None


def test_lots_of_a_class_without_a_finished_sample_leave_its_rate_open(filled, wb):  # noqa: F811
    found = Bench.find(filled.root, ["review.sample=0.5"])
    assert wb("gate", "--set", only("length")).code == 0
    plan(found, Options())
    rates = status(found).defects
    assert rates
    assert all((rate.low, rate.high, rate.n) == (0, 1, 0) for rate in rates.values())
    found.ledger.close()


def test_what_cannot_be_read_is_no_answer_until_it_is_mended(asked):
    n = len(waiting(asked, "review"))
    store(asked, said(asked, "good", "relabel", label="nirgends"))
    assert len(waiting(asked, "review")) == n
    assert [(one.place, one.reason) for one in asked.ledger.people.unreadable("review")] == [("good", "unknown_class")]
    store(asked, replace(said(asked, "good", "approve"), id="again", updated="t2"))
    assert len(waiting(asked, "review")) == n - 1
    assert asked.ledger.people.unreadable("review") == []


def test_a_bench_that_cannot_be_written_is_said_to_be(bench):
    (bench.root / ".wb.lock").mkdir()
    with pytest.raises(DataError, match="cannot be written"), bench.alone("review push"):
        pass
