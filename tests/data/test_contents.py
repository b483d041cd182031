"""Identity by what files hold: any byte counts, names, sizes and times do not."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bench.clips import Clips
from bench.data import contents as module
from bench.data.cache import CacheWarning
from bench.data.contents import content_digest, file_digests
from bench.data.waveforms import open_waveforms

RATE = 8_000


@pytest.fixture
def remembered(monkeypatch):
    """Files just written count as settled; the list of those that are hashed."""
    hashed: list[str] = []
    real = module._hash
    monkeypatch.setattr(module, "_SETTLED_NS", -(10**12))
    monkeypatch.setattr(module, "_hash", lambda name: (hashed.append(name), real(name))[1])
    return hashed


def table(folder, seed: int = 0) -> Clips:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = tuple(folder / f"{number}.wav" for number in range(3))
    for path in paths:
        soundfile.write(path, rng.uniform(-0.5, 0.5, 800), RATE, subtype="PCM_16")
    return Clips(
        title="T", ids=("a", "b", "c"), targets=np.array([0, 1, 0]), label_names=("x", "y"), audio=paths,
        sample_rate=RATE, clip_samples=800, manifest_sha256="m",
    )  # fmt: skip


@given(size=st.integers(1, 3000), data=st.data())
def test_any_byte_changed_changes_the_digest(tmp_path_factory, size, data):
    folder = tmp_path_factory.mktemp("bytes")
    content = bytearray(np.random.default_rng(size).bytes(size))
    (folder / "f").write_bytes(content)
    before = file_digests([folder / "f"], cache=folder)
    content[data.draw(st.integers(0, size - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "f").write_bytes(content)
    assert file_digests([folder / "f"], cache=folder) != before


def test_folders_of_equal_names_and_sizes_share_nothing(tmp_path):
    one, other = table(tmp_path / "one"), table(tmp_path / "other", seed=1)
    for path, twin in zip(one.audio, other.audio, strict=True):
        stat = path.stat()
        os.utime(twin, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    first, second = (open_waveforms(c, trim_db=None, fill="zeros", cache=tmp_path / "c") for c in (one, other))
    assert first.fingerprint != second.fingerprint
    assert not np.array_equal(first.samples, second.samples)
    assert content_digest(one, cache=tmp_path) != content_digest(other, cache=tmp_path)


def test_a_copy_elsewhere_shares_everything(tmp_path):
    one, copy = table(tmp_path / "one"), table(tmp_path / "copy")
    assert content_digest(one, cache=tmp_path) == content_digest(copy, cache=tmp_path)
    first, second = (open_waveforms(c, trim_db=None, fill="zeros", cache=tmp_path / "c") for c in (one, copy))
    assert first.fingerprint == second.fingerprint
    assert len(list((tmp_path / "c" / "waveforms").iterdir())) == 2


@pytest.mark.usefixtures("remembered")
def test_a_wav_overwritten_in_place_is_decoded_again(tmp_path):
    clips = table(tmp_path / "one")
    before = open_waveforms(clips, trim_db=None, fill="zeros", cache=tmp_path / "c")
    stat = clips.audio[1].stat()
    data = bytearray(clips.audio[1].read_bytes())
    data[-2] ^= 1
    clips.audio[1].write_bytes(data)
    os.utime(clips.audio[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = open_waveforms(clips, trim_db=None, fill="zeros", cache=tmp_path / "c")
    assert np.flatnonzero((before.samples != after.samples).any(axis=1)).tolist() == [1]


def test_hashed_once_and_again_when_asked_or_touched(tmp_path, remembered):
    clips = table(tmp_path / "one")
    first = content_digest(clips, cache=tmp_path)
    assert len(remembered) == 3
    assert content_digest(clips, cache=tmp_path) == first
    assert len(remembered) == 3
    os.utime(clips.audio[0], ns=(1, 1))
    assert content_digest(clips, cache=tmp_path) == first
    assert len(remembered) == 4
    content_digest(clips, cache=tmp_path, rehash=True)
    assert len(remembered) == 7


def test_a_file_of_this_moment_is_not_remembered(tmp_path, monkeypatch):
    clips = table(tmp_path / "one")
    content_digest(clips, cache=tmp_path)
    monkeypatch.setattr(module, "_hash", lambda _: "other")
    assert set(file_digests(clips.audio, cache=tmp_path)) == {"other"}


def test_names_in_any_encoding_are_remembered_and_impossible_ones_are_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SETTLED_NS", 0)
    file = tmp_path / os.fsdecode(b"caf\xe9.wav")
    file.write_bytes(b"x")
    names = [file, tmp_path / "a\0b", tmp_path / "\ud800", tmp_path / ("x" * 300)]
    for _ in range(2):
        assert file_digests(names, cache=tmp_path) == [hashlib.sha256(b"x").hexdigest(), "", "", ""]
    with closing(sqlite3.connect(tmp_path / "contents.sqlite")) as database:
        assert [path for (path,) in database.execute("select path from files")] == [f"{tmp_path}/caf\\udce9.wav"]


def test_damage_that_the_database_quotes_in_no_encoding_only_costs_time(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"x")
    os.utime(file, (0, 0))
    index = tmp_path / "contents.sqlite"
    with closing(sqlite3.connect(index)) as database, database:
        database.execute("create table files (path text primary key, state text, digest text)")
    index.write_bytes(index.read_bytes().replace(b"(path text", b"\xff\xfe\xff text"))
    with pytest.warns(CacheWarning, match="set aside as"):
        assert file_digests([file], cache=tmp_path) == [hashlib.sha256(b"x").hexdigest()]


def test_a_damaged_or_unwritable_index_only_costs_time(tmp_path, remembered):
    clips = table(tmp_path / "one")
    first = content_digest(clips, cache=tmp_path)
    index = tmp_path / "contents.sqlite"
    index.write_bytes(b"no database" * 100)
    with pytest.warns(CacheWarning, match=r"set aside as contents.sqlite.damaged-1"):
        assert content_digest(clips, cache=tmp_path) == first
    assert content_digest(clips, cache=tmp_path / "one" / "0.wav") == first
    assert content_digest(clips, cache=tmp_path) == first
    assert len(remembered) == 9
    index.unlink()
    index.mkdir()
    with pytest.warns(CacheWarning, match=r"set aside as contents.sqlite.damaged-2"):
        assert content_digest(clips, cache=tmp_path) == first


def test_a_digest_that_was_changed_in_the_index_is_not_believed(tmp_path, remembered):
    clips = table(tmp_path / "one")
    first = content_digest(clips, cache=tmp_path)
    with closing(sqlite3.connect(tmp_path / "contents.sqlite")) as database, database:
        database.execute("update files set digest = 'f' || substr(digest, 2)")
    assert content_digest(clips, cache=tmp_path) == first


def test_pictures_features_and_files_behind_a_callable_count(tmp_path):
    clips = table(tmp_path / "one")
    picture = tmp_path / "p.png"
    picture.write_bytes(b"one")

    class Pictures:
        files = (picture,)

    class Sounds:
        files = clips.audio

        def __call__(self, index):
            return np.full(10, index / 10, dtype=np.float32), RATE

    for kind in (
        replace(clips, images=Pictures()),
        replace(clips, audio=Sounds()),
        replace(clips, audio=None, features=np.zeros((3, 2, 2), dtype=np.float32)),
    ):
        before = content_digest(kind, cache=tmp_path)
        picture.write_bytes(picture.read_bytes() + b".")
        clips.audio[2].write_bytes(clips.audio[2].read_bytes() + b".")
        if kind.features is not None:
            kind.features[2, 1, 1] = 1e-9
        assert content_digest(kind, cache=tmp_path) != before
