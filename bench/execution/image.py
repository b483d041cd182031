"""All that a cell of a network imports of the host and of libraries, for the process that cells are forked from."""

import scipy.stats
import sklearn.cluster
import sklearn.manifold
import timm
import torch._inductor

from bench.execution import network, profile
from bench.frontends import kaldi, nnaudio

__all__ = ["kaldi", "network", "nnaudio", "profile", "scipy", "sklearn", "timm", "torch"]
