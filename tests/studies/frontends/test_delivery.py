"""Delivery: every loader hands over the same features, cold is really asked for, and numbers come from the clock."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from torch import nn

from bench.clips import Clips
from bench.data.waveforms import open_waveforms
from bench.recipe import Recipe
from bench.statistics.results import Refusal
from bench.studies.frontends import delivery as module
from bench.studies.frontends import loaders as page_cache
from bench.studies.frontends.delivery import GENERATED, ON_CPU, Amount, measure_delivery, rounds_interval, stored_clips
from bench.studies.frontends.loaders import (
    KEPT,
    NO_CALL,
    PLACES,
    StudyData,
    evict,
    loaders_of,
    not_cold,
    open_loader,
    rounds_of,
)

RATE, SAMPLES, CLIPS, FREQ, FRAMES = 8000, 800, 6, 4, 10
PLAN = Amount(clips=CLIPS, rounds=6, batches=(2, 4))
SECONDS_WARM, SECONDS_COLD = 0.5, 2.0


class Bands(nn.Module):
    """A front end in four lines: log power of ten frames in four parts."""

    def forward(self, audio):
        parts = audio.reshape(len(audio), FRAMES, FREQ, -1)
        return parts.square().mean(-1).clamp(min=1e-7).log().transpose(1, 2)


def clips_of(folder, *, generated=False):
    rng = np.random.default_rng(3)
    waves = (0.3 * rng.standard_normal((CLIPS, SAMPLES))).clip(-0.9, 0.9).astype(np.float32)
    paths = [folder / f"{i}.wav" for i in range(CLIPS)]
    for path, wave in zip(paths, waves, strict=True):
        soundfile.write(path, wave, RATE, subtype="PCM_16")
    audio = (lambda i: (waves[i], RATE)) if generated else paths
    return Clips(
        title="Noise", ids=tuple(f"n{i}" for i in range(CLIPS)), targets=np.zeros(CLIPS, dtype=np.int64),
        label_names=("noise",), audio=audio, sample_rate=RATE, clip_samples=SAMPLES, manifest_sha256="noise",
    )  # fmt: skip


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return data_of(clips_of(tmp_path))


def data_of(clips):
    recipe = Recipe(trim_db=None, fill="zeros")
    waveforms = open_waveforms(clips, trim_db=None, fill="zeros")
    modules = {"nnaudio": Bands(), "kaldi": Bands()}
    return StudyData(
        clips=clips, waveforms=waveforms, recipe=recipe, frontends=modules, fly=("nnaudio", "kaldi"), stored="nnaudio"
    )


@pytest.fixture
def machine(monkeypatch):
    """A kernel that counts what is evicted, and a clock that runs slower after an eviction."""
    seen = {"evicted": [], "mapped": [], "cold": False, "read": 0}

    def advise(descriptor, offset, length, advice):
        name = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        seen["evicted"].append(Path(name).name)
        seen["mapped"] += [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(name)]
        seen["cold"] = True
        seen["expected"] = os.fstat(descriptor).st_size

    class Clock:
        def time(self, call, index):
            cold, seen["cold"] = seen["cold"], False
            seen["read"] += seen["expected"] if cold else 0
            call(index)
            return SECONDS_COLD if cold else SECONDS_WARM

    monkeypatch.setattr(os, "posix_fadvise", advise)
    monkeypatch.setattr(module, "Clock", lambda device: Clock())
    monkeypatch.setattr(module, "storage_bytes", lambda: seen["read"])
    return seen


def test_rows_stand_in_one_order_and_name_where_data_lie(data, machine) -> None:
    rows = measure_delivery(data, "cpu", PLAN)["rows"]
    assert [(row["kept"], row["place"], row["frontend"]) for row in rows] == [
        ("int16", "warm", "nnaudio"), ("int16", "warm", "kaldi"), ("int16", "cold", "nnaudio"),
        ("files", "warm", "nnaudio"), ("files", "warm", "kaldi"),
        ("float32", "cold", None), ("float32", "warm", None), ("float32", "ram", None), ("float32", "device", None),
        ("float16", "cold", None), ("float16", "warm", None), ("float16", "ram", None), ("float16", "device", None),
    ]  # fmt: skip
    assert rows[0]["name"] == "int16 waveform cache (disk, page cache warm) + nnaudio"


def test_cold_files_are_evicted_before_every_round_and_warm_ones_never(data, machine) -> None:
    rows = {(row["kept"], row["place"]): row for row in measure_delivery(data, "cpu", PLAN)["rows"]}
    timed = PLAN.rounds * len(PLAN.batches)
    # Once more at the start, to learn whether it can be done at all.
    assert machine["evicted"].count("samples.i16") == timed + 1
    assert machine["evicted"].count("values.bin") == 2 * (timed + 1)
    assert len(machine["evicted"]) == 3 * (timed + 1)
    assert machine["mapped"] == [], "pages of an open memory map are not dropped"
    for kept in ("float32", "float16"):
        assert rows[kept, "cold"]["rates"]["2"]["clips_per_s"] == CLIPS / SECONDS_COLD
        assert rows[kept, "warm"]["rates"]["2"]["clips_per_s"] == CLIPS / SECONDS_WARM
        assert rows[kept, "ram"]["rates"]["2"]["interval"] == [CLIPS / SECONDS_WARM] * 2


def test_only_whole_batches_are_counted(data, machine) -> None:
    rows = measure_delivery(data, "cpu", PLAN)["rows"]
    assert rows[0]["rates"]["4"]["rounds"] == [4 / SECONDS_WARM] * PLAN.rounds


def test_bytes_are_those_of_the_files_and_of_the_tensors(data, machine) -> None:
    rows = {(row["kept"], row["place"]): row for row in measure_delivery(data, "cpu", PLAN)["rows"]}
    values = FREQ * FRAMES
    disk = {"int16": 2 * SAMPLES, "files": 2 * SAMPLES + 44, "float32": 4 * values, "float16": 2 * values}
    for (kept, place), row in rows.items():
        assert row["disk_bytes"] == disk[kept]
        handed = {"int16": 4 * SAMPLES, "files": 4 * SAMPLES}.get(kept, 4 * values)
        assert row["device_bytes"] == (8 if place == "device" else handed)


def test_what_cannot_be_measured_says_why(tmp_path, monkeypatch, machine) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delattr(os, "posix_fadvise")
    found = measure_delivery(data_of(clips_of(tmp_path, generated=True)), "cpu", PLAN)
    reasons = {(row["kept"], row["place"]): row["reasons"].get("rates") for row in found["rows"]}
    assert reasons["float32", "cold"] == reasons["int16", "cold"] == NO_CALL
    assert reasons["float32", "device"] == ON_CPU
    assert reasons["files", "warm"] == GENERATED
    assert reasons["float32", "warm"] is None
    for row in found["rows"]:
        missing = row["reasons"].get("rates") is not None
        assert all((rate is None) == missing for rate in row["rates"].values())
        assert (row["host_mib"] is None) == ("host_mib" in row["reasons"])


def test_a_file_that_stays_in_memory_is_not_called_cold(data, machine, monkeypatch) -> None:
    monkeypatch.setattr(module, "storage_bytes", lambda: 0)
    rows = {(row["kept"], row["place"]): row for row in measure_delivery(data, "cpu", PLAN)["rows"]}
    assert rows["float32", "cold"]["rates"] == {"2": None, "4": None}
    assert "0 of 960 bytes came from storage" in rows["float32", "cold"]["reasons"]["rates"]
    assert rows["float32", "warm"]["rates"]["2"] is not None


def test_every_loader_hands_over_the_same_normalised_features(data) -> None:
    index = np.array([4, 0, 3])
    with stored_clips(data, "cpu", CLIPS) as stored:
        loaders = [loader for loader in loaders_of(data.fly, data.stored) if loader.place != "device"]
        assert len(loaders) == 11
        reference = Bands()(torch.from_numpy(data.waveforms.samples[index] / np.float32(32768)))
        mean = torch.from_numpy(np.array(np.memmap(stored.files["float32"], np.float32).reshape(CLIPS, FREQ, -1)))
        centred = reference - mean.mean(dim=(0, 2))[:, None]
        for loader in loaders:
            found = open_loader(loader, stored, 3)(index) * stored.normaliser.scale
            torch.testing.assert_close(found, centred, atol=5e-3 if loader.kept == "float16" else 1e-5, rtol=0)
    assert not stored.files["int16"].exists(), "nothing is left behind"


def test_on_a_device_the_rows_are_picked_there(data) -> None:
    with stored_clips(data, "cpu", CLIPS) as stored:
        (loader,) = [
            loader for loader in loaders_of((), "nnaudio") if (loader.kept, loader.place) == ("float32", "device")
        ]
        (ram,) = [loader for loader in loaders_of((), "nnaudio") if (loader.kept, loader.place) == ("float32", "ram")]
        index = np.array([5, 1])
        torch.testing.assert_close(open_loader(loader, stored, 2)(index), open_loader(ram, stored, 2)(index))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5))
def test_a_round_is_whole_batches_of_distinct_clips_where_there_are_enough(clips, batch, number) -> None:
    batches = list(rounds_of(clips, batch, number))
    assert {len(index) for index in batches} == {batch}
    flat = np.concatenate(batches)
    assert set(flat) <= set(range(clips))
    if clips >= batch:
        assert len(set(flat)) == len(flat) == clips // batch * batch
    assert np.array_equal(flat, np.concatenate(list(rounds_of(clips, batch, number))))


@pytest.mark.parametrize("rounds", [6, 7, 9, 12, 25])
def test_interval_of_the_median_is_the_narrowest_that_covers(rounds) -> None:
    interval = rounds_interval([float(value) for value in range(rounds)])
    below = interval.low
    assert interval.high == rounds - 1 - below
    assert interval.level == pytest.approx(1 - 2 * binom.cdf(below, rounds, 0.5))
    assert interval.level >= 0.95
    assert 1 - 2 * binom.cdf(below + 1, rounds, 0.5) < 0.95


def test_five_rounds_give_no_interval() -> None:
    refused = rounds_interval([1.0] * 5)
    assert isinstance(refused, Refusal)
    assert refused.need == 6


def test_a_refused_call_is_a_reason(tmp_path, monkeypatch) -> None:
    def refuse(*_):
        raise OSError(22, "Invalid argument")

    file = tmp_path / "f"
    file.write_bytes(b"x")
    monkeypatch.setattr(os, "posix_fadvise", refuse)
    assert evict([file]) == "posix_fadvise is refused: Invalid argument"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(0, 1000, None), (10, 510, None), (0, 499, "only 499 of 1000"), (None, None, "does not count")],
)
def test_cold_is_what_came_from_storage(before, after, words) -> None:
    why = not_cold(before, after, 1000)
    assert why is None if words is None else words in why


def test_a_real_file_leaves_the_page_cache(tmp_path) -> None:
    file = tmp_path / "f"
    file.write_bytes(os.urandom(1 << 20))
    if evict([file]) is not None:
        pytest.skip("this system has no posix_fadvise")
    before = page_cache.storage_bytes()
    file.read_bytes()
    why = not_cold(before, page_cache.storage_bytes(), 1 << 20)
    if why is not None:
        pytest.skip(why)
    before = page_cache.storage_bytes()
    file.read_bytes()
    assert not_cold(before, page_cache.storage_bytes(), 1 << 20) is not None, "read again, it is warm"


def test_every_form_and_place_has_a_name() -> None:
    loaders = loaders_of(("nnaudio",), "nnaudio")
    assert {loader.kept for loader in loaders} == set(KEPT)
    assert {loader.place for loader in loaders} == set(PLACES)
    assert len({loader.name for loader in loaders}) == len(loaders)
