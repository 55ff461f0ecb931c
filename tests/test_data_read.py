"""Reading: every kind of file and format as it occurs, and what becomes of rows that cannot be used."""

import csv
import json
from io import StringIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.data import Told, parts_of, read, read_table, recognise
from workbench.data.formats import answer, split_turns
from workbench.data.rows import storable
from workbench.data.table import decode
from workbench.errors import DataError
from workbench.records import Turn

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
CLEAN = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
SAID = CLEAN.filter(str.strip)
LABEL = SAID.map(str.strip).filter(bool)

CMCC = """word_mf2,label_raw,c_numerical,num_cnum,sentence_sep
0,办理缴费,11,4,您好[SEP]我要交话费[SEP]好的
0,办理取消,1,4,客服您好[SEP]把会员退了
"""


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding, newline="")
    return path


def reasons(batch):
    return [(reject.line, reject.reason) for reject in batch.rejects]


# Formats


def test_a_cmcc_table_is_a_dialogue_that_the_agent_begins(tmp_path):
    batch = read(write(tmp_path / "cmcc.csv", CMCC), Told())
    first, second = batch.samples
    assert first.turns == (Turn("agent", "您好"), Turn("customer", "我要交话费"), Turn("agent", "好的"))
    assert (first.label, second.label, first.split) == ("办理缴费", "办理取消", "train")
    assert batch.label_ids == {"办理缴费": "11", "办理取消": "1"}
    assert first.meta == {"word_mf2": "0", "num_cnum": "4"}


def test_a_speakers_column_names_the_roles(tmp_path):
    text = "sentence_sep,label_raw,speakers\n要退订[SEP]好的,办理取消,customer|agent\n喂,办理取消,customer\n"
    batch = read(write(tmp_path / "a.csv", text), Told())
    assert [[turn.role for turn in sample.turns] for sample in batch.samples] == [["customer", "agent"], ["customer"]]
    assert batch.notes == ()


def test_speakers_that_do_not_fit_are_taken_in_turn_and_said(tmp_path):
    text = "text,label,speakers\na[SEP]b[SEP]c,x,customer|agent\n"
    batch = read(write(tmp_path / "a.csv", text), Told())
    assert [turn.role for turn in batch.samples[0].turns] == ["agent", "customer", "agent"]
    assert batch.notes == ("1 rows name more or fewer speakers than they have turns; they were taken in turn",)


def chat(user, assistant, system="分类"):
    roles = [("system", system), ("user", user), ("assistant", assistant)]
    return {"messages": [{"role": role, "content": content} for role, content in roles]}


@pytest.mark.parametrize(
    ("said", "number", "name"),
    [
        ("意图：32：办理缴费", "32", "办理缴费"),
        ("意图:32:办理缴费", "32", "办理缴费"),
        ("意图：办理缴费", "", "办理缴费"),
        (" 意图 : 办理缴费\n", "", "办理缴费"),
        ("办理缴费", "", "办理缴费"),
        ("意图：32", "", "32"),
    ],
)
def test_the_answer_of_a_chat_is_the_label(said, number, name):
    assert answer(said) == (number, name)


def test_a_chat_file_is_one_array_although_it_is_named_jsonl(tmp_path):
    records = [chat("对话：您好[SEP]交话费", "意图：11：办理缴费"), chat("对话:退订", "意图:办理取消")]
    batch = read(write(tmp_path / "train.jsonl", json.dumps(records, ensure_ascii=False, indent=2)), Told())
    assert batch.samples[0].turns == (Turn("agent", "您好"), Turn("customer", "交话费"))
    assert [(sample.text, sample.label) for sample in batch.samples] == [
        ("您好[SEP]交话费", "办理缴费"),
        ("退订", "办理取消"),
    ]
    assert batch.label_ids == {"办理缴费": "11"}
    assert batch.system == "分类"


def test_all_turns_of_a_longer_chat_are_kept(tmp_path):
    said = [("user", "喂"), ("assistant", "请讲"), ("user", "退订"), ("assistant", "意图：办理取消")]
    record = {"messages": [{"role": role, "content": text} for role, text in said]}
    (sample,) = read(write(tmp_path / "a.jsonl", json.dumps(record)), Told()).samples
    assert sample.turns == (Turn("user", "喂"), Turn("assistant", "请讲"), Turn("user", "退订"))
    assert sample.label == "办理取消"


def test_a_chat_without_an_answer_has_no_label(tmp_path):
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": [{"role": "user", "content": "对话：喂"}]}))
    assert reasons(read(path, Told())) == [(1, "no_label")]
    assert read(path, Told(split="pool")).samples[0].label == ""


@pytest.mark.parametrize("header", ["user_input,intent_code", "text,label", "text,category", "Text,Label", "文本,标签"])
def test_known_names_of_columns_are_found(tmp_path, header):
    (sample,) = read(write(tmp_path / "a.csv", f"{header}\n打卡,CLOCK_IN\n"), Told()).samples
    assert (sample.text, sample.label, sample.turns[0].role) == ("打卡", "CLOCK_IN", "user")


def test_turns_with_roles_keep_their_tags_and_other_keys(tmp_path):
    turns = [{"role": "user", "text": "你好", "emotion": "sad", "acts": ["greet"], "tags": {"phase": "open"}}]
    path = write(tmp_path / "a.jsonl", json.dumps({"turns": turns, "topic": "career", "id": "c1"}) + "\n")
    (sample,) = read(path, Told()).samples
    assert sample.turns == (Turn("user", "你好", {"emotion": "sad", "acts": '["greet"]', "phase": "open"}),)
    assert (sample.label, sample.meta) == ("career", {"id": "c1"})


def test_sharegpt_and_alpaca_are_read(tmp_path):
    sharegpt = {"conversations": [{"from": "human", "value": "对话：退订"}, {"from": "gpt", "value": "意图：1：取消"}]}
    alpaca = {"instruction": "分类", "input": "对话：退订", "output": "意图：1：取消"}
    for record in (sharegpt, alpaca):
        batch = read(write(tmp_path / "a.json", json.dumps([record])), Told())
        assert [(s.text, s.label, s.meta) for s in batch.samples] == [("退订", "取消", {})]
        assert batch.label_ids == {"取消": "1"}


def test_told_columns_win_and_a_separator_can_be_told(tmp_path):
    text = "q,label,kind\n喂|退订,x,取消\n"
    batch = read(write(tmp_path / "a.csv", text), Told(text="q", label="kind", sep="|"))
    (sample,) = batch.samples
    assert (len(sample.turns), sample.label, sample.meta) == (2, "取消", {"label": "x"})


def test_a_number_serves_as_label_where_there_is_no_name(tmp_path):
    batch = read(write(tmp_path / "a.csv", "text,label_id\n喂,7\n"), Told())
    assert (batch.samples[0].label, batch.label_ids) == ("7", {})


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.csv", "a.tsv", "a.txt"])
def test_the_same_rows_come_out_of_every_kind_of_text_file(tmp_path, name):
    rows = [{"text": "查余额", "label": "查询"}, {"text": 'Hi, "you" 😀', "label": "问候"}]
    if name.endswith(("csv", "tsv", "txt")):
        file = StringIO()
        writer = csv.DictWriter(file, ["text", "label"], delimiter="\t" if name == "a.tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
        text = file.getvalue()
    else:
        text = json.dumps(rows) if name == "a.json" else "\n".join(json.dumps(row) for row in rows)
    batch = read(write(tmp_path / name, text), Told())
    assert [{"text": sample.text, "label": sample.label} for sample in batch.samples] == rows


def test_a_list_inside_a_json_object_is_read_with_its_lines(tmp_path):
    text = '{"version": 1,\n "data": [\n  {"text": "a", "label": "x"},\n  {"text": "", "label": "x"}]}'
    batch = read(write(tmp_path / "a.json", text), Told())
    assert ([sample.text for sample in batch.samples], reasons(batch)) == (["a"], [(4, "empty_text")])


def test_semicolons_separate_where_the_header_has_them(tmp_path):
    (sample,) = read(write(tmp_path / "a.csv", "text;label\nhello, you;x\n"), Told()).samples
    assert (sample.text, sample.label) == ("hello, you", "x")


def test_parquet_keeps_types_and_turns(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"turns": [{"role": "a", "text": "喂"}], "label": 3, "n": None}, {"turns": [], "label": 4, "n": 7}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    batch = read(tmp_path / "a.parquet", Told())
    assert [(sample.label, sample.meta) for sample in batch.samples] == [("3", {"n": None})]
    assert reasons(batch) == [(2, "not_turns")]


def test_excel_reads_the_first_sheet_and_says_so(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["text", "label", "label_id"], ["退订", "取消", 1.0], [None, None, None], ["", "取消", 1]):
        book.active.append(row)
    book.create_sheet("more")
    book.save(tmp_path / "a.xlsx")
    batch = read(tmp_path / "a.xlsx", Told())
    assert [(sample.text, sample.label) for sample in batch.samples] == [("退订", "取消")]
    assert (batch.label_ids, reasons(batch)) == ({"取消": "1"}, [(4, "empty_text")])
    assert batch.notes == ("only the first sheet was read; 1 more are in the file",)


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet"])
def test_damaged_binary_files_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 nothing behind it")
    with pytest.raises(DataError, match="cannot be read as") as caught:
        read(tmp_path / name, Told())
    assert caught.value.hint == "Check that the file is whole."


@pytest.mark.slow
def test_a_hugging_face_dataset_gives_its_parts_and_class_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["查询", "取消"])}
    )
    parts = {
        "train": datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, -1]}, features=features),
        "validation": datasets.Dataset.from_dict({"text": ["c"], "label": [1]}, features=features),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    batch = read(tmp_path / "set", Told())
    assert [(s.text, s.label, s.split) for s in batch.samples] == [("a", "查询", "train"), ("c", "取消", "dev")]
    assert reasons(batch) == [(2, "no_label")]


# Encodings


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8 with BOM"), ("gb18030", "GB18030"), ("utf-16", "UTF-16")],
)
def test_encodings_are_found_and_said(tmp_path, encoding, said):
    batch = read(write(tmp_path / "a.csv", CMCC, encoding), Told())
    assert batch.encoding == said
    assert batch.samples[0].text == "您好[SEP]我要交话费[SEP]好的"


def test_one_broken_byte_does_not_make_a_file_gb18030(tmp_path):
    # As a whole these bytes are valid GB18030, and other characters.
    data = "text,label\n你好吗呀,问候\n您好,问候\n".encode() + b"\xc4\xe3,x\n"
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    batch = read(path, Told())
    assert batch.encoding == "UTF-8"
    assert [sample.text for sample in batch.samples] == ["你好吗呀", "您好"]
    assert reasons(batch) == [(4, "undecodable")]


def test_bytes_that_fit_nothing_cost_their_line(tmp_path):
    for name, good, bad in (("a.jsonl", b'{"text": "a", "label": "x"}', b'{"text": "\xff", "label": "x"}'),):
        (tmp_path / name).write_bytes(good + b"\n" + bad + b"\n" + good)
        batch = read(tmp_path / name, Told())
        assert len(batch.samples) == 2
        assert reasons(batch) == [(2, "undecodable")]
        assert "\ufffd" in batch.rejects[0].raw


@CALM
@given(CLEAN, st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]))
def test_decoding_gives_the_text_back(text, encoding):
    text = "您好，请讲。\n查询话费余额\n" * 3 + text  # short GB18030 can be valid UTF-8 by chance
    assert decode(text.encode(encoding))[0] == text.removeprefix("\ufeff")


@CALM
@given(st.binary(max_size=40))
def test_any_bytes_are_decoded_or_named(data):
    try:
        text, _ = decode(data)
    except UnicodeDecodeError:
        assert data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return
    assert not any("\ud800" <= char <= "\udc7f" for char in text)


# Rows that cannot be used


def test_bad_rows_are_named_with_line_and_reason_and_the_rest_goes_in(tmp_path):
    text = 'text,label\nok,x\n,x\nno label,\n\n"two\nlines",y\nonly one\na,b,c\n   ,x\nlast,z\n'
    batch = read(write(tmp_path / "a.csv", text), Told())
    assert [sample.text for sample in batch.samples] == ["ok", "two\nlines", "last"]
    assert reasons(batch) == [
        (3, "empty_text"),
        (4, "no_label"),
        (8, "wrong_columns"),
        (9, "wrong_columns"),
        (10, "empty_text"),
    ]
    assert batch.rejects[2].say == "The row has 1 fields, the header has 2."
    assert batch.rejects[3].raw == "a,b,c"


def test_an_open_quote_costs_one_row_and_not_the_rest(tmp_path):
    text = 'text,label\na,x\n"open,x\nb,x\nc,y\n"quoted, well",z\nd,x\n'
    batch = read(write(tmp_path / "a.csv", text), Told())
    assert [sample.text for sample in batch.samples] == ["a", "b", "c", "quoted, well", "d"]
    assert reasons(batch) == [(3, "broken_csv")]
    assert batch.rejects[0].raw == '"open,x'


def test_an_open_quote_at_the_end_is_found(tmp_path):
    batch = read(write(tmp_path / "a.csv", 'text,label\na,x\n"open,x\nb,x\n'), Told())
    assert [sample.text for sample in batch.samples] == ["a", "b"]
    assert reasons(batch) == [(3, "broken_csv")]


def test_broken_json_lines_are_named(tmp_path):
    good = '{"text": "a", "label": "x"}'
    lines = [good, '{"text": "b", ', "[1]", '{"label": "x"}', '{"text": ["b"], "label": "x"}', "[" * 100_000, good]
    batch = read(write(tmp_path / "a.jsonl", "\n".join(lines)), Told())
    assert len(batch.samples) == 2
    assert reasons(batch) == [
        (2, "broken_json"),
        (3, "not_an_object"),
        (4, "missing_column"),
        (5, "wrong_type"),
        (6, "broken_json"),
    ]


def test_reading_goes_on_behind_a_broken_element_of_an_array(tmp_path):
    text = '[\n  {"text": "a", "label": "x"},\n  {"text": "b" "label"},\n  {"text": "c",\n   "label": "x"}\n]'
    batch = read(write(tmp_path / "a.jsonl", text), Told())
    assert [sample.text for sample in batch.samples] == ["a", "c"]
    assert reasons(batch) == [(3, "broken_json")]


def test_an_array_that_breaks_off_says_how_far_it_goes(tmp_path):
    batch = read(write(tmp_path / "a.json", '[{"text": "a", "label": "x"}, {"text": "b'), Told())
    assert [sample.text for sample in batch.samples] == ["a"]
    assert batch.rejects[0].say.startswith("Not JSON from here to the end of the file")


def test_half_characters_are_mended_and_counted(tmp_path):
    text = '{"text": "查\\ud83d余额", "label": "x", "\\udc00": 1}\n{"text": "\\ud83d\\ude00", "label": "x"}\n'
    batch = read(write(tmp_path / "a.jsonl", text), Told())
    assert [sample.text for sample in batch.samples] == ["查\ufffd余额", "😀"]
    assert batch.notes == ("1 rows had half characters (lone surrogates); each is now U+FFFD",)


@CALM
@given(st.text(alphabet=st.characters()))  # surrogates included
def test_what_is_storable_can_be_encoded_and_good_text_stays(text):
    stored = storable(text)
    stored.encode()
    if all(not "\ud800" <= char <= "\udfff" for char in text):
        assert stored == text


def test_nul_is_kept_for_cleaning(tmp_path):
    (sample,) = read(write(tmp_path / "a.csv", "text,label\na\0b,x\n"), Told()).samples
    assert sample.text == "a\0b"


# Splits, sources, numbers


def test_a_split_column_is_honoured_where_all_its_values_are_splits(tmp_path):
    path = write(tmp_path / "a.csv", "text,label,split\na,x,train\nb,x,Valid\nc,x,test\nd,,unlabeled\n")
    assert [sample.split for sample in read(path, Told()).samples] == ["train", "dev", "test", "pool"]
    told = read(path, Told(split="test"))
    assert [sample.split for sample in told.samples] == ["test"] * 3
    assert reasons(told) == [(5, "no_label")]


def test_a_split_column_of_other_values_is_not_used_and_said(tmp_path):
    batch = read(write(tmp_path / "a.csv", "text,label,split\na,x,train_5\nb,x,train\n"), Told())
    assert [sample.split for sample in batch.samples] == ["train", "train"]
    assert batch.notes == ("the column 'split' is not used, as it has 'train_5'; all rows go to train, or say --split",)
    assert batch.samples[0].meta == {"split": "train_5"}


def test_a_file_called_test_that_goes_to_train_is_said(tmp_path):
    batch = read(write(tmp_path / "test.csv", "text,label\na,x\n"), Told())
    assert batch.notes == ("the file is called 'test', but goes to train; say --split test if it is that",)
    assert read(tmp_path / "test.csv", Told(split="test")).notes == ()


def test_our_own_synthetic_rows_do_not_come_back_as_human_ones(tmp_path):
    text = "text,label,source\na,x,human\nb,x,synthetic\n"
    batch = read(write(tmp_path / "a.csv", text), Told())
    assert [sample.source for sample in batch.samples] == ["human", "synthetic"]
    assert batch.samples[1].origin.strategy == "external"
    assert "1 rows are marked as synthetic" in batch.notes[0]
    web = read(write(tmp_path / "b.csv", text.replace("human", "web")), Told())
    assert [(sample.source, sample.meta["source"]) for sample in web.samples] == [
        ("human", "web"),
        ("human", "synthetic"),
    ]


def test_numbers_that_contradict_are_said(tmp_path):
    text = "text,label,label_id\na,x,1\nb,x,2\nc,y,1\n"
    batch = read(write(tmp_path / "a.csv", text), Told())
    assert batch.label_ids == {"x": "1", "y": "1"}
    assert batch.notes == (
        "1 rows give 'x' another number than 1, its first",
        "the number 1 stands for several classes: 'x', 'y'",
    )


def test_a_row_has_the_same_id_whenever_the_same_file_is_read(tmp_path):
    one, other = (
        write(tmp_path / "a.csv", "text,label\na,x\na,x\n"),
        write(tmp_path / "b.csv", "text,label\na,x\na,x\n"),
    )
    ids = [sample.id for sample in read(one, Told()).samples]
    assert len(set(ids)) == 2
    assert ids == [sample.id for sample in read(other, Told(split="test")).samples]


# Files that cannot be read at all


def test_files_that_cannot_be_read_are_errors_in_two_sentences(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\x00\x01\x02" * 100)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "empty.csv", " \n")
    write(tmp_path / "bom.csv", "\ufeff")
    write(tmp_path / "a.docx", "x")
    write(tmp_path / "noname", "x")
    write(tmp_path / "odd.csv", "a,b\n1,2\n")
    write(tmp_path / "nolabel.csv", "text,n\na,2\n")
    write(tmp_path / "twice.csv", "text,text\na,2\n")
    write(tmp_path / "header.csv", "text,label\n")
    write(tmp_path / "bad.jsonl", "text,label\na,b\n")
    for name, message, hint in [
        ("a.csv", "binary file", "Give text"),
        ("folder", "is a folder", "Name a file"),
        ("empty.csv", "is empty", "rows"),
        ("bom.csv", "is empty", "rows"),
        ("missing.csv", "does not exist", "path"),
        ("a.docx", "of a kind that wb does not read (.docx)", ".parquet"),
        ("noname", "its name has no ending", ".csv"),
        ("odd.csv", "No column looks like a text; there are: a, b.", "--text COLUMN"),
        ("nolabel.csv", "no column looks like a label; there are: text, n.", "--split pool"),
        ("twice.csv", "has 'text' twice among its columns", "Rename"),
        ("header.csv", "has no row that can be read", "Check"),
        ("bad.jsonl", "has no row that can be read. The line is not JSON", "Check"),
    ]:
        with pytest.raises(DataError) as caught:
            read(tmp_path / name, Told())
        assert message in caught.value.message, name
        assert name in caught.value.message
        assert hint in caught.value.hint, name


def test_a_told_column_that_is_missing_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match="There is no column 'txt'") as caught:
        read(write(tmp_path / "a.csv", "text,label\na,x\n"), Told(text="txt"))
    assert caught.value.hint.startswith("Did you mean 'text'?")


def test_a_pool_needs_no_label_column(tmp_path):
    path = write(tmp_path / "a.csv", "text\na\n")
    assert [(s.label, s.split) for s in read(path, Told(split="pool")).samples] == [("", "pool")]


# Inverse pairs


@CALM
# A file with a tenth of NUL bytes is taken for a binary one, rightly.
@given(*(some.filter(lambda text: not {"\r", "\0"} & set(text)) for some in (SAID, LABEL, CLEAN)))
def test_csv_cells_come_back_as_they_were_written(tmp_path, text, label, other):
    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "label", "other"], [text, label, other]])
    (sample,) = read(tmp_path / "a.csv", Told()).samples
    assert (sample.text, sample.label, sample.meta) == (text, label, {"other": other})


@CALM
@given(st.lists(CLEAN.filter(lambda text: "[SEP]" not in text), min_size=1, max_size=4))
def test_turns_joined_again_are_the_text(texts):
    text = "[SEP]".join(texts)
    assert "[SEP]".join(turn.text for turn in split_turns(text, "", "agent")) == text


@CALM
@given(st.dictionaries(st.text(max_size=3), st.none() | st.integers() | CLEAN | st.lists(st.integers(), max_size=2)))
def test_any_json_object_becomes_parts_or_a_reason(values):
    columns = recognise(["text", "label"])
    try:
        parts = parts_of({"text": values.get("a"), **values}, columns, "agent")
    except ValueError as exc:
        slug, say = exc.args
        assert slug in ("missing_column", "wrong_type")
        assert say.endswith(".")
    else:
        assert parts.turns


# Real files


def test_the_shared_sets_are_read_whole(shared):
    expected = {
        "demo/telecom/train.csv": (276, 16),
        "demo/erp/original_training_data.csv": (264, 12),
        "demo/erp/original_training_data.jsonl": (264, 12),
        "demo/telemarketing/labeled.jsonl": (20, 4),
        "demo/counselling/dialogues.jsonl": (60, 18),
        "data/cmcc34_synthetic/data.csv": (2036, 11),
        "data/persuasion_p4g/dialogues.jsonl": (1016, 4),
        "data/banking77/data.csv": (13083, 77),
    }
    for name, (rows, classes) in expected.items():
        batch = read(shared / name, Told())
        assert (len(batch.samples), batch.rejects) == (rows, []), name
        assert len({sample.label for sample in batch.samples}) == classes, name


def test_csv_line_numbers_are_physical(shared):
    table = read_table(shared / "data/banking77/data.csv")
    lines = (shared / "data/banking77/data.csv").read_text(encoding="utf-8").split("\n")
    for row in table.rows[:: len(table.rows) // 50]:
        first = row.values["text"].split("\n")[0].replace('"', '""')
        assert first in lines[row.line - 1]
