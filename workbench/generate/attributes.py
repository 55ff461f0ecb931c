"""Who speaks, where, in which mood, at what length: values for each new row, so that a model does not fall into one tone.

Attributed prompts give more varied rows than prompts that only name the class (Yu et al. 2023, AttrPrompt). The shipped values hold
for customer service in general; none names what a customer wants.
"""

import random
from collections.abc import Mapping, Sequence

DEFAULTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "zh": {
        "persona": (
            "年轻人，说话直接",
            "上了年纪，说得慢、爱重复",
            "替父母或孩子来问的家人",
            "上班族，时间很紧",
            "做小生意的个体户",
            "在校学生",
            "头一回用这项服务",
            "用了很多年的老客户",
        ),
        "channel": ("电话里说的", "在线聊天里打的字", "手机应用里的留言", "语音听写成的文字"),
        "mood": ("平静", "着急", "客气", "有些不耐烦", "拿不准", "随口一问"),
        "length": ("比例子短", "和例子差不多长", "比例子长一些"),
    },
    "en": {
        "persona": (
            "young, to the point",
            "elderly, slow, repeats themselves",
            "speaking for a parent or child",
            "at work, short of time",
            "runs a small business",
            "a student",
            "new to the service",
            "a customer for many years",
        ),
        "channel": ("said on the phone", "typed in a chat", "a message in an app", "dictated to a device"),
        "mood": ("calm", "in a hurry", "polite", "a bit impatient", "unsure", "casual"),
        "length": ("shorter than the examples", "as long as the examples", "somewhat longer than the examples"),
    },
}
"""Language -> attribute -> values. Length is relative to the examples, because classes differ in it."""


def attribute_lines(attributes: Mapping[str, Sequence[str]], key: str, slots: range) -> list[str]:
    """One line of values for each slot (a row that is asked for, counted over all draws); none where there are no attributes.

    Each value of an attribute is given before one is given again, in an order that is shuffled anew each time round, so that the
    attributes do not move in step.
    """
    columns = [_column(values, f"{key}/{name}", slots) for name, values in attributes.items() if values]
    return ["; ".join(line) for line in zip(*columns, strict=True)] if columns else []


def _column(values: Sequence[str], key: str, slots: range) -> list[str]:
    rounds: dict[int, list[str]] = {}
    found = []
    for slot in slots:
        turn, place = divmod(slot, len(values))
        if turn not in rounds:
            rounds[turn] = random.Random(f"{key}/{turn}").sample(list(values), len(values))
        found.append(rounds[turn][place])
    return found
