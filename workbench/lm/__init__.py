"""Language models for training and scoring: load, tokenise, score labels, adapters."""
