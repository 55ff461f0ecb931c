"""Bring rows in, clean them, split them, give them out. Pure: rows in, rows and changes out."""

from workbench.config import Strict
from workbench.data.card import card
from workbench.data.clean import CleanConfig, Cleaning, clean
from workbench.data.export import CHAT_FORMATS, FORMATS, Layout, balanced, export
from workbench.data.formats import Columns, parts_of, recognise
from workbench.data.read import Batch, Told, read
from workbench.data.split import SplitConfig, Splitting, split
from workbench.data.table import read_table

__all__ = [
    "CHAT_FORMATS",
    "FORMATS",
    "Batch",
    "CleanConfig",
    "Cleaning",
    "Columns",
    "DataConfig",
    "Layout",
    "SplitConfig",
    "Splitting",
    "Told",
    "balanced",
    "card",
    "clean",
    "export",
    "parts_of",
    "read",
    "read_table",
    "recognise",
    "split",
]


class DataConfig(Strict):
    """Settings of `wb data`."""

    first_role: str = "agent"
    """Who speaks first in dialogues joined by [SEP] that have no `speakers` column."""
    clean: CleanConfig = CleanConfig()
    split: SplitConfig = SplitConfig()
