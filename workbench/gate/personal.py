"""Where a text has personal data: patterns, and checksums where the numbers have one."""

import re
from collections.abc import Callable, Iterator
from datetime import date

# Full-width digits and letters to plain ones, one for one, so that offsets stay.
_NARROW = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高梁郑谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方"
    "邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤康易乔赖文"
)
_NUMERAL = "零〇一幺二两三四五六七八九"
_AREA = "(?:省|市|区|县|镇|乡|街道)"
# A route, a line or "I know" is no road.
_ROAD = "(?:(?<![线网电走铁公思迷问出一套赶半])路|(?<![逛上])街|大道|巷|胡同)"
_FREE = "(?:400|8(?:00|33|44|55|66|77|88))"
"""How numbers begin that companies publish."""
_PATTERNS: dict[str, str] = {
    "email": r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,}",
    "id_card": r"(?<!\d)[1-8]\d{5}(?:18|19|20)\d{9}[\dXx](?![\dXx])",
    "iban": r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])",
    "bank_card": (
        r"(?<!\d)(?:\d{13,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,4}){0,2}|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{6}[ -]\d{7,13})(?!\d)"
    ),
    "phone": (
        r"(?<!\d)(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?!\d)"
        r"|(?<!\d)0\d{2,3}[ -]\d{7,8}(?!\d)"
        rf"|(?<!\d)\(?(?!{_FREE})[2-9]\d{{2}}\)?[ .-]\d{{3}}[.-]\d{{4}}(?!\d)"
        r"|(?<![\w+])\+\d{1,3}[ -]?\(?\d{1,4}\)?(?:[ -]?\d{2,4}){2,4}(?!\d)"
        rf"|(?<![{_NUMERAL}])[一幺][三四五六七八九][{_NUMERAL}](?:[ ，、]?[{_NUMERAL}]){{8}}(?![{_NUMERAL}])"
    ),
    "plate": (
        r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z]"
        r"[·• -]?(?=(?:[A-Z]?\d){3}|\d{3}|[A-Z]?\d{2}[A-Z]?\d|\d[A-Z]{0,2}\d{2})"
        r"[A-HJ-NP-Z0-9]{4,5}[A-HJ-NP-Z0-9挂学警港澳](?![A-Za-z0-9])"
    ),
    "address": (
        rf"[\u4e00-\u9fff]{{1,20}}{_AREA}[\u4e00-\u9fff]{{1,10}}{_ROAD}\s{{0,3}}[\d一二三四五六七八九十百]{{1,6}}(?:号|弄)"
        rf"|[\u4e00-\u9fff]{{2,10}}{_ROAD}\s{{0,3}}\d{{1,5}}(?:号|弄)"
        r"|(?<!\d)\d{1,4}\s{0,3}(?:号楼|栋|幢)\s{0,3}(?:\d{1,3}\s{0,3}单元)?\s{0,3}\d{1,5}(?!\d)\s{0,3}(?:室|号|户)?"
        r"|\b\d{1,5} (?:[A-Z][a-z]+ ){1,3}"
        r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|(?<!Google )(?<!Hard )Drive|Dr|Boulevard|Blvd|Court|Ct)\b"
    ),
    # A Chinese name is two or three characters, and nothing tells where it ends: only what often follows one is taken for that.
    "name": (
        r"(?:我叫|我的名字(?:是|叫)|(?:我|她|他|客户|户主|机主|本人|登记)?(?:的)?(?:姓名|名字)(?:是|叫|[:：])"
        r"|(?:户主|机主)(?:是|叫)|实名(?:是|登记的?是))\s{0,3}"
        rf"(?P<zh>(?:[{_SURNAMES}]|欧阳|司马|上官|诸葛|令狐)[\u4e00-\u9fff]{{1,2}}?)"
        r"(?=[^\u4e00-\u9fff]|$|[我想要请帮在身手电今住])(?![\u4e00-\u9fff]{0,10}(?:吗|呢))"
        r"|\b(?:[Mm]y (?:full )?name is|[Tt]he name is|[Ii]t's under the name(?: of)?) "
        r"(?P<en>[A-Z][a-z]+(?: [A-Z]\.?)? [A-Z][a-z]+)"
    ),
    # Groups of one or two digits are dates, times and lists.
    "long_number": r"(?<!\d)\d+(?:[ -]\d{3,})*",
}
_GAP = re.compile("[ -]")
_DATE = re.compile(r"(?:19|20)\d{2}(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?")
_PUBLISHED = re.compile(rf"(?:86|1)?{_FREE}\d{{7}}")
_COMPILED = {slug: re.compile(pattern) for slug, pattern in _PATTERNS.items()}


def found(text: str, long_number: int) -> Iterator[tuple[str, int, int]]:
    """Kind, start and end (code points) of everything personal in the text, kind by kind; a number has one kind, the first.

    Args:
        text: one turn.
        long_number: digits from which any number counts; 0 for never.
    """
    narrow = text.translate(_NARROW)
    taken: list[tuple[int, int]] = []
    for slug, pattern in _COMPILED.items():
        for match in pattern.finditer(narrow):
            start, end = match.span(match.lastgroup or 0)
            if not _CHECKS.get(slug, _anything)(match.group(0)):
                continue
            if slug == "long_number":
                known = not _long(match.group(0), long_number) or any(a < end and start < b for a, b in taken)
            else:
                known = any(a <= start and end <= b for a, b in taken)
            if not known:
                taken.append((start, end))
                yield slug, start, end


def _anything(_: str) -> bool:
    return True


def _long(text: str, least: int) -> bool:
    """Whether so many digits are left without dates and years; numbers that companies publish are nobody's."""
    groups = [group for group in _GAP.split(text) if not _DATE.fullmatch(group)]
    return 0 < least <= sum(map(len, groups)) and not _PUBLISHED.fullmatch("".join(groups))


def luhn(text: str) -> bool:
    """Whether a card number (spaces and dashes aside) has a right check digit (ISO/IEC 7812-1)."""
    digits = [int(char) for char in reversed(text) if char.isdecimal()]
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[1::2])
    return bool(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def id_checksum(text: str) -> bool:
    """Whether a Chinese ID card number of 18 characters has a right check character (GB 11643)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return (
        len(text) == 18
        and "10X98765432"[sum(int(c) * w for c, w in zip(text, weights, strict=False)) % 11] == text[17].upper()
    )


def _id_card(text: str) -> bool:
    """A right checksum, or at least a birth date: models do not reckon checksums, and people mistype them."""
    try:
        date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return id_checksum(text)
    return True


def _iban(text: str) -> bool:
    """Check digits by modulus 97 (ISO 13616)."""
    plain = text.replace(" ", "")
    return int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97 == 1


_CHECKS: dict[str, Callable[[str], bool]] = {"bank_card": luhn, "id_card": _id_card, "iban": _iban}
