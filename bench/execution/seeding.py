"""The one place where seeds and determinism are set."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - plugins may draw from the legacy generator
    torch.manual_seed(seed)


@contextmanager
def deterministic() -> Iterator[list[str]]:
    """Ask torch for deterministic kernels and name the operators that have none.

    Yields:
        A list that holds, after the block, the messages of operators without a deterministic kernel.
    """
    filling: Any = torch.utils.deterministic
    fill = filling.fill_uninitialized_memory
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    offenders: list[str] = []
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
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
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
