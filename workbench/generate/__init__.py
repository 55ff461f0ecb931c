"""Write what is missing: plan (who needs how many rows), strategies (prompt and parse), all pure; the loop is in `flow`."""

from pydantic import Field

from workbench.config import Strict
from workbench.generate.parse import Draft, parse_reply
from workbench.generate.plan import class_needs, pair_needs, resolve_label
from workbench.generate.speakers import roles_of, turns_of
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
    "roles_of",
    "turns_of",
]


class GenerateConfig(Strict):
    """Settings of `wb generate`."""

    language: str = "auto"
    """Which prompt files: `zh`, `en`, or `auto` (by the real rows)."""
    batch_size: int = Field(default=10, ge=1)
    """Rows asked for in one request."""
    examples: int = Field(default=6, ge=0)
    """Real rows shown in a prompt; another choice each time."""
    accept: int = Field(default=20, ge=1)
    """Accepted synthetic rows wanted for a class where neither --accept nor the diagnosis says a number."""
    patience: int = Field(default=5, ge=1)
    """Replies in a row without one accepted row, after which a class counts as saturated."""
    max_requests: int = Field(default=0, ge=0)
    """Most requests of one command; 0 for no limit."""
