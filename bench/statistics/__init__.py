"""Intervals, paired tests and timing comparison: pure functions on numpy arrays."""
