"""The one place where seeds and determinism are set."""

from __future__ import annotations

import importlib.util
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices); torch, where nothing has imported it yet, as soon as it is."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - plugins may draw from the legacy generator
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _SeedsTorch)]
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    else:
        sys.meta_path.insert(0, _SeedsTorch(seed))


class _SeedsTorch:
    """An import hook that seeds torch once something imports it, as late as in an estimator's ``fit``."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        loader: Any = spec and spec.loader
        if loader is not None:
            execute = loader.exec_module
            loader.exec_module = lambda module: (execute(module), module.manual_seed(self._seed))
        return spec


@contextmanager
def deterministic() -> Iterator[list[str]]:
    """Ask torch for deterministic kernels and name the operators that have none.

    Yields:
        A list that holds, after the block, the messages of operators without a deterministic kernel.
    """
    import torch

    from bench.measurement.guards import DETERMINISTIC, read_determinism, write_determinism

    filling: Any = torch.utils.deterministic
    fill = filling.fill_uninitialized_memory
    before = read_determinism()
    offenders: list[str] = []
    write_determinism(DETERMINISTIC)
    filling.fill_uninitialized_memory = False  # writes every new tensor twice, a few % of a step
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            yield offenders
        for item in caught:
            text = str(item.message)
            if "deterministic" in text:
                offenders.append(text.partition(".")[0])
            else:
                warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
        offenders[:] = sorted(set(offenders))
    finally:
        filling.fill_uninitialized_memory = fill
        write_determinism(before)
