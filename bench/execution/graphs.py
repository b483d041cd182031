"""Calls captured as CUDA graphs: small networks spend their time launching kernels, a captured call launches once.

Each shape of the inputs is called :data:`WARM` times as it stands, then captured and replayed. A call that cannot be
captured (it waits for the device, or copies from the host in the middle) goes on as it stands, with the reason kept.
So does one that could be captured but would repeat itself: one that draws from a generator of the host other than
its ``draws``, or counts in an attribute of a module, since a replay runs no Python.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

WARM = 3
"""Calls of a shape before it is captured: libraries choose kernels and make workspaces in the first ones."""
SHAPES = 4
"""Largest number of shapes captured; further ones run as they stand."""
TORCH_CPU = "torch's generator of the CPU"
_ALIGN = 16

Tensors = dict[str, Tensor]
Array = npt.NDArray[Any]
Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


def is_cuda(device: str) -> bool:
    """Whether a device is a CUDA one."""
    return device.partition(":")[0] == "cuda"


class Draws:
    """Arrays that a call draws on the host, as tensors on its device.

    Within :meth:`fixed` they are places of one packed buffer, to be filled before each replay by one copy.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.seen: list[Array] = []
        self._places: Places | None = None

    def give(self, make: Callable[[], Array]) -> Tensor:
        """What ``make`` draws; the place that it is drawn into where the call is being captured."""
        if self._places is not None:
            return self._places.next(make)
        array = make()
        self.seen.append(array)
        return torch.from_numpy(array).to(self.device, non_blocking=True)

    def fixed(self, places: Places | None) -> None:
        """From now on give the ``places``, or draw again."""
        self._places = places


class Places:
    """One buffer on the host and one on the device that hold all draws of a captured call, in their order."""

    def __init__(self, like: list[Array], device: str) -> None:
        ends = np.cumsum([-(-array.nbytes // _ALIGN) * _ALIGN for array in like], dtype=np.int64)
        self._host = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
        self._device = torch.zeros(len(self._host), dtype=torch.uint8, device=device)
        self._arrays: list[Array] = []
        self._tensors: list[Tensor] = []
        for array, end in zip(like, ends, strict=True):
            start = int(end) - -(-array.nbytes // _ALIGN) * _ALIGN
            self._arrays.append(self._host[start : start + array.nbytes].view(array.dtype).reshape(array.shape))
            kind = torch.from_numpy(array).dtype
            self._tensors.append(self._device[start : start + array.nbytes].view(kind).reshape(array.shape))
        self._makers: list[Callable[[], Array]] = []

    def next(self, make: Callable[[], Array]) -> Tensor:
        """The place of the next draw."""
        self._makers.append(make)
        return self._tensors[len(self._makers) - 1]

    def draw(self) -> None:
        """Draw everything anew, in the order in which the call asked for it, and copy it to the device."""
        for place, make in zip(self._arrays, self._makers, strict=True):
            place[...] = make()
        self._device.copy_(torch.from_numpy(self._host), non_blocking=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A call on inputs that keep their place."""

    replay: Callable[[], None]
    inputs: Tensors
    places: Places
    output: Tensor

    def __call__(self, inputs: Tensors) -> Tensor:
        """The output for these inputs, a tensor of its own."""
        for name, place in self.inputs.items():
            place.copy_(inputs[name], non_blocking=True)
        self.places.draw()
        self.replay()
        return self.output.clone()


def cuda_graph(call: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Capture a call: what replays it, and where its output stands."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = call()
    return graph.replay, output


def host_state(module: nn.Module | None) -> dict[str, Hashable]:
    """What Python keeps that a replay would not change: generators of the host, plain attributes of modules."""
    kept: dict[str, Hashable] = {
        "Python's random": random.getstate(),
        "numpy's global generator": str(np.random.get_state(legacy=False)),  # noqa: NPY002  plugins may use it
        TORCH_CPU: torch.get_rng_state().numpy().tobytes(),
    }
    for path, part in () if module is None else module.named_modules():
        plain = {name: value for name, value in vars(part).items() if isinstance(value, bool | int | float | str)}
        kept |= {f"{path or type(part).__name__}.{name}": value for name, value in plain.items()}
    return kept


@dataclass
class Graphs:
    """A call of tensors by name, captured for each shape that occurs often enough.

    Attributes:
        call: Work on the device only; what it draws on the host it takes from ``draws``.
        device: Where; on a CPU nothing is captured.
        module: Whose attributes are watched while the call runs as it stands.
        capture: How a call is captured; ``None`` = not at all.
        reason: Why calls are not captured any more.
    """

    call: Callable[[Tensors], Tensor]
    device: str
    draws: Draws
    module: nn.Module | None = None
    capture: Capture | None = None
    reason: str | None = None
    held: dict[Hashable, Captured] = field(default_factory=dict)
    seen: dict[Hashable, int] = field(default_factory=dict)

    def __call__(self, inputs: Tensors) -> Tensor:
        """The output for these inputs, a tensor of its own."""
        if self.capture is None or self.reason is not None:
            return self.call(inputs)
        key = tuple((name, x.shape, x.dtype) for name, x in sorted(inputs.items()))
        if key in self.held:
            return self.held[key](inputs)
        self.seen[key] = self.seen.get(key, 0) + 1
        if self.seen[key] <= WARM or len(self.held) == SHAPES:
            return self._watched(inputs)
        try:
            self.held[key] = self._captured(self.capture, inputs)
        except RuntimeError as error:  # torch raises nothing narrower for what cannot be captured
            self.reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            self.draws.fixed(None)
            return self.call(inputs)
        return self.held[key](inputs)

    def report(self) -> dict[str, Any]:
        """For the record: how many shapes are captured, and why no more are."""
        return {"captured": len(self.held), "reason": self.reason}

    def _watched(self, inputs: Tensors) -> Tensor:
        before = host_state(self.module)
        output = self._aside(inputs)
        after = host_state(self.module)
        changed = sorted(name for name in before | after if before.get(name) != after.get(name))
        if changed:
            self.reason = f"each call changes {changed[0]} on the host, which a captured call would not"
        return output

    def _aside(self, inputs: Tensors) -> Tensor:
        """The call on a stream of its own, as whatever is captured later must have run before."""
        self.draws.seen.clear()
        if not is_cuda(self.device):
            return self.call(inputs)
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            output = self.call(inputs)
        here.wait_stream(aside)
        output.record_stream(here)
        return output

    def _captured(self, capture: Capture, inputs: Tensors) -> Captured:
        static = {name: x.clone() for name, x in inputs.items()}
        places = Places(self.draws.seen, self.device)
        self.draws.fixed(places)
        replay, output = capture(lambda: self.call(static))
        self.draws.fixed(None)
        return Captured(replay=replay, inputs=static, places=places, output=output)
