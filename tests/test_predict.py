"""`wb predict` and `workbench.load_model`: one answer a row, in order, whatever the rows are."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench
from workbench.errors import ConfigError, DataError
from workbench.flow.models.predict import rows_of
from workbench.flow.models.promotion import promote
from workbench.flow.train.run import train
from workbench.records import Sample, Turn
from workbench.runs import read_json

CLASSES = {"查余额": "我想查一下余额", "退订": "把这个业务退订"}


@pytest.fixture
def run(bench):
    rows = [
        Sample(f"{label}-{i}", (Turn("user", f"{text}{i}"),), label, "train")
        for label, text in CLASSES.items()
        for i in range(6)
    ]
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows)
    return train(bench).run


def csv_file(folder, lines, name="new.csv"):
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def test_json_has_one_line_for_each_row_in_order(run, wb, tmp_path):
    file = csv_file(tmp_path, ["id,query", "1,查余额多少", "2,", "3,业务退订", '4,"  "', "5,余额"])
    done = wb("predict", file, "--text", "query", "--model", run.name, "--json")
    assert done.code == 0, done.err
    assert [line["label"] for line in done.lines] == ["查余额", None, "退订", None, "查余额"]
    first, empty = done.lines[:2]
    assert first["top"][0] == [first["label"], first["probability"]]
    assert [label for label, _ in first["top"]] == ["查余额", "退订"]
    assert sum(p for _, p in first["top"]) == pytest.approx(1, abs=1e-4)
    assert empty == {
        "label": None,
        "probability": None,
        "top": [],
        "reason": "empty_text",
        "say": "The row has no text.",
    }
    assert "5 rows" in done.err
    assert "empty_text 2" in done.err


def test_top_limits_the_classes_and_people_get_a_line_for_each_row(run, wb, tmp_path):
    file = csv_file(tmp_path, ["text", "查余额", '""', "退订"])
    assert [len(line["top"]) for line in wb("predict", file, "--top", "1", "--json").lines] == [1, 0, 1]
    shown = wb("predict", file).out.splitlines()
    assert len(shown) == 3
    assert "查余额" in shown[0]
    assert "(empty_text)" in shown[1]


def test_rows_that_cannot_be_read_keep_their_place(run, wb, tmp_path):
    lines = ['{"text": "查余额"}', "{broken", '{"text": ["x"]}', '{"other": 1}', "[1]", '{"text": "退订"}']
    (tmp_path / "new.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = wb("predict", "new.jsonl", "--text", "text", "--json").lines
    assert [line["label"] for line in found] == ["查余额", None, None, None, None, "退订"]
    assert [line.get("reason") for line in found][2:5] == ["wrong_type", "missing_column", "not_an_object"]
    assert all(line["say"] for line in found[1:5])


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            {"turns": [{"role": "agent", "text": "您好"}, {"role": "user", "text": "查余额"}], "label": "x"},
            "您好[SEP]查余额",
        ),
        ({"messages": [{"role": "user", "content": "查余额"}, {"role": "assistant", "content": "退订"}]}, "查余额"),
        ({"conversations": [{"from": "human", "value": "查余额"}]}, "查余额"),
        ({"text": "您好[SEP]查余额", "label": {"odd": 1}}, "您好[SEP]查余额"),
        ({"text": "您好|查余额"}, "您好|查余额"),
    ],
)
def test_dialogues_are_read_as_wb_data_add_reads_them(tmp_path, row, text):
    (tmp_path / "d.jsonl").write_text(json.dumps(row), encoding="utf-8")
    for told in (None, next(iter(row))):
        _, (asked,) = rows_of(tmp_path / "d.jsonl", told, None, "agent")
        assert asked.text == text


def test_another_separator_is_taken(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"text": "您好|查余额"}', encoding="utf-8")
    assert rows_of(tmp_path / "d.jsonl", None, "|", "agent")[1][0].text == "您好[SEP]查余额"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=8), st.none(), st.integers(), st.lists(st.text(max_size=2), max_size=2), st.floats()
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_row_has_a_text_or_a_reason(tmp_path, values):
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"text": v}) + "\n" for v in values), encoding="utf-8")
    _, asked = rows_of(tmp_path / "p.jsonl", "text", None, "agent")
    assert len(asked) == len(values)
    assert all(bool(one.reason) != bool(one.text.strip()) for one in asked)


def test_a_csv_out_holds_the_files_own_columns_and_every_row(run, wb, tmp_path):
    file = csv_file(tmp_path, ["id,text,predicted", "007,查余额,old", "8,,old", "9,退订,a,b"])
    done = wb("predict", file, "--out", "said.csv", "--json")
    assert done.json == {
        "out": "said.csv",
        "rows": 3,
        "model": run.name,
        "without_answer": {"empty_text": 1, "wrong_columns": 1},
    }
    rows = list(csv.DictReader(io.StringIO((tmp_path / "said.csv").read_text("utf-8-sig"))))
    assert [row["id"] for row in rows] == ["007", "8", "9,退订,a,b"]
    assert [row["predicted"] for row in rows] == ["查余额", "", ""]
    assert json.loads(rows[0]["predicted_top"])[0][0] == "查余额"
    assert float(rows[0]["predicted_probability"]) > 0.5
    assert [row["predicted_reason"] for row in rows] == ["", "empty_text", "wrong_columns"]


def test_a_jsonl_out_is_what_json_prints(run, wb, tmp_path):
    file = csv_file(tmp_path, ["text", "查余额", "退订"])
    printed = wb("predict", file, "--json").lines
    wb("predict", file, "--out", "said.jsonl")
    assert [json.loads(line) for line in (tmp_path / "said.jsonl").read_text("utf-8").splitlines()] == printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new.csv", "--out", "said.txt"], "ends neither in .csv nor in .jsonl"),
        (["new.csv", "--out", "new.csv"], "is the file that is read"),
        (["new.csv", "--out", "nowhere/said.csv"], "does not exist"),
        (["--out", "said.csv"], "--out is for a file"),
        (["new.csv", "--text", "nothing"], "has no column 'nothing'; there are: text"),
        (["missing.csv"], "missing.csv does not exist"),
        (["new.csv", "--model", "promoted"], "No run of this bench was promoted"),
        (["new.csv", "--model", "2020"], "There is no train run '2020'"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_model_works(run, wb, tmp_path, arguments, said):
    csv_file(tmp_path, ["text", "查余额"])
    done = wb("predict", *arguments)
    assert done.code in (1, 2)
    assert said in done.err
    assert "What to do" in done.err
    assert (tmp_path / "new.csv").read_text("utf-8") == "text\n查余额\n"


def test_lines_that_are_typed_are_answered_until_exit(run, wb, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("查余额\n\n您好[SEP]退订\nexit\n余额\n"))
    done = wb("predict", "--json")
    assert [line["label"] for line in done.lines] == ["查余额", "退订"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("查余额"))
    assert "█" in wb("predict").out


def test_a_reader_that_has_enough_ends_it_quietly(run, tmp_path):
    csv_file(tmp_path, ["text", *["查余额"] * 3000])
    command = f"{sys.executable} -m workbench predict new.csv --json | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert json.loads(done.stdout)["label"] == "查余额"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# Python.


def test_a_model_is_loaded_by_name_by_path_and_as_the_promoted_one(bench, run, tmp_path, monkeypatch):
    by_name = workbench.load_model(run.name)
    assert by_name.labels == ("查余额", "退订")
    found = by_name.predict(["查余额", "退订"])
    assert found.shape == (2, 2)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert by_name.top(["查余额"], 1)[0][0][0] == "查余额"
    assert by_name.top([], 1) == []
    assert np.array_equal(by_name.predict([["您好", "查余额"]]), by_name.predict(["您好[SEP]查余额"]))
    assert repr(by_name) == f"Model({run.name!r}, 2 classes)"
    newer = train(bench, "human").run
    promote(bench, run.name)
    assert workbench.load_model("promoted").version == workbench.load_model().version == run.name
    assert workbench.load_model("last").version == newer.name
    elsewhere = tmp_path.parent / f"{tmp_path.name}-home"
    monkeypatch.chdir(elsewhere)
    assert np.array_equal(workbench.load_model(run).predict(["查余额"]), by_name.predict(["查余额"]))
    with pytest.raises(ConfigError, match=r"has a wb\.yaml"):
        workbench.load_model(run.name)


def test_one_string_for_texts_is_refused(run):
    with pytest.raises(TypeError, match="give a list"):
        workbench.load_model(run.name).predict("查余额")


def test_loading_a_model_runs_no_code_of_its_folder(run, tmp_path, monkeypatch):
    folder = tmp_path / "downloaded"
    (folder / "model").mkdir(parents=True)
    for name in ("manifest.json", "config.yaml", "model/head.json", "model/head.safetensors"):
        (folder / name).write_bytes((run / name).read_bytes())
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    (folder / "wb.yaml").write_text("plugins: [evil.py]\n")
    assert workbench.load_model(folder).top(["查余额"], 1)[0][0][0] == "查余额"
    monkeypatch.chdir(tmp_path.parent)
    assert workbench.load_model(folder).labels == ("查余额", "退订")


def test_an_exported_head_predicts_elsewhere(run, wb, tmp_path, monkeypatch):
    done = wb("models", "export", run.name, "--to", "given", "--json")
    assert done.json["form"] == "head"
    given = tmp_path / "given"
    assert sorted(p.name for p in given.rglob("*") if p.is_file()) == [
        "config.yaml", "head.json", "head.safetensors", "manifest.json",
    ]  # fmt: skip
    elsewhere = tmp_path.parent / f"{tmp_path.name}-home"
    monkeypatch.chdir(elsewhere)
    (elsewhere / "new.csv").write_text("text\n查余额\n", encoding="utf-8")
    assert wb("predict", "new.csv", "--model", given, "--json").lines[0]["label"] == "查余额"
    assert list(elsewhere.rglob("wb.db")) == []


def test_importing_the_package_stays_cheap():
    code = "import sys, workbench; workbench.__version__; print('numpy' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        _ = workbench.load_modle


# wb models


def test_one_list_shows_runs_and_fetched_models(bench, run, wb):
    train(bench, "human")
    assert wb("models", "promote", run.name, "--json").json == {"promoted": run.name, "former": None}
    listed = wb("models", "list", "--json").json
    kinds = [row["kind"] for row in listed]
    assert kinds[:2] == ["run", "run"]
    assert set(kinds[2:]) == {"package"}
    assert [(row["promoted"], row["method"], row["classes"], row["rows"]) for row in listed[:2]] == [
        (True, "classifier", 2, 12),
        (False, "classifier", 2, 12),
    ]
    shown = wb("models", "list").out
    assert run.name in shown
    assert "*" in shown
    assert "smollm2" in shown


def test_promote_and_rollback_speak(bench, run, wb):
    newer = train(bench, "human").run
    wb("models", "promote", run.name)
    assert f"before: {run.name}" in wb("models", "promote", newer.name).out
    assert wb("models", "rollback", "--json").json == {"promoted": run.name, "former": newer.name}
    assert wb("models", "rollback").code == 1


def test_two_runs_are_compared_on_dev_and_the_test_stays_closed(bench, run, wb):
    rows = [
        Sample(f"{split}-{label}-{i}", (Turn("user", f"请{text}{i}"),), label, split)
        for split in ("dev", "test")
        for label, text in CLASSES.items()
        for i in range(8)
    ]
    with bench.ledger.write("data", "add") as writer:
        writer.samples(rows)
    newer = train(bench, "human").run
    found = wb("models", "compare", run.name, newer.name, "--json").json
    assert found["split"] == "dev"
    assert found["verdict"]["overall"] in ("no worse", "cannot tell", "improved")
    assert found["accuracy"]["n"] == 16
    assert bench.ledger.openings() == []
    assert newer.name in wb("models", "compare", run.name, newer.name).out
    same = wb("models", "compare", run.name, run.name)
    assert same.code == 2
    assert "compared with itself" in same.err


def test_forms_that_a_model_does_not_have_are_named_with_those_it_has(run, wb, tmp_path):
    done = wb("models", "export", run.name, "--to", "x", "--form", "gguf")
    assert done.code == 2
    assert "Known: head" in done.err
    (tmp_path / "there").mkdir()
    assert "is there already" in wb("models", "export", run.name, "--to", "there").err
    assert not (tmp_path / "x").exists()


def fake_run(bench, method):
    from workbench.runs import finish

    folder = bench.runs / f"20260101-000000-{method}"
    folder.mkdir(parents=True)
    finish(folder, "train", {"method": method, "labels": ["a", "b"]})
    return folder.name


def test_gguf_without_the_converter_and_onnx_without_its_package_are_two_sentences(bench, wb, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = wb("models", "export", fake_run(bench, "qlora"), "--to", "m.gguf", "--form", "gguf")
    assert done.code == 1
    assert "convert_hf_to_gguf.py, which is not on the PATH" in done.err
    assert "add its folder to PATH" in done.err
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = wb("models", "export", fake_run(bench, "encoder"), "--to", "m.onnx", "--form", "onnx")
    assert "needs the package `onnx`" in done.err
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_damaged_run_is_not_promoted(bench, wb):
    assert wb("models", "promote", "nothing").code == 1
    assert read_json(bench.runs / fake_run(bench, "x") / "manifest.json")["method"] == "x"
    with pytest.raises(DataError):
        workbench.load_model("promoted")
