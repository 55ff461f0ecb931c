"""A gate for tests of other things: rows that repeat each other and markup go, nothing else is looked at."""

from workbench.gate.kinds import DEFAULTS

KEPT = {"format": "{}", "artefact": "{}", "near_copy": "{threshold: 0.95}", "sibling": "{threshold: 0.95}"}
PLAIN_GATE = "{" + ", ".join(f"{name}: {KEPT.get(name, 'off')}" for name in DEFAULTS) + "}"
