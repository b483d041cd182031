"""Folders appear whole or not at all; a full disk is one clear error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.data.cache import Appender, cache_root, disk_errors, publish, read_header, staging, sweep, write_header
from bench.errors import DataError

SIZES = {"samples.i16": "bytes"}


def build(folder: Path, values: list[int]) -> None:
    array = np.array(values, dtype=np.int16)
    with Appender(folder / "samples.i16") as file:
        file.append(array)
    write_header(folder, {"bytes": array.nbytes, "values": values})


def intact(folder: Path) -> bool:
    return read_header(folder, SIZES) is not None


def test_cache_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "c"))
    assert cache_root() == tmp_path / "c"
    monkeypatch.delenv("BENCH_CACHE")
    assert cache_root().name == "bench"


def test_published_folder_is_complete_and_staging_is_gone(tmp_path):
    goal = tmp_path / "deep" / "goal"
    with staging(goal) as folder:
        build(folder, [1, 2, 3])
        assert not goal.exists()
        publish(folder, goal, intact)
    assert read_header(goal, SIZES) == {"bytes": 6, "values": [1, 2, 3]}
    assert [p.name for p in goal.parent.iterdir()] == ["goal"]


def test_an_exception_leaves_nothing(tmp_path):
    goal = tmp_path / "goal"

    def interrupted() -> None:
        with staging(goal) as folder:
            build(folder, [1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_second_publisher_keeps_the_first_result(tmp_path):
    goal = tmp_path / "goal"
    for values in ([1], [2]):
        with staging(goal) as folder:
            build(folder, values)
            publish(folder, goal, intact)
    assert read_header(goal, SIZES)["values"] == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["goal"]


@pytest.mark.parametrize("damage", ["truncate", "header", "digest", "missing"])
def test_a_torn_folder_is_seen_and_replaced(tmp_path, damage):
    goal = tmp_path / "goal"
    with staging(goal) as folder:
        build(folder, [1, 2])
        publish(folder, goal, intact)
    if damage == "truncate":
        os.truncate(goal / "samples.i16", 2)
    elif damage == "header":
        (goal / "header.json").write_text('{"values": {"by')
    elif damage == "digest":
        text = (goal / "header.json").read_text()
        (goal / "header.json").write_text(text.replace("[1, 2]", "[1, 3]"))
    else:
        (goal / "samples.i16").unlink()
    assert not intact(goal)
    with staging(goal) as folder:
        build(folder, [7])
        publish(folder, goal, intact)
    assert read_header(goal, SIZES)["values"] == [7]
    assert [p.name for p in tmp_path.iterdir()] == ["goal"]


def test_sweep_takes_only_old_leftovers(tmp_path):
    old, new = tmp_path / ".tmp-1-old", tmp_path / ".tmp-2-new"
    old.mkdir()
    new.mkdir()
    busy = tmp_path / ".tmp-3-busy"
    busy.mkdir()
    (busy / "samples.i16").touch()
    for folder in (old, busy):
        os.utime(folder, (0, 0))
    assert sweep(tmp_path) == 1
    assert {p.name for p in tmp_path.iterdir()} == {new.name, busy.name}


def test_full_disk_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"no space left.*BENCH_CACHE"), disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DataError, match="cannot write"), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_unwritable_cache_is_a_data_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"), staging(tmp_path / "file" / "goal"):
        pass


def test_a_file_size_limit_leaves_no_half_file(tmp_path):
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from bench.data.cache import Appender, staging
from bench.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    with staging(Path(sys.argv[1]) / "goal") as folder, Appender(folder / "samples.i16") as file:
        file.append(np.zeros(100_000, dtype=np.int16))
except DataError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "no space left" in done.stdout
    assert list(tmp_path.iterdir()) == []
