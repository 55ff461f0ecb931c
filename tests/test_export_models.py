"""What `wb models export` writes is read by other programs and says the same; a tuned model is served for classes and chats."""

import asyncio
import os
import stat
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

import workbench
from workbench.errors import DataError, ServiceError
from workbench.flow.models.export import CONVERTER, export
from workbench.flow.serve.served import ServingBench, open_served
from workbench.runs import finish, read_json

TORCH = ("torch", "transformers", "peft", "accelerate")
pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not all(find_spec(name) for name in TORCH), reason="the extra `train` is not installed"),
    pytest.mark.filterwarnings("default"),
]
TEXTS = ["我想问一下话费还剩多少", "把彩铃业务取消", "投诉客服", ""]


@pytest.fixture
def encoder(tmp_path):
    """A run of a tiny BERT with adapters."""
    from test_train_encoder import fitted
    from tiny_models import tiny_bert

    run = tmp_path / "runs" / "20260101-000000-train"
    run.parent.mkdir()
    found = fitted(tiny_bert(tmp_path / "bert"), run, lora={"rank": 4}, epochs=1)
    finish(run, "train", {"method": "encoder", "labels": list(found.labels), "base": found.base})
    (run / "config.yaml").write_text("encoder: {name: hashed}\n", encoding="utf-8")
    return run


def plain(folder, texts):
    """Probabilities as transformers alone computes them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True).eval()
    batch = AutoTokenizer.from_pretrained(folder)(list(texts), padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return (logits / read_json(folder / "workbench.json")["temperature"]).softmax(dim=-1).numpy()


def test_a_merged_encoder_needs_neither_adapter_nor_base_and_says_the_same(encoder, tmp_path):
    expected = workbench.load_model(encoder).predict(TEXTS)
    done = export(encoder, tmp_path / "given")
    assert (done.form, done.path) == ("merged", tmp_path / "given")
    assert not (done.path / "adapter").exists()
    assert {path.suffix for path in done.path.rglob("*") if path.is_file()} <= {
        ".safetensors",
        ".json",
        ".yaml",
        ".txt",
    }
    for path in (tmp_path / "bert").iterdir():
        path.unlink()
    assert np.allclose(workbench.load_model(done.path).predict(TEXTS), expected, atol=1e-5)
    assert np.allclose(plain(done.path / "model", TEXTS), expected, atol=1e-5)


@pytest.mark.skipif(find_spec("onnxruntime") is None or find_spec("onnxscript") is None, reason="no ONNX here")
def test_onnx_says_the_same_for_any_number_and_length_of_texts(encoder, tmp_path):
    import onnxruntime
    from transformers import AutoTokenizer

    target = export(encoder, tmp_path / "onnx", "onnx").path
    session = onnxruntime.InferenceSession(str(target / "model.onnx"), providers=["CPUExecutionProvider"])
    batch = AutoTokenizer.from_pretrained(target)(TEXTS * 3, padding=True, return_tensors="np")
    (logits,) = session.run(None, {name: batch[name].astype(np.int64) for name in ("input_ids", "attention_mask")})
    expected = workbench.load_model(encoder).predict(TEXTS * 3)
    scaled = np.exp(logits / read_json(encoder / "adapter" / "workbench.json")["temperature"])
    assert np.allclose(scaled / scaled.sum(axis=1, keepdims=True), expected, atol=1e-4)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run of a tiny GLM-4."""
    pytest.importorskip("bitsandbytes")
    import tiny_lm

    from workbench.train.qlora.config import QloraConfig
    from workbench.train.qlora.fit import fit_qlora

    folder = tmp_path_factory.mktemp("tuned")
    config = QloraConfig(
        model=str(tiny_lm.glm4(folder / "glm4")), r=8, alpha=16, batch=4, steps=30, learning_rate=1e-2, max_length=200,
        eval_steps=30, save_steps=30, log_steps=10, checkpointing=False, report_to="none", quantise="none",
    )  # fmt: skip
    run = folder / "runs" / "20260101-000000-train"
    found = fit_qlora(config, tiny_lm.intents(), tiny_lm.intents(6, "dev"), run)
    finish(run, "train", {"method": "qlora", "labels": found["labels"], "base": config.model})
    return run


def test_a_merged_language_model_loads_with_transformers_alone_and_gives_the_same_logits(tuned, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from workbench.lm.adapters import load_tuned

    target = export(tuned, tmp_path / "merged").path
    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
    ids = AutoTokenizer.from_pretrained(target)("对话：退订彩铃", return_tensors="pt")["input_ids"]
    kept, _ = load_tuned(tuned / "adapter", quantise="none", precision="fp32")
    with torch.inference_mode():
        a, b = model(ids).logits.softmax(-1), kept(input_ids=ids).logits.softmax(-1)
    assert float((a - b).abs().max()) < 0.02  # rounded to bfloat16 once
    assert read_json(target / "workbench.json")["method"] == "qlora"


def test_four_bit_is_smaller_and_loads(tuned, tmp_path):
    from transformers import AutoModelForCausalLM

    target = export(tuned, tmp_path / "small", "4bit").path
    model = AutoModelForCausalLM.from_pretrained(target)
    assert type(model.model.layers[0].self_attn.q_proj).__name__ == "Linear4bit"
    assert (target / "tokenizer.json").is_file()
    assert not list(tmp_path.glob("*full*"))


def converter(folder, body):
    path = folder / CONVERTER
    path.write_text(body, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


def test_gguf_is_what_the_converter_makes_of_the_merged_folder(tuned, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    converter(
        tmp_path,
        "import pathlib, sys\nfolder, out = sys.argv[1], sys.argv[sys.argv.index('--outfile') + 1]\n"
        "assert (pathlib.Path(folder) / 'model.safetensors').is_file()\npathlib.Path(out).write_bytes(b'GGUF')\n",
    )
    done = export(tuned, tmp_path / "m.gguf", "gguf")
    assert (done.path.read_bytes(), done.size) == (b"GGUF", 4)
    converter(tmp_path, "import a_package_that_is_not_there")
    with pytest.raises(ServiceError, match="No module named 'a_package_that_is_not_there'") as caught:
        export(tuned, tmp_path / "third.gguf", "gguf")
    assert caught.value.hint == "It runs in this Python: pip install a_package_that_is_not_there"
    converter(tmp_path, "raise SystemExit('Model Glm4ForCausalLM is not supported')")
    with pytest.raises(ServiceError, match="converter failed: Model Glm4ForCausalLM is not supported"):
        export(tuned, tmp_path / "n.gguf", "gguf")
    assert not list(tmp_path.glob("*partial*"))


def test_a_tuned_model_is_served_for_classes_and_for_chats(bench, tuned):
    served = open_served(ServingBench.of(bench), tuned)
    assert set(served.predictor.labels) == {"查询余额", "办理取消", "转人工"}
    assert served.predictor.predict(["退订彩铃", "话费多少钱"]).sum(axis=1) == pytest.approx(1, abs=1e-4)
    ask = served.chat.complete
    messages = [{"role": "user", "content": "对话：退订彩铃"}]
    first = ask(messages, max_tokens=8, temperature=0.0, top_p=1.0, seed=0)
    assert first == ask(messages, max_tokens=8, temperature=0.0, top_p=1.0, seed=9)
    assert first.finish in ("stop", "length")
    assert 0 < first.tokens_out <= 8
    drawn = [ask(messages, max_tokens=8, temperature=1.5, top_p=1.0, seed=n).text for n in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(DataError, match="the model takes 512 with its answer"):
        ask([{"role": "user", "content": "话费" * 900}], max_tokens=8, temperature=0, top_p=1, seed=0)


@pytest.mark.skipif(find_spec("fastapi") is None or find_spec("httpx") is None, reason="needs the extra `serve`")
def test_a_tuned_model_answers_over_http(bench, tuned):
    import httpx

    from workbench.serve.app import serving_app
    from workbench.serve.served import Slot

    app = serving_app(Slot(open_served(ServingBench.of(bench), tuned)))

    async def both():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
            chat = {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 4}
            asked = client.post("/v1/chat/completions", json=chat), client.post("/predict", json={"text": "退订"})
            return await asyncio.gather(*asked)

    chat, predicted = asyncio.run(both())
    assert chat.json()["usage"]["completion_tokens"] <= 4
    assert predicted.json()["predictions"][0]["label"] in ("查询余额", "办理取消", "转人工")


def test_the_command_exports_and_says_so(tuned, tmp_path):
    command = [sys.executable, "-m", "workbench", "models", "export", str(tuned), "--to", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "(merged, " in done.stdout
