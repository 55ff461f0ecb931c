"""Workbench: data -> diagnose -> generate -> gate -> train -> evaluate, as one loop."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "load_model"]
_LAZY = {"Model": "workbench.flow.models.model", "load_model": "workbench.flow.models.model"}


def __getattr__(name: str) -> Any:
    """The interface to trained models: importing the package itself stays cheap."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")
