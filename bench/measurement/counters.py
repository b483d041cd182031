"""Counters of one fixed eager step on one thread, which a busy machine does not move.

Operators, kernels, allocations, tensor bytes and instructions: to compare two versions on a machine whose clock says
little. Never in a timed region; the step is run a few times beside the timed ones.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.measurement.clocks import device_type, synchronize
from bench.measurement.dispatch import Dispatch
from bench.measurement.flops import as_written

Step = Callable[[], object]

REPEATS = 3
"""Instructions are the fewest of so many steps: interrupts only add."""
ASK_VALGRIND = "--counters callgrind counts them under valgrind, in minutes"

_SYSCALLS = {"x86_64": 298, "aarch64": 241}
_INSTRUCTIONS, _USER_ONLY = 1, 1 << 5 | 1 << 6  # PERF_COUNT_HW_INSTRUCTIONS; without kernel and hypervisor
_ATTRIBUTES = 112


class _Operators(Dispatch):
    """Counts what reaches the backend, and how much of it computes or copies instead of viewing."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        self.kernels += not getattr(func, "is_view", False)
        return func(*args, **(kwargs or {}))


def count_step(step: Step, *, device: str) -> dict[str, int]:
    """Operators, kernels, allocations and tensor bytes of ``step()``, which has run before.

    Returns:
        ``operators``: calls that reach a backend, backward passes included; ``kernels``: those that are no views, on a
        GPU the kernels launched; ``allocations`` of tensors, and the ``tensor_bytes`` that they asked for in all.
    """
    cuda = device_type(device) == "cuda"
    with fixed():
        with _Operators() as seen:
            step()
        with profile(
            activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])],
            profile_memory=True,
            acc_events=True,
        ) as profiler:
            step()
            synchronize(device)
    events = profiler.profiler.kineto_results.events()
    taken = [event.nbytes() for event in events if event.name() == "[memory]" and event.nbytes() > 0]
    launched = sum(
        event.device_type().name == "CUDA" and not event.name().startswith(("Mem", "[mem")) for event in events
    )
    return {
        "operators": seen.calls, "kernels": launched if cuda else seen.kernels, "allocations": len(taken),
        "tensor_bytes": sum(taken),
    }  # fmt: skip


def count_instructions(step: Step) -> int | str:
    """Instructions of ``step()`` in user mode by the kernel's performance counter, or why there are none."""
    try:
        counter = _instruction_counter()
    except OSError as error:
        return f"the kernel gives no instruction counter ({os.strerror(error.errno or 0)}); {ASK_VALGRIND}"
    found = []
    try:
        with fixed():
            for _ in range(REPEATS):
                before = struct.unpack("q", os.read(counter, 8))[0]
                step()
                found.append(struct.unpack("q", os.read(counter, 8))[0] - before)
    finally:
        os.close(counter)
    return min(found) or f"the kernel's instruction counter stands still; {ASK_VALGRIND}"


def _instruction_counter() -> int:
    """A running counter of this thread as a file descriptor."""
    number = _SYSCALLS.get(platform.machine())
    if number is None or platform.system() != "Linux":
        raise OSError(38, "no such call")
    call = ctypes.CDLL(None, use_errno=True).syscall
    attributes = ctypes.create_string_buffer(struct.pack("IIQ24xQ", 0, _ATTRIBUTES, _INSTRUCTIONS, _USER_ONLY), 256)
    found: int = call(number, attributes, 0, -1, -1, 0)
    if found < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    return found


def run_under_callgrind(command: Sequence[str], given: str, folder: Path) -> list[int] | str:
    """Instructions of each part that a program marks by :func:`marked`, in their order, or why there are none.

    Args:
        command: The program; it runs about fifty times slower.
        given: Its standard input.
        folder: An empty folder.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return "valgrind is not installed (apt-get install valgrind)"
    if not torch._C._valgrind_supported_platform():
        return "this build of torch has no marks for valgrind"
    options = ("-q", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={folder / 'out'}")
    done = subprocess.run([valgrind, *options, *command], input=given, text=True, capture_output=True, check=False)
    if done.returncode:
        return f"the step failed under valgrind: {(done.stderr.strip().splitlines() or ['no output'])[-1]}"
    parts = sorted(folder.glob("out.*"), key=lambda file: int(file.suffix[1:]))
    totals = [_total(file.read_text(encoding="utf-8", errors="replace")) for file in parts]
    return [total for total in totals if total] or "valgrind counted nothing"


def marked(step: Step) -> None:
    """Run ``step()`` as a part that :func:`run_under_callgrind` counts."""
    with fixed():
        torch._C._valgrind_toggle()
        step()
        torch._C._valgrind_toggle_and_dump_stats()


@contextmanager
def fixed() -> Iterator[None]:
    """The same draws and one thread, for what is counted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(), as_written():
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(threads)


def _total(text: str) -> int:
    r"""The instructions in a file of callgrind.

    >>> _total("events: Ir\nsummary: 1234\n")
    1234
    """
    lines = (line.partition(":") for line in text.splitlines())
    found = [value for name, _, value in lines if name in ("summary", "totals")]
    number = float(found[-1]) if found else math.nan
    return 0 if math.isnan(number) else int(number)
