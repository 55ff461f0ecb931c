"""Rows -> a training method -> a run folder; a model continued on new rows, judged against the one before."""
