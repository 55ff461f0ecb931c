"""Which rules there are: every module in `gate/rules`, the entry-point group `workbench.rules`, and loaded plugins."""

from collections.abc import Mapping
from typing import Any

from workbench.gate import rules
from workbench.gate.base import Rule, Score
from workbench.kinds import kinds as known_kinds
from workbench.kinds import read_kind

DEFAULTS: Mapping[str, Any] = {
    "format": {},
    "artefact": {},
    "privacy": {},
    "unsafe": {},
    "length": {},
    "turns": {},
    "script": {},
    "language": {},
    "repetition": {},
    "cut_off": {},
    "near_copy": {},
    "leakage": {},
    "class_distance": {},
    "neighbours": {},
    "label_agreement": {},
    "sibling": {},
}
"""The stack where nothing else is said. Further kinds (`keyword`, `class_words`, `pair_margin`, `pvi`, `llm_judge`,
`llm_label`) are switched on by naming them."""


def kinds() -> dict[str, type[Rule]]:
    """Every known rule by its kind."""
    return known_kinds(Rule, rules, "workbench.rules")


def read_rules(values: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules of the stack by name; a rule that is not mentioned keeps its defaults, `off` removes it.

    Raises:
        ValueError: a kind is unknown, or a rule is not a mapping.
    """
    known = kinds()
    found: dict[str, Rule] = {}
    for name, settings in {**DEFAULTS, **values}.items():
        if isinstance(settings, Rule):
            found[name] = settings
            continue
        if settings is False or settings == "off":
            continue
        if settings is None:  # `length:` with nothing but comments below it
            settings = {}
        if not isinstance(settings, Mapping):
            raise ValueError(f"the rule {name!r} is neither settings nor `off`")
        found[name] = read_kind(known, name, settings, what="rule", where="gate.rules")
    # Siblings are compared with what was accepted, so those rules must come last.
    return dict(sorted(found.items(), key=lambda item: isinstance(item[1], Score) and item[1].against == "siblings"))
