"""Measurements: one file, one question, peers in the same run."""
