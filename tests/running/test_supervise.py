"""Supervision of worker processes: files and logs come back, and whatever ends a worker costs its own job."""

from __future__ import annotations

import functools
import os
import select
import signal
import sys
import textwrap
import time
from dataclasses import replace

import pytest

from bench.job import Job
from bench.plugins.interfaces import Answered, EpochEnded, Finished, Lost, ObserverFailed, Resources, Started
from bench.recipe import Recipe
from bench.results.records import Record
from bench.running.local import LocalLauncher
from bench.running.logs import HEAD_BYTES, TAIL_BYTES
from bench.running.process import Worker
from bench.running.supervise import supervise

FAKE = textwrap.dedent("""
    import json, os, signal, subprocess, sys, time, zlib
    out = os.fdopen(os.dup(1), "wb"); os.dup2(2, 1)
    def told(event, files={}, **values):
        return json.dumps({"event": event, "values": values, "files": files}).encode() + b"\\n"
    def send(event, files={}, **values):
        sizes = {name: (len(content), zlib.crc32(content)) for name, content in files.items()}
        say(told(event, sizes, **values) + b"".join(files.values()))
    def say(content):
        out.write(content); out.flush()
    print("before the first job", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        what = job["cell"]["model"]
        send("started")
        os.write(1, f"working on {what}\\n".encode())
        if what == "dies": os.kill(os.getpid(), signal.SIGKILL)
        if what == "dies oddly": os.kill(os.getpid(), 40)
        if what == "exits": os._exit(7)
        if what == "dies together" and job["mates"]: os._exit(7)
        if what == "hangs": time.sleep(600)
        if what == "stops": os.kill(os.getppid(), signal.SIGINT); time.sleep(60)
        if what == "held": subprocess.Popen(["sleep", "600"], stdout=out, start_new_session=True); os._exit(3)
        if what == "closes": out.close(); os.close(1); time.sleep(600)
        if what == "prints": print("first", flush=True); os.write(1, b"x" * 30_000_000); print("last", flush=True)
        if what == "says": say(eval(job["recipe"]["name"]))
        send("epoch", epoch=1, epochs=2, stage="train", scores={"train_loss": 0.5})
        if what == "observed": send("observer", plugin="p", hook="bench_cell_start", error="ValueError: no")
        if job["action"] == "cell":
            record = {"cell": job["cell"], "status": "ok", "started_at": "now",
                      "provenance": {"schema_version": 2, "pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}}
            if what == "takes another": record["cell"]["seed"] = 99
            send("record", {"a.npz": b"\\n{}\\x00" * 300_000, "b.bin": b""}, text=json.dumps(record))
        else:
            send("answer", step_s=1.5)
        if what == "lingers": time.sleep(600)
        if what == "leaves": os._exit(3)
        if what == "repeats": send("answer", step_s=1.5)
        send("idle")
""")
COMMAND = (sys.executable, "-c", FAKE)
ONE = Resources(slots=1, threads=1)


def job(samples, model: str, fold: int = 1, **changes) -> Job:
    cell = replace(samples.cell(model), fold=fold, kind=changes.pop("kind", "evaluate"))
    return Job(cell=cell, recipe=Recipe(name="x"), fingerprint="f", **changes)


def run(jobs, resources=ONE, **options) -> list:
    events: list = []
    supervise(jobs, events.append, resources, command=COMMAND, **options)
    return events


def waiting() -> Worker:
    """A worker that has started, however long that took."""
    worker = Worker(1, COMMAND)
    select.select([worker.printed], [], [], 300)
    return worker


def test_a_record_its_files_and_its_log_come_back(samples) -> None:
    started, epoch, finished = run([job(samples, "good")])
    assert isinstance(started, Started)
    assert isinstance(epoch, EpochEnded)
    assert (epoch.epoch, epoch.epochs, epoch.stage, epoch.scores) == (1, 2, "train", {"train_loss": 0.5})
    assert isinstance(finished, Finished)
    assert isinstance(finished.record, Record)
    assert finished.record.cell == started.job.cell == epoch.job.cell
    assert finished.files == {"a.npz": b"\n{}\x00" * 300_000, "b.bin": b""}
    assert finished.log == "before the first job\nworking on good\n"


def test_cells_of_one_model_share_a_worker_and_profile_cells_never_do(samples) -> None:
    jobs = [job(samples, "a", 1), job(samples, "a", 2), job(samples, "b", 1)]
    profile = [job(samples, "a", fold, kind="profile") for fold in (1, 2)]
    ends = [event for event in run([*jobs, *profile]) if isinstance(event, Finished)]
    pids = [event.record.provenance["pid"] for event in ends]
    assert pids[0] == pids[1]
    assert len(set(pids)) == 4
    assert [event.log for event in ends[:2]] == ["before the first job\nworking on a\n", "working on a\n"]


def test_cells_of_a_recipe_for_trying_out_share_a_worker_whatever_their_model_and_kind(samples) -> None:
    jobs = [job(samples, model, kind=kind) for model in "ab" for kind in ("evaluate", "profile")]
    brief = [replace(one, recipe=Recipe(name="x", publishable=False)) for one in jobs]
    ends = [event for event in run(brief) if isinstance(event, Finished)]
    assert len({event.record.provenance["pid"] for event in ends}) == 1
    again = [replace(one, cell=replace(one.cell, seed=1)) for one in brief if one.alone]
    more = [event for event in run([*brief, *jobs, *again]) if isinstance(event, Finished)]
    assert len({event.record.provenance["pid"] for event in more}) == 1 + len(jobs) + len(again)


def test_a_worker_that_served_evaluate_cells_serves_profile_cells_with_their_threads(samples, monkeypatch) -> None:
    brief = [
        replace(job(samples, "a", kind=kind), recipe=Recipe(name="x", publishable=False), threads=threads)
        for kind, threads in (("evaluate", 1), ("profile", 2))
    ]
    launcher, ends = LocalLauncher(), []
    launcher._keeps, launcher._early = True, [Worker(1, COMMAND) for _ in range(2)]
    monkeypatch.setattr("bench.running.local.supervise", functools.partial(supervise, command=COMMAND))
    ids = {worker.pid for worker in launcher._early}
    launcher.run(brief[:1], ends.append, Resources(slots=2, threads=1))
    assert {worker.pid for worker in launcher._early} == ids
    launcher.run(brief[1:], ends.append, Resources(slots=1, threads=2))
    assert len(launcher._early) == 1, "no other one is there while a profile cell runs"
    launcher.close()
    pids = {end.record.provenance["pid"] for end in ends if isinstance(end, Finished)}
    assert len(pids) <= 2
    assert pids <= ids


def test_workers_that_are_kept_wait_for_what_follows(samples) -> None:
    brief = [replace(job(samples, model), recipe=Recipe(name="x", publishable=False)) for model in "ab"]
    early, kept = [Worker(1, COMMAND) for _ in range(2)], []
    run(brief[:1], resources=Resources(slots=2, threads=1), early=early, kept=kept)
    assert {worker.pid for worker in kept} == {worker.pid for worker in early}
    for worker in kept:
        worker.kill()


@pytest.mark.parametrize(
    ("model", "status", "reason", "message"),
    [
        ("dies", "crashed", "signal", "killed by signal 9 (SIGKILL)"),
        ("dies oddly", "crashed", "signal", "killed by signal 40 (SIGRTMIN+6)"),
        ("exits", "crashed", "exit", "the process ended with status 7"),
        ("held", "crashed", "exit", "the process ended with status 3"),
        ("closes", "crashed", "exit", "the process closed its side of the pipe, had not ended 1 s later and was"),
        (
            "takes another",
            "crashed",
            "protocol",
            "the worker sent the record of another cell: toy/4+1@1/takes another/",
        ),
        ("repeats", "crashed", "protocol", "the worker sent 'answer' after the result of its job"),
        ("hangs", "timeout", "timeout", "no result after 3 s; allow more with --timeout"),
    ],
)
def test_what_ends_a_worker_costs_its_own_job(samples, monkeypatch, model, status, reason, message) -> None:
    if model == "closes":
        monkeypatch.setattr("bench.running.supervise._LEAVE_S", 1.0)
    start = time.monotonic()
    limit = 3.0 if model == "hangs" else 500.0
    events = run([job(samples, model, timeout_s=limit), job(samples, "good")], early=[waiting()])
    lost, finished = (event for event in events if isinstance(event, (Lost, Finished)))
    assert (lost.job.cell.model, lost.status, lost.failure.reason) == (model, status, reason)
    assert lost.failure.message.startswith(message)
    assert lost.log == f"before the first job\nworking on {model}\n"
    assert finished.record.status == "ok"
    assert time.monotonic() - start < 500  # and not until those that sleep have ended


def test_a_stack_whose_process_is_lost_costs_none_of_its_cells(samples) -> None:
    first, *others = (job(samples, "dies together", fold, stack="s", timeout_s=60.0) for fold in (1, 2, 3))
    events = run([replace(first, mates=tuple(others), timeout_s=180.0), *others, job(samples, "other")])
    ends = [event.job for event in events if isinstance(event, Finished)]
    assert [one.cell.fold for one in ends] == [1, 2, 3, 1]
    why = "the process that trained 3 cells was lost: the process ended with status 7"
    assert ends[:3] == [replace(one, stack="", apart=why) for one in (first, *others)]
    assert not any(isinstance(event, Lost) for event in events)


@pytest.mark.parametrize(
    ("model", "note"),
    [
        ("lingers", "the process had not ended 1 s after its work was done and was stopped"),
        ("leaves", "the process ended with status 3 after its work was done"),
    ],
)
def test_work_that_is_done_counts_however_its_process_ends(samples, monkeypatch, model, note) -> None:
    if model == "lingers":
        monkeypatch.setattr("bench.running.supervise._LEAVE_S", 1.0)
    events = run([job(samples, model), job(samples, model, fold=2)])
    ends = [event for event in events if isinstance(event, (Finished, Lost))]
    assert [(end.record.status, end.record.provenance["teardown"]) for end in ends] == [("ok", note)] * 2
    assert ends[0].log == f"before the first job\nworking on {model}\n[bench] {note}\n"
    assert len({end.record.provenance["pid"] for end in ends}) == 2


NOISE = {
    "b'no json\\n'": "what is no message (Invalid JSON: expected",
    "b'{}\\n'": "what is no message (event: Field required): '{}'",
    "b'[]\\n'": "what is no message (Input should be an object): '[]'",
    "b'\\n'": "what is no message (Invalid JSON: EOF",
    "b'['*9999 + b'\\n'": "what is no message (Invalid JSON: recursion limit exceeded",
    "bytes(range(128, 256)) * 40 + b'\\n'": "what is no message (Invalid JSON",
    "bytes(2**26)": "a line of more than 67108864 bytes: '\\x00",
    "b'junk'": 'what is no message (Invalid JSON: expected value at line 1 column 1): \'junk{"event": "epoch"',
    "told('party')": "an unknown event: 'party'",
    "told('idle')": "'idle' before the result of its job",
    "told('answer')": "'answer' to a job whose action is 'cell'",
    "told('record', text=5)": "what is no message (text: Input should be a valid string)",
    "told('record', text='{}')": "no record: the record: no bench record",
    "told('record', {'../../x.y': (1, 1)}, text='')": "what is no message (files",
    "told('record', {'a.b': (-1, 1)}, text='')": "what is no message (files.a.b.0: Input should be greater than",
    "told('record', {'a.b': (1, 1)}, text='') + b'z'": "a.b with other bytes than it announced",
    "told('epoch', epoch='1', epochs=1, stage='', scores={})": "what is no message (epoch: Input should be a valid int",
}


@pytest.mark.parametrize("said", NOISE)
def test_what_is_no_message_costs_the_cell_it_came_with(samples, said) -> None:
    noisy = replace(job(samples, "says"), recipe=Recipe(name=said))
    lost, finished = (event for event in run([noisy, job(samples, "good")]) if isinstance(event, (Lost, Finished)))
    assert (lost.job, lost.status, lost.failure.reason) == (noisy, "crashed", "protocol")
    assert lost.failure.message.startswith(f"the worker sent {NOISE[said]}")
    assert finished.record.status == "ok"


def test_of_a_long_log_beginning_and_end_are_kept(samples) -> None:
    finished = run([job(samples, "prints")])[-1]
    assert finished.log.startswith("before the first job\nworking on prints\nfirst\nxxx")
    assert finished.log.endswith("xxx\nlast\n") or finished.log.endswith("xxxlast\n")
    cut = 30_000_000 + len("before the first job\nworking on prints\nfirst\nlast\n") - HEAD_BYTES - TAIL_BYTES
    assert f"\n[... {cut} bytes cut here ...]\n" in finished.log
    assert len(finished.log) < HEAD_BYTES + TAIL_BYTES + 100


def test_answers_are_values_and_observers_are_named(samples) -> None:
    *_, observer, answered = run([job(samples, "observed", action="price")])
    assert isinstance(observer, ObserverFailed)
    assert (observer.plugin, observer.hook, observer.error) == ("p", "bench_cell_start", "ValueError: no")
    assert isinstance(answered, Answered)
    assert answered.values == {"step_s": 1.5}


def test_what_the_listener_raises_stops_everything_and_comes_through(samples) -> None:
    pids = []

    def on_event(event) -> None:
        if isinstance(event, Finished):
            pids.append(event.record.provenance["pid"])
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        supervise([job(samples, "good"), job(samples, "b")], on_event, ONE, command=COMMAND)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_ctrl_c_reports_what_it_stopped(samples) -> None:
    events: list = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            supervise([job(samples, "stops"), job(samples, "good")], events.append, ONE, command=COMMAND)
    finally:
        signal.signal(signal.SIGINT, before)
    (lost,) = (event for event in events if isinstance(event, Lost))
    assert (lost.job.cell.model, lost.status, lost.log) == (
        "stops", "cancelled", "before the first job\nworking on stops\n"
    )  # fmt: skip


def test_an_early_worker_is_used_unless_the_job_must_be_alone_or_has_other_threads(samples) -> None:
    def pid(job_: Job, resources: Resources) -> tuple[int, int]:
        early = Worker(1, COMMAND)
        (end,) = (event for event in run([job_], resources, early=[early]) if isinstance(event, Finished))
        return early.pid, end.record.provenance["pid"]

    assert len(set(pid(job(samples, "good"), ONE))) == 1
    assert len(set(pid(job(samples, "good", kind="profile"), ONE))) == 2
    assert len(set(pid(job(samples, "good"), Resources(slots=1, threads=2)))) == 2
    assert run([], early=[Worker(1, COMMAND)]) == []


def test_a_job_is_the_same_after_its_journey(samples, tmp_path) -> None:
    sent = job(
        samples,
        "m",
        data=tmp_path,
        weights=tmp_path / "w",
        plugins=(tmp_path,),
        without=("x",),
        limit=3,
        action="trace",
    )
    assert Job.from_json(sent.to_json()) == sent
    assert Job.from_json(job(samples, "m").to_json()) == job(samples, "m")
