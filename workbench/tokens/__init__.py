"""Special tokens of annotated dialogues: vocabulary, render, parse, coverage."""
