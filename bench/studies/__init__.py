"""Studies: plans of cells with one question each, and what is read from their records."""
