"""Candidates and people: whom to show, tasks, what came back, and what it says. Pure: records in, records out."""
