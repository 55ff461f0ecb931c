"""Trained models in use: which one is meant, opened behind one protocol, asked, put in place of another, given out."""
