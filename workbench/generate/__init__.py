"""Write what is missing: plan (who needs how many rows), strategies (prompt and parse), all pure; the loop is in `flow`."""

from workbench.generate.base import Desk, Draw, Handmade, Prompted, Shown, Strategy
from workbench.generate.parse import Draft, parse_reply
from workbench.generate.plan import class_needs, pair_needs, resolve_label
from workbench.generate.settings import ClassConfig, GenerateConfig
from workbench.generate.speakers import roles_of, turns_of

__all__ = [
    "ClassConfig",
    "Desk",
    "Draft",
    "Draw",
    "GenerateConfig",
    "Handmade",
    "Prompted",
    "Shown",
    "Strategy",
    "class_needs",
    "pair_needs",
    "parse_reply",
    "resolve_label",
    "roles_of",
    "turns_of",
]
