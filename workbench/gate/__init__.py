"""Which candidates stay: rules, calibrated on the user's real rows, as one stack with a shared budget."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_serializer, field_validator

from workbench.config import Strict
from workbench.gate.base import Check, Rows, Rule, Score
from workbench.gate.doubt import doubt
from workbench.gate.kinds import DEFAULTS, read_rules
from workbench.gate.stack import Calibration, Compared, Stack, calibrate, habits, held, mended

__all__ = [
    "Calibration",
    "Check",
    "Compared",
    "GateConfig",
    "Rows",
    "Rule",
    "Score",
    "Stack",
    "calibrate",
    "doubt",
    "habits",
    "held",
    "mended",
]


class GateConfig(Strict):
    """Settings of `wb gate`."""

    budget: float = Field(default=0.08, ge=0, lt=1)
    """Largest share of the real rows that the whole stack may drop; thresholds are set so that it is kept."""
    class_rows: int = Field(default=100, ge=1)
    """Real rows that a class needs for thresholds of its own; smaller classes share pooled ones. A rule may set another number."""
    rules: Mapping[str, Any] = Field(default=DEFAULTS, validate_default=True)
    """Rules by name, each with its settings; `off` removes one. A name that is no kind of rule needs `kind:`."""

    @field_validator("rules", mode="after")
    @classmethod
    def _read_rules(cls, value: Mapping[str, Any]) -> Mapping[str, Rule]:
        return read_rules(value)

    @field_serializer("rules")
    def _write_rules(self, value: Mapping[str, Rule]) -> dict[str, Any]:
        """With the rules that are off, which would come back otherwise when a run's settings are read again."""
        on = {name: rule.model_dump(mode="json") for name, rule in value.items()}
        return on | {name: "off" for name in DEFAULTS if name not in value}
