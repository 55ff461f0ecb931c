"""`wb review status`: what stands in the ledger of people's work."""

import typer


def register(app: typer.Typer) -> None:
    """Add the verb to `wb review`."""
