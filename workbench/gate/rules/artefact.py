"""What a model writes around or instead of a row: refusals, remarks, markup, placeholders, its own instructions."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

from workbench.assets import search_path
from workbench.gate.base import Check
from workbench.records import Sample
from workbench.text import normal

_REFUSAL = (
    r"作为(?:一个|一名|一款|一位)?\s*(?:AI|人工智能|大?语言模型|大模型|智能助[手理])",
    r"(?:无法|不能|不便)(?:为您|为你)?(?:生成|撰写|编写|创作)",
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b",
    r"\bI(?:'m| am)? (?:sorry,? )?(?:but )?(?:I )?(?:can(?:no|')t|am unable to|won't)"
    r" (?:help|assist|generate|write|create|fulfil|comply)",
)
_REMARK = (
    r"(?:以下|下面|这里)(?:是|为|给出|列出).{0,20}(?:样本|样例|示例|例子|对话|数据|语句|话语|\d+\s*条)",
    r"(?:样本|训练数据|数据集|生成的(?:样本|对话|内容))",
    r"(?:^|\n)\s*(?:注|注意|说明|备注|解释|标签|意图|类别)\s*[:：]",
    r"\b(?:here (?:are|is)|below (?:are|is)|these are)\b.{0,40}"
    r"\b(?:samples?|examples?|dialogues?|utterances?|conversations?|sentences?)\b",
    r"\b(?:training data|data ?set|utterances?)\b",
    r"(?:^|\n)\s*(?:note|explanation|label|intent|class|sample|example)s?\s*\d*\s*[:：]",
)
_MARKUP = (
    r"\*\*[^*\n]+\*\*",
    r"^#{1,6} ",
    r"^\s*[-*•] .+\n\s*[-*•] ",
    r"```",
    r"^\s*[\[{]\s*\"",
    r"\"\s*:\s*[\[\"{]",
    r"</?[a-zA-Z][a-zA-Z0-9]*(?:\s[^<>]*)?/?>",
    r"<\|[^|<>]+\|>",
)
_PLACEHOLDER = (
    r"[\[【<〈{（(](?:您的|你的|客户|用户)?(?:姓名|名字|手机号码?|电话号码?|电话|号码|卡号|地址|金额|日期|时间|城市|公司名?称?|产品名?称?)[\]】>〉}）)]",
    r"[\[<{](?:your |the )?(?:name|phone(?: number)?|number|address|date|time|amount|company|city|product|email)[\]>}]",
    r"\{\{.*?\}\}",
)
_SPEAKER = (r"^\s*(?:客服|坐席|客户|用户|顾客|话务员|agent|customer|user|assistant)(?:\s*\d+)?\s*[:：]",)
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
        text = "\n".join(turn.text for turn in sample.turns)
        for slug, pattern in _FOUND.items():
            if slug not in self.allow and pattern.search(text):
                return slug
        if "prompt_echo" in self.allow or not self.echo_chars:
            return ""
        grams, form = _instructions(self.echo_chars), normal(text)
        # Words of English are longer: twice as many of its letters in a row are as telling.
        sizes = (self.echo_chars, 2 * self.echo_chars)
        echoed = any(form[i : i + size] in grams for size in sizes for i in range(len(form) - size + 1))
        return "prompt_echo" if echoed else ""


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
