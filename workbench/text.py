"""What the stages need to know of a string: characters, not words, because Chinese has no spaces."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_NOT_WORD = re.compile(r"[\W_]+")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W_]+(?:'\w+)?")
FUNCTION = frozenset(
    "的了着过地得之和与跟同或而及也都又还再就才只很太更最已曾正在是有没无不别我你您他她它们咱这那哪谁啥么什几每各某"
    "个把被给对向从到往于以为因所吗呢吧啊呀哦嗯喂哎啦嘛哈呗个些点次种号年月日天时分块元角一二三四五六七八九十百千万两零〇"
)
"""Single characters that tell nothing of a class: particles, pronouns, measure words, numbers."""


def normal(text: str) -> str:
    """The form in which two texts count as the same: full width folded (NFKC), no case, punctuation or space.

    A text of punctuation only is kept as it is: folding it to nothing would make all such texts equal.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _NOT_WORD.sub("", folded) or folded.strip()


def han_share(text: str) -> float:
    """Share of Han characters among the letters of the text, 0 where it has none."""
    letters = len(_LETTER.findall(text))
    return len(_HAN.findall(text)) / letters if letters else 0.0


def language(texts: Iterable[str]) -> str:
    """`zh` where most letters are Han characters, `en` otherwise: decides which prompt files are used."""
    joined = "".join(texts)
    return "zh" if han_share(joined) > 0.5 else "en"


def encodable(text: str) -> bool:
    """Whether the text can be stored as UTF-8: no lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def shorten(text: str, width: int = 60) -> str:
    """One line of at most `width` characters, for tables and messages."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that at most `share` of the values lie above, 0 <= share < 1, values not empty."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(len(ordered) * (1 - share) + 1e-9)))]


def words(text: str) -> list[str]:
    """Words of a text; of Chinese jieba's, and characters that it leaves single, alone and joined with the next."""
    if han_share(text) <= 0.3:
        return [word.lower() for word in _WORD.findall(text) if len(word) > 1]
    import jieba

    jieba.setLogLevel(60)
    found, before = [], ""
    for word in jieba.cut(text):
        telling = _WORD.fullmatch(word) is not None and word not in FUNCTION
        single = len(word) == 1 and han_share(word) == 1.0
        if telling and (len(word) > 1 or single):
            found.append(word)
            if single and before:
                found.append(before + word)
        before = word if telling and single else ""
    return found
