"""Tune a language model through an adapter on 4-bit weights."""
