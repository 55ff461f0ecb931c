"""What a model writes around or instead of a row: refusals, remarks, markup, placeholders, its own instructions."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

from workbench.assets import search_path
from workbench.gate.base import Check
from workbench.records import Sample
from workbench.text import normal

_WORK = "samples?|examples?|dialogues?|utterances?|conversations?|sentences?"
# Customers, too, cannot create an account, and systems cannot generate an order: what is refused must be text.
_REFUSAL = (
    r"作为(?:一个|一名|一款|一位)?\s{0,3}(?:AI|人工智能|大?语言模型|大模型|智能助[手理])[^\n。]{0,20}我?(?:无法|不能|不便|没有|不会|，|,)",
    r"(?:无法|不能|不便)(?:为您|为你)?(?:生成|撰写|编写|创作)(?:这|该|此|上述|相关|任何|有关|含有|包含|涉及)?[^\n。，]{0,8}(?:内容|对话|样本|文本|话语|语句|请求)",
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    r"\bI(?:'m| am)? (?:sorry,? )?(?:but )?(?:I )?(?:can(?:no|')t|(?:am )?(?:unable|not able) to|won't) (?:"
    r"(?:help|assist)(?: you)? with (?:that|this|your|such)\b|(?:fulfill?|comply with) (?:that|this|your|such)\b"
    rf"|(?:generate|write|create|provide) (?:\w+ ){{0,4}}(?:content|text|{_WORK})\b)",
)
_REMARK = (
    r"^[^\S\n]*(?:好的[，,。！!]?\s?)?(?:以下|下面|这里)(?:是|为|给出|列出)[^\n]{0,20}(?:样本|样例|示例|例句|语句|话语)",
    # Agents announce data and orders, too; an introduction ends with a colon.
    r"^[^\S\n]*(?:好的[，,。！!]?\s?)?(?:以下|下面|这里)(?:是|为|给出|列出)[^\n：:]{0,30}(?:对话|例子|数据|条)[^\n：:]{0,10}[:：]",
    r"(?:训练数据|训练样本|生成的(?:样本|对话|内容)|(?:以上|上述)(?:样本|样例|示例|例句))",
    r"^[^\S\n]*(?:注|说明|解释|标签|意图|类别)\s{0,3}[:：]",
    r"^\W{0,5}(?:sure|certainly|of course|okay)?\W{0,5}(?:here (?:are|is)|below (?:are|is)|these are)\b[^.\n]{0,40}"
    rf"\b(?:{_WORK})\b[^.\n]{{0,40}}:",
    r"\b(?:training data|utterances?)\b",
    r"^[^\S\n]*(?:note|explanation|label|intent|class|sample|example)s?[^\S\n]{0,3}\d{0,3}[^\S\n]{0,3}[:：]",
)
_MARKUP = (
    # Not the stars of a masked number or name.
    r"(?<![*\dA-Za-z])\*\*(?=[^\s*])[^*\n]{0,200}[^\W\d_][^*\n]{0,200}\*\*(?!\*)",
    r"^#{1,6} ",
    r"^[^\S\n]*[-*•] .+\n[^\S\n]*[-*•] ",
    r"```",
    r"^[^\S\n]*[\[{][^\S\n]*\"",
    r"\"\s{0,3}:\s{0,3}[\[\"{]",
    r"</?[a-zA-Z][a-zA-Z0-9]{0,20}(?:\s[^<>]{0,200})?/?>",
    r"<\|[^|<>]{1,40}\|>",
)
_FIELD = "(?:姓名|名字|手机号码?|电话号码?|电话|号码|卡号|地址|金额|日期|时间|城市|公司名?称?|产品名?称?)"
_PLACEHOLDER = (
    rf"[\[【<〈{{](?:您的|你的|客户|用户)?{_FIELD}[\]】>〉}}]",
    rf"[（(](?:您的|你的|客户|用户|此处|填入|插入|具体){_FIELD}[）)]",
    r"[\[<{](?:your |the )?(?:name|phone(?: number)?|number|address|date|time|amount|company|city|product|email)[\]>}]",
    r"\{\{[^{}\n]{0,80}\}\}",
)
_SPEAKER = (
    r"^[^\S\n]*(?:客服|坐席|客户|用户|顾客|话务员|agent|customer|user|assistant)(?:[^\S\n]{0,3}\d{1,3})?[^\S\n]{0,3}[:：]",
)
_KINDS = {
    "refusal": _REFUSAL,
    "remark": _REMARK,
    "markup": _MARKUP,
    "placeholder": _PLACEHOLDER,
    "speaker_name": _SPEAKER,
}
_FOUND = {slug: re.compile("|".join(parts), re.IGNORECASE | re.MULTILINE) for slug, parts in _KINDS.items()}


class Artefact(Check):
    """Drop rows with a refusal, a remark on the data, markup, placeholders, written-out speaker names, or the prompt's words.

    A kind that more than 2 % of the real rows show is usual in this data, and is not held against candidates.
    """

    kind: Literal["artefact"] = "artefact"
    allow: tuple[str, ...] = ()
    """Kinds to let pass: `refusal`, `remark`, `markup`, `placeholder`, `speaker_name`, `prompt_echo`."""
    echo_chars: int = 14
    """Characters in a row that a row may share with the instructions of a shipped prompt (punctuation aside)."""

    def reason(self, sample: Sample) -> str:
        """The first kind that the row shows."""
        return next(self._kinds(sample), "")

    def reasons(self, sample: Sample) -> tuple[str, ...]:
        """Every kind that the row shows: one that is usual in this data does not hide another."""
        return tuple(self._kinds(sample))

    def _kinds(self, sample: Sample) -> Iterator[str]:
        text = "\n".join(turn.text for turn in sample.turns).replace("\u2019", "'")
        yield from (slug for slug, pattern in _FOUND.items() if slug not in self.allow and pattern.search(text))
        if "prompt_echo" in self.allow or not self.echo_chars:
            return
        grams, form = _instructions(self.echo_chars), normal(text)
        # Words of English are longer: twice as many of its letters in a row are as telling.
        sizes = (self.echo_chars, 2 * self.echo_chars)
        if any(form[i : i + size] in grams for size in sizes for i in range(len(form) - size + 1)):
            yield "prompt_echo"


@cache
def _instructions(size: int) -> frozenset[str]:
    """All runs of `size` characters in the fixed text of the shipped prompt files."""
    return frozenset(run for line in _prompt_lines() for run in _runs(normal(line), size))


def _prompt_lines() -> Iterator[str]:
    for folder in search_path("prompts"):
        for path in sorted(folder.glob("*.j2")):
            yield from re.split(r"\{[{%#].*?[}%#]\}|\n", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def _runs(text: str, size: int) -> Iterator[str]:
    size = size if any(char > "\u2e80" for char in text) else 2 * size
    yield from (text[i : i + size] for i in range(len(text) - size + 1))
