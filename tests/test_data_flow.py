"""`wb data` as a user meets it: what it prints, what it stores, what it answers to mistakes."""

import json

import pytest

from workbench.data import Told
from workbench.errors import DataError, UsageError
from workbench.flow import data as flow
from workbench.ledger.writer import Writer
from workbench.records import Origin, Sample, Turn, Verdict

BAD = "text,label\n查余额,查询\n,查询\n退订\n取消会员,取消\n"


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(BAD, encoding="utf-8")
    return path


def rows_file(path, n, label="x"):
    lines = [f"第{i}句话说的是{chr(0x4E00 + i * 97 % 20000) * 6},{label}" for i in range(n)]
    path.write_text("\n".join(["text,label", *lines, ""]), encoding="utf-8")
    return path


def synthetic(bench, n=2, label="查询", passed=True):
    made = [
        Sample(f"s{label}{i}", (Turn("user", f"合成{i}"),), label, "train", "synthetic",
               Origin("minority", "glm-4", "minority.zh.j2@1a", (), 0, ""))
        for i in range(n)
    ]  # fmt: skip
    with bench.ledger.write("generate", "draw") as writer:
        writer.samples(made)
        for sample in made:
            writer.verdicts(sample.id, [Verdict("length", passed)])


# add


def test_an_import_says_what_it_found_and_what_it_could_not_use(wb, bench, bad):
    done = wb("data", "add", bad)
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{bad}: 2 new rows, 2 classes.",
        "  read as table, UTF-8: text from 'text', class from 'label'",
        "  train 2",
        "  2 rows rejected: empty_text 1, wrong_columns 1",
        f"    {bad}:3  empty_text: The row has no text.",
        f"    {bad}:4  wrong_columns: The row has 1 fields, the header has 2.",
        f"  all of them: {bench.root / 'rejects' / '0001-bad.csv.jsonl'}",
    ]
    assert done.err.startswith("Next: wb data show")
    kept = [json.loads(line) for line in (bench.root / "rejects/0001-bad.csv.jsonl").read_text("utf-8").splitlines()]
    assert [(reject["line"], reject["reason"], reject["raw"]) for reject in kept] == [
        (3, "empty_text", '{"text": "", "label": "查询"}'),
        (4, "wrong_columns", "退订"),
    ]
    assert [reject.line for reject in bench.ledger.rejects()] == [3, 4]


def test_the_same_file_again_adds_nothing_and_says_so(wb, bench, bad):
    wb("data", "add", bad)
    again = wb("data", "add", bad, "--split", "test")
    assert again.out.splitlines()[0] == f"{bad}: 0 new rows, 2 were there already, 2 classes."
    assert "  note: rows that were there already keep their split: 2 in train" in again.out
    assert len(bench.ledger.operations()) == 1
    assert {sample.split for sample in bench.ledger.samples()} == {"train"}


def test_a_dry_run_stores_nothing(wb, bench, bad):
    done = wb("data", "add", bad, "--dry-run", "--json")
    assert (done.json["new"], done.json["rejected"], done.json["rejects_file"]) == (2, 2, None)
    assert done.err == "Nothing was stored.\n"
    assert (bench.ledger.samples(), bench.ledger.operations()) == ([], [])
    assert not (bench.root / "rejects").exists()


def test_an_import_as_json_has_everything(wb, bench, bad):
    found = wb("data", "add", bad, "--json").json
    assert found["columns"] == {"text": "text", "label": "label", "label_id": ""}
    assert (found["format"], found["encoding"], found["splits"]) == ("table", "UTF-8", {"train": 2})
    assert [reject["line"] for reject in found["rejects"]] == [3, 4]


def test_a_killed_import_leaves_nothing_half_done(bench, bad, monkeypatch):
    def killed(self, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "rejects", killed)
    with pytest.raises(KeyboardInterrupt):
        flow.add(bench, bad)
    assert (bench.ledger.samples(), bench.ledger.operations(), bench.ledger.label_ids()) == ([], [], {})
    monkeypatch.undo()
    assert flow.add(bench, bad).new == 2


def test_a_file_of_bad_rows_only_keeps_them(wb, bench, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,\n")
    assert "1 rows rejected: no_label 1" in wb("data", "add", tmp_path / "a.csv").out
    assert [reject.reason for reject in bench.ledger.rejects()] == ["no_label"]


def test_several_files_are_read_in_order(wb, bench, tmp_path):
    files = [rows_file(tmp_path / f"{n}.csv", n) for n in (2, 3)]
    found = wb("data", "add", *files, "--json").lines
    assert [line["new"] for line in found] == [2, 3]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["data", "add", "none.csv"], 1, "Error: none.csv does not exist.\n  What to do: Check the path."),
        (["data", "add", "bad.csv", "--split", "tset"], 2, "Error: There is no split 'tset'.\n  What to do: Did you mean 't"),
        (["data", "add", "bad.csv", "--text", "q"], 1, "Error: bad.csv: There is no column 'q'."),
        (["data", "clean"], 1, "Error: This bench has no rows yet.\n  What to do: Add some with: wb data add FILE"),
        (["data", "show"], 1, "Error: This bench has no rows yet."),
        (["data", "revert"], 1, "Error: There is nothing to revert.\n  What to do: Cleanings and splittings that can be: none"),
        (["data", "revert", "7"], 1, "Error: Operation 7 cannot be reverted."),
        (["data", "show", "--id", "zz"], 1, "Error: In this bench no row has the id 'zz'."),
        (["data", "show", "--source", "robot"], 2, "Error: There is no source 'robot'."),
        (["data", "export", "a.csv", "--format", "cvs"], 2, "Error: There is no format 'cvs'.\n  What to do: Did you mean 'csv'"),
        (["data", "export", "a.csv", "--format", "csv", "--split", "tst"], 2, "Error: There is no split 'tst'."),
        (["data", "split", "--set", "data.split.dev=2"], 1, "Error: "),
        (["data", "split", "--set", "data.split.devs=2"], 1, "there is no setting 'data.split.devs'."),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_two_sentences(wb, bench, bad, args, code, said):
    done = wb(*args)
    assert done.code == code
    assert said in done.err
    assert done.out == ""


def test_without_a_bench_the_way_to_one_is_named(wb):
    assert "Make a bench with: wb init" in wb("data", "show").err


# clean, split, revert


def test_cleaning_is_counted_shown_and_taken_back(wb, bench, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n查\u200b余额,查询\n查余额,查询\n退 &amp; 订,取消\n", encoding="utf-8")
    wb("data", "add", path)
    before = bench.ledger.samples()
    dry = wb("data", "clean", "--dry-run")
    assert dry.out.startswith("2 rows would be mended, 1 would be dropped, of 3.")
    assert bench.ledger.samples() == before
    done = wb("data", "clean")
    assert done.out.splitlines() == [
        "2 rows mended, 1 dropped, of 3.",
        "  control_characters 1",
        rf"    {before[0].id}  查\u200b余额  ->  查余额",
        "  html 1",
        f"    {before[2].id}  退 &amp; 订  ->  退 & 订",
        "  exact_duplicate 1",
        f"    {before[1].id}  查余额",
        "Operation 2; `wb data revert 2` takes it back.",
    ]
    assert [sample.text for sample in bench.ledger.samples()] == ["查余额", "退 & 订"]
    assert wb("data", "clean").out.startswith("0 rows mended, 0 dropped, of 2.")
    undone = wb("data", "revert")
    assert undone.out == "Operation 2 (clean) is taken back with its 3 changes.\n"
    assert bench.ledger.samples() == before
    assert wb("data", "revert").code == 1


def test_cleaning_as_json_lists_every_change(wb, bench, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n查\u200b余额,查询\n", encoding="utf-8")
    wb("data", "add", "a.csv")
    found = wb("data", "clean", "--json").json
    assert found["counts"] == {"control_characters": 1}
    assert [(c["reason"], c["before"], c["after"]) for c in found["changes"]] == [
        ("control_characters", "查\u200b余额", "查余额")
    ]


def test_splitting_is_said_and_taken_back_and_not_done_twice(wb, bench, tmp_path):
    wb("data", "add", rows_file(tmp_path / "a.csv", 40))
    done = wb("data", "split")
    assert done.out.splitlines() == [
        "Split: 4 moved to dev, 4 moved to test; now train 32, dev 4, test 4.",
        "Operation 2; `wb data revert 2` takes it back.",
    ]
    drawn = {sample.id: sample.split for sample in bench.ledger.samples()}
    again = wb("data", "split")
    assert again.out.startswith("Split: no row moves; now train 32, dev 4, test 4.")
    assert "note: test has 4 rows already and stays as it is; --redo draws it anew" in again.out
    redone = wb("data", "split", "--redo", "--set", "seed=1")
    assert "Operation 3" in redone.out
    assert {sample.id: sample.split for sample in bench.ledger.samples()} != drawn
    wb("data", "revert", 3)
    assert {sample.id: sample.split for sample in bench.ledger.samples()} == drawn


def test_an_older_operation_can_be_reverted_by_its_number(wb, bench, tmp_path):
    path = rows_file(tmp_path / "a.csv", 40)
    path.write_text(path.read_text("utf-8").replace("第0句", "第\u200b0句"), encoding="utf-8")
    wb("data", "add", path)
    wb("data", "clean")
    wb("data", "split")
    assert "Operation 2 (clean) is taken back with its 1 changes." in wb("data", "revert", 2).out
    assert "\u200b" in bench.ledger.samples()[0].text
    assert len(bench.ledger.samples(split="test")) == 4
    failed = wb("data", "revert", 2)
    assert "Operation 2 cannot be reverted." in failed.err
    assert "3 (split)" in failed.err


# show


def test_the_summary_counts_classes_splits_and_synthetic_rows(wb, bench, bad):
    wb("data", "add", bad)
    synthetic(bench, 2)
    synthetic(bench, 3, "取消", passed=False)
    found = wb("data", "show", "--json").json
    assert (found["rows"], found["accepted"]) == (2, 2)
    assert found["classes"] == [
        {"number": "", "class": "取消", "train": 1, "accepted": 0, "candidates": 3},
        {"number": "", "class": "查询", "train": 1, "accepted": 2, "candidates": 2},
    ]
    assert "2 rows, 2 classes, 2 accepted synthetic rows" in wb("data", "show").out


def test_rows_are_listed_and_shown_whole(wb, bench, tmp_path):
    text = "sentence_sep,label_raw,c_numerical,channel\n您好[SEP]退订,取消,1,app\n喂[SEP]查余额,查询,2,web\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    wb("data", "add", "a.csv")
    (only,) = wb("data", "show", "--label", "2", "--json").lines
    assert (only["label"], only["text"]) == ("查询", "喂[SEP]查余额")
    listed = wb("data", "show", "--limit", 1)
    assert "退订" in listed.out
    assert listed.err == "1 of 2 rows.\n"
    whole = wb("data", "show", "--id", only["id"][:6])
    assert whole.out.splitlines() == [
        f"{only['id']}  查询  (human, train)",
        "  agent: 喂",
        "  customer: 查余额",
        "  [channel] web",
    ]


# export


def test_an_export_gives_the_input_back_with_a_card(wb, bench, bad, tmp_path):
    wb("data", "add", bad)
    done = wb("data", "export", "out.csv", "--format", "csv")
    assert done.out == "Wrote 2 rows (0 synthetic) to out.csv; card: out.csv.card.md\n"
    assert (tmp_path / "out.csv").read_text("utf-8") == "text,label\n查余额,查询\n取消会员,取消\n"
    assert "- add bad.csv: 2 rows, 2 rejected" in (tmp_path / "out.csv.card.md").read_text("utf-8")


def test_only_accepted_synthetic_rows_go_out_and_only_if_wanted(bench, bad, tmp_path):
    flow.add(bench, bad)
    synthetic(bench, 2)
    synthetic(bench, 3, "取消", passed=False)
    given = flow.give(bench, tmp_path / "a.jsonl", "jsonl")
    assert (given.rows, given.synthetic) == (4, 2)
    assert "glm-4, prompt minority.zh.j2@1a: 2 rows" in given.card.read_text("utf-8")
    assert flow.give(bench, tmp_path / "b.jsonl", "jsonl", synthetic=False).rows == 2
    with pytest.raises(DataError, match="There is no row to export in split 'test'"):
        flow.give(bench, tmp_path / "c.jsonl", "jsonl", split="test")


def test_a_balanced_export_says_which_class_sets_the_size(bench, bad, tmp_path):
    flow.add(bench, bad)
    synthetic(bench, 3)
    given = flow.give(bench, tmp_path / "a.csv", "csv", even=True)
    assert (given.rows, given.synthetic) == (2, 0)
    assert given.notes == ("balanced: 1 of each class, as many as the smallest has (取消); 3 rows left out",)


def test_rows_without_a_label_stay_out_of_chat_files_and_it_is_said(bench, bad, tmp_path):
    flow.add(bench, bad)
    (tmp_path / "pool.csv").write_text("text\na\n")
    flow.add(bench, tmp_path / "pool.csv", split="pool")
    assert flow.give(bench, tmp_path / "a.jsonl", "glm4").notes == ("1 rows without a label were left out",)
    assert flow.give(bench, tmp_path / "b.jsonl", "jsonl").rows == 3


def test_a_file_that_rows_came_from_is_not_overwritten(bench, bad):
    flow.add(bench, bad)
    with pytest.raises(DataError, match="is a file that rows of this bench came from"):
        flow.give(bench, bad, "csv")
    assert bad.read_text("utf-8") == BAD


def test_a_synthetic_row_comes_back_as_a_candidate_and_not_as_a_human_row(bench, bad, tmp_path):
    flow.add(bench, bad)
    synthetic(bench, 2)
    given = flow.give(bench, tmp_path / "all.csv", "csv")
    added = flow.add(bench, given.file)
    assert added.notes == ("2 rows are marked as synthetic: they come in as candidates, which `wb gate` judges",)
    new = [c for c in bench.ledger.candidates() if c.sample.origin.strategy == "external"]
    assert len(new) == 2
    assert not any(candidate.accepted for candidate in new)


def test_unknown_splits_and_columns_are_refused_by_the_flow_too(bench, bad):
    with pytest.raises(UsageError, match="There is no split 'tset'"):
        flow.add(bench, bad, split="tset")
    with pytest.raises(DataError, match="There is no column 'x'"):
        flow.add(bench, bad, Told(label="x"))


@pytest.mark.slow
def test_a_hundred_thousand_rows_go_in_within_seconds(bench, tmp_path):
    import time

    path = rows_file(tmp_path / "big.csv", 100_000)
    start = time.perf_counter()
    assert flow.add(bench, path).new == 100_000
    assert time.perf_counter() - start < 60  # about 5 s on a quiet machine; this one may be shared
