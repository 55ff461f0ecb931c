"""Scores of files, comparisons, verdicts, the page: every outcome, and the ways to be not comparable."""

import json
import re

import numpy as np
import pytest

from workbench.data import read_table
from workbench.errors import DataError
from workbench.evaluate import Arm, CompareConfig, compare, compare_texts, render, score
from workbench.evaluate.report import Report
from workbench.flow.evaluate.run import score_file
from workbench.records import Sample, Turn

metrics = pytest.importorskip("sklearn.metrics")
CONFIG = CompareConfig()
GOLDEN = {
    "predictions_baseline.csv": (0.6185, 0.4026, 3848),
    "predictions_after_llm_augmentation.csv": (0.6121, 0.4722, 3986),
}


def rows(n=400, right=0.7, seed=0, classes="甲乙丙丁"):
    """True classes and the predictions of a model that is right so often."""
    random = np.random.default_rng(seed)
    true = [classes[i % len(classes)] for i in range(n)]
    return true, [t if random.uniform() < right else random.choice(list(classes)) for t in true]


def file(path, true, predicted, ids=None):
    head = "y_true,y_pred" + (",id" if ids else "")
    lines = [",".join(cells) for cells in zip(true, predicted, *([ids] if ids else []), strict=True)]
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", GOLDEN)
def test_published_predictions_score_as_published_and_as_scikit_learn_says(shared, name):
    path = shared / "data" / "cmcc34_synthetic" / name
    accuracy, macro, n = GOLDEN[name]
    found = score_file(path, "union", None, CONFIG)
    table = [row.values for row in read_table(path).rows]
    true, predicted = [r["y_true"] for r in table], [r["y_pred"] for r in table]
    assert (found["accuracy"]["n"], found["labels"]) == (n, sorted({*true, *predicted}))
    assert (round(found["accuracy"]["value"], 4), round(found["macro_f1"]["value"], 4)) == (accuracy, macro)
    assert found["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(true, predicted))
    for key, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        wanted = metrics.f1_score(true, predicted, average=average, zero_division=0)
        assert found[key]["value"] == pytest.approx(wanted)


def test_the_published_files_are_not_comparable(shared):
    before, after = (shared / "data" / "cmcc34_synthetic" / name for name in GOLDEN)
    verdict = score_file(after, "union", before, CONFIG)["verdict"]
    assert (verdict["overall"], verdict["say"]) == ("not comparable", "not comparable: 3,848 vs 3,986 rows")


def test_the_same_file_twice_is_no_worse_and_never_improved(tmp_path):
    path = file(tmp_path / "a.csv", *rows())
    verdict = score_file(path, "union", path, CONFIG)["verdict"]
    assert verdict["overall"] == "no worse"
    assert {x["outcome"] for x in [*verdict["metrics"].values(), *verdict["classes"], *verdict["pairs"]]} <= {
        "no worse",
        "cannot tell",
    }


@pytest.mark.parametrize(("before", "after", "overall"), [(0.4, 0.9, "improved"), (0.9, 0.4, "worse")])
def test_a_large_difference_is_seen(before, after, overall):
    true, first = rows(right=before)
    verdict = compare(true, Arm(first), Arm(rows(right=after, seed=1)[1]), CONFIG)
    assert verdict.overall == overall
    for effect in verdict.effects:
        assert -1 <= effect.low <= effect.after - effect.before <= effect.high <= 1


def test_few_rows_cannot_tell_and_say_what_they_could_have_seen():
    true, first = rows(n=40, right=0.6)
    verdict = compare(true, Arm(first), Arm(rows(n=40, right=0.65, seed=3)[1]), CONFIG)
    assert verdict.overall == "cannot tell"
    assert "smallest macro-F1 difference that this test could have seen" in verdict.say
    unsure = [effect for effect in verdict.effects if effect.outcome == "cannot tell"]
    assert all(0 < effect.smallest <= 1 for effect in unsure)


def test_a_class_of_five_rows_is_never_claimed():
    true = ["大"] * 100 + ["小"] * 5
    verdict = compare(true, Arm(["大"] * 105), Arm(true), CONFIG)
    small = next(effect for effect in verdict.of("class") if effect.name == "小")
    assert (small.outcome, small.n, small.before, small.after) == ("cannot tell", 5, 0.0, 1.0)


def test_one_class_that_pays_for_the_others_is_named_and_the_verdict_is_not_improved():
    random = np.random.default_rng(0)
    true = ["甲", "乙", "丙"] * 150
    before = [t if t == "甲" or random.uniform() < 0.3 else "甲" for t in true]
    after = [t if t != "甲" or random.uniform() < 0.5 else "丁" for t in true]
    verdict = compare(true, Arm(before), Arm(after), CONFIG)
    worse = {effect.name for effect in verdict.effects if effect.outcome == "worse"}
    assert "甲 -> 丁" in worse
    assert verdict.overall == "mixed"
    assert "甲 -> 丁" in verdict.say


def test_training_that_varies_widens_the_intervals():
    true, before = rows(right=0.6)
    _, after = rows(right=0.7, seed=1)
    wild = [rows(right=0.4 + 0.05 * s, seed=10 + s)[1] for s in range(10)]
    sure = compare(true, Arm(before), Arm(after), CONFIG)
    unsure = compare(true, Arm(before, [before] * 10), Arm(after, wild), CONFIG)
    assert (sure.seeds, unsure.seeds) == (0, 10)
    assert unsure.effects[1].high - unsure.effects[1].low > 1.5 * (sure.effects[1].high - sure.effects[1].low)
    assert "another training run may differ" in sure.say
    assert "another training run may differ" not in unsure.say


def test_one_draw_against_itself_claims_nothing_in_40_simulations():
    claims = 0
    for seed in range(40):
        true, before = rows(n=200, right=0.6, seed=seed)
        _, after = rows(n=200, right=0.6, seed=1000 + seed)
        found = compare(true, Arm(before), Arm(after), CONFIG)
        claims += any(effect.outcome in ("improved", "worse") for effect in found.effects)
    assert claims <= 5  # 5 % of 40 is 2; more than 5 has a probability of 1 %


def test_rows_are_matched_by_id_where_both_files_have_one(tmp_path):
    true, predicted = rows(n=60)
    ids = [f"r{i}" for i in range(60)]
    before = file(tmp_path / "a.csv", true, predicted, ids)
    turned = file(tmp_path / "b.csv", true[::-1], predicted[::-1], ids[::-1])
    verdict = score_file(turned, "union", before, CONFIG)["verdict"]
    assert all(metric["difference"]["value"] == 0 for metric in verdict["metrics"].values())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda true, ids: (true, [*ids[:-1], "other"]), "ids differ"),
        (lambda true, ids: (true, [*ids[:-1], ids[0]]), "ids differ"),
        (lambda true, ids: (["丁", *true[1:]], ids), "true labels differ"),
    ],
)
def test_as_many_rows_that_are_others_are_not_comparable(tmp_path, change, why):
    true, predicted = rows(n=60)
    ids = [f"r{i}" for i in range(60)]
    other, names = change(true, ids)
    before = file(tmp_path / "a.csv", true, predicted, ids)
    after = file(tmp_path / "b.csv", other, predicted, names)
    verdict = score_file(after, "union", before, CONFIG)["verdict"]
    assert verdict["overall"] == "not comparable"
    assert "60 vs 60 rows" in verdict["say"]
    assert why in verdict["say"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("truth,y_pred\na,b\n", "no column 'y_true'; there are: truth, y_pred"),
        ("y_true,y_pred\na,b\n,b\n", ":3: y_true is empty"),
        ("y_true,y_pred\na,b,c\n", ":2: The row has 3 fields"),
        ("y_true,y_pred\n", "no rows"),
    ],
)
def test_a_file_that_cannot_be_scored_whole_is_refused(tmp_path, text, words):
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        score_file(path, "union", None, CONFIG)
    assert words in caught.value.message
    assert caught.value.hint


def test_an_answer_that_is_missing_counts_as_wrong(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("y_true,y_pred\na,a\na,\n", encoding="utf-8")
    found = score_file(path, "true", None, CONFIG)
    assert (found["accuracy"]["value"], found["labels"]) == (0.5, ["a"])


def test_numbers_as_classes_are_the_same_in_every_format(tmp_path):
    (tmp_path / "a.csv").write_text("y_true,y_pred\n0,0\n1,0\n", encoding="utf-8")
    lines = [json.dumps({"y_true": t, "y_pred": p}) for t, p in ((0, 0), (1, 0))]
    (tmp_path / "b.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = score_file(tmp_path / "b.jsonl", "union", tmp_path / "a.csv", CONFIG)
    assert found["labels"] == ["0", "1"]
    assert found["verdict"]["overall"] != "not comparable"


def texts(*lines):
    return [Sample(f"{i}-{line}", (Turn("user", line),), "x") for i, line in enumerate(lines)]


def unit(*points):
    found = np.array(points, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_rows_that_repeat_each_other_are_less_distinct_and_cover_less():
    real, made = texts("查话费", "退彩铃", "开流量", "补手机卡"), texts("查话费啊", "查话费吧", "查话费呢", "查话费呀")
    found = compare_texts(real, made, unit((1, 0), (0, 1), (-1, 0), (0, -1)), unit(*[(1, 0.01 * i) for i in range(4)]))
    assert [side.rows for side in found] == [4, 4]
    assert found[1].distinct_1 < found[0].distinct_1
    assert found[1].self_similarity > found[0].self_similarity
    assert found[1].coverage < found[0].coverage


def test_a_single_row_can_be_compared():
    found = compare_texts(texts("查"), texts("退"), unit((1, 0)), unit((0, 1)))
    assert found[0].distinct_2 == 0
    assert found[0].self_similarity == 0


def page(baseline=True):
    true, before = rows(n=200, right=0.5)
    arms = {"no augmentation": score(true, before)} if baseline else {}
    _, after = rows(n=200, right=0.8, seed=1)
    arms["gated"] = score(true, after)
    verdicts = {"gated": compare(true, Arm(before), Arm(after), CONFIG)} if baseline else {}
    trained = {"甲": (5, 10), "乙": (40, 0), "丙": (0, 3), "丁": (20, 0)}
    stats = compare_texts(texts("查", "退"), texts("查<b>"), unit((1, 0), (0, 1)), unit((1, 1)))
    counts = dict.fromkeys(arms, (65, 13))
    return render(Report("A & B", arms, verdicts, "gated", 0.05, counts, trained, stats, ["One fact."]))


def test_the_page_shows_what_it_promises():
    html = page()
    for words in ("Scores", "Better, worse, or cannot tell", "Classes", "Training rows", "Most confused pairs"):
        assert f"<h2>{words}</h2>" in html
    assert "gated is improved: macro-F1" in html
    assert "×3.0" in html  # 5 human rows, 10 synthetic
    assert ">new<" in html
    assert "could have seen" in html
    assert "One fact." in html
    assert "Synthetic rows beside real ones" in html
    assert html.count("<svg") == 2
    assert not re.search(r"<script|src=|href=|https?://", html)


def test_the_page_of_one_model_has_no_columns_of_another():
    html = page(baseline=False)
    assert "no baseline to compare with" in html
    assert "F1 before" not in html
    assert "outcome" not in html
