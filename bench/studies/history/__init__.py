"""``bench history``: what runs measured, commit by commit, and where it changed."""
