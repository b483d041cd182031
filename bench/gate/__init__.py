"""The regression gate: a pinned baseline, a policy for each quantity, a verdict. Pure, without torch."""
