"""How much a training setting matters: the same cells at several values of it."""
