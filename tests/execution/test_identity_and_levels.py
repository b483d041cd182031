"""A user's own recordings: overwritten files are measured again; what decoding had to do stands in the record."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.data.check import decoding_faults, decoding_note
from bench.running.runner import Runner

pytestmark = pytest.mark.usefixtures("warm_workers")

RATE = 16_000


def recordings(folder: Path, *, seed: int = 0, level: float = 0.3, subtype: str = "PCM_16") -> Path:
    """Thirty short clips of three pitches in five folds, and their table."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    rows = ["path,label,fold"]
    for number in range(30):
        seconds = np.arange(RATE // 4) / RATE
        tone = np.sin(2 * np.pi * (300 + 500 * (number % 3)) * seconds) + 0.1 * rng.standard_normal(len(seconds))
        soundfile.write(folder / f"{number}.wav", level * tone, RATE, subtype=subtype)
        rows.append(f"{number}.wav,pitch {number % 3},{number % 5 + 1}")
    (folder / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "table.csv"


def runner(table: Path, out: Path, **selection: object) -> Runner:
    chosen = Selection(
        models=("classical.forest",), datasets=("manifest",), data=table, recipe="quick", profile=False, folds=(1,),
        **selection,
    )  # fmt: skip
    return Runner(chosen, Settings(out=out, jobs=1))


def marks(table: Path, out: Path) -> set[str]:
    return {planned.fingerprint for planned in runner(table, out).preparation.plan(measure=False).cells}


def test_any_file_overwritten_in_place_makes_another_cell(tmp_path: Path) -> None:
    table = recordings(tmp_path / "own")
    before = marks(table, tmp_path / "run")
    assert marks(table, tmp_path / "run") == before
    path = tmp_path / "own" / "7.wav"
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not marks(table, tmp_path / "run") & before


def test_folders_of_equal_names_and_sizes_are_different_data(tmp_path: Path) -> None:
    one, other = recordings(tmp_path / "one"), recordings(tmp_path / "other", seed=1)
    assert not marks(one, tmp_path / "run") & marks(other, tmp_path / "run")


@pytest.mark.slow
def test_levels_are_kept_and_said(tmp_path: Path) -> None:
    for level, fault in ((1e-5, "quieter than -60 dBFS"), (20_000.0, "more than 6 dB beyond full scale")):
        table = recordings(tmp_path / "own", level=level, subtype="FLOAT")
        (record,) = runner(table, tmp_path / f"run {level}").run().records
        assert record.status == "ok", record.error
        assert next(score.value for score in record.scores if score.name == "accuracy") == 1.0
        section = record.provenance["dataset"]
        assert section["report"]["decoder"].startswith("libsndfile")
        assert any(
            note.startswith("What decoding changed in 30 clips: 30 ") and fault in note for note in section["notes"]
        )
        assert any(reason.startswith("30 of 30 clips are") for reason in record.provenance["not_publishable"])
        assert not record.provenance["publishable"]


@pytest.mark.parametrize("name", ["cancelled", "overdriven", "cut", "silent", "quiet"])
def test_a_fault_of_more_than_one_clip_in_a_hundred_is_not_publishable(name: str) -> None:
    report = {"decoded": 200, "failed": [], "resampled": 200, "clipped": 50, name: 2, "named": {name: ["a", "b"]}}
    assert decoding_faults(report) == []
    (reason,) = decoding_faults({**report, name: 3})
    assert reason.startswith("3 of 200 clips are ")
    assert "a, b" in reason
    note = decoding_note(report)
    assert note.startswith("What decoding changed in 200 clips: 200 resampled, ")
    assert decoding_note({"decoded": 2, "failed": []}) == "What decoding changed in 2 clips: nothing."
