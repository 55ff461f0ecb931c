"""Write what is missing: plan (who needs how many rows), strategies (prompt and parse), all pure; the loop is in `flow`."""

from workbench.config import Strict
from workbench.generate.parse import Draft, parse_reply
from workbench.generate.plan import class_needs, pair_needs, resolve_label
from workbench.generate.strategies import Shown, build_request

__all__ = [
    "Draft",
    "GenerateConfig",
    "Shown",
    "build_request",
    "class_needs",
    "pair_needs",
    "parse_reply",
    "resolve_label",
]


class GenerateConfig(Strict):
    """Settings of `wb generate`."""

    language: str = "auto"
    """Which prompt files: `zh`, `en`, or `auto` (by the real rows)."""
    batch_size: int = 10
    """Rows asked for in one request."""
    examples: int = 6
    """Real rows shown in a prompt; another choice each time."""
    accept: int = 20
    """Accepted synthetic rows wanted for a class where neither --accept nor the diagnosis says a number."""
    patience: int = 5
    """Replies in a row without one accepted row, after which a class counts as saturated."""
    max_requests: int = 0
    """Most requests of one command; 0 for no limit."""
