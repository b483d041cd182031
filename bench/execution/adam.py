"""torch's Adam and AdamW, stepped without its compiler.

torch wraps some methods of its optimisers for ``torch.compile``, and the wrappers import the compiler at their first
call, used or not: 1.1 s and 115 MB in each process. The methods within the wrappers are called here; arithmetic, state
and hooks are torch's own.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim import Optimizer


class _Plain(Optimizer):
    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)


def _unwrapped(step: Any) -> Any:
    return torch.no_grad()(inspect.unwrap(step))


class Adam(_Plain, torch.optim.Adam):
    """:class:`torch.optim.Adam`."""

    step = _unwrapped(torch.optim.Adam.step)


class AdamW(_Plain, torch.optim.AdamW):
    """:class:`torch.optim.AdamW`."""

    step = _unwrapped(torch.optim.AdamW.step)
