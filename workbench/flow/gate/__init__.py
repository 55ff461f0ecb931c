"""The gate of one bench: what it knows of the real rows, what it asks, what it keeps and why."""
