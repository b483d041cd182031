"""Work and pace: what operators ask of any machine, what one machine reaches, and the seconds that follow. No torch.

Each operator costs what the slower of its arithmetic and its memory traffic takes at the pace of the machine, and a
fixed time for being called (the roofline of Williams, Waterman and Patterson 2009, operator by operator).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

Number = Annotated[int, Field(ge=0)]
Speed = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Counts = tuple[tuple[Number, Number, Number], ...]
"""FLOPs, bytes and calls of operators, those of like FLOPs a byte together."""
BESIDE = 1.35
"""What batches, augmentation, loss and Python add to a step: the median over default networks on two data sets."""
UPDATE_BYTES = 4 * 20
"""Bytes that an update moves for each parameter: gradient, clipping, two moments, weight, its average."""

DESCRIBED_S, FITTED_S = 5e-8, 5e-3
"""Rough seconds that an estimator takes to describe a sample of sound, and to be fitted to what a clip came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a device reaches on work like that of a small network.

    Attributes:
        flops_s: Floating-point operations a second in matrix products and convolutions.
        bytes_s: Bytes a second, read and written, in element-wise operators and normalisation.
        operator_s: Seconds that a call of an operator takes whatever its size.
        transform_flops_s: Floating-point operations a second in the large products of a front end.
    """

    flops_s: Speed
    bytes_s: Speed
    operator_s: Speed
    transform_flops_s: Speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the operators of a model do with one batch; the same on every machine.

    Attributes:
        front: Of the front end.
        forward: Of the model.
        step: Of the model forward and backward, in training.
        parameters: Trained ones.
        fitted: Whether it is an estimator, of which nothing is counted.
    """

    front: Counts = ()
    forward: Counts = ()
    step: Counts = ()
    parameters: Number = 0
    fitted: bool = False


def seconds_of(counts: Counts, pace: Pace, flops_s: float = 0.0) -> float:
    """What operators take at a pace, products at another one than a network's where ``flops_s`` is given."""
    rate = flops_s or pace.flops_s
    return sum(calls * pace.operator_s + max(flops / rate, moved / pace.bytes_s) for flops, moved, calls in counts)


def estimate(
    work: Work, pace: Pace | None, *, batch: int, frozen: bool, pretrain_batch: int = 0, clip_samples: int = 80_000
) -> dict[str, Any]:
    """The numbers of a cost, expected; ``pretrain_batch`` is 0 where nothing is pre-trained."""
    if work.fitted or pace is None:
        heard = DESCRIBED_S * clip_samples
        return {"step_s": None, "infer_clip_s": heard, "fit_clip_s": heard + FITTED_S, "source": "estimated"}
    front = seconds_of(work.front, pace, pace.transform_flops_s)
    update = UPDATE_BYTES * work.parameters / pace.bytes_s
    clip = (front + seconds_of(work.forward, pace)) / batch
    return {
        "step_s": 0.0 if frozen else BESIDE * (front + seconds_of(work.step, pace) + update),
        "infer_clip_s": clip,
        "fit_clip_s": None,
        "pretrain_step_s": BESIDE * (3 * clip * pretrain_batch + update) if pretrain_batch else None,
        "source": "estimated",
    }
