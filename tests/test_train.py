"""Training: what goes in, what the run folder holds, that the same rows give the same model."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from workbench.bench import Bench
from workbench.errors import DataError
from workbench.flow.train.run import predict, train, training_rows
from workbench.records import Origin, Sample, Turn, Verdict
from workbench.runs import read_json, write_json

WORDS = "话费流量积分余额套餐宽带"
PASSED = [Verdict("format", True, "", None)]
DROPPED = [Verdict("format", False, "markup", None)]


def sample(i, text, label, source="human"):
    origin = Origin("minority", "m", "p", (), 0, "") if source == "synthetic" else None
    return Sample(f"{source}-{label}-{i}", (Turn("user", text),), label, "train", source, origin)


@pytest.fixture
def filled(tmp_path, bench):
    """Two classes of 12 and 4 rows, six accepted synthetic rows, two dropped ones."""
    rows = [sample(i, f"我想问一下{WORDS[i % 12]}{i}还剩多少", "查余额") for i in range(12)]
    rows += [sample(i, f"把{WORDS[i * 2 : i * 2 + 2]}业务给我取消", "退订") for i in range(4)]
    made = [sample(i, f"不想要{WORDS[i : i + 2]}了，取消掉", "退订", "synthetic") for i in range(6)]
    bad = [sample(9 + i, f"**取消**{i}", "退订", "synthetic") for i in range(2)]
    with bench.ledger.write("data", "add") as writer:
        writer.samples([*rows, *made, *bad])
        for row in made:
            writer.verdicts(row.id, PASSED)
        for row in bad:
            writer.verdicts(row.id, DROPPED)
    return Bench.find(tmp_path, ["train.replicas=3"])


def test_which_rows_a_model_sees(filled):
    counts = {name: len(training_rows(filled, name)) for name in ("human", "gated", "ungated")}
    assert counts == {"human": 16, "gated": 22, "ungated": 24}


def test_the_run_folder_says_what_was_trained(filled):
    done = train(filled)
    assert (done.rows, done.synthetic, done.classes) == (22, 6, 2)
    manifest = read_json(done.run / "manifest.json")
    assert manifest["per_class"] == {"human": {"查余额": 12, "退订": 4}, "synthetic": {"退订": 6}}
    assert (manifest["rows_from"], manifest["version"]) == ("gated", done.version)
    config = yaml.safe_load((done.run / "config.yaml").read_text("utf-8"))
    assert config["train"]["replicas"] == 3
    assert {path.suffix for path in (done.run / "model").iterdir()} <= {".safetensors", ".json"}
    assert [run.id for run in filled.ledger.runs("train")] == [done.run.name]


def test_the_same_rows_give_the_same_model_and_a_run_is_taken_again_where_allowed(filled):
    first, second, third = train(filled), train(filled), train(filled, reuse=True)
    assert first.run != second.run == third.run
    assert first.version == second.version
    rows = training_rows(filled, "human")
    a, b = predict(filled, first.run, rows), predict(filled, second.run, rows)
    assert np.array_equal(a.probabilities, b.probabilities)
    assert np.array_equal(a.replicas, b.replicas)


def test_another_seed_or_row_is_another_training(filled, tmp_path):
    first = train(filled, reuse=True)
    other = Bench.find(tmp_path, ["train.replicas=3", "seed=1"])
    assert train(other, reuse=True).run != first.run
    with filled.ledger.write("data", "add") as writer:
        writer.samples([sample(99, "不要这个彩铃了", "退订")])
    assert train(filled, reuse=True).version != first.version


def test_predictions_are_probabilities_of_the_right_shape(filled):
    done = train(filled)
    rows = training_rows(filled, "human")
    found = predict(filled, done.run, rows)
    assert found.labels == ("查余额", "退订")
    assert found.probabilities.shape == (16, 2)
    assert found.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert found.replicas.shape == (3, 16)
    chosen = [found.labels[i] for i in found.probabilities.argmax(axis=1)]
    assert chosen == [row.label for row in rows]


def test_a_limit_per_class_is_a_seeded_choice(filled, tmp_path):
    def chosen(seed):
        bench = Bench.find(tmp_path, ["train.synthetic_per_class=2", f"seed={seed}"])
        return [row.id for row in training_rows(bench, "gated") if row.source == "synthetic"]

    assert len(chosen(0)) == 2
    assert chosen(0) == chosen(0)
    assert len({tuple(chosen(seed)) for seed in range(8)}) > 1


def test_synthetic_rows_are_taken_by_id_not_by_arrival(filled):
    ids = [row.id for row in training_rows(filled, "ungated") if row.source == "synthetic"]
    assert ids == sorted(ids)


def test_another_encoder_is_refused_with_both_names(filled):
    done = train(filled)
    vars(filled)["encoder"] = replace_fingerprint(filled.encoder)
    with pytest.raises(DataError, match="trained with another encoder"):
        predict(filled, done.run, training_rows(filled, "human"))


def replace_fingerprint(encoder):
    class Other:
        name = "another"
        fingerprint = "f" * 16
        encode = staticmethod(encoder.encode)

    return Other()


def test_an_empty_bench_and_a_single_class_are_said(bench, wb):
    done = wb("train")
    assert done.code == 1
    assert "no training rows" in done.err
    with bench.ledger.write("data", "add") as writer:
        writer.samples([sample(i, f"查{i}", "查余额") for i in range(3)])
    done = wb("train")
    assert done.code == 1
    assert "class" in done.err
    assert not bench.ledger.runs()


def test_a_method_that_is_not_there_is_answered_with_those_that_are(filled, wb):
    done = wb("train", "--method", "qlorax")
    assert done.code in (1, 2)
    assert "classifier" in done.err


def test_the_command_line_trains_both_arms(filled, wb):
    base, full = wb("train", "--without-synthetic", "--json"), wb("train", "--json")
    assert (base.json["rows"], base.json["synthetic"]) == (16, 0)
    assert (full.json["rows"], full.json["synthetic"]) == (22, 6)
    assert base.json["encoder"].startswith("hashed")
    assert "Next: wb evaluate" in wb("train").out


def test_a_class_that_only_synthetic_rows_have_is_learned(filled):
    row = replace(sample(50, "我要投诉你们客服", "投诉", "synthetic"))
    with filled.ledger.write("gate", "added") as writer:
        writer.samples([row])
        writer.verdicts(row.id, PASSED)
    done = train(filled)
    assert done.classes == 3
    assert read_json(done.run / "manifest.json")["per_class"]["synthetic"] == {"退订": 6, "投诉": 1}


# --- plain files, shares, and what programs read


def csv_of(path, rows, header="utterance,intent"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


FILE_ROWS = [f"我想问一下{WORDS[i]}还剩多少,查余额" for i in range(10)] + [
    f"把{WORDS[i]}业务取消,退订" for i in range(10)
]


@pytest.fixture
def plain(tmp_path):
    """A file of 20 rows in two classes, in a folder without a bench."""
    return csv_of(tmp_path / "rows.csv", FILE_ROWS)


HASHED = ("--set", "encoder.name=hashed", "--set", "train.replicas=0")
KEYS = {"run", "version", "rows", "synthetic", "classes", "encoder", "metrics", "promoted", "verdict"}


def test_plain_files_need_no_bench_and_make_no_ledger(plain, wb, tmp_path):
    done = wb("train", "--train", plain, "--text", "utterance", "--label", "intent", *HASHED, "--json")
    assert done.code == 0, done.err
    found = done.lines[-1]
    assert found.keys() >= KEYS
    assert (found["rows"], found["metrics"], found["promoted"], found["verdict"]) == (20, None, None, None)
    assert (tmp_path / "runs" / found["run"].rpartition("/")[2] / "manifest.json").is_file()
    assert not (tmp_path / "wb.db").exists()


def test_dev_rows_are_scored_with_intervals(plain, wb, tmp_path):
    dev = csv_of(tmp_path / "held.csv", ["我想问一下话费剩多少,查余额", "把话费业务取消吧,退订"])
    done = wb("train", "--train", plain, "--dev", dev, *HASHED, "--text", "utterance", "--label", "intent", "--json")
    scored = done.lines[-1]["metrics"]["macro_f1"]
    assert scored.keys() == {"value", "low", "high", "n"}
    assert scored["n"] == 2


def test_rows_that_a_file_marks_as_test_are_not_trained_on(wb, tmp_path):
    rows = [f"{row},{'test' if i % 5 == 0 else 'train'}" for i, row in enumerate(FILE_ROWS)]
    file = csv_of(tmp_path / "all.csv", rows, "utterance,intent,split")
    done = wb("train", "--train", file, "--text", "utterance", "--label", "intent", *HASHED, "--json")
    assert done.lines[-1]["rows"] == 16
    assert "16 of 20 rows are marked as train" in done.err


def test_rows_that_cannot_be_used_are_counted(plain, wb):
    plain.write_text(plain.read_text("utf-8") + ",退订\n没有类别,\n", encoding="utf-8")
    done = wb("train", "--train", plain, "--text", "utterance", "--label", "intent", *HASHED, "--json")
    assert "2 rows are not used" in done.err
    assert "2 rows are not used" in done.lines[-1]["notes"][0]


def test_a_fraction_keeps_every_class_and_is_the_same_choice_each_time(plain, wb):
    columns = ("--train", plain, "--text", "utterance", "--label", "intent", *HASHED, "--json")
    found = [wb("train", *columns, "--fraction", "0.3").lines[-1] for _ in range(2)]
    assert [one["rows"] for one in found] == [6, 6]
    assert found[0]["version"] == found[1]["version"]
    assert wb("train", *columns, "--fraction", "0.01").lines[-1]["rows"] == 2


def test_an_output_folder_that_is_there_is_not_written_over(plain, wb, tmp_path):
    columns = ("--train", plain, "--text", "utterance", "--label", "intent", *HASHED, "--json")
    first = wb("train", *columns, "--output-path", "mine").lines[-1]
    assert first["run"] == str(tmp_path / "mine")
    done = wb("train", *columns, "--output-path", "mine")
    assert done.code == 2
    assert "mine is there already" in done.err


def test_options_that_do_not_belong_together_are_errors(filled, wb, tmp_path):
    done = wb("train", "--dev", tmp_path / "x.csv")
    assert (done.code, "goes with --train FILE" in done.err) == (2, True)
    done = wb("train", "--new-data", tmp_path / "x.csv")
    assert (done.code, "is for --method incremental" in done.err) == (2, True)
    done = wb("train", "--resume")
    assert (done.code, "cannot be resumed" in done.err) == (2, True)
    done = wb("train", "--estimate")
    assert (done.code, "gives no estimate" in done.err) == (2, True)


def test_a_preset_chooses_method_and_settings(plain, wb, tmp_path):
    (tmp_path / "mine.yaml").write_text("train: {method: classifier, fraction: 0.5}\nencoder: {name: hashed}\n")
    done = wb("train", "--preset", "mine.yaml", "--train", plain, "--text", "utterance", "--label", "intent", "--json")
    assert done.lines[-1]["rows"] == 10


def test_a_run_of_a_method_that_cannot_be_opened_is_said(filled):
    from workbench.flow.models.predictors import open_predictor

    run = train(filled).run
    write_json(run / "manifest.json", read_json(run / "manifest.json") | {"method": "tarot"})
    with pytest.raises(DataError, match="of method 'tarot', which cannot be opened"):
        open_predictor(filled, run)


def test_every_predictor_gives_what_prediction_gives(filled):
    from workbench.flow.models.predictors import open_predictor

    run = train(filled).run
    rows = training_rows(filled, "human")
    predictor = open_predictor(filled, run, batch_size=3)
    assert predictor.version == run.name
    expected = predict(filled, run, rows).probabilities
    assert np.allclose(predictor.predict([row.text for row in rows]), expected, atol=1e-6)
