"""All that a cell of a network imports of the host and of libraries, for the process that cells are forked from."""

import importlib
import pkgutil

import scipy.stats
import sklearn.cluster
import sklearn.manifold
import torch

from bench import frontends
from bench.execution import network, profile

for _found in pkgutil.iter_modules(frontends.__path__, f"{frontends.__name__}."):
    importlib.import_module(_found.name)

__all__ = ["frontends", "network", "profile", "scipy", "sklearn", "torch"]
