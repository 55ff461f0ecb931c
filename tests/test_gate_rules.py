"""Every gate rule: what it keeps, what it drops with which slug, and what it must never take for wrong."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ordinary import EN, ZH

from workbench.encode import HashedNgrams
from workbench.errors import ConfigError
from workbench.gate import Check, Compared, Rows, Score, Stack, calibrate, doubt, habits
from workbench.gate.kinds import kinds
from workbench.gate.personal import found, id_checksum, luhn
from workbench.gate.rules.artefact import Artefact
from workbench.gate.rules.class_distance import ClassDistance
from workbench.gate.rules.class_words import ClassWords
from workbench.gate.rules.cut_off import CutOff
from workbench.gate.rules.format import Format
from workbench.gate.rules.keyword import Keyword
from workbench.gate.rules.label_agreement import LabelAgreement
from workbench.gate.rules.language import Language
from workbench.gate.rules.leakage import Leakage
from workbench.gate.rules.length import Length
from workbench.gate.rules.near_copy import NearCopy
from workbench.gate.rules.neighbours import Neighbours
from workbench.gate.rules.pair_margin import PairMargin
from workbench.gate.rules.privacy import Privacy
from workbench.gate.rules.pvi import Pvi
from workbench.gate.rules.repetition import Repetition
from workbench.gate.rules.script import Script
from workbench.gate.rules.sibling import Sibling
from workbench.gate.rules.turns import Turns
from workbench.gate.rules.unsafe import Unsafe
from workbench.gate.stack import HUGE, _upper
from workbench.records import SEP, Sample, Turn, Verdict

LABELS = ("a", "b", "c")
COMMON = [line for line in (ZH + EN).splitlines() if line]


def row(text, label="a", row_id=None, **meta):
    turns = tuple(Turn("customer", part) for part in text.split(SEP))
    return Sample(row_id or f"{text}-{label}", turns, label, meta=meta)


def rows(samples, probabilities=None, labels=LABELS):
    n = len(samples)
    p = np.full((n, len(labels)), 1 / len(labels)) if probabilities is None else probabilities
    vectors = HashedNgrams().encode([sample.text for sample in samples]) if n else np.zeros((0, 1024))
    return Rows(list(samples), np.asarray(vectors, np.float32), np.asarray(p, np.float32), labels)


def scores(rule, texts, others):
    return rule.score(rows([row(text, row_id=f"new-{i}") for i, text in enumerate(texts)]), others)


def in_zh(n=40):
    things = ["话费", "流量", "积分", "余额", "套餐", "彩铃", "会员", "短信", "宽带", "账单"]
    asks = ["帮我查一下{}还剩多少，谢谢。", "那个{}业务怎么办理呢？", "我的{}为什么用不了了？", "请把{}给我取消掉吧。"]
    return rows([row(asks[i % 4].format(things[i // 4 % 10]), LABELS[i % 2], f"zh-{i}") for i in range(n)])


def in_en(n=40):
    things = ["balance", "bill", "plan", "refund", "card", "order", "parcel", "account", "invoice", "ticket"]
    asks = [
        "How can I check my {} today?",
        "Please cancel the {} for me.",
        "Why does my {} not work?",
        "I need help with a {}.",
    ]
    return rows([row(asks[i % 4].format(things[i // 4 % 10]), LABELS[i % 2], f"en-{i}") for i in range(n)])


# Ordinary sentences are ordinary


@pytest.mark.parametrize("check", [Artefact(), Privacy(), Unsafe(), Format()], ids=lambda check: check.kind)
def test_no_check_is_against_ordinary_sentences(check):
    assert len(COMMON) >= 120
    assert {text: reason for text in COMMON if (reason := check.reason(row(text)))} == {}


@pytest.mark.parametrize("turns", [3, 8])
def test_no_check_is_against_dialogues_of_ordinary_sentences(turns):
    for i in range(0, len(COMMON) - turns, turns):
        text = SEP.join(COMMON[i : i + turns])
        assert [check.reason(row(text)) for check in (Artefact(), Privacy(), Unsafe(), Format())] == [""] * 4


SPAM = [
    "a", "市", "市区路", "1", "1 ", "A1", "Aaa ", " ", "\n", " \n", "<a ", "<", "*", "**a", "- a\n", "a.a@a.", "-", "{{", "{{a ",
    "I'm sorry ", "一三", "+1", '"', "以下是", "here is ", "我叫王", "我们今天去看电影吧", "# ", "[", "2024-01-",
]  # fmt: skip


@pytest.mark.parametrize(
    "check", [Artefact(), Privacy(), Unsafe(), Format(), Repetition()], ids=lambda check: check.kind
)
def test_no_text_makes_a_rule_slow(check):
    start = time.process_time()
    for piece in SPAM:
        sample = row((piece * 20_000)[:20_000])
        if isinstance(check, Check):
            check.reason(sample)
        else:
            check.score(rows([sample]), rows([]))
    assert time.process_time() - start < 0.5 * len(SPAM)


# Every rule: shapes, silence, weird input


WEIRD = [
    "",
    "  ",
    "好",
    "退订",
    "👍",
    "👨‍👩‍👧👍🏽",
    "ＡＢＣ１２３",
    "……",
    "a",
    "1",
    "\n",
    "您好[SEP][SEP]好",
    "ok ok",
    "é" * 50,
    "x" * 3000,
]


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_rule_copes_with_weird_rows(kind):
    rule = kinds()[kind].read({"kind": kind}, where="x")
    for real in (rows([]), rows([row("帮我查一下话费")]), rows([row("")]), in_zh(30)):
        some = rows([row(text, LABELS[i % 3], f"w{i}") for i, text in enumerate(WEIRD)])
        for asked in (some, rows([]), real):
            if isinstance(rule, Score):
                given = rule.score(asked, real)
                assert given.shape == (len(asked),)
                assert given.dtype == np.float32
                for sample in asked.samples:
                    assert isinstance(rule.why(sample, real), str)
            else:
                assert all(isinstance(rule.reason(sample), str) for sample in asked.samples)
                assert all(rule.mend(sample) == sample.turns for sample in asked.samples)


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_a_stack_of_one_rule_calibrated_on_nothing_lets_a_good_row_pass(kind):
    rules = {kind: kinds()[kind].read({"kind": kind}, where="x")}
    compared = Compared(rows([]))
    found_ = Stack(rules, compared, calibrate(rules, compared, 0.08, 100)).check(rows([row("帮我查一下话费还剩多少")]))
    assert [verdict.passed for verdict in found_[0]] == [True]


def test_nan_is_no_reason_to_drop_and_has_no_tail():
    class Silent(Score):
        kind: str = "silent"

        def score(self, rows, others):
            return np.full(len(rows), np.nan, np.float32)

    rules = {"silent": Silent(threshold=-5)}
    compared = Compared(in_zh(10))
    found_ = Stack(rules, compared, calibrate(rules, compared, 0.08, 5)).check(rows([row("x")]))
    assert found_ == [[Verdict("silent", True)]]


# format


@pytest.mark.parametrize("text", ["👨‍👩‍👧 全家套餐", "नमस्ते क्‍या", "می‌خواهم", "❤️", "ＡＢＣ"])
def test_joined_emoji_and_scripts_that_need_joiners_are_well_formed(text):
    assert Format().reason(row(text)) == ""


# privacy


def ids_with(date):
    body = f"110101{date}077"
    return next(body + c for c in "0123456789X" if id_checksum(body + c))


def with_luhn(body):
    return next(body + c for c in "0123456789" if luhn(body + c))


@pytest.mark.parametrize(
    ("text", "slug", "part"),
    [
        ("我的手机是13812345678，谢谢", "phone", "13812345678"),
        ("打138 1234 5678找我", "phone", "138 1234 5678"),
        ("号码１３８１２３４５６７８", "phone", "１３８１２３４５６７８"),
        ("一三八幺二三四五六七八", "phone", "一三八幺二三四五六七八"),
        ("座机010-66916919", "phone", "010-66916919"),
        ("call me at (212) 555-0147 please", "phone", "(212) 555-0147"),
        ("my number is +44 20 7946 0958", "phone", "+44 20 7946 0958"),
        ("身份证" + ids_with("19900307") + "。", "id_card", ids_with("19900307")),
        ("卡号" + with_luhn("622202123456789012"), "bank_card", with_luhn("622202123456789012")),
        ("IBAN DE89 3704 0044 0532 0130 00 ok", "iban", "DE89 3704 0044 0532 0130 00"),
        ("发到zhang.san@example.com吧", "email", "zhang.san@example.com"),
        ("邮箱是zhang@qq.com", "email", "zhang@qq.com"),
        ("车牌京A12345违章", "plate", "京A12345"),
        ("车牌粤BD12345违章", "plate", "粤BD12345"),
        ("我住在上海市浦东新区世纪大道100号", "address", "我住在上海市浦东新区世纪大道100号"),
        ("送到中山路12号", "address", "送到中山路12号"),
        ("3号楼2单元501室", "address", "3号楼2单元501室"),
        ("I live at 12 Baker Street now", "address", "12 Baker Street"),
        ("我叫王小明", "name", "王小明"),
        ("我叫王小明想查话费", "name", "王小明"),
        ("户主是欧阳锋。", "name", "欧阳锋"),
        ("Hello, my name is John Smith.", "name", "John Smith"),
        ("账号88812345670", "long_number", "88812345670"),
    ],
)
def test_privacy_finds_and_masks_exactly_what_is_personal(text, slug, part):
    assert Privacy().reason(row(text)) == slug
    masked = Privacy(mask=True).mend(row(text))[0].text
    assert len(masked) == len(text)
    assert not any(char.isalnum() for char in masked[text.index(part) : text.index(part) + len(part)])
    assert (masked[: text.index(part)], masked[text.index(part) + len(part) :]) == tuple(text.split(part))


@given(st.text("0123456789０９ -王我叫姓名是@.comJohnmynaes+X北京市路号A*，\n", max_size=60))
def test_masking_is_idempotent_and_leaves_nothing_to_find(text):
    mask = Privacy(mask=True)
    once = Sample("x", mask.mend(row(text)), "a")
    assert [len(turn.text) for turn in once.turns] == [len(turn.text) for turn in row(text).turns]
    assert mask.mend(once) == once.turns
    assert Privacy().reason(once) == ""


@given(st.text("😀é王1", max_size=8), st.text("😀é王 ", max_size=8))
def test_offsets_are_code_points(before, after):
    text = f"{before}😀zhang@example.com{after}"
    spots = [(start, end) for slug, start, end in found(text, 11) if slug == "email"]
    assert [text[start:end] for start, end in spots] == ["zhang@example.com"]


@given(st.text("0123456789", min_size=12, max_size=18), st.integers(0, 18), st.integers(1, 9))
def test_a_card_number_with_one_digit_changed_is_no_card_number(body, at, by):
    card = with_luhn(body)
    at %= len(card)
    wrong = card[:at] + str((int(card[at]) + by) % 10) + card[at + 1 :]
    assert luhn(card)
    assert not luhn(wrong)
    assert "bank_card" not in {slug for slug, _, _ in found(wrong, 0)}


def test_an_id_card_with_neither_checksum_nor_birth_date_is_none():
    right = ids_with("19903999")
    assert Privacy(long_number=0).reason(row(right)) == "id_card"
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    assert {slug for slug, _, _ in found(wrong, 0)} <= {"bank_card"}


def test_an_iban_with_wrong_check_digits_is_none():
    assert "iban" not in {slug for slug, _, _ in found("DE88 3704 0044 0532 0130 00", 11)}


@pytest.mark.parametrize("text", ["138****5678", "6222 **** **** 1234", "1101**********7715", "z***@q*.c*"])
def test_masked_numbers_pass_and_are_no_markup(text):
    assert Privacy().reason(row(f"号码是{text}")) == ""
    assert Artefact().reason(row(f"号码是{text}")) == ""


@pytest.mark.parametrize(
    "text", ["手机13812345678", "my name is John Smith", "我叫王小明", "发到zhang.san@example.com"]
)
def test_what_is_masked_is_no_artefact(text):
    assert Artefact().reason(Sample("x", Privacy(mask=True).mend(row(text)), "a")) == ""


def test_an_allowed_kind_is_not_found_as_another_one():
    assert Privacy(allow=("phone",)).reason(row("手机13812345678")) == ""
    assert Privacy(allow=("id_card",)).reason(row(ids_with("19900307"))) == ""
    assert Privacy(allow=("email",)).reason(row("13812345678@qq.com")) == ""


# artefact


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("作为一个AI语言模型，我无法感受情绪", "refusal"),
        ("抱歉，我无法生成此类内容", "refusal"),
        ("I'm sorry, but I can't assist with that.", "refusal"),
        ("I’m sorry, but I can’t help with that request.", "refusal"),
        ("I cannot fulfill this request.", "refusal"),
        ("I'm unable to generate such content.", "refusal"),
        ("As an AI language model, I have no card.", "refusal"),
        ("以下是5条关于退订的样本：", "remark"),
        ("Here are five examples of customer utterances:", "remark"),
        ("Sure! Here are 10 sentences:", "remark"),
        ("以下是一段关于退订的对话：", "remark"),
        ("标签：退订", "remark"),
        ("Label: refund", "remark"),
        ("我要**退订**流量包", "markup"),
        ("## 退订", "markup"),
        ("```json", "markup"),
        ('{"text": "x"}', "markup"),
        ("<b>退订</b>", "markup"),
        ("<|im_end|>", "markup"),
        ("您好，我是[姓名]", "placeholder"),
        ("您好，我是（您的姓名）", "placeholder"),
        ("My name is [your name]", "placeholder"),
        ("Hi {{name}}", "placeholder"),
        ("客服：您好", "speaker_name"),
        ("您好[SEP]Customer: hello", "speaker_name"),
    ],
)
def test_artefacts_have_their_slugs(text, slug):
    assert Artefact().reason(row(text)) == slug
    assert Artefact(allow=(slug,)).reason(row(text)) != slug


def test_the_prompts_own_words_are_an_echo(monkeypatch):
    from workbench.gate.rules import artefact

    lines = [line.strip() for line in artefact._prompt_lines() if len(line.strip()) > 60]
    assert lines
    echoed = [Artefact(allow=("remark", "markup", "placeholder")).reason(row(line)) for line in lines]
    assert set(echoed) == {"prompt_echo"}


# unsafe


@pytest.mark.parametrize("text", ["看porn网站", "PORN", "ｐｏｒｎ", "porn!", "买冰毒", "what the fuck"])
def test_listed_words_are_found_whole_in_any_width_and_beside_chinese(text):
    assert Unsafe().reason(row(text)) == "unsafe_word"


@pytest.mark.parametrize("text", ["pornic is a town", "drapery", "grapes", "大麻烦", "heroine of the book"])
def test_parts_of_words_are_no_words(text):
    assert Unsafe().reason(row(text)) == ""


def test_words_of_ones_own_are_added_and_shipped_ones_let_pass(tmp_path):
    (tmp_path / "more.txt").write_text("\ufeff# mine\nc++\n坏词 # bad\n", encoding="utf-8")
    rule = Unsafe(words=("frak",), file=str(tmp_path / "more.txt"), allow=("porn",))
    said = [rule.reason(row(text)) for text in ("frak off", "我学c++的", "一个坏词", "porn", "mine")]
    assert [bool(reason) for reason in said] == [True, True, True, False, False]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa"])
def test_a_word_list_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "list.txt"
    if content:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Unsafe(file=str(path)).reason(row("x"))
    assert str(path) in caught.value.message
    assert "gate.rules.unsafe.file" in caught.value.hint


# keyword, class_words


def test_keywords_any_all_none_and_every_class():
    rule = Keyword(any={"a": ("话费", "Ｂｉｌｌ")}, all={"a": ("查",), "*": ("我",)}, none={"*": ("投 诉",)})
    said = {
        text: rule.reason(row(text))
        for text in ("我查话费", "我查bill!", "我查流量", "我要话费", "查话费", "我查话费，投诉！")
    }
    assert list(said.values()) == ["", "", "no_keyword", "missing_keyword", "missing_keyword", "forbidden_keyword"]
    assert rule.reason(row("我", "b")) == ""
    assert Keyword().reason(row("x")) == ""


def test_class_words_say_how_many_telling_words_a_row_has():
    real = rows(
        [row(f"退订彩铃{i}", "a", f"a{i}") for i in range(12)] + [row(f"查询话费{i}", "b", f"b{i}") for i in range(12)]
    )
    given = scores(ClassWords(), ["退订彩铃", "查询话费"], real)
    assert given[0] < given[1] == 1
    assert np.isnan(ClassWords(known_rows=13).score(real, real)).all()


# script and language


@pytest.mark.parametrize("real", [in_zh(), in_en()], ids=["zh", "en"])
def test_rows_of_the_data_itself_are_of_its_script_and_language(real):
    for rule in (Script(), Language()):
        found_ = calibrate({"it": rule}, Compared(real), 0.08, 100)
        assert found_.dropped["it"] <= 0.08
    assert np.nanmax(Script().score(real, real)) <= 0.1


FOREIGN = (
    "Please tell me my balance",
    "残高をおしえてください",
    "잔액을 알려주세요",
    "Сколько у меня",
    "নমস্কার আপনি কেমন আছেন",
    "請問這個帳單還沒繳嗎",
    "ＰＬＥＡＳＥ ｈｅｌｐ ｍｅ",
)


@pytest.mark.parametrize("text", FOREIGN)
def test_another_script_among_simplified_chinese(text):
    assert scores(Script(), [text], in_zh())[0] > 0.3


@pytest.mark.parametrize(
    "text", ["帮我查一下话费", "Сколько у меня", "नमस्ते आप कैसे", "নমস্কার আপনি কেমন আছেন", "გამარჯობა"]
)
def test_another_script_among_english(text):
    assert scores(Script(), [text], in_en())[0] > 0.9


def test_another_language_in_the_same_script():
    given = scores(
        Language(), ["How can I check my order today?", "Je voudrais annuler ma commande, s'il vous plaît"], in_en()
    )
    assert given[0] < 0 < given[1]


@pytest.mark.parametrize("text", ["👍", "123", "……", ""])
def test_rows_without_letters_are_of_no_script_and_no_language(text):
    assert np.isnan(scores(Script(), [text], in_zh())[0])
    assert np.isnan(scores(Language(), [text], in_zh())[0])


# length, turns, repetition


def test_turns_say_which_way():
    real = rows([row(SEP.join(["您好"] * 6), "a", str(i)) for i in range(10)])
    rules = {"turns": Turns()}
    stack = Stack(rules, Compared(real), calibrate(rules, Compared(real), 0.08, 5))
    asked = rows([row(SEP.join(["好"] * n), "a", f"n{n}") for n in (1, 4, 12, 20)])
    assert [v[0].reason for v in stack.check(asked)] == ["too_few_turns", "", "", "too_many_turns"]


def test_length_counts_code_points_of_all_turns():
    real = rows([row("👍" * 10, "a", str(i)) for i in range(5)])
    given = scores(Length(), ["👍" * 10, "👍" * 5 + SEP + "👍" * 5, "👍" * 20], real)
    assert given == pytest.approx([0, 0, np.log(2)], abs=1e-6)


@given(st.sampled_from([text for text in COMMON if len(text) >= 6]))
def test_a_text_times_three_is_repetition(text):
    given = Repetition().score(rows([row(text * 3)]), rows([]))
    assert given[0] > Repetition.floor
    assert Repetition().score(rows([row(SEP.join([text] * 3))]), rows([]))[0] > Repetition.floor


@given(st.permutations(COMMON).map(lambda lines: lines[:6]))
def test_sentences_that_differ_are_no_repetition(lines):
    assert Repetition().score(rows([row("".join(lines))]), rows([]))[0] <= Repetition.floor


@pytest.mark.parametrize("text", [*COMMON, "哈哈哈", "……………………", "！！！！！！", "卡里有10000000元", "喂喂喂"])
def test_ordinary_rows_are_no_repetition(text):
    assert Repetition().score(rows([row(text)]), rows([]))[0] <= Repetition.floor


# cut_off


@pytest.mark.parametrize("real", [in_zh(40), in_en(40)], ids=["zh", "en"])
def test_a_row_that_breaks_off_scores_above_its_whole_form(real):
    texts = [sample.text for sample in real.samples]
    whole, cut = scores(CutOff(), texts, real), scores(CutOff(), [text[: len(text) * 2 // 3] for text in texts], real)
    assert (cut > whole).mean() > 0.9


def test_real_rows_are_scored_by_a_model_that_had_not_seen_them_even_one_by_one():
    real = in_zh(40)
    together = CutOff().score(real, real)
    alone = [CutOff().score(real.pick([i]), real)[0] for i in range(len(real))]
    assert alone == pytest.approx(together, nan_ok=True)
    assert not np.allclose(together, scores(CutOff(), [s.text for s in real.samples], real))


@pytest.mark.parametrize("least", [0, 1])
def test_cut_off_with_next_to_nothing_to_learn_from_is_silent(least):
    assert np.isnan(CutOff(least=least).score(rows([row("退订")]), rows([]))).all()
    assert np.isnan(CutOff(least=least).score(rows([row("退订")]), rows([row("退订")]))).all()


# near_copy, sibling, leakage


EQUAL = [("查话费，谢谢！", "查话费谢谢"), ("ＡＢＣ", "abc"), ("Check  My bill?", "check my bill"), ("㎏", "kg")]


@pytest.mark.parametrize("rule", [NearCopy(), Sibling(), Leakage()], ids=lambda rule: rule.kind)
@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_texts_equal_but_for_width_case_and_punctuation_are_infinitely_alike(rule, left, right):
    one, other = rows([row(left, row_id="1")]), rows([row(right, row_id="2")])
    assert rule.score(one, other)[0] == rule.score(other, one)[0] == np.inf


@pytest.mark.parametrize("rule", [NearCopy(), Leakage(), Sibling()], ids=lambda rule: rule.kind)
@given(st.text("ab查话费", min_size=1, max_size=12), st.text("ab查话费", min_size=1, max_size=12))
def test_likeness_is_symmetric(rule, left, right):
    one, other = rows([row(left, row_id="1")]), rows([row(right, row_id="2")])
    assert rule.score(one, other)[0] == pytest.approx(rule.score(other, one)[0])


@pytest.mark.parametrize(
    "rule",
    [NearCopy(), Sibling(), Leakage(), ClassDistance(known_rows=1), Neighbours(known_rows=2)],
    ids=lambda rule: rule.kind,
)
def test_a_row_with_the_same_id_is_not_compared(rule):
    real = in_zh(12)
    kept = np.arange(1, 12)
    expected = rule.score(real.pick([0]), real.pick(kept))
    assert rule.score(real.pick([0]), real) == pytest.approx(expected, nan_ok=True)


def test_siblings_are_compared_within_their_class_and_copies_of_real_rows_across_classes():
    one, other = rows([row("查话费", "a", "1")]), rows([row("查话费", "b", "2")])
    assert Sibling().score(one, other)[0] == 0
    assert NearCopy().score(one, other)[0] == np.inf


def test_rows_joined_one_after_another_are_the_rows_joined_at_once():
    real = in_zh(20)
    grown = real.pick([0])
    first = grown.joined(real.pick([1]))
    branch = grown.joined(real.pick([5]))  # joining the same rows twice must not write over the first result
    for i in range(2, 20):
        first = first.joined(real.pick([i]))
    assert [s.id for s in first.samples] == [s.id for s in real.samples]
    assert (first.vectors == real.vectors).all()
    assert (branch.vectors == real.vectors[[0, 5]]).all()
    assert first.texts == real.texts
    assert list(first.ids) == list(real.ids)
    assert list(first.names) == list(real.names)


# class_distance, neighbours


def test_distance_and_neighbours_know_which_class_a_row_is_near():
    real = rows(
        [row(f"帮我查话费{x}", "a", f"a{x}") for x in "甲乙丙"]
        + [row(f"退订彩铃业务{x}", "b", f"b{x}") for x in "甲乙丙"]
    )
    for rule in (ClassDistance(), Neighbours()):
        fits, strange = scores(rule, ["帮我查话费吧", "退订彩铃业务吧"], real)
        assert fits < strange
        assert np.isnan(rule.score(rows([row("帮我查话费", "c")]), real)[0])
    assert Neighbours().score(real, real).max() < 0


# classifier rules


def test_pvi_is_the_equation():
    real = rows([row(f"x{i}", "ab"[i % 2], str(i)) for i in range(40)], np.full((40, 3), 1 / 3))
    asked = rows([row("y", "a"), row("z", "b"), row("w", "c")], [[0.5, 0.25, 0.25], [0.75, 0.125, 0.125], [0, 0, 1]])
    given = Pvi().score(asked, real)
    assert given[:2] == pytest.approx([np.log2(0.5) - np.log2(0.5), np.log2(0.5) - np.log2(0.125)], abs=1e-5)
    assert np.isnan(given[2])


def test_pair_margin_is_against_the_class_that_real_rows_are_taken_for():
    p = np.array([[0.6, 0.1, 0.3], [0.1, 0.8, 0.1]] * 5)
    real = rows([row(f"x{i}", "ab"[i % 2], str(i)) for i in range(10)], p)
    asked = rows([row("y", "a"), row("z", "c")], [[0.2, 0.7, 0.1], [0.2, 0.7, 0.1]])
    given = PairMargin().score(asked, real)
    assert given[0] == pytest.approx(np.log(0.1 / 0.2), abs=1e-5)  # c is the partner of a, however probable b is
    assert np.isnan(given[1])


def test_label_agreement_of_a_class_of_which_no_model_knew():
    asked = rows([row("x", "a")], [[0.0, 0.6, 0.4]])
    assert np.isnan(LabelAgreement().score(asked, asked)[0])


# Calibration


class Given(Score):
    kind: str = "given"

    def score(self, rows, others):
        return np.array([sample.meta.get("score", np.nan) for sample in rows.samples], np.float32)


def valued(values, label="a"):
    return rows([row("x", label, f"{label}{i}", score=float(v)) for i, v in enumerate(values)])


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_a_larger_share_has_no_higher_threshold(values, one, other):
    known = np.sort(np.array(values, np.float32))
    low, high = sorted((one, other))
    assert _upper(known, high) <= _upper(known, low) + 1e-6
    if low * len(values) < 1 - 1e-6:
        assert _upper(known, low) >= known[-1]


@pytest.mark.parametrize("share", [1.0, 1.5, 40.0])
def test_a_share_of_all_rows_or_more_drops_all(share):
    assert _upper(np.arange(10, dtype=np.float32), share) == -HUGE


def test_a_rule_of_twice_the_weight_may_drop_twice_as_much():
    random = np.random.default_rng(0)
    real = rows([row("x", "a", str(i), score=float(v)) for i, v in enumerate(random.random(400))])
    rules = {"light": Given(), "heavy": Given(weight=2)}
    found_ = calibrate(rules, Compared(real), 0.08, 100)
    assert found_.dropped["heavy"] == pytest.approx(2 * found_.dropped["light"], abs=0.01)
    assert found_.threshold("heavy", "a") < found_.threshold("light", "a")


def test_a_rule_may_have_its_own_number_of_class_rows():
    real = valued(range(30)).joined(valued(range(100, 130), "b"))
    found_ = calibrate({"own": Given(class_rows=30), "pooled": Given()}, Compared(real), 0.3, 100)
    assert found_.threshold("own", "a") < 30 < found_.threshold("own", "b")
    assert found_.threshold("pooled", "a") == found_.threshold("pooled", "b")


class Says(Check):
    kind: str = "says"

    def reason(self, sample):
        return "star" if "*" in sample.text else ""


def test_a_habit_of_the_real_rows_is_not_held_against_candidates_but_by_strict_rules():
    real = rows([row("*" if i < 5 else "x", "a", str(i)) for i in range(20)])
    rules = {"mild": Says(), "strict": Says(strict=True)}
    found_ = calibrate(rules, Compared(real), 0.08, 100)
    verdicts = Stack(rules, Compared(real), found_).check(rows([row("*")]))[0]
    assert [v.passed for v in verdicts] == [True, False]
    assert (found_.usual["mild"], found_.usual["strict"]) == ({"star"}, frozenset())
    assert (found_.dropped["mild"], found_.dropped["strict"]) == (0, 0.25)


def test_one_real_row_is_no_habit():
    real = [row("*" if i == 0 else "x", "a", str(i)) for i in range(10)]
    assert habits({"mild": Says()}, real) == {"mild": frozenset()}


def test_a_usual_reason_does_not_hide_another():
    real = rows([row("客服：您好，请讲", "a", str(i)) for i in range(20)])
    rules = {"artefact": Artefact()}
    stack = Stack(rules, Compared(real), calibrate(rules, Compared(real), 0.08, 100))
    said = stack.check(
        rows([row("客服：好的"), row("客服：我是[姓名]", row_id="p"), row("客服：<b>好</b>", row_id="m")])
    )
    assert [v[0].reason for v in said] == ["", "placeholder", "markup"]


def test_checks_that_pass_the_budget_alone_do_not_switch_calibrated_rules_off():
    real = rows([row("*" if i < 8 else "x", "a", str(i), score=i / 40) for i in range(40)])
    rules = {"strict": Says(strict=True), "given": Given()}
    found_ = calibrate(rules, Compared(real), 0.08, 100)
    assert found_.stack == 0.2
    assert 1 <= found_.threshold("given", "a") < 5


def test_a_budget_of_zero_drops_no_real_row_and_what_is_odder_than_all():
    real = valued(range(40))
    found_ = calibrate({"given": Given()}, Compared(real), 0.0, 100)
    assert found_.stack == 0
    assert 39 <= found_.threshold("given", "a") < 200


def test_doubt_weighs_how_rare_a_score_is():
    rules = {"a": Given(), "b": Given(weight=2), "c": Says()}
    usual, odd = Verdict("a", True, "", 1.0, 0.9), Verdict("a", True, "", 9.0, 0.01)
    assert doubt([odd], rules) > doubt([usual], rules) > doubt([Verdict("c", True)], rules) == 0
    assert doubt([Verdict("b", True, "", 9.0, 0.01)], rules) == pytest.approx(2 * doubt([odd], rules))
    assert np.isfinite(doubt([Verdict("a", True, "", 9.0, 0.0)], rules))
