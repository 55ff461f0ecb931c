"""Prompts, pipelines and label configs are code: each is rendered, validated, parsed."""

import json
import re

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.assets import find, search_path
from workbench.bench import Config
from workbench.config import read_yaml
from workbench.errors import ConfigError
from workbench.generate import Draw, Prompted, Shown, parse_reply
from workbench.generate.kinds import kinds
from workbench.prompts import Prompt, load
from workbench.records import SEP, Need, Sample, Turn

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # CI machines are slow and shared

# How tools that stand in for a model find the number of rows that is asked for.
COUNT = re.compile(
    r"(\d{1,3})\s*(?:条|个|段|句|则|samples?|examples?|dialogues?|utterances?|sentences?|conversations?|queries|rows?)",
    re.IGNORECASE,
)
ASKING = {kind: strategy() for kind, strategy in kinds().items() if issubclass(strategy, Prompted)}
ASKING["paraphrase"] = kinds()["paraphrase"](versions=100)  # as many rows as are asked for
# A prompt file of its own for small local models, used with the strategy `minority`.
ASKING["fewshot"] = ASKING["minority"]
FILES = sorted(path.name for path in search_path("prompts")[0].iterdir())
PROMPTS = [name for name in FILES if name.split(".")[0] in ASKING]
FULL = [name for name in PROMPTS if "{% block assistant %}" not in load(name).text]
PIPELINES = sorted(search_path("pipelines")[0].glob("*.yaml"))
LABELS = {"zh": ("办理取消", "咨询（含查询）业务资费"), "en": ("cancel_card", "card_fee")}
ROWS = {
    "zh": ("把3个月前开的彩铃退了，5条短信", "您好[SEP]20G流量包一个月多少钱"),
    "en": ("cancel 2 rows of it", "what are the 3 samples worth"),
}


def rows(label, text):
    turns = tuple(Turn("user", part) for part in text.split(SEP))
    return [Sample(f"{label}{i}", turns, label) for i in range(8)]


def build_request(need, shown, prompt, *, rows, examples, draw, seed):
    return ASKING[need.strategy].request(need, shown, prompt, Draw(draw, seed, rows, examples))


def message(name, label=None, about="", count=7, examples=True):
    strategy, language, _ = name.split(".")
    own, other = LABELS[language]
    own = label or own
    against = other if ASKING[strategy].paired else ""
    texts = ROWS[language]
    shown = Shown(
        rows(own, texts[0]) if examples else [],
        rows(other, texts[1]) if examples and against else [],
        {own: about, other: about} if about else {},
    )
    need = Need(own, 20, strategy, against=against)
    made = build_request(need, shown, load(name), rows=count, examples=6, draw=0, seed=0)
    roles = ["system", "user", *(["assistant"] if "{% block assistant %}" in load(name).text else [])]
    assert [part["role"] for part in made.messages] == roles
    return said(made)


def said(made):
    """What follows the system's message: the user's, and the beginning of the answer where the prompt gives one."""
    return "\n".join(part["content"] for part in made.messages[1:])


def test_every_strategy_speaks_chinese_and_english():
    assert {f"{kind}.{language}.j2" for kind in ASKING for language in ("zh", "en")} == set(PROMPTS)


@pytest.mark.parametrize("name", FILES)
def test_a_prompt_file_has_both_blocks(name):
    text = load(name).text
    assert "{% block system %}" in text
    assert "{% block user %}" in text


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("examples", [True, False])
@pytest.mark.parametrize("about", ["", "客户要退3条短信 5 samples"])
def test_a_prompt_renders_with_what_the_strategy_gives(name, examples, about):
    text = message(name, about=about, examples=examples)
    assert "{{" not in text
    assert "{%" not in text
    assert (ROWS[name.split(".")[1]][0] in text) == examples
    assert not about or about in text


@pytest.mark.parametrize("name", PROMPTS)
def test_the_target_stands_before_every_other_class(name):
    own, other = LABELS[name.split(".")[1]]
    text = message(name, about="见 办理取消 / card_fee / cancel_card / 咨询（含查询）业务资费")
    assert text.index(own) < text.index(other)


@pytest.mark.parametrize("name", PROMPTS)
@CALM
@given(count=st.integers(1, 100))
def test_the_number_of_rows_stands_before_every_other_number(name, count):
    text = message(name, about="一共5条，30 samples", count=count)
    assert int(COUNT.search(text).group(1)) == count
    assert re.search(rf"{count} (条|samples)", text)


@pytest.mark.parametrize("name", PROMPTS)
def test_a_number_in_the_class_name_is_not_taken_for_the_count(name):
    text = message(name, label={"zh": "查询 3 个月账单", "en": "top 3 queries"}[name.split(".")[1]])
    assert int(COUNT.search(text).group(1)) == 7


@pytest.mark.parametrize("name", PROMPTS)
def test_dialogues_are_asked_for_where_the_rows_are_dialogues(name):
    strategy, language, _ = name.split(".")
    own, other = LABELS[language]
    shown = Shown(rows(own, "您好[SEP]我要退订"), rows(other, "x"), {})
    need = Need(own, 20, strategy, against=other if ASKING[strategy].paired else "")
    text = said(build_request(need, shown, load(name), rows=5, examples=6, draw=0, seed=0))
    assert {"zh": "5 条对话", "en": "5 samples (dialogues)"}[language] in text
    assert "[SEP]" in text


SEEN = {
    "attributes": {"mood": ["very_calm"]},
    "taboo": ["worn_out_1", "worn_out_2"],
    "hints": ["they never say please", "30 samples"],
    "outliers": ["off the beaten track 9 rows"],
}


def full(name, strategy=None, count=7):
    kind, language, _ = name.split(".")
    own, other = LABELS[language]
    shown = Shown(rows(own, "x"), rows(other, "y"), {}, **SEEN)
    need = Need(own, 20, kind, against=other if ASKING[kind].paired else "")
    return (strategy or ASKING[kind]).request(need, shown, load(name), Draw(0, 0, count, 3))


@pytest.mark.parametrize("name", FULL)
def test_everything_that_is_known_stands_in_the_prompt_behind_class_and_count(name):
    kind, language, _ = name.split(".")
    strategy = ASKING[kind].model_copy(update={"attributes": True})
    made = full(name, strategy)
    text = made.messages[-1]["content"]
    for words in ("very_calm", "worn_out_1", "worn_out_2", *SEEN["hints"], *SEEN["outliers"]):
        assert words in text
        assert text.index(words) > text.index(LABELS[language][0])
    assert text.count("very_calm") == made.rows
    assert int(COUNT.search(text).group(1)) == made.rows


@pytest.mark.parametrize("name", PROMPTS)
def test_without_anything_known_nothing_is_said_of_it(name):
    text = message(name)
    for words in ("换别的说法", "worn out", "另辟蹊径", "beaten track", "设定", "line below"):
        assert words not in text


def test_a_prompt_that_begins_a_list_asks_for_no_schema():
    assert full("fewshot.zh.j2").schema is None


@pytest.mark.parametrize("name", FULL)
def test_the_prompt_asks_for_what_the_schema_says(name):
    made = full(name)
    assert '{"samples": ["…", "…"]}' in made.messages[-1]["content"]
    assert made.schema["required"] == ["samples"]
    assert made.schema["properties"]["samples"]["items"] == {"type": "string"}


@pytest.mark.parametrize("roles", [("user",), ("agent", "customer")])
def test_a_reply_that_fits_the_schema_is_read_whole(roles):
    texts = ["您好[SEP]查话费", "在吗[SEP]退订"]
    drafts, rejects = parse_reply("r", json.dumps({"samples": texts}, ensure_ascii=False), "stop", roles)
    assert rejects == []
    assert [SEP.join(turn.text for turn in draft.turns) for draft in drafts] == texts
    assert [turn.role for turn in drafts[0].turns] == [roles[0], roles[-1]]


OLD = """{% block system %}{% endblock %}{% block user %}
{{ label }}|{{ against }}|{{ about }}|{{ about_against }}|{{ count }}|{{ examples | length }}
{% for example in against_examples %}{{ example }}{% endfor %}|{{ dialogue }}
{% endblock %}"""


def test_a_prompt_file_written_for_the_first_variables_still_works():
    prompt = Prompt("mine.zh.j2", OLD)
    shown = Shown(rows("a", "甲"), rows("b", "乙"), {"a": "A", "b": "B"})
    made = build_request(Need("a", 1, "pair", against="b"), shown, prompt, rows=5, examples=2, draw=0, seed=0)
    assert made.messages == ({"role": "user", "content": "a|b|A|B|5|2\n乙乙|False"},)


def test_other_draws_show_other_examples_and_the_same_draw_the_same():
    some = [Sample(f"r{i}", (Turn("user", f"第{i}行"),), "a") for i in range(40)]
    need, prompt = Need("a", 20, "minority"), load("minority.zh.j2")

    def parents(draw, seed=0):
        return build_request(need, Shown(some, [], {}), prompt, rows=5, examples=6, draw=draw, seed=seed).parents

    assert parents(0) == parents(0)
    assert len({parents(0), parents(1), parents(0, seed=1)}) == 3
    assert len(set(parents(0))) == 6


def test_an_undefined_variable_is_an_error_with_the_known_ones():
    prompt = Prompt("mine.zh.j2", "{% block system %}{% endblock %}{% block user %}{{ lable }}{% endblock %}")
    with pytest.raises(ConfigError) as caught:
        prompt.messages({"label": "a", "count": 1})
    assert "'lable' is undefined" in caught.value.message
    assert "count, label" in caught.value.hint


@pytest.mark.parametrize("text", ["{% block user %}x{% endblock %}", "nothing"])
def test_a_missing_block_is_named(text):
    with pytest.raises(ConfigError, match="has no block 'system'"):
        Prompt("mine.zh.j2", text).messages({})


@pytest.mark.parametrize("inner", ["{{ count / 0 }}", "{% include 'x' %}", "{{ count + label }}"])
def test_a_template_that_fails_is_named(inner):
    text = "{% block system %}{% endblock %}{% block user %}" + inner + "{% endblock %}"
    with pytest.raises(ConfigError, match="mine"):
        Prompt("mine.zh.j2", text).messages({"label": "a", "count": 1})


def test_a_lone_surrogate_in_a_real_row_can_be_sent():
    shown = Shown([Sample("1", (Turn("user", "查\ud83d"),), "a")], [], {})
    made = build_request(Need("a", 1, "minority"), shown, load("minority.zh.j2"), rows=1, examples=1, draw=0, seed=0)
    assert "查?" in made.messages[-1]["content"]


def test_real_rows_are_shown_as_they_are():
    text = "{{ label }} {% raw %} <b>&amp;</b>"
    shown = Shown([Sample("1", (Turn("user", text),), "a")], [], {})
    made = build_request(Need("a", 1, "minority"), shown, load("minority.zh.j2"), rows=1, examples=1, draw=0, seed=0)
    assert text in made.messages[-1]["content"]


def test_your_own_prompt_comes_before_the_shipped_one(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/pair.zh.j2").write_text("mine", encoding="utf-8")
    assert load("pair.zh.j2", [tmp_path]).text == "mine"
    assert load("pair.en.j2", [tmp_path]).text != "mine"
    assert load("pair.zh.j2", [tmp_path]).fingerprint != load("pair.zh.j2").fingerprint


def test_a_prompt_in_another_encoding_is_named(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/pair.zh.j2").write_bytes("中文".encode("gb18030"))
    with pytest.raises(ConfigError, match=r"pair\.zh\.j2"):
        load("pair.zh.j2", [tmp_path])


def test_an_unknown_prompt_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        find("prompts", "minorty.zh.j2")
    assert "Did you mean 'minority.zh.j2'?" in caught.value.hint


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.name)
def test_a_pipeline_is_valid_settings(path):
    Config.read(read_yaml(path), where=path.name)


@pytest.mark.parametrize("path", [p for p in PIPELINES if p.stem != "demo"], ids=lambda path: path.name)
def test_what_a_pipeline_shows_in_comments_is_valid_too(path):
    # Commented settings are `# key:` lines and the indented lines below them; prose starts with a capital letter.
    lines = path.read_text(encoding="utf-8").splitlines()
    shown = [re.sub(r"^(\s*)# (?=[a-z_]+:|\s)", r"\1", line) for line in lines]
    Config.read(yaml.safe_load("\n".join(shown)), where=path.name)
