"""How a worker runs a cell, or several as one network, and says what became of each."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from json import dumps  # as it is before a plugin replaces it
from typing import IO, TYPE_CHECKING, Any

from bench.errors import PluginError
from bench.job import Job
from bench.running import isolation

if TYPE_CHECKING:
    from bench.execution.results import CellResult, OnEpoch, Progress
    from bench.plugins.discovery import Host
    from bench.results.records import Record
    from bench.running.progress import Observers

LOG_TAIL = 4000
"""Characters of a traceback that a record keeps."""
ANOTHERS_S = 3.0
"""For the death of another process of the cell to be seen, of which this one's error comes."""


class Channel:
    """Where events go, by default to the supervisor; ``owner`` is whose it is."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.owner = 0

    @classmethod
    def claimed(cls) -> Channel:
        """The supervisor's end of standard output, kept apart from what plugins print."""
        channel = cls(os.fdopen(os.dup(1), "wb"))
        os.dup2(2, 1)  # also what C code prints belongs to the log
        return channel

    def send(self, event: str, files: Mapping[str, bytes] | None = None, **values: Any) -> None:
        """Write one event; everything printed before it is in the log by then."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # whatever a plugin has put there
                stream.flush()
        if os.getpid() != self.owner:
            os._exit(1)  # a fork of a plugin that came back from its code: the cell is not its own
        files = files or {}
        told = {name: (len(content), zlib.crc32(content)) for name, content in files.items()}
        header = dumps({"event": event, "values": values, "files": told}, ensure_ascii=False)
        self.pass_on(header.encode(errors="replace"), b"\n", *files.values())  # half a character is no text

    def pass_on(self, *parts: bytes) -> None:
        """Write events that were kept."""
        for part in parts:
            self._stream.write(part)
        self._stream.flush()


def run_cell(
    job: Job, host: Host, observers: Observers, channel: Channel, member: isolation.Member | None = None
) -> None:
    """Run one cell, or as one of the processes that do."""
    from bench.execution.evaluate import run_evaluate
    from bench.execution.results import Progress

    progress = Progress()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    speaks = member is None or member.rank == 0

    def work() -> CellResult:
        if job.cell.kind == "profile":
            from bench.execution.profile import run_profile

            return run_profile(host.registry, job, progress)
        if member is not None:
            from bench.execution.ranks import join

            join(member.rank, job.cell.nproc, member.store, job.cell.device)
        elif job.cell.nproc > 1:
            raise PluginError("--nproc forks, which is not safe here: an import has started a thread or CUDA")
        told = _epochs(job, progress, observers, channel) if speaks else lambda *_: None
        return run_evaluate(host.registry, job, progress, told)

    if speaks:
        observers.tell("bench_cell_start", cell=job.cell)
    try:
        done: CellResult | BaseException = work()
    except BaseException as error:  # noqa: BLE001  a plugin may raise anything; it becomes a record
        done = error
        if member is not None:
            time.sleep(ANOTHERS_S)
    if member is not None:
        os.read(member.turn, 1)
    _say(channel, job, done, partial(_failure, job, host, progress, started))


def run_stack(job: Job, host: Host, observers: Observers, channel: Channel, kept: Sequence[IO[bytes]]) -> None:
    """Run a job and its mates as one network.

    What the first one says goes to the supervisor, what the others do is ``kept`` in a file for each. Where they cannot
    be trained together, the reason stands in the first file instead.
    """
    import torch

    from bench.execution.results import Progress
    from bench.execution.streams import StackError
    from bench.execution.together import Part, run_together

    started = datetime.now(UTC).isoformat(timespec="seconds")
    torch.set_num_threads(job.threads)
    channels, parts = (channel, *(Channel(file) for file in kept[1:])), list[Part]()
    for one, its in zip((job, *job.mates), channels, strict=True):
        progress, its.owner = Progress(), os.getpid()
        parts.append((one, progress, _epochs(one, progress, observers, its)))
        observers.tell("bench_cell_start", cell=one.cell)
    try:
        ends = run_together(host.registry, parts, choose=job.if_faster)
    except BaseException as error:  # noqa: BLE001  a plugin may raise anything; each is run by itself
        named = "" if isinstance(error, StackError) else f"{type(error).__name__}: "
        kept[0].write(f"{named}{one_line(error)}".encode())
        kept[0].flush()
        return
    for (one, progress, _), its, end in zip(parts, channels, ends, strict=True):
        stack = {"cells": len(parts), "reason": None}
        _say(its, one, end, partial(_failure, one, host, progress, started, stack=stack))


def _epochs(job: Job, progress: Progress, observers: Observers, channel: Channel) -> OnEpoch:
    """What is told of each epoch of a cell."""

    def on_epoch(epoch: int, scores: Mapping[str, float]) -> None:
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        done, total = progress.passes + epoch, progress.total or job.recipe.epochs
        channel.send("epoch", epoch=done, epochs=total, stage=progress.stage, scores=finite)
        if progress.stage == "train":  # a pass of pre-training is no epoch of training
            observers.tell("bench_epoch_end", cell=job.cell, epoch=epoch, scores=scores)

    return on_epoch


def _say(
    channel: Channel, job: Job, done: CellResult | BaseException, failed: Callable[[BaseException], Record]
) -> None:
    """The record of a cell, with its files or with what it raised."""
    from bench.results.store import npz_bytes

    if isinstance(done, BaseException):
        channel.send("record", text=failed(done).to_json())
        return
    arrays = npz_bytes(done.arrays, compressed=job.cell.kind != "evaluate")  # the host adds to those
    channel.send("record", {"predictions.npz": arrays, **done.files}, text=done.record.to_json())


def _failure(
    job: Job, host: Host, progress: Progress, started: str, error: BaseException, **notes: Mapping[str, Any]
) -> Record:
    import traceback

    from bench.execution import provenance
    from bench.execution.results import OverBudgetError, classify
    from bench.results.records import Failure, Record

    status, reason = classify(error)
    trace = provenance.without_paths("".join(traceback.format_exception(error)))
    cost = error.cost if isinstance(error, OverBudgetError) else None
    message = one_line(error) if cost else f"{type(error).__name__}: {one_line(error)}"
    return Record(
        cell=job.cell,
        status=status,
        recipe=job.recipe.model_dump(mode="json"),
        environment=provenance.environment(job.cell.device),
        provenance=provenance.common(host.registry, job) | notes | ({"cost": cost} if cost else {}),
        started_at=started,
        error=Failure(reason=reason, stage=progress.stage, message=message, detail=trace[-LOG_TAIL:]),
    )


def one_line(error: BaseException) -> str:
    """The first line of what an error says, without paths."""
    from bench.execution import provenance

    lines = str(error).strip().splitlines()
    return provenance.without_paths(lines[0])[:500] if lines else ""
