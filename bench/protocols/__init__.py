"""How clips are divided: divisions, the sealed test split, leak checks."""
