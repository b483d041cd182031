"""All that a cell of a network imports of the host and of libraries, for the process that cells are forked from."""

import scipy.stats
import sklearn.cluster
import sklearn.manifold
import torch._inductor

from bench.execution import network, profile

__all__ = ["network", "profile", "scipy", "sklearn", "torch"]
