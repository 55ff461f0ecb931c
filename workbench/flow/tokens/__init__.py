"""Special tokens of annotated dialogues: look, render, parse, have tags proposed."""
