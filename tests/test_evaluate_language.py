"""`wb evaluate` for a tuned language model, for real: a random GLM-4 of 0.2 M parameters, tuned on three classes."""

import csv
from importlib.util import find_spec

import numpy as np
import pytest
import tiny_lm

from workbench.bench import Bench
from workbench.flow.models.predictors import open_predictor
from workbench.runs import find_run, finish, new_run, read_json
from workbench.train.qlora.config import QloraConfig

NEEDED = ("torch", "transformers", "peft", "accelerate")
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not all(find_spec(name) for name in NEEDED), reason="the extra `train` is not installed"),
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A bench with a finished run, and the texts of other dialogues than it learned."""
    import os

    from workbench.train.qlora.fit import fit_qlora

    os.environ["HF_HUB_OFFLINE"] = "1"
    root = tmp_path_factory.mktemp("bench")
    (root / "wb.yaml").write_text("encoder: {name: hashed}\n", encoding="utf-8")
    bench = Bench.find(root)
    base = tiny_lm.glm4(tmp_path_factory.mktemp("models") / "glm4")
    config = QloraConfig(
        model=str(base), quantise="none", precision="fp32", r=16, alpha=32, steps=60, learning_rate=1e-2,
        max_length=200, eval_steps=60, save_steps=20, checkpointing=False, report_to="none",
    )  # fmt: skip
    run = new_run(bench.runs, "train")
    dev = tiny_lm.intents(6, "dev")
    found = fit_qlora(config, tiny_lm.intents(), dev, run)
    finish(
        run, "train", {"method": "qlora", "labels": found["labels"], "base": found["base"], "rows": 24, "version": "v"}
    )
    lines = "".join(f"{sample.text},{sample.label}\n" for sample in dev)
    (root / "rows.csv").write_text("text,label\n" + lines, encoding="utf-8")
    return root, run


@pytest.mark.parametrize("by", ["likelihood", "constrained", "free"])
def test_it_is_evaluated_by_likelihood_by_constrained_decoding_and_freely(tuned, wb, by):
    root, run = tuned
    setting = f"evaluate.answer.by={by}"
    done = wb("evaluate", run.name, "--file", root / "rows.csv", "--bench", root, "--json", "--set", setting)
    assert done.code == 0, done.err
    found = done.json
    assert found["accuracy"]["n"] == 6
    assert found["accuracy"]["value"] >= 0.5
    assert found["memory"]["value"] > 100e6
    assert any("its calibration error says nothing" in note for note in found["notes"]) == (by != "likelihood")
    with (root / "runs" / found["run"] / "failures.csv").open(encoding="utf-8-sig", newline="") as file:
        failures = list(csv.DictReader(file))
    assert sum(not row["y_pred"] for row in failures) == found["failed"]
    assert by == "free" or found["failed"] == 0


def test_likelihoods_of_the_tuned_model_equal_those_of_single_sequences(tuned):
    from workbench.lm.reference import naive

    root, run = tuned
    model = open_predictor(Bench.find(root), run)
    assert model._scorer.by_tree
    texts = [sample.text for sample in tiny_lm.intents(5, "dev")]
    found = model.log_likelihoods(texts)
    scorer = model._scorer
    wanted = np.stack([naive(scorer.model, scorer.prompt_ids(text), scorer.answers) for text in texts])
    assert np.abs(found - wanted).max() < 1e-3
    assert np.ptp(wanted) > 1


def test_a_dialogue_that_is_too_long_is_cut_by_turns_and_counted(tuned):
    root, run = tuned
    model = open_predictor(Bench.find(root), run)
    last = tiny_lm.intents(1, "dev")[0].text
    long = "[SEP]".join(["我要说的话很多很多" * 60, last])
    before = model.counts["cut"]
    assert model.predict([long]).argmax() == model.predict([last]).argmax()
    assert model.counts["cut"] == before + 1


def test_checkpoints_of_a_run_stand_side_by_side_with_it(tuned, wb):
    root, run = tuned
    names = [f"{run.name}@40", f"{run.name}@60"]
    done = wb("evaluate", "--checkpoint", *names, run.name, "--file", root / "rows.csv", "--bench", root, "--json")
    assert done.code == 0, done.err
    found = done.json["checkpoints"]
    assert list(found) == [*names, run.name]
    kept = root / "runs" / names[0]
    facts = read_json(kept / "manifest.json")
    assert (facts["run"], facts["checkpoint"], facts["parent"]) == (names[0], 40, run.name)
    assert not list(kept.rglob("optimizer*"))
    assert not list((root / "runs").glob(".*"))
    texts = [sample.text for sample in tiny_lm.intents(6, "dev")]
    bench = Bench.find(root)
    early, late = (open_predictor(bench, root / "runs" / name).predict(texts) for name in names)
    assert np.abs(early - late).max() > 1e-4
    assert find_run(root / "runs", "last", "train") == run
    listed = wb("models", "list", "--bench", root, "--json")
    assert names[0] in listed.out


def test_a_checkpoint_that_was_not_kept_is_a_sentence(tuned, wb):
    root, run = tuned
    done = wb("evaluate", f"{run.name}@30", "--file", root / "rows.csv", "--bench", root)
    assert done.code != 0
    assert f"{run.name} keeps no checkpoint of step 30" in done.err
    assert "It keeps those of steps 40, 60" in done.err
    other = wb("evaluate", "nothing@30", "--file", root / "rows.csv", "--bench", root)
    assert "There is no train run 'nothing'" in other.err
