"""Whom to show: lots, samples, escalation, forced rows, audits, adjudication."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.ledger import Candidate
from workbench.records import Origin, Review, Sample, Turn, Verdict
from workbench.review import Queue, Rules, SamplingConfig
from workbench.review.sampling import unseen as exact

RULES = Rules(SamplingConfig())


def candidate(name, label="报修", prompt="minority.zh.j2@1", passed=True, reviews=()):
    origin = Origin("minority", "m", prompt, (), 0, "")
    sample = Sample(name, (Turn("user", f"文本{name}"),), label, "train", "synthetic", origin)
    return Candidate(sample, (Verdict("length", passed, "" if passed else "too_short"),), tuple(reviews))


def rows(n, **more):
    return [candidate(f"{more.get('label', 'r')}{i}", **more) for i in range(n)]


class Bench:
    """What the ledger does between two calls: keeps lots, tasks, draws and reviews."""

    def __init__(self, candidates, rules=RULES):
        self.rows = {c.sample.id: c for c in candidates}
        self.rules, self.lots, self.asked, self.draws, self.held = rules, [], [], Counter(), set()

    @property
    def queue(self):
        return Queue(list(self.rows.values()), self.lots, self.asked, self.draws, self.rules)

    def plan(self, doubts=None):
        found = self.queue.plan(doubts or {}, str(len(self.asked)))
        self.lots += found.lots
        self.asked += found.asked
        for lot in {task.lot for task in found.asked if task.queue == "sample"}:
            self.draws[lot] += 1
        for row in found.held:
            self.say(row, "hold", "")
        return found

    def say(self, row, decision, who="anna", **more):
        old = self.rows[row]
        review = Review(row, row, decision, who, "", **more)
        self.rows[row] = replace(old, reviews=(*old.reviews, review))


def test_a_lot_is_one_class_and_one_prompt():
    bench = Bench(
        [*rows(60), *rows(60, label="查余额"), *(candidate(f"x{i}", prompt="pair.zh.j2@2") for i in range(60))]
    )
    found = bench.plan()
    assert len({lot.lot for lot in found.lots}) == 3
    assert {task.queue for task in found.asked} == {"sample"}
    assert 60 < len(found.asked) < 180


def test_a_clean_sample_lets_the_rest_pass():
    bench = Bench(rows(200))
    first = bench.plan()
    for task in first.asked:
        bench.say(task.sample, "approve")
    again = bench.plan()
    assert not again
    assert 20 <= len(first.asked) <= 60


def test_a_bad_sample_escalates_and_holds_the_rest_back():
    bench = Bench(rows(200))
    first = bench.plan()
    for task in first.asked:
        bench.say(task.sample, "reject")
    again = bench.plan()
    assert {task.queue for task in again.asked} == {"full"}
    assert len(first.asked) + len(again.asked) == 200
    assert set(again.held) == {task.sample for task in again.asked}
    assert {bench.rows[row].judgement.state for row in again.held} == {"withheld"}


def test_a_held_row_is_free_once_someone_approves_it():
    bench = Bench(rows(200))
    for task in bench.plan().asked:
        bench.say(task.sample, "reject")
    row = bench.plan().held[0]
    assert not bench.rows[row].accepted
    bench.say(row, "approve")
    assert bench.rows[row].accepted


def test_nothing_more_is_asked_while_a_sample_waits():
    bench = Bench(rows(200))
    tasks = bench.plan().asked
    bench.say(tasks[0].sample, "reject")
    assert not bench.plan()


def test_a_skip_counts_as_a_defect():
    one, other = Bench(rows(200)), Bench(rows(200))
    for task in one.plan().asked:
        one.say(task.sample, "skip")
    for task in other.plan().asked:
        other.say(task.sample, "reject")
    assert one.plan().held == other.plan().held


def test_an_edit_may_count_as_sound():
    rules = replace(RULES, defects=("reject", "relabel"))
    bench = Bench(rows(200), rules)
    for task in bench.plan().asked:
        bench.say(task.sample, "edit", text="好")
    assert not bench.plan()


def test_a_fixed_share_is_asked_once_whatever_is_found():
    bench = Bench([*rows(50), *rows(31, label="查余额")], replace(RULES, share=0.1))
    first = bench.plan()
    assert Counter(task.shown["label"] for task in first.asked) == {"报修": 5, "查余额": 4}
    for task in first.asked:
        bench.say(task.sample, "reject")
    assert not bench.plan()


def test_all_of_a_class_can_be_forced_and_says_nothing_of_others():
    bench = Bench(rows(100), replace(RULES, whole={"报修"}))
    found = bench.plan()
    assert len(found.asked) == 100
    assert {task.queue for task in found.asked} == {"all"}
    assert bench.queue.states() == []


def test_the_most_doubtful_are_looked_at_on_top_and_are_no_part_of_the_sample():
    bench = Bench(rows(100), replace(RULES, doubtful=0.05))
    doubts = {f"r{i}": float(i) for i in range(100)}
    found = bench.plan(doubts)
    assert {task.sample for task in found.asked if task.queue == "doubtful"} == {"r95", "r96", "r97", "r98", "r99"}
    (state,) = bench.queue.states()
    assert len(state.rows) == 95


def test_new_rows_of_a_class_and_prompt_are_a_lot_of_their_own():
    bench = Bench(rows(100))
    before = bench.plan()
    bench.rows |= {f"n{i}": candidate(f"n{i}") for i in range(100)}
    after = bench.plan()
    assert {lot.lot for lot in before.lots}.isdisjoint({lot.lot for lot in after.lots})
    assert {lot.sample for lot in after.lots} == {f"n{i}" for i in range(100)}


def test_rows_that_the_gate_dropped_are_not_asked_but_for_an_audit():
    bench = Bench([*rows(30), *(candidate(f"d{i}", passed=False) for i in range(30))])
    assert not [task for task in bench.plan().asked if task.sample.startswith("d")]
    audit = bench.queue.audit(5)
    assert [task.queue for task in audit] == ["audit"] * 5
    bench.asked += audit
    assert not {task.sample for task in bench.queue.audit(25)} & {task.sample for task in audit}


def test_a_disagreement_is_put_to_a_third_once():
    bench = Bench(rows(30))
    row = bench.plan().asked[0].sample
    bench.say(row, "approve")
    bench.say(row, "reject", "ben")
    (task,) = bench.plan().asked
    assert (task.queue, task.uid, task.sample) == ("adjudicate", f"{row}.adjudicate", row)
    assert not bench.plan()
    bench.say(row, "approve", "carla", final=True)
    assert bench.rows[row].accepted


def test_reviewers_take_turns_and_a_share_of_rows_goes_to_two():
    rules = replace(RULES, whole={"报修"}, reviewers=("anna", "ben", "carla"), overlap=0.25)
    tasks = Bench(rows(1000), rules).plan().asked
    firsts = Counter(task.reviewers[0] for task in tasks)
    assert min(firsts.values()) > 270
    twice = sum(len(set(task.reviewers)) == 2 for task in tasks)
    assert 200 < twice < 300
    assert tasks == Bench(rows(1000), rules).plan().asked


@settings(max_examples=30)
@given(st.integers(1, 120), st.floats(0, 1), st.integers(0, 99))
def test_every_lot_ends_with_its_bound_or_with_every_row_looked_at(size, bad, seed):
    bench = Bench(rows(size), replace(RULES, seed=seed))
    broken = {f"r{i}" for i in range(round(bad * size))}
    for _ in range(10):
        tasks = bench.plan().asked
        if not tasks:
            break
        for task in tasks:
            bench.say(task.sample, "reject" if task.sample in broken else "approve")
    else:
        pytest.fail("it never ends")
    (state,) = bench.queue.states()
    step = state.step(bench.rules)
    assert step.action == "accept"
    assert state.looked == size or step.unseen.high <= 0.1
    assert len({task.uid for task in bench.asked}) == len(bench.asked)


def test_a_lot_of_a_fixed_share_stays_one_whatever_a_later_call_says():
    bench = Bench(rows(100), replace(RULES, share=0.2))
    for task in bench.plan().asked:
        assert task.queue == "share"
        bench.say(task.sample, "reject")
    bench.rules = RULES
    (state,) = bench.queue.states()
    assert bench.queue.to_hold(state) == []
    assert state.step(RULES).action == "accept"
    assert "nothing is promised" in state.step(RULES).say
    assert not bench.plan()


@pytest.mark.parametrize("size", [12, 300])
def test_a_fixed_share_tells_the_defect_rate_of_the_rest_also_of_a_small_lot(size):
    bench = Bench(rows(size), replace(RULES, share=0.5))
    for i, task in enumerate(bench.plan().asked):
        bench.say(task.sample, "approve" if i % 3 else "reject")
    (state,) = bench.queue.states()
    unseen = state.step(bench.rules).unseen
    assert (unseen.n, unseen.value) == (size / 2, pytest.approx(1 / 3))
    assert (unseen.low, unseen.high) == tuple(
        getattr(exact(size, size // 2, size // 6, 0.95), end) for end in ("low", "high")
    )
    assert 0 <= unseen.low < unseen.value < unseen.high <= 1


def test_answers_that_come_first_are_no_sample_until_all_of_it_are_there():
    bench = Bench(rows(200))
    tasks = bench.plan().asked
    for task in tasks[1:]:
        bench.say(task.sample, "approve")
    (state,) = bench.queue.states()
    assert (state.counts(RULES).seen, state.looked) == (0, len(tasks) - 1)
    bench.say(tasks[0].sample, "approve")
    (state,) = bench.queue.states()
    assert state.counts(RULES).seen == len(tasks)


def test_while_a_second_sample_waits_the_first_one_counts():
    bench = Bench(rows(400))
    first = bench.plan().asked
    for i, task in enumerate(first):
        bench.say(task.sample, "approve" if i else "reject")
    second = bench.plan().asked
    assert {task.queue for task in second} == {"sample"}
    bench.say(second[0].sample, "reject")
    (state,) = bench.queue.states()
    assert (state.counts(RULES).seen, state.counts(RULES).defects) == (len(first), 1)


def test_a_lot_that_is_looked_at_in_full_from_the_start_tells_nothing_until_it_is_done():
    bench = Bench(rows(8))
    tasks = bench.plan().asked
    assert {task.queue for task in tasks} == {"full"}
    bench.say(tasks[0].sample, "reject")
    (state,) = bench.queue.states()
    assert (state.counts(RULES).size, state.counts(RULES).seen) == (7, 0)
    for task in tasks[1:]:
        bench.say(task.sample, "approve")
    (state,) = bench.queue.states()
    assert state.counts(RULES) is None


def test_a_class_can_be_forced_after_its_sample_was_drawn():
    bench = Bench(rows(200))
    first = bench.plan().asked
    bench.rules = replace(RULES, whole={"报修"})
    found = bench.plan()
    assert {task.queue for task in found.asked} == {"all"}
    assert len(first) + len(found.asked) == 200
    assert not bench.plan()


def test_rows_that_were_held_back_are_put_to_people_although_someone_thought_better_of_the_sample():
    bench = Bench(rows(200))
    first = bench.plan().asked
    for task in first:
        bench.say(task.sample, "reject")
    (state,) = bench.queue.states()
    held = bench.queue.to_hold(state)
    for row in held:
        bench.say(row, "hold", "")
    for task in first:
        bench.say(task.sample, "approve")
    assert {task.sample for task in bench.plan().asked} == set(held)


def test_a_skipped_adjudication_ends_the_dispute_until_someone_decides():
    bench = Bench(rows(30))
    row = bench.plan().asked[0].sample
    bench.say(row, "approve")
    bench.say(row, "reject", "ben")
    bench.plan()
    bench.say(row, "skip", "carla", final=True)
    assert bench.rows[row].judgement.state == "skipped"
    assert not bench.rows[row].accepted
    bench.say(row, "approve", "dora", final=True)
    bench.say(row, "skip", "emil", final=True)
    assert bench.rows[row].accepted
