"""Settings: strict, overlaid in order, and every mistake answered with a sentence."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.bench import Bench, Config
from workbench.config import Strict, assignments, overlay, read_yaml
from workbench.errors import ConfigError, one_of

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # CI machines are slow and shared

KEYS = st.text(alphabet="abc_", min_size=1, max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4)


@CALM
@given(MAPPINGS)
def test_nothing_laid_over_something_is_that_thing(values):
    assert overlay(values, {}) == values == overlay({}, values)


@CALM
@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_laying_over_is_associative(a, b, c):
    def scalars_against_mappings(x, y):
        return any(isinstance(x[k], dict) != isinstance(y[k], dict) for k in x.keys() & y.keys()) or any(
            scalars_against_mappings(x[k], y[k]) for k in x.keys() & y.keys() if isinstance(x[k], dict)
        )

    if scalars_against_mappings(a, b) or scalars_against_mappings(b, c) or scalars_against_mappings(a, c):
        return
    assert overlay(overlay(a, b), c) == overlay(a, overlay(b, c))


@CALM
@given(MAPPINGS, MAPPINGS)
def test_the_top_wins_and_the_base_is_not_changed(base, top):
    before = yaml.safe_dump(base)
    merged = overlay(base, top)
    assert yaml.safe_dump(base) == before
    assert merged.keys() == base.keys() | top.keys()
    assert all(merged[key] == value for key, value in top.items() if not isinstance(value, dict))


@CALM
@given(st.lists(KEYS, min_size=1, max_size=4), st.integers() | st.booleans() | st.floats(allow_nan=False))
def test_an_assignment_is_read_back(path, value):
    found = assignments([f"{'.'.join(path)}={yaml.safe_dump(value).splitlines()[0]}"])
    for key in path:
        found = found[key]
    assert found == value


def test_later_assignments_win_and_neighbours_stay():
    assert assignments(["a.b=1", "a.c=x", "a.b=2"]) == {"a": {"b": 2, "c": "x"}}


@pytest.mark.parametrize("item", ["a", "=1", "a..b=1", ".a=1", "a.=1"])
def test_an_assignment_without_form_is_refused(item):
    with pytest.raises(ConfigError, match=r"not of the form key\.sub=value"):
        assignments([item])


@pytest.mark.parametrize("text", ["[[[[", "*x", "{a: b}: c", "\x00", "=", "? [x]"])
def test_a_value_that_is_no_yaml_is_a_string(text):
    assert assignments([f"a={text}"]) == {"a": text}


@pytest.mark.parametrize("text", ["2001-13-45", "0x_", "0b_", "!!int x", "!!timestamp x"])
def test_a_value_that_looks_like_a_date_or_number_but_is_none_is_a_string(text):
    assert assignments([f"a={text}"]) == {"a": text}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"- a\n- b\n", "holds a list, not keys and values"),
        (b"a: [1\n", "is not readable as YAML"),
        ("a: 查".encode("gb18030"), "is not readable as YAML"),
    ],
)
def test_a_file_that_is_no_settings_is_named(tmp_path, content, words):
    (tmp_path / "wb.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "wb.yaml")
    assert words in caught.value.message
    assert "wb.yaml" in caught.value.message
    assert caught.value.hint


def test_a_file_with_an_impossible_date_is_named(tmp_path):
    (tmp_path / "wb.yaml").write_text("labels: {a: {about: 2001-13-45}}")
    with pytest.raises(ConfigError):
        read_yaml(tmp_path / "wb.yaml")


def test_a_byte_order_mark_and_an_empty_file_are_fine(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 3\n", encoding="utf-8-sig")
    (tmp_path / "b.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "a.yaml") == {"seed": 3}
    assert read_yaml(tmp_path / "b.yaml") == {}


@CALM
@given(MAPPINGS)
def test_any_mapping_is_settings_or_a_config_error(values):
    try:
        found = Config.read(values, where="wb.yaml")
    except ConfigError as error:
        found = error
    assert isinstance(found, Config) or (found.message.startswith("wb.yaml: ") and found.hint)


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"sede": 1}, "there is no setting 'sede'", "Did you mean 'seed'?"),
        ({"gate": {"bugdet": 1}}, "there is no setting 'gate.bugdet'", "Did you mean 'budget'?"),
        ({"seed": "x"}, "seed: Input should be a valid integer", "wb config"),
        ({1: 2}, "Keys should be strings", ""),
        ({"gate": 5}, "gate:", ""),
    ],
)
def test_a_mistake_is_answered_with_what_is_right(values, message, hint):
    with pytest.raises(ConfigError) as caught:
        Config.read(values, where="wb.yaml")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "endpoints",
    [
        [{"kind": "openai", "api_key": "sk-secret"}],
        [{"kind": "openai"}, {"kind": "openai", "api_key": "sk-secret"}],
        [{"kind": "opnai", "api_key": "sk-secret"}],
        {"api_key": "sk-secret"},
        "sk-secret",
        ["sk-secret"],
    ],
)
def test_a_key_in_the_settings_is_refused_and_not_repeated(endpoints):
    with pytest.raises(ConfigError) as caught:
        Config.read({"llm": {"endpoints": endpoints}}, where="wb.yaml")
    assert "sk-secret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("key", ["sk-abcDEF123", "0123456789abcdef.XyZ", "abcdef0123456789"])
def test_a_key_pasted_as_the_name_of_its_variable_is_refused(key):
    with pytest.raises(ConfigError) as caught:
        Config.read({"llm": {"endpoints": [{"kind": "openai", "key_env": key}]}}, where="wb.yaml")
    assert key not in caught.value.message


@pytest.mark.parametrize("value", [None, {}])
def test_a_rule_without_settings_keeps_its_defaults(value):
    assert Config.read({"gate": {"rules": {"length": value}}}, where="wb.yaml") == Config()


@pytest.mark.parametrize(
    "setting",
    [
        "classifier.folds=0",
        "classifier.strength=-1",
        "classifier.ngrams=[3, 1]",
        "gate.budget=2",
        "generate.batch_size=0",
        "generate.examples=-1",
        "encoder.batch_size=0",
    ],
)
def test_a_setting_that_cannot_work_is_refused(setting):
    with pytest.raises(ConfigError):
        Config.read(assignments([setting]), where="--set")


def test_a_text_in_braces_that_was_not_quoted_is_told_so():
    with pytest.raises(ConfigError) as caught:
        Config.read(assignments(["train.qlora.answer={name}"]), where="--set")
    assert caught.value.hint == """Braces are a mapping in YAML; quote the text: --set 'train.qlora.answer="{...}"'"""
    quoted = Config.read(assignments(['train.qlora.answer="{name}"']), where="--set")
    assert quoted.train.qlora.answer == "{name}"


def test_a_rule_kind_that_is_a_list_is_refused():
    with pytest.raises(ConfigError):
        Config.read({"gate": {"rules": {"length": {"kind": [1]}}}}, where="wb.yaml")


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 1


def test_settings_survive_the_run_folder():
    config = Config.read(assignments(["gate.rules.length.max_chars=9", "labels.查余额.about=查钱"]), where="x")
    dumped = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True))
    assert Config.read(dumped, where="y") == config


def test_a_rule_that_is_off_stays_off_in_the_run_folder():
    config = Config.read(assignments(["gate.rules.sibling=off"]), where="x")
    assert Config.read(config.model_dump(mode="json"), where="y") == config


def test_every_setting_is_documented():
    def undocumented(model, path):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, Strict):
                yield from undocumented(inner, f"{path}{name}.")
            elif not field.description:
                yield path + name

    assert list(undocumented(Config, "")) == []


def test_the_bench_is_the_nearest_parent(tmp_path, monkeypatch):
    (tmp_path / "wb.yaml").write_text("seed: 5\n")
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    assert Bench.find().root == tmp_path
    assert Bench.find(settings=["seed=6"]).config.seed == 6
    with pytest.raises(ConfigError) as caught:
        Bench.find(tmp_path / "a")
    assert "has no wb.yaml" in caught.value.message
    assert "wb init" in caught.value.hint


def test_pipeline_lies_between_file_and_set(tmp_path):
    (tmp_path / "wb.yaml").write_text("seed: 1\nrun: {accept: 1, pairs: 1}\n")
    (tmp_path / "p.yaml").write_text("seed: 2\nrun: {accept: 2}\n")
    config = Bench.find(tmp_path, ["seed=3"], pipeline=tmp_path / "p.yaml").config
    assert (config.seed, config.run.accept, config.run.pairs) == (3, 2, 1)


def test_without_bench_the_defaults_serve(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Bench.find_or_bare(settings=["seed=4"]).config.seed == 4


@pytest.mark.parametrize("plugins", ["rules.py", 3, {"a": 1}])
def test_plugins_that_are_no_list_are_refused_as_such(tmp_path, plugins):
    (tmp_path / "rules.py").write_text("")
    (tmp_path / "wb.yaml").write_text(yaml.safe_dump({"plugins": plugins}))
    with pytest.raises(ConfigError, match="valid tuple"):
        Bench.find(tmp_path)


@CALM
@given(st.text(max_size=8), st.lists(st.text(min_size=1, max_size=8), max_size=5))
def test_every_unknown_name_is_answered_with_the_known_ones(value, known):
    hint = one_of(value, known)
    assert all(name in hint for name in known)
