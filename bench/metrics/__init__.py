"""Scores from logits and targets: numpy only, so that stored predictions can be scored again anywhere."""
