"""Continuing a fine-tuned encoder: forgetting and its guards, early stopping, growth, adapters; on a tiny model."""

from importlib.util import find_spec

import numpy as np
import pytest

from workbench.errors import DataError
from workbench.records import Sample, Turn
from workbench.runs import read_json
from workbench.train.incremental.config import IncrementalConfig

pytestmark = [
    pytest.mark.model,  # trains small ones: seconds each
    pytest.mark.skipif(not all(map(find_spec, ("torch", "transformers", "peft"))), reason="needs the extra `train`"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

THINGS = list("话流积余套宽彩短漫号")
SAY = {"查询": "请帮我查一下{}还有多少", "退订": "把我的{}业务给取消掉", "投诉": "{}的服务太差我要投诉"}
OLD = [(form.format(thing), label) for label, form in SAY.items() for thing in THINGS]
NEW = [(f"请帮我查一下{thing}还有多少呢", "退订") for thing in THINGS] + [
    (f"请帮我查一下{thing}呀没人管", "投诉") for thing in THINGS
]
FAST = {"learning_rate": 3e-3, "head_learning_rate": 2e-2, "epochs": 6, "precision": "float32", "batch_size": 8}


def csv_of(path, rows):
    path.write_text("\n".join(["text,label", *(f"{a},{b}" for a, b in rows)]) + "\n", encoding="utf-8")
    return path


def samples(rows):
    return [Sample(f"{i}-{text}", (Turn("user", text),), label) for i, (text, label) in enumerate(rows)]


def tiny(folder):
    """A BERT of 2 layers of 32 with a tokenizer of characters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir()
    characters = sorted({char for text, _ in OLD + NEW for char in text} | set("开通快啊"))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]), "utf-8")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(characters) + 5, max_position_embeddings=64, **shape)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    return folder


def fit(base, folder, **settings):
    from workbench.train import EncoderTrainConfig
    from workbench.train.encoder.fit import fit_encoder

    config = EncoderTrainConfig(
        model=str(base),
        epochs=40,
        batch_size=8,
        learning_rate=3e-3,
        head_learning_rate=3e-3,
        precision="float32",
        **settings,
    )
    folder.mkdir()
    fit_encoder(config, samples(OLD), [], folder, lambda _: None, seed=0)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of the old rows, without its manifest."""
    root = tmp_path_factory.mktemp("encoder")
    return fit(tiny(root / "base"), root / "old")


def continued(run, rows=NEW, *, dev=(), guard=(), replay=(), told=None, ewc=1.0, **settings):
    from workbench.train.encoder.model import EncoderModel
    from workbench.train.incremental.encoder import EncoderLesson, continue_encoder

    config = IncrementalConfig.read({"guard": list(guard), "ewc": ewc, "encoder": FAST | settings}, where="test")
    lesson = EncoderLesson(samples([*replay, *rows]), samples(OLD), samples(dev))
    told = [] if told is None else told
    return continue_encoder(config, EncoderModel.open(run), lesson, told.append, seed=0)


def right(model, rows):
    said = model.logits([text for text, _ in rows]).argmax(axis=1)
    return np.mean([model.side.labels[i] == label for i, (_, label) in zip(said, rows, strict=True)])


def test_new_rows_are_learned_and_guards_keep_the_class_without_new_rows(run):
    from workbench.train.encoder.model import EncoderModel

    lost = [row for row in OLD if row[1] == "查询"]
    assert right(EncoderModel.open(run), lost) == 1
    naive = continued(run, epochs=30)
    assert right(naive, NEW) > 0.9
    assert right(naive, lost) < 0.5
    replayed = continued(run, replay=OLD[::3], epochs=30)
    assert right(replayed, lost) > 0.9 < right(replayed, NEW)
    assert right(continued(run, guard=("distill",), epochs=30), lost) > 0.9


def test_a_great_elastic_weight_keeps_the_weights_nearer(run):
    from workbench.train.encoder.model import EncoderModel

    start = dict(EncoderModel.open(run).model.named_parameters())

    def moved(**settings):
        after = continued(run, epochs=30, **settings).model
        return sum(float(((p - start[name]) ** 2).sum().detach()) for name, p in after.named_parameters())

    # Rows that the model is sure of have next to no gradients, so that the pull is weak unless its weight is great.
    assert moved(guard=("ewc",), ewc=3e4) < 0.9 * moved()


def test_the_same_seed_gives_the_same_weights(run):
    a, b = (continued(run, guard=("distill", "ewc"), epochs=2) for _ in range(2))
    assert np.array_equal(a.logits(["话"]), b.logits(["话"]))


def test_frozen_layers_stay_as_they_are(run):
    import torch

    from workbench.train.encoder.model import EncoderModel, layers

    before, after = EncoderModel.open(run).model, continued(run, freeze_layers=1).model
    same = [
        all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
        for a, b in zip(layers(before), layers(after), strict=True)
    ]
    assert same == [True, False]
    assert torch.equal(before.get_input_embeddings().weight, after.get_input_embeddings().weight)


def test_it_ends_early_and_goes_back_to_the_best_weights(run):
    told = []
    model = continued(run, dev=OLD, told=told, epochs=20, patience=2)
    assert len(told) < 20
    assert right(model, OLD) == 1  # every epoch on new rows alone made the old ones worse: none was kept


def test_new_classes_make_the_head_grow_and_the_model_opens_again(run, tmp_path):
    from workbench.train.encoder.model import EncoderModel

    more = [(f"快开通{thing}啊", "开通") for thing in THINGS]
    model = continued(run, more, guard=("distill", "ewc"), replay=OLD[::3], epochs=12)
    model.save(tmp_path)
    opened = EncoderModel.open(tmp_path)
    assert opened.side.labels == (*EncoderModel.open(run).side.labels, "开通")
    assert right(opened, more) == 1
    assert np.allclose(opened.logits(["话"]), model.logits(["话"]), atol=1e-6)


def test_adapters_are_continued_but_do_not_grow(run, tmp_path):
    from workbench.train.encoder.model import EncoderModel

    old = fit(run.parent / "base", tmp_path / "adapter-run", lora={"rank": 4})
    before = EncoderModel.open(old).logits([NEW[0][0]])
    model = continued(old, replay=OLD[::3])
    assert not np.allclose(before, model.logits([NEW[0][0]]))
    (tmp_path / "next").mkdir()
    model.save(tmp_path / "next")
    assert np.allclose(EncoderModel.open(tmp_path / "next").logits(["话"]), model.logits(["话"]), atol=1e-5)
    with pytest.raises(DataError, match=r"new classes \(开通\)"):
        continued(old, [("快开通话啊", "开通")])


def test_the_command_line_continues_an_encoder_run(run, wb, tmp_path):
    old, new = csv_of(tmp_path / "old.csv", OLD), csv_of(tmp_path / "new.csv", NEW)
    test = csv_of(tmp_path / "test.csv", [(f"{text}啊", label) for text, label in OLD])
    quick = ("--set", "train.encoder.epochs=40", "--set", "train.encoder.learning_rate=0.003", "--set")
    base = run.parent / "base"
    done = wb("train", "--method", "encoder", "--model", base, "--train", old, "--output-path", "run", *quick,
              "train.encoder.batch_size=8", "--set", "train.dev_share=0")  # fmt: skip
    assert done.code == 0, done.err
    files = ["--method", "incremental", "--new-data", new, "--old-data", old, "--model-path", "run", "--set"]
    files += [f"train.incremental.encoder={FAST}"]
    done = wb("train", *files)
    assert (done.code, "--test FILE" in done.err) == (2, True)
    done = wb("train", *files, "--test", test, "--output-path", "next", "--json")
    found = done.lines[-1]
    assert done.code == (0 if found["promoted"] else 1), done.err
    assert found["verdict"]["parts"]["new_test"]["rows"] == 4
    manifest = read_json(tmp_path / "next" / "manifest.json")
    assert (manifest["opens"], manifest["parent"]) == ("encoder", str(tmp_path / "run"))
    assert manifest["replayed_rows"] == 16
