"""Guards: does a callable leave the process as it found it? Run once per model, never in a timed region."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.frontends.precision import read_precision, write_precision
from bench.measurement.clocks import Call
from bench.measurement.memory import MIB
from bench.measurement.noise import Advice

LEAK_MIB = 1.0
"""Growth over all watched steps from which on a monotone growth is a leak."""
MIN_STEPS = 8
SETTLING = 3
"""First steps, in which pools and workspaces may grow."""
_ASKED = "TORCHINDUCTOR_DETERMINISTIC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Determinism:
    """What torch, its compiler and the environment were asked for; ``warn_only`` where a kernel is missing."""

    mode: bool
    warn_only: bool
    compiler: bool
    asked: str | None


DETERMINISTIC = Determinism(mode=True, warn_only=True, compiler=True, asked="1")


@contextmanager
def restored_flags(changed: dict[str, tuple[Any, Any]] | None = None) -> Iterator[None]:
    """Put torch's global switches back at the end; ``changed`` takes ``{switch: (before, after)}``."""
    switches = _switches()
    before = {name: read() for name, (read, _) in switches.items()}
    try:
        yield
    finally:
        for name, (read, write) in switches.items():
            after = read()
            if after != before[name]:
                if changed is not None:
                    changed[name] = (before[name], after)
                write(before[name])


def _switches() -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Name, reader and writer of every global switch that changes what others measure."""

    def attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
        return lambda: getattr(owner, name), lambda value: setattr(owner, name, value)

    return {
        "num_threads": (torch.get_num_threads, torch.set_num_threads),
        "default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "default_device": (torch.get_default_device, _set_device),
        "deterministic": (read_determinism, write_determinism),
        "grad_mode": (torch.is_grad_enabled, torch._C._set_grad_enabled),
        "anomaly_mode": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        "float32_precision": (read_precision, write_precision),
        "cudnn_enabled": attribute(torch.backends.cudnn, "enabled"),
        "cudnn_benchmark": attribute(torch.backends.cudnn, "benchmark"),
        "cudnn_deterministic": attribute(torch.backends.cudnn, "deterministic"),
        "mha_fastpath": (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    }


def read_determinism() -> Determinism:
    """What torch and its compiler were asked for; imports no compiler."""
    compiler, asked = sys.modules.get("torch._inductor.config"), os.environ.get(_ASKED)
    told = asked == "1" if compiler is None else compiler.deterministic
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    return Determinism(mode=torch.are_deterministic_algorithms_enabled(), warn_only=warns, compiler=told, asked=asked)


def write_determinism(value: Determinism) -> None:
    """Set what :func:`read_determinism` gave; a compiler that is imported later reads it in the environment.

    ``torch.use_deterministic_algorithms`` imports the compiler to tell it, which takes 1.1 s and 115 MB.
    """
    torch.set_deterministic_debug_mode(("warn" if value.warn_only else "error") if value.mode else "default")
    if compiler := sys.modules.get("torch._inductor.config"):
        compiler.deterministic = value.compiler  # type: ignore[attr-defined]
    if value.asked is None:
        os.environ.pop(_ASKED, None)
    else:
        os.environ[_ASKED] = value.asked


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)


class Printed:
    """What was written to standard output, by Python and by native code, once the block has ended."""

    text: str = ""


@contextmanager
def caught_output() -> Iterator[Printed]:
    """Keep standard output off the terminal: Python's stream and file descriptor 1."""
    printed = Printed()
    sys.stdout.flush()
    stream = io.StringIO()
    kept = os.dup(1)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 1)
            try:
                with contextlib.redirect_stdout(stream):
                    yield printed
            finally:
                os.dup2(kept, 1)
                file.seek(0)
                printed.text = stream.getvalue() + file.read().decode(errors="replace")
    finally:
        os.close(kept)


def inspect_callable(call: Call, *, steps: int = 20) -> tuple[Advice, ...]:
    """Run ``call`` 8 times or more and report what it does to the process; torch's switches are put back.

    The first three calls may allocate as they like. What ``call`` raises passes through, with the switches restored.

    Returns:
        Advice of kind ``flags``, ``threads``, ``processes``, ``stdout`` and ``leak``, in this order; empty for a
        well-behaved callable.

    Raises:
        BenchError: Too few steps.
    """
    if steps < MIN_STEPS:
        raise BenchError(f"steps is {steps}; a leak shows only over {MIN_STEPS} steps or more")
    changed: dict[str, tuple[Any, Any]] = {}
    threads, children = set(threading.enumerate()), set(psutil.Process().children(recursive=True))
    with restored_flags(changed), caught_output() as printed:
        resident = _watch_memory(call, steps)
    found = [
        ("flags", f"sets torch's global {name} from {old} to {now} (put back)") for name, (old, now) in changed.items()
    ]
    if new := sorted(thread.name for thread in set(threading.enumerate()) - threads):
        found.append(("threads", f"leaves {len(new)} threads running: {', '.join(new[:5])}"))
    if born := set(psutil.Process().children(recursive=True)) - children:
        found.append(("processes", f"leaves {len(born)} child processes running"))
    if printed.text:
        first = [*printed.text.strip().splitlines(), "blank lines"][0][:80]
        found.append(("stdout", f"prints {len(printed.text)} characters to stdout, first: {first!r}"))
    if (leak := leaked_per_step(resident[SETTLING:])) is not None:
        found.append(("leak", f"memory grows by {leak:.2f} MiB a step, step after step"))
    return tuple(Advice(kind=kind, message=message) for kind, message in found)


def _watch_memory(call: Call, steps: int) -> NDArray[np.float64]:
    """MiB in use after each step, garbage collected: resident set, and device memory where there is some."""
    process, levels = psutil.Process(), []
    gc.collect()
    gc.freeze()  # what exists already need not be looked through at every step
    try:
        for index in range(steps):
            call(index)
            gc.collect()
            device = torch.cuda.memory_allocated()  # 0 as long as nothing has used a GPU
            levels.append((process.memory_info().rss + device) / MIB)
    finally:
        gc.unfreeze()
    return np.asarray(levels, dtype=np.float64)


def leaked_per_step(levels: NDArray[np.float64]) -> float | None:
    """MiB by which memory grows per step, ``None`` unless the growth is steady.

    Steady means: all but one step in ten end no lower than the one before, half of them end higher, both halves of
    the run grow, and the whole growth is 1 MiB or more. So a pool that fills once, or a level that swings, is no leak.
    ``levels`` are MiB in use after each step, shape ``(steps,)``, at least 4.
    """
    rises = np.diff(levels)
    half = len(rises) // 2
    growth = float(levels[-1] - levels[0])
    steady = (rises < 0).mean() <= 0.1 and (rises > 0).mean() >= 0.5
    lasting = rises[:half].sum() > 0 and rises[half:].sum() > 0.25 * growth
    return growth / len(rises) if growth >= LEAK_MIB and steady and lasting else None
