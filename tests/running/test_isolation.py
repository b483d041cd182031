"""No state survives from one cell to the next: noise stays at chance, and each cell starts from the same image."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from scipy.stats import binom

from bench.cell import Cell
from bench.config.recipes import resolve
from bench.data.locate import open_clips
from bench.job import Job
from bench.plugins.discovery import load
from bench.plugins.interfaces import Event, Finished
from bench.results.records import Record
from bench.running.process import Worker
from bench.running.scoring import completed

PLUGIN = Path(__file__).with_name("leaking_plugin.py")
CHANCE, CLIPS = 1 / 3, 150
KINDS = ("copies", "network", "cached", "backbone", "tensors", "forest", "scaled", "adapting")


def job(kind: str, fold: int, plugin: Path = PLUGIN) -> Job:
    """One cell of a model of the plugin, on noise."""
    cell = Cell(
        kind="evaluate", dataset="copies" if kind == "copies" else "noise", protocol="4+1@1", fold=fold,
        model="leaks.network" if kind == "copies" else f"leaks.{kind}", recipe="smoke", batch=16,
        frontend="adapting" if kind == "adapting" else "waveform", device="cpu",
    )  # fmt: skip
    recipe = resolve("smoke", {"*": {"trim_db": None, "lr": 0.01, "epochs": 12}})
    return Job(cell=cell, recipe=recipe, fingerprint="f", plugins=(plugin,), keep_checkpoint=False)


def serve(jobs: Sequence[Job]) -> Iterator[Record]:
    """The records of cells that follow each other in one worker, scored."""
    registry, worker = load((PLUGIN,)).registry, Worker(1)
    try:
        for item in jobs:
            worker.send(item)
            ended: list[Event] = []
            while not ended:
                select.select([worker.output, worker.printed], [], [], 60)
                worker.drain()
                ended += [message.of(item) for message in worker.messages() if message.event == "record"]
                assert not worker.gone, worker.log()
            entry = registry.datasets[item.cell.dataset]
            assert isinstance(ended[0], Finished)
            yield completed(registry, open_clips(entry.spec, None, load=entry.factory), ended[0]).record
    finally:
        worker.kill()


@pytest.mark.slow
def test_noise_stays_inside_the_chance_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for record in serve([job(kind, fold) for kind in KINDS for fold in range(1, 6)]):
        kind = "copies" if record.cell.dataset == "copies" else record.cell.model.partition(".")[2]
        if record.status != "ok":
            assert record.error is not None
            assert (kind, record.error.reason) in {("copies", "data"), ("adapting", "state")}, record.error
        found[kind] += [s.value for s in record.scores if s.name == "accuracy"] if record.status == "ok" else [CHANCE]
    low, high = binom.ppf([0.005, 0.995], CLIPS, CHANCE)
    assert {k: v for k, v in found.items() if not low <= round(sum(v) / 5 * CLIPS) <= high} == {}


@pytest.mark.slow
def test_what_an_import_started_costs_a_fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread would be missing in a child: each cell then has a process that begins anew, and is as clean."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    plugin, seen = tmp_path / "threaded.py", tmp_path / "seen"
    plugin.write_text(
        f"{PLUGIN.read_text()}\nimport os, threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        f"os.write(os.open({str(seen)!r}, os.O_APPEND | os.O_CREAT | os.O_WRONLY), b'started ')\n"
    )
    records = list(serve([job("forest", fold, plugin) for fold in (1, 2, 3)]))
    assert [record.status for record in records] == ["ok"] * 3
    assert seen.read_text() == "started " * 3
    assert max(score.value for record in records for score in record.scores if score.name == "accuracy") < 0.7


def run(code: str) -> subprocess.Popen[str]:
    """A process with pipes that knows ``in_child`` and ``forks``."""
    head = "import os, sys, time\nfrom bench.running.isolation import forks, guarded, in_child\n"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", head + code], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    """All that it prints, while its standard input stays open."""
    assert process.stdout is not None
    return process.stdout.read()


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("os._exit(0)", 0), ("os._exit(7)", 7), ("sys.exit(3)", 3), ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
    ],
)  # fmt: skip
def test_a_cell_that_ends_its_process_ends_the_worker_in_the_same_way(work: str, code: int) -> None:
    with run(f"in_child(lambda: {work}); print('went on')") as process:
        assert said(process) == ""
        assert process.wait(120) == code


def test_the_next_cell_finds_what_the_last_one_imported_and_nothing_else() -> None:
    code = (
        "kept = {}\ndef work():\n    import colorsys; assert not kept; kept['x'] = 1\n"
        "print('colorsys' in in_child(work), in_child(work), kept, forks())"
    )
    with run(code) as process:
        first, second = said(process).split(" ", 1)
    assert first == "True"
    assert "{} True" in second


def test_a_thread_of_an_import_forbids_children() -> None:
    code = "import threading; threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); print(forks())"
    with run(code + "; sys.stdout.flush(); os._exit(0)") as process:
        assert said(process) == "False\n"


def test_a_fresh_process_starts_from_what_was_imported_for_all_with_the_line_that_was_handed_on() -> None:
    code = (
        "import json\ndef ready():\n    import colorsys\n"
        "def serve(afresh, line):\n"
        "    seen = [name in sys.modules for name in ('colorsys', 'wave')]\n"
        "    print(json.dumps([os.getpid(), line.decode(), *seen]), flush=True)\n"
        "    import wave\n"
        "    afresh(b'x' * 200_000) if not line else afresh(b'last') if line != b'last' else sys.exit(3)\n"
        "guarded(serve, ready)"
    )
    with run(code) as process:
        told = [json.loads(line) for line in said(process).splitlines()]
        assert process.wait(120) == 3
    assert [line for _, line, *_ in told] == ["", "x" * 200_000, "last"]
    assert len({pid for pid, *_ in told}) == 3
    assert [seen for *_, there, seen in told if there] == [False] * 3


def test_a_fork_counts_the_files_that_its_parent_has_mapped() -> None:
    code = (
        "import scipy.linalg\nfrom pathlib import Path\nfrom bench.measurement.memory import read_field\n"
        "from bench.running.isolation import map_files\n"
        "def size(): return read_field(Path('/proc/self/status'), 'RssFile').value\n"
        "whole = size()\n"
        "if not os.fork():\n    few = size(); map_files(); print(whole, few, size(), flush=True); os._exit(0)\n"
        "os.wait()"
    )
    with run(code) as process:
        whole, few, mapped = map(float, said(process).split())
    assert few < 0.8 * whole
    assert mapped == pytest.approx(whole, rel=0.1) or mapped == pytest.approx(few, rel=0.1)  # an old kernel


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("killed", ["", "first", "its group", "second"])
def test_a_cell_and_what_it_has_started_end_with_its_supervisor_and_either_guard(killed: str, alone: bool) -> None:
    apart = "(os.fork() or (os.setsid(), time.sleep(600), os._exit(0)))"
    work = f"(print(os.getpid(), {apart}, flush=True), time.sleep(600))"
    with run(f"guarded(lambda afresh, line: {work if alone else f'in_child(lambda: {work})'}, int)") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        (second,) = psutil.Process(process.pid).children()
        match killed:
            case "first":
                process.kill()
            case "its group":
                os.killpg(process.pid, signal.SIGKILL)
            case "second":
                second.kill()
            case _:
                process.stdin.close()
        assert process.wait(120) in (-signal.SIGTERM, -signal.SIGKILL)
        _, left = psutil.wait_procs([one for one in psutil.process_iter() if one.pid in pids], timeout=120)
        assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
