"""The seam: hooks, specs, what implementations must be, discovery and its checks."""
