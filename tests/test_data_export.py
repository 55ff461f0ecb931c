"""Export: what is written is read back as it was, balanced sets are honest, the card counts what no person said."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.data import FORMATS, Columns, Layout, Told, balanced, card, export, read
from workbench.errors import DataError
from workbench.records import Origin, Sample, Turn

CALM = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=60
)
CLEAN = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
SAID = CLEAN.filter(lambda text: text.strip() and "[SEP]" not in text)
# A name that begins like a number and a colon cannot be told from a number in `意图：1：x`.
LABEL = SAID.map(str.strip).filter(lambda name: name and not name[0].isdecimal() and not name.startswith("意图"))
TABLE = Layout(Columns("table", "text", "label"), ("text", "label"), {})
ORIGIN = Origin("minority", "glm-4", "minority.zh.j2@1a2b", ("p1",), 3, "reply1")


def row(row_id, text, label="x", **values):
    turns = tuple(Turn("user", part) for part in text.split("[SEP]"))
    return Sample(row_id, turns, label, **values)


def back(samples, path, form, layout=TABLE):
    export(samples, path, form, layout)
    batch = read(path, Told(), layout.first_role)
    assert batch.rejects == []
    return batch.samples


@CALM
@given(st.lists(st.tuples(SAID, LABEL), min_size=1, max_size=5), st.sampled_from(FORMATS))
def test_texts_and_labels_come_back_from_every_format(tmp_path, drawn, form):
    rows = [row(str(n), text, label) for n, (text, label) in enumerate(drawn)]
    suffix = form if form in ("csv", "parquet") else "jsonl"
    found = back(rows, tmp_path / f"a.{suffix}", form)
    assert [(sample.text, sample.label) for sample in found] == [(sample.text, sample.label) for sample in rows]


TURNS = st.lists(
    st.builds(Turn, SAID.map(str.strip), CLEAN, st.dictionaries(st.sampled_from("ab"), CLEAN, max_size=2)),
    min_size=1,
    max_size=4,
).filter(lambda turns: any(turn.text.strip() for turn in turns))


@CALM
@given(TURNS, LABEL, st.sampled_from(["train", "dev", "test"]), st.sampled_from(["jsonl", "parquet"]))
def test_roles_tags_split_and_origin_come_back_from_jsonl_and_parquet(tmp_path, turns, label, split, form):
    meta = {"n": 1, "list": [1, 2]} if form == "jsonl" else {"n": 1}
    human = Sample("1", tuple(turns), label, split, meta=meta)
    made = Sample("2", tuple(turns), label, "train", "synthetic", ORIGIN)
    found, synthetic = back([human, made], tmp_path / f"a.{form}", form)
    assert (found.turns, found.label, found.split, found.source) == (human.turns, label, split, "human")
    assert {key: found.meta[key] for key in meta} == meta
    assert synthetic.source == "synthetic"
    assert synthetic.origin == replace(ORIGIN, reply="")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_gives_back_the_file_as_it_came(tmp_path, encoding, end):
    lines = [
        "word_mf2,label_raw,c_numerical,num_cnum,sentence_sep,speakers,split",
        "0,办理缴费,11,4, 您好 [SEP]交话费,agent|customer,valid",
        '1,办理缴费,11,5,"喂,""你""好",customer,train',
        "2,办理取消,1,6,退订[SEP],,train",
    ]
    path = tmp_path / "a.csv"
    path.write_text(end.join([*lines, ""]), encoding=encoding, newline="")
    batch = read(path, Told())
    layout = Layout(
        batch.columns, batch.order, batch.label_ids, line_end=batch.line_end, bom=batch.encoding == "UTF-8 with BOM"
    )
    export(batch.samples, tmp_path / "b.csv", "csv", layout)
    assert (tmp_path / "b.csv").read_bytes() == path.read_bytes()


def test_the_shared_tables_come_back_byte_for_byte(shared, tmp_path):
    for name in ("demo/telecom/train.csv", "demo/erp/test.csv", "data/banking77/data.csv", "data/xsid/data.csv"):
        batch = read(shared / name, Told())
        layout = Layout(batch.columns, batch.order, batch.label_ids, line_end=batch.line_end)
        export(batch.samples, tmp_path / "out.csv", "csv", layout)
        assert (tmp_path / "out.csv").read_bytes() == (shared / name).read_bytes(), name


def test_synthetic_rows_fill_the_columns_that_they_can(tmp_path):
    layout = Layout(Columns("table", "q", "kind", "no"), ("no", "q", "kind", "channel"), {"x": "7"})
    rows = [row("1", "a", meta={"channel": "app"}), row("2", "b", source="synthetic", origin=ORIGIN)]
    export(rows, tmp_path / "a.csv", "csv", layout)
    assert (tmp_path / "a.csv").read_text() == (
        "no,q,kind,channel,split,source\n7,a,x,app,train,human\n7,b,x,,train,synthetic\n"
    )


def test_columns_of_further_files_and_roles_that_a_text_cannot_show_are_added(tmp_path):
    rows = [row("1", "a", meta={"channel": "app"}), row("2", "b[SEP]c", split="dev", meta={"team": 4})]
    export(rows, tmp_path / "a.csv", "csv", TABLE)
    assert (tmp_path / "a.csv").read_text() == (
        "text,label,channel,team,speakers,split\na,x,app,,,train\nb[SEP]c,x,,4,user|user,dev\n"
    )


def test_a_file_that_ends_in_tsv_has_tabs(tmp_path):
    export([row("1", "a,b")], tmp_path / "my.rows.tsv", "csv", TABLE)
    assert (tmp_path / "my.rows.tsv").read_text() == "text\tlabel\na,b\tx\n"


def test_chat_formats_have_the_shape_that_trainers_read(tmp_path):
    layout = replace(TABLE, label_ids={"办理缴费": "11"}, system="分类")
    rows = [row("1", "您好[SEP]交话费", "办理缴费"), row("2", "喂", "其他")]
    export(rows, tmp_path / "g.jsonl", "glm4", layout)
    first, second = [json.loads(line) for line in (tmp_path / "g.jsonl").read_text(encoding="utf-8").splitlines()]
    assert first == {
        "messages": [
            {"role": "system", "content": "分类"},
            {"role": "user", "content": "对话：您好[SEP]交话费"},
            {"role": "assistant", "content": "意图：11：办理缴费"},
        ]
    }
    assert second["messages"][2]["content"] == "意图：其他"
    export(rows[:1], tmp_path / "s.jsonl", "sharegpt", layout)
    assert json.loads((tmp_path / "s.jsonl").read_text(encoding="utf-8")) == {
        "conversations": [
            {"from": "human", "value": "对话：您好[SEP]交话费"},
            {"from": "gpt", "value": "意图：11：办理缴费"},
        ],
        "system": "分类",
    }
    export(rows[:1], tmp_path / "a.jsonl", "alpaca", layout)
    assert json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8")) == {
        "instruction": "分类",
        "input": "对话：您好[SEP]交话费",
        "output": "意图：11：办理缴费",
    }


def test_parquet_takes_columns_of_several_types(tmp_path):
    rows = [row("1", "a", meta={"n": 1}), row("2", "b", meta={"n": "many"}), row("3", "c", meta={"n": [1]})]
    assert [sample.meta["n"] for sample in back(rows, tmp_path / "a.parquet", "parquet")] == ["1", "many", "[1]"]


def test_a_failed_export_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(ValueError, match="surrogates"):
        export([row("1", "\ud800")], path, "jsonl", TABLE)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_missing_is_an_error_in_two_sentences(tmp_path):
    with pytest.raises(DataError, match="cannot be written: No such file or directory"):
        export([row("1", "a")], tmp_path / "none" / "a.csv", "csv", TABLE)


def test_balanced_takes_as_many_as_the_smallest_class_and_human_rows_first():
    rows = [
        *(row(f"a{n}", "t", "a") for n in range(9)),
        row("b0", "t", "b"),
        *(row(f"bs{n}", "t", "b", source="synthetic", origin=ORIGIN) for n in range(3)),
        row("none", "t", "", split="pool"),
    ]
    kept = balanced(rows, seed=0)
    assert [sample.label for sample in kept] == ["a"] * 4 + ["b"] * 4
    assert {sample.id for sample in kept if sample.label == "b"} == {"b0", "bs0", "bs1", "bs2"}
    few = balanced(rows[:12], seed=0)  # three rows of b: the human one and the two synthetic ones
    assert [sample.id for sample in few if sample.label == "b"] == ["b0", "bs0", "bs1"]
    assert balanced(rows, seed=0) == kept
    assert balanced(rows, seed=1) != kept
    assert balanced([], seed=0) == []


def test_the_card_says_how_many_rows_no_person_said(tmp_path):
    path = tmp_path / "a.csv"
    rows = [
        row("1", "a", "x|y"),
        row("2", "b", "z", split="test"),
        row("3", "c", "z", source="synthetic", origin=ORIGIN),
        row("4", "d", "z", source="synthetic", origin=ORIGIN),
    ]
    export(rows, path, "csv", TABLE)
    text = card(rows, path, ["clean: spaces 4"])
    assert "4 rows, 2 classes. **2 of them (50.0%) are synthetic**" in text
    assert f"`{sha256(path.read_bytes()).hexdigest()}`" in text
    assert "| class | train | test | synthetic |" in text
    assert "| z | 0 | 1 | 2 |" in text
    assert "| x\\|y | 1 | 0 | 0 |" in text
    assert "| **all** | 1 | 1 | 2 |" in text
    assert "- glm-4, prompt minority.zh.j2@1a2b: 2 rows" in text
    assert "- clean: spaces 4" in text
    assert "None of them is synthetic." in card(rows[:2], path, [])
