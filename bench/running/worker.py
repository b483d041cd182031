"""The process that runs jobs: they come in on standard input as JSON lines, events go out on standard output.

Started as ``python -P -m bench.running.worker`` so that the current folder is never on the path. What an event is made
of stands in :mod:`bench.running.messages`. What plugins print, whichever way, goes to standard error. The process dies
with its parent: the kernel signals it, and a closed standard input ends it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import os
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from json import dumps  # as it is before a plugin replaces it
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench.errors import PluginError
from bench.job import Job
from bench.running import isolation

if TYPE_CHECKING:
    from bench.execution.results import CellResult, Progress
    from bench.plugins.discovery import Host
    from bench.results.records import Record
    from bench.running.progress import Observers

LOG_TAIL = 4000
"""Characters of a traceback that a record keeps."""
ANOTHERS_S = 3.0
"""For the death of another process of the cell to be seen, of which this one's error comes."""


class Channel:
    """The supervisor's end of standard output, kept apart from what plugins print; ``owner`` is whose it is."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb")
        self.owner = 0
        os.dup2(2, 1)  # also what C code prints belongs to the log

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
        for part in (header.encode(errors="replace"), b"\n", *files.values()):  # half a character is no text
            self._stream.write(part)
        self._stream.flush()


def main() -> None:
    """Run jobs until standard input closes, then leave without teardown (it would add to the peak memory)."""
    isolation.guarded(_serve, _ready)


def _ready() -> None:
    """Import what is the host's own of the modules asked for, once for all jobs; where that bars forks, nothing."""
    if own := [name for name in sys.argv[1:] if name.startswith("bench.")]:
        if sys.platform == "linux":
            for name in own:
                _import(name)
            _know()
        if not isolation.forks():
            os.execv(sys.executable, [sys.executable, "-P", "-m", "bench.running.worker"])


def _know() -> None:
    """Ask once for what every cell says of the code and the libraries that it runs with."""
    from bench.results.provenance import PROFILE_CODE, RESULT_CODE, engine_hash, git_state, library_versions

    for known in (git_state, library_versions):
        known()
    for parts in (RESULT_CODE, PROFILE_CODE):
        engine_hash(parts)


def _serve(afresh: Callable[[bytes], NoReturn], line: bytes) -> None:
    """Run jobs as they come in; ``afresh`` has the rest run in a new process, a line that was read here first."""
    channel = Channel()
    channel.owner = os.getpid()
    for name in ("bench.execution.evaluate", *sys.argv[1:]):  # while the host still plans
        _import(name)
    image, key = Image(channel), None
    with open(0, "rb", buffering=0, closefd=False) as lines:
        while line := line or lines.readline():
            job = Job.from_json(line.decode())
            if key not in (None, job.key):
                afresh(line)
            key, line = job.key, b""
            clean = _run_job_in(image, job)
            channel.send("idle")
            if not clean:
                afresh(b"")


def _import(name: str) -> None:
    with contextlib.suppress(Exception, SystemExit):  # the job that needs it will say so
        importlib.import_module(name)


def _run_job_in(image: Image, job: Job) -> bool:
    """One job; a cell in a child of the image, so that the next one finds nothing of it. Says whether it was one."""
    image.channel.send("started")
    host, observers = image.load(job)
    run = functools.partial(_run_job, job, host, observers, image)
    several = job.cell.nproc > 1 and job.action == "cell"
    work = functools.partial(isolation.together, run, job.cell.nproc) if several else run
    if job.alone or job.action == "estimate":  # the only one of its process, or nothing is run
        if job.alone and len(sys.argv) > 1:
            isolation.map_files()
        run()
        return not job.alone
    image.prepare(job, host)
    if not isolation.forks():
        run()
        return False
    image.wanted = isolation.in_child(work)
    return True


class Image:
    """What each cell of this process starts from: modules are imported and plugins loaded, nothing was built or run.

    Args:
        channel: Where events go.

    Attributes:
        kept: What jobs that run in this process itself can use again.
        wanted: Modules that the last cell imported itself.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.kept: dict[str, Any] = {}
        self.wanted: list[str] = []
        self._hosts: dict[Any, tuple[Host, Observers]] = {}

    def load(self, job: Job) -> tuple[Host, Observers]:
        """The plugins of a job; torch is imported too unless its cell fits what says that it is an estimator."""
        from bench.plugins.discovery import load
        from bench.running.progress import Observers

        key = (job.plugins, job.without)
        if key not in self._hosts:
            host = load(job.plugins, without=job.without)
            self._hosts[key] = host, Observers(host, self._observer_failed)
        host, observers = self._hosts[key]
        if job.reference:
            host = _referring(host, job)
        if not _light(job, host):
            _import("bench.execution.network")
        return host, observers

    def prepare(self, job: Job, host: Host) -> None:
        """Import what the cell of a job needs, and what the one before it imported, so that it takes no time of it."""
        registry, cell = host.registry, job.cell
        own = () if _light(job, host) else ("torch._inductor",)  # of deterministic kernels
        entries = (registry.datasets.entries.get(cell.data_name), registry.frontends.entries.get(cell.frontend))
        factories = [entry.factory for entry in (*entries, registry.models.entries.get(cell.model)) if entry]
        for name in (*own, *(factory.partition(":")[0] for factory in factories), *self.wanted):
            _import(name)

    def _observer_failed(self, plugin: str, hook: str, error: str) -> None:
        self.channel.send("observer", plugin=plugin, hook=hook, error=error)


def _referring(host: Host, job: Job) -> Host:
    from bench.data.contents import file_digests
    from bench.errors import CheckpointError
    from bench.plugins.references import referring

    registry = referring(host.registry, [job.reference], file_digests)
    if job.cell.model not in registry.models:
        found = registry.models[job.reference].spec.name
        raise CheckpointError(f"{job.reference} is {found} now, {job.cell.model} when it was planned; run it again")
    return replace(host, registry=registry)


def _light(job: Job, host: Host) -> bool:
    entry = host.registry.models.entries.get(job.cell.model)
    return job.action == "cell" and job.cell.kind == "evaluate" and entry is not None and entry.spec.estimator


def _run_job(job: Job, host: Host, observers: Observers, image: Image, member: isolation.Member | None = None) -> None:
    from bench.execution.results import Progress

    image.channel.owner = os.getpid()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(job.threads)
    if job.action == "cell":
        _run_cell(job, host, observers, image.channel, member)
        return
    progress = Progress()
    try:
        values, files = _answer(job, host, progress, image.kept)
    except BaseException as error:  # noqa: BLE001  a plugin may raise anything; whoever asked is told
        values, files = {"problem": f"{type(error).__name__} in stage {progress.stage}: {_one_line(error)}"}, {}
    image.channel.send("answer", files, **values)


def _run_cell(job: Job, host: Host, observers: Observers, channel: Channel, member: isolation.Member | None) -> None:
    from bench.execution.evaluate import run_evaluate
    from bench.execution.results import CellResult, Progress
    from bench.results.store import npz_bytes

    progress = Progress()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    speaks = member is None or member.rank == 0

    def on_epoch(epoch: int, scores: Mapping[str, float]) -> None:
        if not speaks:
            return
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        done, total = progress.passes + epoch, progress.total or job.recipe.epochs
        channel.send("epoch", epoch=done, epochs=total, stage=progress.stage, scores=finite)
        if progress.stage == "train":  # a pass of pre-training is no epoch of training
            observers.tell("bench_epoch_end", cell=job.cell, epoch=epoch, scores=scores)

    def work() -> CellResult:
        if job.cell.kind == "profile":
            from bench.execution.profile import run_profile

            return run_profile(host.registry, job, progress)
        if member is not None:
            from bench.execution.ranks import join

            join(member.rank, job.cell.nproc, member.store, job.cell.device)
        elif job.cell.nproc > 1:
            raise PluginError("--nproc forks, which is not safe here: an import has started a thread or CUDA")
        return run_evaluate(host.registry, job, progress, on_epoch)

    if speaks:
        observers.tell("bench_cell_start", cell=job.cell)
    try:
        done: CellResult | Record = work()
    except BaseException as error:  # noqa: BLE001  a plugin may raise anything; it becomes a record
        done = _failure(job, host, progress, error, started)
        if member is not None:
            time.sleep(ANOTHERS_S)
    if member is not None:
        os.read(member.turn, 1)
    if isinstance(done, CellResult):
        arrays = npz_bytes(done.arrays, compressed=job.cell.kind != "evaluate")  # the host adds to those
        channel.send("record", {"predictions.npz": arrays, **done.files}, text=done.record.to_json())
    else:
        channel.send("record", text=done.to_json())


def _answer(job: Job, host: Host, progress: Progress, kept: dict[Any, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Values and files of a job that gives no record."""
    import tempfile

    from bench.execution import pricing
    from bench.execution.profile import run_block, run_trace

    if job.action in ("price", "block", "count"):
        run = pricing.run_price if job.action == "price" else run_block
        return run(host.registry, job, progress), {}
    if job.action == "estimate":
        known = kept.setdefault("known", pricing.Known())
        return pricing.run_estimate(host.registry, job, progress, known), {}
    with tempfile.TemporaryDirectory(prefix="bench-trace-") as folder:
        traces = run_trace(host.registry, job, progress, Path(folder))
        return {"traces": traces}, {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _failure(job: Job, host: Host, progress: Progress, error: BaseException, started: str) -> Record:
    import traceback

    from bench.execution import provenance
    from bench.execution.results import OverBudgetError, classify
    from bench.results.records import Failure, Record

    status, reason = classify(error)
    trace = provenance.without_paths("".join(traceback.format_exception(error)))
    cost = error.cost if isinstance(error, OverBudgetError) else None
    message = _one_line(error) if cost else f"{type(error).__name__}: {_one_line(error)}"
    return Record(
        cell=job.cell,
        status=status,
        recipe=job.recipe.model_dump(mode="json"),
        environment=provenance.environment(job.cell.device),
        provenance=provenance.common(host.registry, job) | ({"cost": cost} if cost else {}),
        started_at=started,
        error=Failure(reason=reason, stage=progress.stage, message=message, detail=trace[-LOG_TAIL:]),
    )


def _one_line(error: BaseException) -> str:
    from bench.execution import provenance

    lines = str(error).strip().splitlines()
    return provenance.without_paths(lines[0])[:500] if lines else ""


if __name__ == "__main__":
    main()
