"""Which rows, what the models say of them, scores and verdicts, and the folder that holds them."""
