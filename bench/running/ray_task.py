"""The part of a run that a Ray task does where it is sent: it supervises the worker processes of a few jobs."""

from __future__ import annotations

import contextlib
import ctypes
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.errors import SelectionError
from bench.job import Job
from bench.plugins.interfaces import Event, Resources
from bench.results.provenance import digest, engine_hash, library_versions
from bench.running.parcels import unpacked
from bench.running.supervise import supervise

CANCEL_S = 20.0
"""Patience with tasks that were asked to end, before they are made to."""
POLL_S = 0.2


def drive(
    lines: Sequence[str],
    resources: Resources,
    parcels: Mapping[str, Any],
    sender: tuple[str, str],
    start: Sequence[str],
) -> Iterator[Event]:
    """Run jobs where this is called, a Ray task, and give their events; what interrupts it ends what it started."""
    home, version = sender
    if version != (mine := version_here()):
        raise RuntimeError(
            f"this machine has another bench, libraries or Python ({mine}) than the one that plans ({version})"
        )
    jobs = [Job.from_json(line) for line in lines]
    ray = ray_package()
    if parcels and ray.get_runtime_context().get_node_id() != home:
        jobs = [unpacked(job, {path: ray.get(ref) for path, ref in parcels.items()}) for job in jobs]
    events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            supervise(jobs, events.put, resources, command=(sys.executable, *start))
            events.put(None)
        except BaseException as error:  # noqa: BLE001  told where it is waited for
            events.put(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while True:
            with contextlib.suppress(queue.Empty):  # a polite cancel does not interrupt a wait without an end
                event = events.get(timeout=POLL_S)
                if event is None:
                    return
                if isinstance(event, BaseException):
                    raise event
                yield event
    finally:
        if thread.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
            )
            thread.join(CANCEL_S / 2)


def ray_package() -> Any:
    """The package, imported where it is needed."""
    try:
        import ray
    except ImportError as error:
        raise SelectionError("Ray is not installed; `pip install 'bench-audio[ray]'`") from error
    return ray


def version_here() -> str:
    """What must be the same on all machines: host, libraries, Python."""
    return digest([engine_hash(), library_versions()])
