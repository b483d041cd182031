"""One contract over all launchers: whatever a cell does to its process, it has one end, and the others go on."""

from __future__ import annotations

import gc
import time
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.cell import Cell
from bench.config.recipes import resolve
from bench.job import Job
from bench.plugins.discovery import load
from bench.plugins.interfaces import Event, Finished, Lost, Resources
from bench.running.launching import Launching
from bench.running.logs import HEAD_BYTES, TAIL_BYTES

PLUGIN = Path(__file__).with_name("contract_plugin.py")
NO_RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install 'bench-audio[ray]'")
LAUNCHERS = ("local", pytest.param("ray:address=local,memory=100", marks=NO_RAY))
"""As ``--launcher`` takes them."""
LIMIT_S = 8.0
ENDS = {
    "good": ("ok", "", ""),
    "leaks": ("ok", "", ""),
    "lingers": ("ok", "", ""),
    "returns_twice": ("ok", "", ""),
    "daemon": ("ok", "", ""),
    "prints": ("ok", "", ""),
    "replaces": ("ok", "", ""),
    "raises": ("failed", "raised", "ValueError: the model broke here"),
    "interrupts": ("failed", "raised", "KeyboardInterrupt: "),
    "speaks": ("failed", "raised", "ValueError: half a character: ?"),
    "nan": ("failed", "nan", ""),
    "exits": ("failed", "exit", "SystemExit: 5"),
    "limited": ("failed", "raised", "OSError: [Errno 27] File too large"),
    "leaves": ("crashed", "exit", "the process ended with status 7"),
    "holds": ("crashed", "exit", "the process ended with status 3"),
    "closes": ("crashed", "exit", "the process ended with status 1"),
    "segfaults": ("crashed", "signal", "killed by signal 11 (SIGSEGV)"),
    "kills_parent": ("crashed", "signal", "killed by signal 9 (SIGKILL)"),
    "ends_group": ("crashed", "signal", "killed by signal 15 (SIGTERM)"),
    "patches": ("ok", "", ""),
    "writes": ("crashed", "protocol", "the worker sent what is no message"),
    "hangs": ("timeout", "timeout", f"no result after {LIMIT_S:.0f} s; allow more with --timeout"),
    "ignores": ("timeout", "timeout", f"no result after {LIMIT_S:.0f} s; allow more with --timeout"),
}


def jobs() -> list[Job]:
    """A cell of each kind, and good ones between them."""
    kinds = [kind for bad in ENDS if bad != "good" for kind in (bad, "good")]
    counts: Counter[str] = Counter()
    made = []
    for kind in kinds:
        counts[kind] += 1
        cell = Cell(
            kind="evaluate", dataset="beats", protocol="4+1@1", fold=1, model=f"does.{kind}", frontend="waveform",
            recipe="smoke", batch=8, seed=counts[kind],
        )  # fmt: skip
        limit = LIMIT_S if ENDS[kind][0] == "timeout" else 120.0
        recipe = resolve("smoke", {"*": {"trim_db": None}})
        made.append(Job(cell=cell, recipe=recipe, fingerprint="f", plugins=(PLUGIN,), timeout_s=limit))
    return made


@pytest.fixture(scope="module", params=LAUNCHERS)
def launched(request, tmp_path_factory) -> tuple[list[Job], list[Event], Path]:
    """What each launcher told of all cells, two side by side."""
    given, events, mark = jobs(), list[Event](), tmp_path_factory.mktemp("contract")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(mark))
        launching = Launching(request.param, load((PLUGIN,)).registry)
        try:
            launching.run(given, events.append, Resources(slots=2, threads=1))
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # Ray lets its processes go without a word
                launching.close()
                gc.collect()  # now, and not in the test of another
    return given, events, mark


@pytest.mark.slow
def test_every_cell_has_one_end_and_it_is_the_right_one(launched) -> None:
    given, events, _ = launched
    found: dict[str, set[tuple[str, str, str]]] = {}
    counts: Counter[Cell] = Counter()
    for event in (event for event in events if isinstance(event, (Finished, Lost))):
        counts[event.job.cell] += 1
        status, why = (
            (event.status, event.failure) if isinstance(event, Lost) else (event.record.status, event.record.error)
        )
        kind = event.job.cell.model.partition(".")[2]
        said = "" if why is None else why.message
        known = ENDS[kind][2]
        found.setdefault(kind, set()).add(
            (status, why.reason if why else "", known if said.startswith(known) else said)
        )
    assert counts == Counter(job.cell for job in given)
    assert found == {kind: {end} for kind, end in ENDS.items()}


@pytest.mark.slow
def test_what_was_printed_is_kept_within_bounds_and_what_was_left_is_named(launched) -> None:
    logs = {event.job.cell.model: event.log for event in launched[1] if isinstance(event, Finished)}
    assert logs["does.prints"].startswith("the first line\nxxx")
    assert logs["does.prints"].endswith("xxx\nthe last line\n")
    assert "bytes cut here" in logs["does.prints"]
    assert len(logs["does.prints"]) < HEAD_BYTES + TAIL_BYTES + 100
    assert "[bench] ended what the cell had left running: " in logs["does.daemon"]
    assert "(sleep 600)" in logs["does.daemon"]
    assert logs["does.good"] == ""


@pytest.mark.slow
def test_no_process_is_left(launched) -> None:
    mark, until = f"BENCH_CACHE={launched[2]}".encode(), time.monotonic() + 120
    while (left := _marked(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def _marked(mark: bytes) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
