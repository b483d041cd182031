"""Jobs on a Ray cluster: what happens to them is what happens on this machine, and what is lost is done again."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.job import Job
from bench.plugins.interfaces import Finished, Lost, Resources, Started
from bench.recipe import Recipe
from bench.running.parcels import Parcel, pack, unpacked
from bench.running.ray import RayLauncher, batches
from bench.running.supervise import supervise

pytest.importorskip("ray", reason="Ray is not installed; pip install 'bench-audio[ray]'")
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)

FAKE = """
import json, os, signal, subprocess, sys, time, zlib
from pathlib import Path
from bench.running import isolation
isolation.die_with(os.getppid())
out = os.fdopen(os.dup(1), "wb"); os.dup2(2, 1)
def send(event, files={}, **values):
    sizes = {name: (len(content), zlib.crc32(content)) for name, content in files.items()}
    out.write(json.dumps({"event": event, "values": values, "files": sizes}).encode() + b"\\n")
    out.write(b"".join(files.values())); out.flush()
for line in sys.stdin:
    job = json.loads(line)
    what = job["cell"]["model"]
    send("started")
    print(f"working on {what}", flush=True)
    if what == "dies": os.kill(os.getpid(), signal.SIGKILL)
    if what == "exits": os._exit(7)
    if what.startswith("hangs"): time.sleep(60)
    if what == "forks": subprocess.Popen(["sleep", "60"])
    if what == "forks": time.sleep(60)
    if what == "prints": print("x" * 3_000_000, flush=True)
    if (mark := Path(str(job["data"]))).is_absolute() and not mark.exists():
        mark.touch()
        time.sleep(60)
    send("epoch", epoch=1, epochs=2, stage="train", scores={"train_loss": 0.5})
    send("observer", plugin="p", hook="bench_cell_start", error="ValueError: no")
    record = {"cell": job["cell"], "status": "ok", "started_at": "now",
              "provenance": {"schema_version": 2, "pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}}
    send("record", {"a.npz": b"\\n{}\\x00" * 300_000, "b.bin": b""}, text=json.dumps(record))
    send("idle")
"""
COMMAND = (sys.executable, "-c", FAKE)
TWO = Resources(slots=2, threads=1)


@pytest.fixture(scope="module")
def launcher():
    made = RayLauncher(address="local", memory=100)
    made.command = COMMAND
    side_by_side, alone = made.offers("cpu")
    assert side_by_side.threads == alone.slots == 1
    assert alone.threads >= 1
    yield made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray lets its processes go without a word
        made.close()
        gc.collect()


@pytest.fixture
def job(samples):
    def make(model: str, fold: int = 1, **changes) -> Job:
        cell = replace(samples.cell(model), fold=fold, **changes.pop("axes", {}))
        return Job(cell=cell, recipe=Recipe(name="x"), fingerprint="f", **changes)

    return make


def ran(run, jobs, resources=TWO) -> list:
    events: list = []
    run(jobs, events.append, resources)
    return events


def told(events, job) -> list:
    """What was said of a job, without what differs from one process to the next."""
    found = []
    for event in events:
        if event.job == job:
            ends = event.record.status if isinstance(event, Finished) else getattr(event, "failure", None)
            files = {name: len(content) for name, content in getattr(event, "files", {}).items()}
            found.append((type(event).__name__, ends, files, getattr(event, "log", "")))
    return found


def test_every_end_is_the_same_as_on_this_machine(launcher, job) -> None:
    jobs = [
        *(job("good", fold) for fold in (1, 2, 3)), job("dies"), job("exits"), job("prints"),
        job("hangs", timeout_s=5.0), job("forks", timeout_s=5.0),
    ]  # fmt: skip
    here = ran(functools.partial(supervise, command=COMMAND), jobs)
    there = ran(launcher.run, jobs)
    for one in jobs:
        assert told(there, one) == told(here, one), one.cell.model
    records = {event.job: event.record for event in there if isinstance(event, Finished)}
    assert len(records) == 4
    assert {record.provenance["threads"] for record in records.values()} == {"1"}


def test_what_no_machine_has_is_said_at_once(launcher, job) -> None:
    (lost,) = ran(launcher.run, [job("good", axes={"device": "cuda"})])
    assert (lost.status, lost.failure.reason) == ("incompatible", "needs")
    assert "it takes 1 CPU, 1 GPU, 100 MiB, and no machine of the Ray cluster has that: " in lost.failure.message
    (lost,) = ran(launcher.run, [job("good")], Resources(slots=1, threads=4096))
    assert lost.status == "incompatible"


def test_a_lost_ray_worker_is_replaced(launcher, job, tmp_path: Path, capfd) -> None:
    mark = tmp_path / "mark"
    events: list = []

    def on_event(event) -> None:
        events.append(event)
        if isinstance(event, Started) and len(events) == 1:
            while not mark.exists():
                time.sleep(0.05)
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "ray::drive" in " ".join(process.cmdline()):
                        process.kill()

    shared = RayLauncher(address="local", memory=100, shared_data=True)
    shared.command = COMMAND
    shared.run([job("good", data=mark)], on_event, TWO)
    shared.close()
    assert [type(event).__name__ for event in events if isinstance(event, (Started, Finished, Lost))] == [
        "Started", "Started", "Finished",
    ]  # fmt: skip
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("raised", [KeyboardInterrupt, OSError])
def test_what_stops_a_run_leaves_no_process(launcher, job, raised) -> None:
    events: list = []

    def on_event(event) -> None:
        events.append(event)
        if len([one for one in events if isinstance(one, Started)]) == 2 and not any(map(_lost, events)):
            raise raised

    before = {process.pid for process in _others()}
    with pytest.raises(raised):
        launcher.run([job("hangs"), job("forks"), job("good")], on_event, TWO)
    assert sum(map(_lost, events)) == (2 if raised is KeyboardInterrupt else 0)
    assert [process for process in _others() if process.pid not in before] == []


def _lost(event) -> bool:
    return isinstance(event, Lost) and event.status == "cancelled"


def _others() -> list[psutil.Process]:
    """Workers of tests and what they started."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if words[:2] == ["sleep", "60"] or any("working on" in word for word in words):
            found.append(process)
    return found


def test_jobs_of_one_key_are_spread_over_the_slots_and_profile_cells_stand_alone(job) -> None:
    jobs = [job("a", fold) for fold in range(1, 6)] + [job("b"), job("b", 2, axes={"kind": "profile"})]
    assert [len(part) for part in batches(jobs, 2)] == [3, 2, 1, 1]
    assert [len(part) for part in batches(jobs, 100)] == [1] * 7
    assert [one for part in batches(jobs, 3) for one in part] == jobs


def test_files_that_a_job_names_are_sent_and_found_there(job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    (tmp_path / "data" / "toy" / "audio").mkdir(parents=True)
    (tmp_path / "data" / "toy" / "audio" / "a.wav").write_bytes(b"sound")
    (tmp_path / "data" / "huge").mkdir()
    plugin, weights = tmp_path / "p.py", tmp_path / "w.safetensors"
    plugin.write_text("x = 1")
    weights.write_bytes(b"w")
    one = job("a", data=tmp_path / "data", plugins=(plugin,), weights=weights)
    sources = pack(one)
    assert set(sources.values()) == {plugin, weights, tmp_path / "data" / "toy"}
    there = unpacked(one, {name: Parcel.of(path) for name, path in sources.items()})
    assert there.data.is_relative_to(tmp_path / "cache")
    assert (there.data / "audio" / "a.wav").read_bytes() == b"sound"
    assert (there.plugins[0].name, there.plugins[0].read_text()) == ("p.py", "x = 1")
    assert there.weights.read_bytes() == b"w"
    assert replace(there, data=one.data, plugins=one.plugins, weights=one.weights) == one


def test_token_and_silence(launcher) -> None:
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize("options", [{"cpus": 0}, {"memory": "many"}, {"gpus": -1}])
def test_options_are_checked(options) -> None:
    with pytest.raises(ValueError, match="give more than 0"):
        RayLauncher(**options)
