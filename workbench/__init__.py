"""Workbench: data -> diagnose -> generate -> gate -> train -> evaluate, as one loop."""

__version__ = "0.1.0"
