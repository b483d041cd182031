"""Whether networks can be trained as one: a few steps with copies, alone and together."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.execution.graphs import TORCH_CPU, host_state, is_cuda
from bench.execution.stack import Member, StackedStep
from bench.execution.state import parts_of
from bench.execution.streams import Drawn, Draws, StackError
from bench.measurement.clocks import synchronize

COMPARED = 2
"""Steps whose losses must be those of the members alone: the second shows what the first learnt."""
TIMED, WARM = 4, 2
"""Steps that are timed where the faster way is chosen, and those before them."""
TOLERANCE, COARSE = 1e-4, 2e-2
"""Largest difference of a loss, beside its size where that is above 1: in float32, and with fewer bits or on a GPU."""


def tried(members: Sequence[Member], *, choose: bool) -> tuple[Drawn, dict[str, float]]:
    """Take a few steps with copies of the members, alone and together: their losses must be the same.

    Returns:
        What the networks draw; and for the record the largest ``difference`` of a loss, and where the stack must be
        faster too (``choose``) ``one_s`` and ``stack_s``, seconds of a step.

    Raises:
        StackError: They cannot be trained as one, or are faster one by one; torch raises whatever it likes, too.
    """
    if len({len(member.batches.indices) for member in members}) > 1:
        raise StackError("training parts of different sizes")
    if members[0].pipeline.frontend_trains:
        raise StackError("its front end is trained")
    if any(isinstance(module, nn.RNNBase) for module in members[0].pipeline.modules()):
        raise StackError("torch's recurrent layers keep their weights apart")
    settings = members[0].settings
    wanted, log, one_s = _alone(members, choose=choose)
    stack = StackedStep([member.copy().step() for member in members], log.seen)
    each = zip(*(member.some() for member in members), strict=True)
    found = torch.stack([stack(given) for given in itertools.islice(each, COMPARED)], dim=1)
    for path, part in parts_of(stack.first.pipeline):
        if isinstance(part, Tensor) and torch._C._functorch.is_batchedtensor(part):
            raise StackError(f"{path} keeps what the network saw")
    apart = ((found - wanted).abs() / wanted.abs().clamp(min=1.0)).max().item()
    allowed = TOLERANCE if settings.precision == "fp32" and not is_cuda(settings.device) else COARSE
    if not apart <= allowed:
        raise StackError(f"losses differ by {apart:.2g} from those of one by one, more than {allowed:g}")
    notes = {"difference": apart}
    if choose:
        notes |= {"one_s": one_s, "stack_s": _timed(stack, each, settings.device)}
        if notes["stack_s"] >= len(members) * one_s:
            times = f"{1000 * notes['stack_s']:.3g} ms for all {len(members)}, {1000 * one_s:.3g} ms for one"
            raise StackError(f"one by one is faster here: a step takes {times}")
    return log.seen, notes


def _alone(members: Sequence[Member], *, choose: bool) -> tuple[Tensor, Draws, float]:
    """Losses ``(members, steps)`` of copies one by one; what the first draws; to ``choose``, its seconds of a step."""
    one_s, losses, log = 0.0, [], Draws()
    for number, member in enumerate(members):
        step, batches = member.copy().step(), member.some()
        first = next(batches)
        torch.manual_seed(member.settings.seed)
        before = host_state(step.pipeline.train())
        with log if not number else contextlib.nullcontext():
            own = [step(first)]
        own += [step(batch) for batch in itertools.islice(batches, COMPARED - 1)]
        losses.append(torch.stack(own))
        after = host_state(step.pipeline)
        if changed := sorted(name for name in before if before[name] != after.get(name) and name != TORCH_CPU):
            raise StackError(f"each step changes {changed[0]} on the host")
        if choose and not number:
            one_s = _timed(step, batches, member.settings.device)
    return torch.stack(losses), log, one_s


def _timed(step: Callable[[Any], Tensor], batches: Iterator[Any], device: str) -> float:
    """Seconds of a step, the median of a few."""
    found = []
    for number, batch in enumerate(itertools.islice(batches, WARM + TIMED)):
        synchronize(device)
        start = time.perf_counter()
        step(batch)
        synchronize(device)
        if number >= WARM:
            found.append(time.perf_counter() - start)
    return sorted(found)[len(found) // 2]
