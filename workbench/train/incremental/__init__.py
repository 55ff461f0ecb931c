"""Continue a trained classifier on new rows without forgetting."""
