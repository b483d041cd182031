"""Selection x registry -> cells: axes, costs, budget decisions, fingerprints."""
