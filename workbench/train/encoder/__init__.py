"""Fine-tune an encoder as a classifier."""
