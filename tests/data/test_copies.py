"""Copies of a recording are found whatever their name, file or container, and noise with copies cannot score."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import soundfile

from bench.clips import Clips
from bench.data.copies import know_copies

pytestmark = pytest.mark.usefixtures("warm_workers")

RATE = 8_000


def made(audio, **given) -> Clips:
    count = given.pop("count", None) or len(audio)
    return Clips(
        title="Made up", ids=tuple(f"c{i}" for i in range(count)), targets=np.arange(count) % 2, label_names=("a", "b"),
        audio=audio, sample_rate=RATE, clip_samples=400, manifest_sha256="m", **given,
    )  # fmt: skip


def noise(seed: int, count: int = 500) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9_000, 9_000, count, dtype=np.int16)


def test_copies_by_file_by_link_and_by_samples(tmp_path):
    for name, seed in (("a.wav", 0), ("b.wav", 1), ("c.flac", 0)):
        soundfile.write(tmp_path / name, noise(seed), RATE)
    shutil.copy(tmp_path / "a.wav", tmp_path / "d.wav")
    (tmp_path / "e.wav").symlink_to(tmp_path / "b.wav")
    soundfile.write(tmp_path / "longer.wav", noise(0, 501), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(500, np.int16), RATE)
    names = ("a.wav", "b.wav", "c.flac", "d.wav", "e.wav", "longer.wav", "silent.wav", "silent.wav", "./a.wav")
    clips = made(tuple(tmp_path / name for name in names))
    listed = know_copies(clips, cache=tmp_path / "cache", decode=False)
    assert listed.copies.tolist() == [0, 1, 2, 0, 1, 5, 6, 7, 0], "a copy in another container takes decoding to see"
    assert not (tmp_path / "cache" / "waveforms").exists()
    found = know_copies(clips, cache=tmp_path / "cache")
    assert found.copies.tolist() == [0, 1, 0, 0, 1, 5, 6, 7, 0]
    assert found.notes == (
        "4 of 9 clips are copies of others, each one group with its original: c0 = c2; c0 = c3; c1 = c4; c0 = c8",
    )
    again = know_copies(clips, cache=tmp_path / "cache")
    assert again.copies.tolist() == found.copies.tolist()


def test_the_same_samples_at_another_level_are_no_copy(tmp_path):
    quiet = np.array([1.0, -1.0] * 50, dtype=np.float32)
    levels = (1e-4, 2e-4, 1e-4)
    found = know_copies(made(lambda i: (quiet * np.float32(levels[i]), RATE), count=3), cache=tmp_path)
    assert found.copies.tolist() == [0, 1, 0]


def test_copies_of_published_features_and_of_what_has_no_sound(tmp_path):
    features = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)[[0, 1, 0, 2]]
    assert know_copies(made(None, count=4, features=features), cache=tmp_path).copies.tolist() == [0, 1, 0, 3]
    pictures = made(
        None, count=2, images=lambda rows: np.zeros((len(rows), 1, 2, 2), np.float32), image_shape=(1, 2, 2)
    )
    assert know_copies(pictures, cache=tmp_path) is pictures
    assert not os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.parametrize("column", ["", "fold", "group"])
def test_noise_with_copies_is_refused_or_scores_chance(tmp_path, run, column, capsys):
    """It scored 100.0 %: each recording stands in two folds under another name."""
    rng = np.random.default_rng(1)
    lines = [f"path,label{',' * bool(column)}{column}"]
    for number in range(60):
        label = "abc"[rng.integers(3)]
        samples = noise(number, 2_000)
        for copy, suffix in enumerate(("wav", "flac")):
            soundfile.write(tmp_path / f"{number}-{copy}.{suffix}", samples, RATE)
            cell = {"": "", "fold": f",{(number + copy) % 5}", "group": f",g{2 * number + copy}"}[column]
            lines.append(f"{number}-{copy}.{suffix},{label}{cell}")
    (tmp_path / "noise.csv").write_text("\n".join(lines))
    status, records = run("classical.knn", tmp_path / "noise.csv")
    if column == "fold":
        assert status == 2
        assert "are the same recording: leave one out, or give both one fold" in capsys.readouterr().err
        return
    assert status == 0
    assert {record.cell.protocol for record in records} == {"grouped-5@2" if column else "4+1@1"}
    right = sum(record.score("accuracy") * record.provenance["dataset"]["test"] for record in records)
    assert 20 <= right <= 60  # of 120 clips, 40 expected; 60 recordings, four standard deviations
    assert any("60 of 120 clips are copies" in note for note in records[0].provenance["dataset"]["notes"])


def test_a_class_without_a_training_clip_stands_under_the_board(tmp_path, run):
    lines = ["path,label,fold"]
    for number in range(24):
        soundfile.write(tmp_path / f"{number}.wav", noise(number, 2_000), RATE)
        label, fold = ("rare", 1) if number < 3 else ("ab"[number % 2], number // 2 % 2 + 1)
        lines.append(f"{number}.wav,{label},{fold}")
    (tmp_path / "rare.csv").write_text("\n".join(lines))
    status, records = run("classical.knn", tmp_path / "rare.csv")
    assert status == 0
    notes = {record.cell.fold: record.provenance["dataset"]["notes"] for record in records}
    assert "fold 1: no training clip has class 'rare', which can only be guessed" in notes[1]
    assert not any("no training clip" in note and "rare" in note for note in notes[2])


@pytest.fixture
def run(tmp_path, monkeypatch):
    from bench.__main__ import main
    from bench.results.store import Store

    def call(models, table):
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
        words = [
            "run",
            "--models",
            models,
            "--dataset",
            "manifest",
            "--data",
            str(table),
            "--no-profile",
            "--jobs",
            "1",
        ]
        status = main([*words, "--out", str(tmp_path / "out")])
        return status, Store(tmp_path / "out").records()[0] if status == 0 else []

    return call
