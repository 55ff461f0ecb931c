"""One small file per strategy; a new file here is a new kind."""
