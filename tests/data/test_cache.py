"""Folders appear whole or not at all; a full disk is one clear error."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.cache import (
    Appender,
    CacheWarning,
    _checksum,
    cache_root,
    disk_errors,
    ensure,
    read_header,
    staging,
    sweep,
)
from bench.errors import DataError

FILE = "samples.bin"


def writes(values: list[int]):
    """What :func:`ensure` calls to fill an entry."""

    def write(folder: Path) -> dict:
        with Appender(folder / FILE) as file:
            file.append(np.array(values, dtype=np.int16))
        return {"values": values}

    return write


def test_cache_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "c"))
    assert cache_root() == tmp_path / "c"
    monkeypatch.delenv("BENCH_CACHE")
    assert cache_root().name == "bench"


def test_published_folder_is_complete_and_staging_is_gone(tmp_path):
    goal = tmp_path / "deep" / "goal"
    made = ensure(goal, FILE, writes([1, 2, 3]))
    assert (made["bytes"], made["values"]) == (6, [1, 2, 3])
    assert read_header(goal, FILE) == made
    assert [p.name for p in goal.parent.iterdir()] == ["goal"]
    assert ensure(goal, FILE, lambda _: pytest.fail("written twice")) == made


def test_an_exception_leaves_nothing(tmp_path):
    goal = tmp_path / "goal"

    def interrupted(folder: Path) -> dict:
        writes([1])(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(goal, FILE, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_the_second_publisher_keeps_the_first_result(tmp_path):
    goal = tmp_path / "goal"

    def beaten(folder: Path) -> dict:
        ensure(goal, FILE, writes([1]))
        return writes([2])(folder)

    assert ensure(goal, FILE, beaten)["values"] == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["goal"]


@pytest.mark.parametrize("damage", ["truncate", "header", "digest", "missing", "same size"])
def test_a_damaged_entry_is_seen_set_aside_named_and_made_again(tmp_path, damage):
    goal = tmp_path / "goal"
    ensure(goal, FILE, writes([1, 2]))
    if damage == "truncate":
        os.truncate(goal / FILE, 2)
    elif damage == "header":
        (goal / "header.json").write_text('{"values": {"by')
    elif damage == "digest":
        text = (goal / "header.json").read_text()
        (goal / "header.json").write_text(text.replace("[1, 2]", "[1, 3]"))
    elif damage == "missing":
        (goal / FILE).unlink()
    else:
        (goal / FILE).write_bytes(bytes([1, 0, 3, 0]))
    assert read_header(goal, FILE) is None
    with pytest.warns(CacheWarning, match=r"goal is damaged.*Set aside as"):
        assert ensure(goal, FILE, writes([7]))["values"] == [7]
    (aside,) = tmp_path.glob("damaged-goal-*")
    assert {p.name for p in tmp_path.iterdir()} == {"goal", aside.name}


@given(size=st.integers(1, 200_000), data=st.data())
def test_any_byte_changed_changes_the_checksum(tmp_path_factory, size, data):
    path = tmp_path_factory.mktemp("c") / "file"
    content = bytearray(np.random.default_rng(size).bytes(size))
    path.write_bytes(content)
    before = _checksum(path, size, 0, 0)
    place = data.draw(st.integers(0, size - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert _checksum(path, size, 1, 0) != before


@given(size=st.integers(2, 100_000), data=st.data())
def test_bytes_at_another_place_change_the_checksum(tmp_path_factory, size, data):
    path = tmp_path_factory.mktemp("c") / "file"
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    before = _checksum(path, size, 0, 0)
    unit = data.draw(st.sampled_from([1, 8, 512, 4096]))
    turned = unit * data.draw(st.integers(0, size // unit))
    path.write_bytes(content[turned:] + content[:turned])
    assert (_checksum(path, size, 1, 0) == before) is (turned in (0, size))


def test_sweep_takes_only_old_leftovers(tmp_path):
    old, new, busy = (tmp_path / f".tmp-{number}-{f'{number}' * 32}" for number in (1, 2, 3))
    others = [tmp_path / name for name in (".tmp-notes", ".tmp-1-old", ".tmp-torn-short")]
    for folder in (old, new, busy, *others):
        folder.mkdir()
    (busy / "samples.i16").touch()
    for folder in (old, busy, *others):
        os.utime(folder, (0, 0))
    assert sweep(tmp_path) == 1
    assert {*tmp_path.iterdir()} == {new, busy, *others}


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
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    assert "no space left" in done.stdout
    assert list(tmp_path.iterdir()) == []
