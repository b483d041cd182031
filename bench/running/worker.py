"""The process that runs jobs: they come in on standard input as JSON lines, events go out on standard output.

Started as ``python -P -m bench.running.worker`` so that the current folder is never on the path. What an event is made
of stands in :mod:`bench.running.messages`. What plugins print, whichever way, goes to standard error. The process dies
with its parent: the kernel signals it, and a closed standard input ends it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench.job import Job
from bench.running import isolation
from bench.running.cells import Channel, one_line, run_cell, run_stack

if TYPE_CHECKING:
    from bench.cell import Cell
    from bench.execution.results import Progress
    from bench.plugins.discovery import Host
    from bench.running.progress import Observers


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
    channel = Channel.claimed()
    channel.owner = os.getpid()
    alone = "torch" in sys.argv[1:]  # to time the machine for a plan
    own = () if alone else ("bench.execution.evaluate",)
    for name in (*own, *sys.argv[1:]):  # while the host still plans
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
    if (told := image.told.pop(job.cell, None)) is not None:
        sys.stderr.write(f"[bench] trained together with {job.stack}, whose log it is\n")
        image.channel.pass_on(told)
        return True
    if job.action == "pace":  # no plugin is asked
        from bench.measurement.calibration import calibrate

        _take_threads(job.threads)
        image.channel.send("answer", **asdict(calibrate(job.cell.device)))
        return True
    job = replace(job, apart=image.apart.pop(job.cell, job.apart))
    host, observers = image.load(job)
    run = functools.partial(_run_job, job, host, observers, image)
    several = job.cell.nproc > 1 and job.action == "cell"
    work = functools.partial(isolation.together, run, job.cell.nproc) if several else run
    if job.alone or job.counts:  # the only one of its process, or nothing is run
        if job.alone:
            gc.freeze()  # collections before each timing need not look through what was imported
            if len(sys.argv) > 1:
                isolation.map_files()
        run()
        return not job.alone
    image.prepare(job, host)
    if not isolation.forks():
        why = "an import has started a thread or CUDA" if job.stack else ""
        _run_job(replace(job, apart=job.apart or why), host, observers, image)
        return False
    if job.mates:
        if image.run_stack(job, host, observers):
            return True
        work = functools.partial(_run_job, replace(job, apart=image.apart.pop(job.cell)), host, observers, image)
    image.wanted = isolation.in_child(work)
    return True


class Image:
    """What each cell of this process starts from: modules are imported and plugins loaded, nothing was built or run.

    Args:
        channel: Where events go.

    Attributes:
        kept: What jobs that run in this process itself can use again.
        wanted: Modules that the last cell imported itself.
        told: What cells have said that were trained with one before them, until it is their turn.
        apart: Why cells that were to be trained together run one by one.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.kept: dict[str, Any] = {}
        self.wanted: list[str] = []
        self.told: dict[Cell, bytes] = {}
        self.apart: dict[Cell, str] = {}
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
        entries = (registry.datasets.entries.get(cell.data_name), registry.frontends.entries.get(cell.frontend))
        factories = [entry.factory for entry in (*entries, registry.models.entries.get(cell.model)) if entry]
        for name in (*(factory.partition(":")[0] for factory in factories), *self.wanted):
            _import(name)

    def run_stack(self, job: Job, host: Host, observers: Observers) -> bool:
        """Train a job and its mates as one network in a child, and keep what the mates say; says whether it could."""
        import tempfile

        cells = [one.cell for one in (job, *job.mates)]
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in cells]
            self.wanted = isolation.in_child(functools.partial(run_stack, job, host, observers, self.channel, files))
            for file in files:
                file.seek(0)
            why, *told = (file.read() for file in files)
        if why:
            self.apart |= dict.fromkeys(cells, why.decode())
        else:
            self.told |= dict(zip(cells[1:], told, strict=True))
        return not why

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
    _take_threads(job.threads)
    if job.action == "cell":
        run_cell(job, host, observers, image.channel, member)
        return
    progress = Progress()
    try:
        values, files = _answer(job, host, progress, image.kept)
    except BaseException as error:  # noqa: BLE001  a plugin may raise anything; whoever asked is told
        values, files = {"problem": f"{type(error).__name__} in stage {progress.stage}: {one_line(error)}"}, {}
    image.channel.send("answer", files, **values)


def _take_threads(count: int) -> None:
    """Compute with so many, whatever this process was started with."""
    if os.environ.get("OMP_NUM_THREADS") != str(count):
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(count))
        if pools := sys.modules.get("threadpoolctl"):  # as scikit-learn brings it
            pools.threadpool_limits(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def _answer(job: Job, host: Host, progress: Progress, kept: dict[Any, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Values and files of a job that gives no record."""
    import tempfile

    if job.action == "estimate":
        from bench.execution.counting import Known, count_work

        return asdict(count_work(host.registry, job, progress, kept.setdefault("known", Known()))), {}
    from bench.execution.pricing import run_price
    from bench.execution.profile import run_block, run_trace

    if job.action in ("price", "block", "count"):
        run = run_price if job.action == "price" else run_block
        return run(host.registry, job, progress), {}
    with tempfile.TemporaryDirectory(prefix="bench-trace-") as folder:
        traces = run_trace(host.registry, job, progress, Path(folder))
        return {"traces": traces}, {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


if __name__ == "__main__":
    main()
