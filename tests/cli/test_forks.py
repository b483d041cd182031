"""Work shared with forks gives what one process gives, whatever becomes of the forks."""

import os
import signal

import pytest

from bench.cli import forks
from bench.cli.forks import forked_map


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """Three cores and no thread; the processes that were started, none of which is left in the end."""
    pids, fork = [], os.fork

    def noted():
        if pid := fork():
            pids.append(pid)
        return pid

    monkeypatch.setattr(forks.os, "sched_getaffinity", lambda _: set(range(3)), raising=False)
    monkeypatch.setattr(forks.threading, "active_count", lambda: 1)
    monkeypatch.setattr(forks.sys, "platform", "linux")
    monkeypatch.setattr(forks.os, "fork", noted)
    yield pids
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def test_answers_come_in_the_order_of_the_items_from_several_processes():
    found = forked_map(lambda item: (item, os.getpid(), "x" * 100_000), range(8))  # more than a pipe holds
    assert [item for item, _, _ in found] == list(range(8))
    assert len({pid for _, pid, _ in found}) == 3


def test_what_is_printed_is_printed_once_wherever_it_was(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w") as out:  # kept back until there is enough of it, as a pipe's is
        monkeypatch.setattr("sys.stdout", out)
        out.write("before ")
        forked_map(lambda item: out.write(f"item {item}\n"), range(6))
    told = (tmp_path / "out").read_text()
    assert told.count("before") == 1
    assert sorted(told.replace("before ", "").splitlines()) == [f"item {number}" for number in range(6)]


@pytest.mark.parametrize("end", ["killed", "exits", "raises", "cannot be told"])
def test_what_a_fork_does_not_finish_is_done_here(end):
    here = os.getpid()

    def work(item):
        if os.getpid() == here:
            return item, None
        match end:
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exits":
                os._exit(0 if item == 1 else 3)
            case "raises":
                raise ValueError(item)
        return item, (lambda: item)

    assert forked_map(work, range(5)) == [(item, None) for item in range(5)]


def test_an_error_of_an_item_is_met_here_and_leaves_no_process(started):
    def work(item):
        if item == 4:
            raise ValueError("four")
        return item

    for count in (6, 5):
        with pytest.raises(ValueError, match="four"):
            forked_map(work, range(count))
    assert len(started) == 4


def test_one_core_or_a_thread_is_enough(monkeypatch):
    monkeypatch.setattr(forks.threading, "active_count", lambda: 2)
    assert set(forked_map(lambda _: os.getpid(), range(4))) == {os.getpid()}
    monkeypatch.setattr(forks.threading, "active_count", lambda: 1)
    monkeypatch.setattr(forks.os, "sched_getaffinity", lambda _: {0})
    assert set(forked_map(lambda _: os.getpid(), range(4))) == {os.getpid()}
