"""Jobs on a Ray cluster: a task for each few jobs of one model, which supervises the same worker processes as ever.

Events stream back as they come, with records and files, through Ray's object store. A task whose machine or Ray worker
is lost is sent again, with the jobs that have no result yet.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.errors import SelectionError
from bench.job import Job
from bench.plugins.interfaces import Answered, Finished, Lost, OnEvent, Resources
from bench.results.records import Failure, Status
from bench.running.launching import WORKER_MIB
from bench.running.parcels import Parcel, pack
from bench.running.process import COMMAND
from bench.running.ray_task import CANCEL_S, POLL_S, drive, ray_package, version_here

ATTEMPTS = 4
"""How often a job is sent before it is given up, each time because what ran it was lost."""


class RayLauncher:
    """Tasks on a Ray cluster (``pip install 'bench-audio[ray]'``).

    Args:
        address: ``HOST:PORT`` of the head; ``auto`` finds the cluster that this machine belongs to; ``local`` starts
            one on this machine for the time of the run.
        cpus: Compute threads of an evaluate cell. A profile cell takes a whole machine, always the same one.
        gpus: Devices of a cell that runs on CUDA; may be a part of one.
        memory: MiB of host memory that a cell is given.
        shared_data: Every machine finds data, weights and plugin files where this one does. Otherwise they are sent.
    """

    command: Sequence[str] = COMMAND

    def __init__(
        self, *, address: str = "auto", cpus: int = 1, gpus: float = 1, memory: int = WORKER_MIB,
        shared_data: bool = False,
    ) -> None:  # fmt: skip
        for name, value in {"cpus": cpus, "gpus": gpus, "memory": memory}.items():
            if not isinstance(value, (int, float)) or value <= 0:
                raise ValueError(f"{name}={value}; give more than 0")
        self._address, self._cpus, self._memory, self._shared = address, cpus, memory, shared_data
        self._gpus = gpus
        self._own = contextlib.ExitStack()
        self._pinned: str | None = None

    def offers(self, device: str) -> tuple[Resources, Resources]:
        """What the cluster has for evaluate cells side by side, and for profile cells."""
        nodes = self._nodes()
        need = self._need(self._cpus, device)
        slots = sum(int(min(has.get(name, 0) / amount for name, amount in need.items())) for has in nodes.values())
        self._pinned = max(nodes, key=lambda node: (nodes[node].get("GPU", 0), nodes[node].get("CPU", 0), node))
        whole = int(nodes[self._pinned].get("CPU", 1))
        return Resources(slots=max(1, slots), threads=self._cpus), Resources(slots=1, threads=max(1, whole))

    def run(self, jobs: Sequence[Job], on_event: OnEvent, resources: Resources) -> None:
        """Run all jobs; one that no machine of the cluster can take is ``incompatible`` at once."""
        nodes = self._nodes()
        self._own.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray tells losses on stdout, whatever is set
        possible = []
        for job in jobs:
            need = self._need(resources.threads, job.cell.device, job.cell.nproc)
            if any(all(has.get(name, 0) >= amount for name, amount in need.items()) for has in nodes.values()):
                possible.append(job)
            else:
                has = "; ".join(sorted({_said(node) for node in nodes.values()}))
                why = f"it takes {_said(need)}, and no machine of the Ray cluster has that: {has}"
                on_event(
                    Lost(job=job, status="incompatible", failure=Failure(reason="needs", stage="plan", message=why))
                )
        _Dispatch(self, possible, on_event, resources).run()

    def close(self) -> None:
        """Leave the cluster, or end the one that was started here."""
        self._own.close()

    def submit(self, jobs: Sequence[Job], parcels: Mapping[str, Any], resources: Resources) -> Any:
        """Send a task that gives the events of ``jobs``."""
        ray = ray_package()
        first, options = jobs[0], self._need(resources.threads, jobs[0].cell.device, jobs[0].cell.nproc)
        how: dict[str, Any] = {"num_cpus": options["CPU"], "num_gpus": options.get("GPU", 0), "max_retries": 0}
        if first.action == "cell" and first.alone and self._pinned:  # speeds are compared: one machine, in turns
            how["scheduling_strategy"] = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                self._pinned, soft=True
            )
        task = ray.remote(drive).options(num_returns="streaming", memory=options["memory"], **how)
        sender = (ray.get_runtime_context().get_node_id(), version_here())
        lines = [job.to_json() for job in jobs]
        return task.remote(lines, replace(resources, slots=1), dict(parcels), sender, self.command[1:])

    def parcels(self, jobs: Sequence[Job]) -> dict[str, Any]:
        """Files that jobs name, in the object store, by path."""
        paths = {path: source for job in jobs for path, source in pack(job).items()} if not self._shared else {}
        return {path: ray_package().put(Parcel.of(source)) for path, source in paths.items()}

    def _need(self, cpus: int, device: str, nproc: int = 1) -> dict[str, float]:
        gpus = {"GPU": self._gpus} if device == "cuda" else {}
        each = {"CPU": cpus, "memory": self._memory * 2**20, **gpus}
        return {name: nproc * amount for name, amount in each.items()}

    def _nodes(self) -> dict[str, dict[str, float]]:
        """Resources of the machines that are alive; connects first."""
        ray = self._connected()
        return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}

    def _connected(self) -> Any:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 would slow what is timed beside others
        if self._address == "local":
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        elif "RAY_AUTH_TOKEN" not in os.environ:
            os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(Path.home() / ".ray" / "auth_token"))
        ray = ray_package()
        if not ray.is_initialized():
            ray._raylet.Config.initialize("")  # whoever imported it before has it remember another RAY_AUTH_MODE
            handler = signal.getsignal(signal.SIGTERM)
            try:
                ray.init(self._address, include_dashboard=False, log_to_driver=False, configure_logging=False)
            except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
                first = next(iter(str(error).strip().splitlines()), type(error).__name__)
                raise SelectionError(
                    f"no Ray cluster at address={self._address}: {first}; start one with `ray start --head` and the "
                    "same token on each machine (`ray get-auth-token --generate`), or use address=local"
                ) from error
            finally:
                if handler is not None and threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, handler)  # Ray's own would leave without a word
            self._own.callback(ray.shutdown)
        return ray


class _Dispatch:
    """The batches of one run: those that wait, those in flight by the stream of their events."""

    def __init__(self, launcher: RayLauncher, jobs: Sequence[Job], on_event: OnEvent, resources: Resources) -> None:
        self._ray = ray_package()
        self._launcher, self._on_event, self._resources = launcher, on_event, resources
        self._waiting = [{job.cell: job for job in batch} for batch in batches(jobs, resources.slots)]
        self._flying: dict[Any, dict[Cell, Job]] = {}
        self._begun: set[Cell] = set()
        self._sent: Counter[Cell] = Counter()
        self._parcels = launcher.parcels(jobs) if jobs else {}

    def run(self) -> None:
        try:
            while self._waiting or self._flying:
                while self._waiting and len(self._flying) < self._resources.slots:
                    self._send(self._waiting.pop(0))
                for stream in self._ray.wait(list(self._flying), timeout=POLL_S, fetch_local=False)[0]:
                    self._hear(stream)
        except KeyboardInterrupt:
            begun = [job for batch in self._flying.values() for job in batch.values() if job.cell in self._begun]
            self._stop()
            for job in begun:
                self._on_event(_lost(job, "cancelled", "stopped by the user"))
            raise
        finally:
            self._stop()

    def _send(self, batch: dict[Cell, Job]) -> None:
        self._sent.update(batch.keys())
        self._flying[self._launcher.submit(list(batch.values()), self._parcels, self._resources)] = batch

    def _hear(self, stream: Any) -> None:
        """One event of a batch, or its end."""
        batch = self._flying[stream]
        try:
            event = self._ray.get(next(stream))
        except StopIteration:
            del self._flying[stream]
        except self._ray.exceptions.RayTaskError as error:  # it was ours that raised, and would again
            del self._flying[stream]
            for job in batch.values():
                self._on_event(_lost(job, "crashed", str(error.cause)))
        except self._ray.exceptions.RayError as error:
            del self._flying[stream]
            self._retry(batch, type(error).__name__)
        else:
            job = batch[event.job.cell]
            self._begun.add(job.cell)
            if isinstance(event, (Answered, Finished, Lost)):
                del batch[job.cell]
                self._begun.discard(job.cell)
            self._on_event(replace(event, job=job))

    def _retry(self, batch: dict[Cell, Job], why: str) -> None:
        """Send what has no result again, each job by itself: one of them may be what ended the others."""
        for cell, job in batch.items():
            if self._sent[cell] < ATTEMPTS:
                self._waiting.insert(0, {cell: job})
            else:
                said = f"what ran it was lost {ATTEMPTS} times ({why}); see memory and logs of the machines"
                self._on_event(_lost(job, "crashed", said))

    def _stop(self) -> None:
        """End every task, politely at first, so that it ends all that it started."""
        for force in (False, True):
            for stream in self._flying:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.cancel(stream, force=force)
            until = time.monotonic() + CANCEL_S
            while self._flying and time.monotonic() < until:
                for stream in self._ray.wait(list(self._flying), timeout=POLL_S, fetch_local=False)[0]:
                    try:
                        self._ray.get(next(stream))
                    except (StopIteration, self._ray.exceptions.RayError):
                        del self._flying[stream]
        self._flying.clear()


def batches(jobs: Sequence[Job], slots: int) -> list[list[Job]]:
    """Jobs of one key together, in at most ``slots`` parts each, so that every slot can take one."""
    keys: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        keys.setdefault(job.key, []).append(job)
    sizes = {key: math.ceil(len(group) / slots) for key, group in keys.items()}
    return [group[at : at + sizes[key]] for key, group in keys.items() for at in range(0, len(group), sizes[key])]


def _lost(job: Job, status: Status, why: str) -> Lost:
    return Lost(job=job, status=status, failure=Failure(reason="exit", stage="worker", message=why))


def _said(resources: Mapping[str, float]) -> str:
    memory = f"{resources.get('memory', 0) / 2**20:.0f} MiB"
    return f"{resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU, {memory}"
