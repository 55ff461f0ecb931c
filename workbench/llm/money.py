"""Money that is set aside before a call goes out, so that a cap on it is never passed."""

import json
from decimal import Decimal

from workbench.llm.contract import Request

MARGIN = 64
"""Tokens beyond the text: the marks of a chat template around each message, and a system prompt that it adds."""


def most_tokens(request: Request) -> int:
    """An upper bound on the prompt tokens: no token of a byte-level vocabulary is shorter than a byte of the text."""
    texts = [text for message in request.messages for text in message.values()]
    if request.schema is not None:  # servers that take it write it into the prompt
        texts.append(json.dumps(request.schema, ensure_ascii=False))
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) + MARGIN * (len(request.messages) + 1)


class Purse:
    """What was spent and what is set aside. Together they never pass the cap, as long as no call costs more than was set aside."""

    def __init__(self, cap: Decimal | None = None, spent: Decimal = Decimal(0)) -> None:
        self.cap, self.spent, self.held = cap, spent, Decimal(0)

    def take(self, amount: Decimal) -> bool:
        """Set money aside for a call; False, and nothing set aside, where the cap would be passed."""
        if self.cap is not None and self.spent + self.held + amount > self.cap:
            return False
        self.held += amount
        return True

    def pay(self, amount: Decimal, price: Decimal) -> None:
        """A call for which `amount` was set aside cost `price`; what is left is free again."""
        self.held -= amount
        self.spent += price
