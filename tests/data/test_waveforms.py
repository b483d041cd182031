"""The waveform cache: what is stored, when it is reused, and that nothing torn is ever read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bench.clips import Clips
from bench.data import waveforms as module
from bench.data.cache import CacheWarning
from bench.data.decoders import decoder
from bench.data.waveforms import fit, open_waveforms, silence_bounds
from bench.errors import DataError

RATE = 8_000
LENGTH = 4_000


def write_clips(folder: Path, lengths=(1000, 4000, 6000), rate: int = RATE) -> Clips:
    rng = np.random.default_rng(0)
    paths = []
    for number, length in enumerate(lengths):
        paths.append(folder / f"clip{number}.wav")
        soundfile.write(paths[-1], rng.uniform(-0.5, 0.5, length), rate, subtype="PCM_16")
    return Clips(
        title="T", ids=tuple(p.stem for p in paths), targets=np.arange(len(paths)) % 2, label_names=("a", "b"),
        audio=tuple(paths), sample_rate=RATE, clip_samples=LENGTH, manifest_sha256="m",
    )  # fmt: skip


def opened(clips, cache, trim_db=None, fill="zeros", **options):
    return open_waveforms(clips, trim_db=trim_db, fill=fill, cache=cache, **options)


def test_zeros_and_tile(tmp_path):
    clips = write_clips(tmp_path)
    native = [soundfile.read(path, dtype="int16")[0] for path in clips.audio]
    padded = opened(clips, tmp_path / "c")
    assert padded.samples.shape == (3, LENGTH)
    assert padded.samples.dtype == np.int16
    np.testing.assert_array_equal(padded.samples[0], np.pad(native[0], (0, 3000)))
    np.testing.assert_array_equal(padded.samples[2], native[2][:LENGTH])
    assert padded.lengths.tolist() == [1000, 4000, 4000]
    told = {name: value for name, value in padded.report.items() if value not in (0, [], {})}
    assert told == {"decoded": 3, "truncated": 1, "padded": 1, "decoder": decoder()}
    tiled = opened(clips, tmp_path / "c", fill="tile")
    np.testing.assert_array_equal(tiled.samples[0], np.tile(native[0], 4))
    assert tiled.report["tiled"] == 1
    assert tiled.fingerprint != padded.fingerprint


def test_read_only(tmp_path):
    waveforms = opened(write_clips(tmp_path), tmp_path / "c")
    with pytest.raises(ValueError, match="read-only"):
        waveforms.samples[0, 0] = 1


def test_decoded_once_even_for_another_view_and_another_data_set(tmp_path, monkeypatch):
    clips = write_clips(tmp_path)
    first = opened(clips, tmp_path / "c")
    monkeypatch.setattr(module, "decode", lambda *_: pytest.fail("decoded twice"))
    again = opened(clips, tmp_path / "c")
    np.testing.assert_array_equal(first.samples, again.samples)
    assert again.fingerprint == first.fingerprint
    opened(clips, tmp_path / "c", trim_db=60.0, fill="tile")
    other = opened(replace(clips, manifest_sha256="other", ids=("x", "y", "z")), tmp_path / "c")
    assert other.fingerprint == first.fingerprint, "the same recordings have the same features"


def test_a_changed_file_is_decoded_again(tmp_path):
    clips = write_clips(tmp_path)
    before = np.array(opened(clips, tmp_path / "c").samples)
    soundfile.write(clips.audio[0], np.zeros(1000), RATE, subtype="PCM_16")
    os.utime(clips.audio[0], ns=(1, 1))
    after = opened(clips, tmp_path / "c")
    assert before[0].any()
    assert not after.samples[0].any()


def test_all_bad_files_are_named_together_and_nothing_stays(tmp_path):
    clips = write_clips(tmp_path, lengths=(100,) * 5)
    clips.audio[1].write_bytes(b"")
    clips.audio[3].write_bytes(b"RIFFnonsense")
    with pytest.raises(DataError, match="2 of 5 clips") as caught:
        opened(clips, tmp_path / "c")
    assert "clip1.wav" in str(caught.value)
    assert "clip3.wav" in str(caught.value)
    assert list((tmp_path / "c" / "waveforms").iterdir()) == []
    listed = replace(clips, listed_bad=("clip1", "clip3"))
    waveforms = opened(listed, tmp_path / "c", trim_db=60.0, fill="tile")
    assert waveforms.report["failed"] == ["clip1", "clip3"]
    assert waveforms.report["decoded"] == 3
    assert waveforms.lengths[[1, 3]].tolist() == [0, 0]
    assert not waveforms.samples[[1, 3]].any()
    with pytest.raises(DataError, match="clip1"):
        opened(clips, tmp_path / "c")


@pytest.mark.parametrize("kind", ["view", "base"])
def test_torn_cache_is_rebuilt(tmp_path, kind):
    clips = write_clips(tmp_path)
    good = np.array(opened(clips, tmp_path / "c").samples)
    (torn,) = (tmp_path / "c" / "waveforms").glob(f"{kind}-*")
    os.truncate(torn / "samples.bin", 10)
    fill = "zeros" if kind == "view" else "tile"
    with pytest.warns(CacheWarning, match=torn.name):
        again = opened(clips, tmp_path / "c", fill=fill)
    np.testing.assert_array_equal(again.samples[1:], good[1:])


def test_generated_audio_counts_progress(tmp_path):
    seen = []
    clips = replace(
        write_clips(tmp_path, lengths=(10,) * 70), audio=lambda i: (np.full(50, i / 100, dtype=np.float32), RATE)
    )
    waveforms = opened(clips, tmp_path / "c", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 70), (70, 70)]
    assert waveforms.samples[69, 0] == round(0.69 * 32768)
    louder = replace(clips, audio=lambda i: (np.full(50, i / 90, dtype=np.float32), RATE))
    assert opened(louder, tmp_path / "c").samples[69, 0] == round(69 / 90 * 32768)


def test_a_generator_error_is_not_called_a_disk_error(tmp_path):
    def broken(index):
        raise FileNotFoundError("the plugin's own trouble")

    with pytest.raises(FileNotFoundError, match="own trouble"):
        opened(replace(write_clips(tmp_path), audio=broken), tmp_path / "c")


def test_full_disk(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="no space left"):
        opened(write_clips(tmp_path), tmp_path / "c")
    assert list((tmp_path / "c" / "waveforms").iterdir()) == []


def test_unknown_fill(tmp_path):
    with pytest.raises(DataError, match="'zeros' or 'tile'"):
        opened(write_clips(tmp_path), tmp_path / "c", fill="mirror")


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from bench.clips import Clips
from bench.data.waveforms import open_waveforms
cache, slow = Path(sys.argv[1]), float(sys.argv[2])
def audio(i):
    time.sleep(slow)
    return np.full(400, (i + 1) / 200, dtype=np.float32), 8000
n = 100
clips = Clips(title="T", ids=tuple(map(str, range(n))), targets=np.arange(n) % 2, label_names=("a", "b"), audio=audio,
              sample_rate=8000, clip_samples=400, manifest_sha256="m")
waveforms = open_waveforms(clips, trim_db=None, fill="zeros", cache=cache)
assert [int(v) for v in waveforms.samples[:, 0]] == [round((i + 1) / 200 * 32768) for i in range(n)]
print(waveforms.fingerprint, flush=True)
"""


def child(cache: Path, slow: float) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(cache), str(slow)], stdout=subprocess.PIPE, text=True)


def test_processes_at_once_and_a_kill_in_the_middle(tmp_path):
    victim = child(tmp_path, 2.0)
    places = tmp_path / "waveforms"
    limit = time.monotonic() + 300
    while not list(places.glob(".tmp-*/samples.bin")) and time.monotonic() < limit:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=300)
    assert victim.returncode == -signal.SIGKILL
    leftovers = list(places.glob(".tmp-*"))
    assert leftovers
    assert not list(places.glob("base-*"))
    racers = [child(tmp_path, 0.002) for _ in range(3)]
    prints = {racer.communicate(timeout=300)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert len(prints) == 1
    assert len(list(places.glob("base-*"))) == len(list(places.glob("view-*"))) == 1
    assert set(places.glob(".tmp-*")) == set(leftovers)


@given(
    head=st.integers(0, 300),
    body=st.integers(1, 500),
    tail=st.integers(0, 300),
    level=st.sampled_from([40, 4000, 32767]),
)
def test_silence_bounds_keep_the_sound(head, body, tail, level):
    samples = np.concatenate([np.zeros(head), np.full(body, level), np.zeros(tail)]).astype(np.int16)
    start, stop = silence_bounds(samples, 60.0, 1_000)
    assert start <= head < head + body <= stop
    assert head - start < 10
    assert stop - head - body < 10


def test_trim_threshold_in_db():
    rng = np.random.default_rng(1)
    loud = rng.normal(0, 8000, 1000)
    quiet = rng.normal(0, 8000 * 10 ** (-50 / 20), 1000)
    samples = np.concatenate([quiet, loud]).round().astype(np.int16)
    assert silence_bounds(samples, 60.0, 10_000) == (0, 2000)
    assert silence_bounds(samples, 40.0, 10_000) == (1000, 2000)
    assert silence_bounds(np.zeros(50, dtype=np.int16), 60.0, 1000) == (0, 50)


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from(["zeros", "tile"]))
def test_fit_keeps_the_beginning(length, wanted, fill):
    samples = np.arange(1, length + 1, dtype=np.int16)
    row, valid, done = fit(samples, wanted, 1000, (None, fill))
    assert len(row) == wanted
    assert valid == min(length, wanted)
    np.testing.assert_array_equal(row[:valid], samples[:valid])
    assert len(done) == (length != wanted)
    if fill == "tile" and length:
        np.testing.assert_array_equal(row, [samples[i % length] for i in range(wanted)])
    else:
        assert not row[valid:].any()


@pytest.mark.data
def test_esc10_as_measured(data_root, tmp_path):
    from bench_datasets.esc50 import load_esc10

    clips = load_esc10(data_root)
    seconds = np.array([soundfile.info(path).duration for path in clips.audio])
    assert int((np.abs(seconds - 5) > 0.05).sum()) == 6
    some = [int(i) for i in np.flatnonzero(np.abs(seconds - 5) > 0.05)] + [0, 1]
    part = replace(
        clips, ids=tuple(clips.ids[i] for i in some), audio=tuple(clips.audio[i] for i in some),
        targets=clips.targets[some], folds=None, groups=None,
    )  # fmt: skip
    waveforms = opened(part, tmp_path)
    assert waveforms.report["resampled"] == 8
    assert waveforms.samples.shape == (8, 80_000)
