"""Rows of every clip kept on disk: what a front end makes of them, and (:mod:`bench.execution.bank`) an encoder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from bench.data.batches import to_tensor
from bench.data.cache import Appender, cache_root, digest, ensure, one_at_a_time
from bench.data.waveforms import Waveforms
from bench.errors import DataError

CODE_VERSION = 1
_FILE = "values.bin"

Put = Callable[[npt.NDArray[Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Stored features of every clip.

    Attributes:
        values: ``(clips, freq, time)`` float32 or float16, read-only memory map, not normalised.
        seconds: Wall time of the one-off preparation, measured when it was made (not when it was read back).
        bytes_per_clip: On disk.
        fingerprint: 64 hex digits over waveforms, front end and dtype.
    """

    values: npt.NDArray[np.float32] | npt.NDArray[np.float16]
    seconds: float
    bytes_per_clip: int
    fingerprint: str


def open_features(
    waveforms: Waveforms,
    frontend: torch.nn.Module,
    *,
    key: str,
    dtype: Literal["float32", "float16"] = "float32",
    cache: Path | None = None,
    batch: int = 32,
) -> Features:
    """The features of ``waveforms``, computed now or read from the cache.

    Args:
        waveforms: From :func:`bench.data.waveforms.open_waveforms`.
        frontend: Maps waveforms ``(batch, samples)`` float32 in [-1, 1) to features ``(batch, freq, time)``, on the
            device of its own parameters or buffers.
        key: Name and every setting of the front end; decides, with the waveforms, whether the store is reused.
        dtype: What is stored. float16 suits log-mel, not power.
        cache: Cache folder.
        batch: Clips per call of the front end.

    Raises:
        DataError: The front end gives another number of dimensions, values that are not finite in ``dtype``, or
            the cache cannot be written.
    """
    if dtype not in ("float32", "float16"):
        raise DataError(f"features cannot be stored as {dtype!r}; use 'float32' or 'float16'")
    fingerprint = digest("features", CODE_VERSION, waveforms.fingerprint, key, dtype)

    def write(put: Put) -> dict[str, Any]:
        return _compute(put, waveforms, frontend, np.dtype(dtype), batch)

    values, header = keep_rows("features", fingerprint, write, np.dtype(dtype), cache=cache)
    return Features(
        values=values,
        seconds=header["seconds"],
        bytes_per_clip=header["bytes"] // len(waveforms),
        fingerprint=fingerprint,
    )


def keep_rows(
    kind: str, fingerprint: str, write: Callable[[Put], dict[str, Any]], dtype: np.dtype[Any], *,
    cache: Path | None = None,
) -> tuple[npt.NDArray[Any], dict[str, Any]]:  # fmt: skip
    """Rows of every clip in one checksummed file, made now or read from the cache, and the header that goes with them.

    ``write`` hands rows to ``put`` as they are made, so that memory grows with the batch, and returns further values of
    the header; ``seconds`` among them is what making took.
    """
    root = cache_root() if cache is None else cache
    goal = root / kind / fingerprint[:32]

    def make(folder: Path) -> dict[str, Any]:
        began, shape = time.perf_counter(), (0,)
        with Appender(folder / _FILE) as file:

            def put(rows: npt.NDArray[Any]) -> None:
                nonlocal shape
                file.append(rows.astype(dtype))
                shape = (shape[0] + len(rows), *rows.shape[1:])

            more = write(put)
        return {"seconds": time.perf_counter() - began, **more, "shape": shape}

    with contextlib.nullcontext() if (goal / "header.json").exists() else one_at_a_time(root / "locks" / goal.name):
        header = ensure(goal, _FILE, make)
    return np.memmap(goal / _FILE, dtype=dtype, mode="r", shape=tuple(header["shape"])), header


def _compute(
    put: Put, waveforms: Waveforms, frontend: torch.nn.Module, dtype: np.dtype[Any], batch: int
) -> dict[str, Any]:
    device = next((tensor.device for tensor in (*frontend.parameters(), *frontend.buffers())), torch.device("cpu"))
    training = frontend.training
    frontend.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(waveforms), batch):
                audio = to_tensor(waveforms.samples[start : start + batch]).to(device)
                output = frontend(audio).float().cpu().numpy().astype(dtype)
                _check(output, start)
                put(output)
    finally:
        frontend.train(training)
    return {}


def _check(output: npt.NDArray[np.floating], start: int) -> None:
    if output.ndim != 3:
        raise DataError(f"the front end gave shape {output.shape}; a feature store needs (batch, freq, time)")
    if not np.isfinite(output).all():
        raise DataError(
            f"features of clips {start} to {start + len(output) - 1} are not finite as {output.dtype}; "
            "store float32, or take the logarithm first"
        )
