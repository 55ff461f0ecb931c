"""A model behind a port: loaded, listened for, swapped while it answers."""
