"""`wb tokens` on files, on stdin and on a bench: contracts, inverses, errors in two sentences."""

import io
import json

import pytest
from test_tokens import TAGS

TURNS = [
    {"role": "user", "text": "谢谢 <|user|> \ud83d\u2028 😀\r\n", "intent": "thank", "emotion": "sad"},
    {"role": "assistant", "text": "", "intent": "suggest", "phase": "closing", "phase_goal": "a"},
    {"role": "assistant", "text": "再见", "intent": "suggest", "phase": "opening", "phase_goal": "b"},
]
ROWS = [
    {"id": "c1", "topic": "career", "turns": TURNS},
    {
        "id": "c2",
        "turns": [{"text": "嗯", "role": "user", "emotion": "glad", "intent": None}],
        "split": "dev",
        "n": 1.5,
    },
    {
        "topic": "family",
        "turns": [{"role": "system", "text": "s"}, {"role": "user", "text": "嗯", "tags": {"emotion": "sad"}}],
    },
]
DEFECTS = {
    "missing": [("c2", None, "topic"), ("c2", 0, "intent"), ("of line 3", 1, "intent")],
    "unknown_value": [("c2", 0, "emotion")],
    "order": [("c1", 2, "phase")],
    "contradiction": [],
}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    (tmp_path / "tags.json").write_text(json.dumps(TAGS, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "d.jsonl").write_text("\n\n".join(json.dumps(row) for row in ROWS) + "\r\n", encoding="utf-8-sig")
    return tmp_path


def listed(found, kind):
    return [(one["id"], one["turn"], one["field"]) for one in found[kind]]


def feed(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text if isinstance(text, bytes) else text.encode())))


def test_coverage_json_has_the_four_lists(files, wb):
    done = wb("tokens", "coverage", "d.jsonl", "--tags", "tags.json", "--json")
    assert done.code == 0, done.err
    expected = dict(DEFECTS)
    expected["missing"] = [(name.replace("line 3", "line 5"), turn, field) for name, turn, field in expected["missing"]]
    assert {kind: listed(done.json, kind) for kind in DEFECTS} == expected
    assert all(one.keys() == {"id", "turn", "field"} for kind in DEFECTS for one in done.json[kind])
    fields = {(one["role"], one["field"]): one for one in done.json["fields"]}
    assert fields["user", "emotion"]["counts"] == {"sad": 2, "calm": 0}
    assert fields["user", "emotion"]["unknown"] == {"glad": 1}
    assert done.json["topics"][0]["fields"]["user.intent"] == {"thank": 1}
    assert {"role": "user", "field": "emotion", "value": "calm"} in done.json["unused"]
    assert done.json["inconsistent"][0]["values"].keys() == {"glad", "sad"}


def test_coverage_of_the_shared_dialogues(shared, wb):
    folder = shared / "demo" / "counselling"
    found = wb("tokens", "coverage", folder / "dialogues.jsonl", "--tags", folder / "tags.json", "--json").json
    wrong = [json.loads(line) for line in (folder / "defects.jsonl").read_text("utf-8").splitlines()]
    for kind in ("missing", "unknown_value", "order"):
        assert found[kind] == [{k: one[k] for k in ("id", "turn", "field")} for one in wrong if one["defect"] == kind]
    assert found["contradiction"] == []


@pytest.mark.parametrize("name", ["dialogues.jsonl", "raw.jsonl"])
def test_the_shared_dialogues_come_back_as_they_were(shared, wb, monkeypatch, name):
    folder = shared / "demo" / "counselling"
    rendered = wb("tokens", "render", folder / name, "--tags", folder / "tags.json")
    assert all(line["text"].startswith("<|begin|>") for line in rendered.lines)
    feed(monkeypatch, rendered.out)
    assert wb("tokens", "parse", "-", "--tags", folder / "tags.json").out == (folder / name).read_text("utf-8")


def test_a_file_comes_back_as_it_was_whatever_is_in_it(files, wb):
    rendered = wb("tokens", "render", "d.jsonl", "--tags", "tags.json")
    assert rendered.code == 0, rendered.err
    assert len(rendered.lines) == len(ROWS)
    assert rendered.lines[0].keys() == {"id", "text"}
    assert rendered.lines[1]["split"] == "dev"
    (files / "r.jsonl").write_text(rendered.out, encoding="utf-8")
    back = wb("tokens", "parse", "r.jsonl", "--tags", "tags.json")
    assert [json.dumps(row) for row in back.lines] == [json.dumps(row) for row in ROWS]


def test_dialogues_are_read_from_stdin(files, wb, monkeypatch):
    feed(monkeypatch, json.dumps(ROWS[0]))
    done = wb("tokens", "render", "-", "--tags", "tags.json")
    assert done.json["id"] == "c1"
    feed(monkeypatch, b"\xff")
    assert "What came on stdin is not in UTF-8." in wb("tokens", "render", "-", "--tags", "tags.json").err


def test_tables_say_what_is_wrong_in_chinese_and_english(files, wb):
    done = wb("tokens", "coverage", "d.jsonl", "--tags", "tags.json")
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    for words in (
        "3 dialogues, 6 turns",
        "thank 感谢 1",
        "glad (unknown) 1",
        "career 职业发展 1",
        "missing 3, unknown_value 1, order 1",
        "order c1 2 phase opening 再见",
        "The same text, tagged differently: 1",
        "Never used: user.intent=clarify",
    ):
        assert words in said


@pytest.fixture
def filled(bench, files, wb):
    (files / "wb.yaml").write_text("encoder: {name: hashed}\ntokens: {file: tags.json}\n", encoding="utf-8")
    rows = [*ROWS[:2], {"id": "one", "topic": "x", "turns": [{"role": "customer", "text": "single"}]}]
    rows[1] = rows[1] | {"topic": "family"}
    lines = "\n".join(json.dumps({k: v for k, v in row.items() if k != "split"}) for row in rows)
    (files / "b.jsonl").write_text(lines, encoding="utf-8")
    done = wb("data", "add", "b.jsonl")
    assert done.code == 0, done.err
    return bench


def test_a_bench_is_covered_with_the_ids_of_its_rows(filled, wb):
    done = wb("tokens", "coverage", "--json")
    assert done.code == 0, done.err
    assert done.json["dialogues"] == 2  # a text without tags is no dialogue
    assert listed(done.json, "order") == DEFECTS["order"]
    assert listed(done.json, "missing") == [("c2", 0, "intent")]
    ids = {row.meta["id"]: row.id for row in filled.ledger.samples()}
    assert done.json["missing"][0]["sample"] == ids["c2"]


def test_a_bench_of_the_shared_dialogues_gives_its_file_back(shared, bench, tmp_path, wb, monkeypatch):
    folder = shared / "demo" / "counselling"
    wb("data", "add", folder / "dialogues.jsonl")
    rendered = wb("tokens", "render", "--tags", folder / "tags.json")
    assert rendered.code == 0, rendered.err
    feed(monkeypatch, rendered.out)
    back = wb("tokens", "parse", "-", "--tags", folder / "tags.json")
    wanted = (folder / "dialogues.jsonl").read_text("utf-8").splitlines()
    assert back.out.splitlines() == wanted


def test_an_exported_file_is_read_with_its_labels_as_topics(filled, files, wb):
    wb("data", "export", "x.jsonl", "--format", "jsonl")
    lines = (files / "x.jsonl").read_text("utf-8").split("\n")[:2]  # there is a U+2028 in one of them
    (files / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = wb("tokens", "coverage", "x.jsonl", "--tags", "tags.json", "--json").json
    assert listed(found, "missing") == [("c2", 0, "intent")]
    rendered = wb("tokens", "render", "x.jsonl", "--tags", "tags.json").out
    (files / "r.jsonl").write_text(rendered, encoding="utf-8")
    back = wb("tokens", "parse", "r.jsonl", "--tags", "tags.json")
    assert [json.dumps(row) for row in back.lines] == [json.dumps(json.loads(line)) for line in lines]


def test_the_tokens_are_listed(files, wb):
    done = wb("tokens", "list", "--tags", "tags.json")
    assert done.out.splitlines()[:5] == ["<|begin|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    assert wb("tokens", "list", "--tags", "tags.json", "--json").json == done.out.splitlines()


@pytest.mark.parametrize(
    ("content", "say"),
    [
        (None, "Error: d.jsonl does not exist."),
        (b"", "Error: d.jsonl is empty."),
        (b'{"turns": []}\n{"turns": [}', "Error: d.jsonl, line 2 is not JSON: Expecting value at column 12."),
        (b"\n[1]", "Error: d.jsonl, line 2 is no JSON object: '[1]'."),
        ("\n你好".encode("gb18030"), "Error: d.jsonl is not in UTF-8: line 2 has other bytes."),
        (b"[" * 100_000, "Error: d.jsonl, line 1 is not JSON: nested too deeply."),
        (b'{"id": ' + b"1" * 5000 + b"}", "Error: d.jsonl, line 1 is not JSON: a number has thousands of digits."),
        (b'{"id": "c9"}', "Error: Dialogue c9 has no list of turns."),
        (b'{"turns": [{"role": "agent", "text": ""}]}', "Error: Dialogue of line 1, turn 0: the role 'agent' is not"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["coverage", "render"])
def test_what_is_wrong_with_a_file_is_said_in_two_sentences(files, wb, verb, content, say):
    (files / "d.jsonl").unlink()
    if content is not None:
        (files / "d.jsonl").write_bytes(content)
    done = wb("tokens", verb, "d.jsonl", "--tags", "tags.json")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(say)
    assert "What to do: " in done.err


@pytest.mark.parametrize(
    ("args", "say"),
    [
        (("coverage", "d.jsonl"), "Error: There is no vocabulary of tags: tokens.file is not set."),
        (("coverage", "d.jsonl", "--tags", "none.json"), "Error: none.json does not exist."),
        (("coverage", "d.jsonl", "--tags", "wrong.json"), "Error: wrong.json: user holds a number, not fields"),
        (("coverage", "--tags", "tags.json"), "Error: Neither this folder nor a parent has a wb.yaml."),
        (("parse", "d.jsonl", "--tags", "tags.json"), "Error: d.jsonl, line 1 is no rendered dialogue: it has no text."),
        (("parse", "bad.jsonl", "--tags", "tags.json"), "Error: Dialogue c1 is no rendered dialogue at character 9"),
        (("coverage", "d.jsonl", "--tags", "tags.json", "--ask"), "Error: --ask asks about dialogues of the bench"),
        (("list", "--tags", "wrong.json"), "Error: wrong.json: user holds"),
        (("list", "--tags", "tags.json", "--set", "tokens.ordered=[x]"), "Error: tokens.ordered: no role has the field 'x'."),
    ],
)  # fmt: skip
def test_errors_of_the_commands_are_two_sentences(files, wb, args, say):
    (files / "wrong.json").write_text('{"user": 3}', encoding="utf-8")
    (files / "bad.jsonl").write_text('{"id": "c1", "text": "<|begin|><|x|><|end|>"}', encoding="utf-8")
    done = wb("tokens", *args)
    assert (done.code, done.out) == (2 if "--ask" in args else 1, "")
    assert done.err.startswith(say)
    assert "What to do: " in done.err


def test_a_bench_without_dialogues_says_so(bench, files, wb):
    (files / "t.csv").write_text("text,label\n查话费,a\n", encoding="utf-8")
    wb("data", "add", "t.csv")
    assert wb("tokens", "coverage", "--tags", "tags.json").err.startswith("Error: This bench has no dialogues.")
