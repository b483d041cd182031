"""Tools that track experiments, written to while a run goes on: one file each, its package imported when asked for."""
