"""Spoken digits, and pairs of spoken and handwritten digits."""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.data.check import check_clips
from bench.errors import DataError
from bench_datasets import digits, fsdd


def recordings(folder: Path, names) -> Path:
    (folder / "recordings").mkdir(parents=True)
    for name in names:
        soundfile.write(folder / "recordings" / name, np.zeros(80), 8_000)
    return folder


def test_fsdd_split_and_folds(tmp_path):
    root = recordings(tmp_path / "fsdd", ["3_theo_4.wav", "3_theo_5.wav", "0_george_0.wav", "9_yweweler_49.wav"])
    clips = check_clips(fsdd.load_official(root), "fsdd")
    assert clips.ids == ("0_george_0", "3_theo_4", "3_theo_5", "9_yweweler_49")
    assert clips.targets.tolist() == [0, 3, 3, 9]
    assert clips.splits == ("test", "test", "train", "train")
    assert clips.groups == ("george", "theo", "theo", "yweweler")
    assert not clips.faithful
    by_speaker = fsdd.load_speaker(tmp_path)
    assert by_speaker.folds.tolist() == [1, 5, 5, 6]
    assert by_speaker.groups == ("george", "theo", "theo", "yweweler")
    assert by_speaker.splits is None


def test_fsdd_download_layout(tmp_path):
    recordings(tmp_path / "free-spoken-digit-dataset-26eb9aa", ["0_theo_0.wav", "1_theo_1.wav"])
    assert len(fsdd.load_official(tmp_path)) == 2


def test_fsdd_wrong_names(tmp_path):
    with pytest.raises(DataError, match=r"1 files .*zero_theo_0"):
        fsdd.load_official(recordings(tmp_path / "a", ["zero_theo_0.wav"]))
    with pytest.raises(DataError, match="unknown speakers ann"):
        fsdd.load_speaker(recordings(tmp_path / "b", ["0_ann_0.wav"]))
    with pytest.raises(DataError, match="no recording"):
        fsdd.load_official(recordings(tmp_path / "c", []))
    with pytest.raises(DataError, match="no recordings in"):
        fsdd.load_official(tmp_path / "c" / "recordings")


def write_idx(path: Path, images: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(struct.pack(">4i", 2051, *images.shape) + images.tobytes()))


@pytest.fixture
def pairs(tmp_path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    write_idx(tmp_path / "mnist" / "train.gz", images)
    recordings(tmp_path / "fsdd", ["0_theo_5.wav", "1_theo_0.wav"])
    (tmp_path / "pairs.csv").write_text(
        "pair_id,split,digit,audio,speaker,speaker_fold,image_file,image_index\n"
        "0,train,0,fsdd/recordings/0_theo_5.wav,theo,5,mnist/train.gz,4\n"
        "1,test,1,fsdd/recordings/1_theo_0.wav,theo,5,mnist/train.gz,2\n"
    )
    np.save(tmp_path / "images.npy", images)
    return tmp_path


def test_pairs(pairs):
    clips = check_clips(digits.load_official(pairs), "digits")
    images = clips.images(np.array([1, 0, 1]))
    expected = np.load(pairs / "images.npy")[[2, 4, 2], None] / 255
    np.testing.assert_allclose(images, expected, atol=1e-7)
    assert images.dtype == np.float32
    assert clips.splits == ("train", "test")
    assert digits.load_speaker(pairs).folds.tolist() == [5, 5]


def test_damaged_pairs(pairs):
    table = (pairs / "pairs.csv").read_text()
    (pairs / "pairs.csv").write_text(table.replace(",4\n", ",5\n"))
    with pytest.raises(DataError, match=r"holds 5 images; pairs\.csv asks for row 5"):
        digits.load_official(pairs).images([0])
    (pairs / "pairs.csv").write_text(table.replace("test,1", "dev,1"))
    with pytest.raises(DataError, match="unknown splits dev"):
        digits.load_official(pairs)
    (pairs / "pairs.csv").write_text(table.replace("0_theo_5", "0_theo_6"))
    with pytest.raises(DataError, match=r"1 files .*0_theo_6\.wav"):
        digits.load_official(pairs)
    (pairs / "pairs.csv").write_text(table)
    content = (pairs / "mnist" / "train.gz").read_bytes()
    (pairs / "mnist" / "train.gz").write_bytes(content[:-200])
    with pytest.raises(DataError, match="cannot read"):
        digits.load_official(pairs).images([0])
    (pairs / "mnist" / "train.gz").write_bytes(gzip.compress(b"short"))
    with pytest.raises(DataError, match="no idx file"):
        digits.load_official(pairs).images([0])


@pytest.mark.data
def test_real_digits(data_root):
    for load in (fsdd.load_official, digits.load_official):
        clips = check_clips(load(data_root), "digits")
        assert Counter(clips.splits) == {"train": 2700, "test": 300}
        assert set(Counter(clips.targets.tolist()).values()) == {300}
        assert clips.faithful
    images = clips.images(np.arange(3000))
    assert images.shape == (3000, 1, 28, 28)
    assert len({image.tobytes() for image in images}) == 3000
    for load in (fsdd.load_speaker, digits.load_speaker):
        clips = load(data_root)
        assert Counter(clips.folds.tolist()) == dict.fromkeys(range(1, 7), 500)
        assert len(set(zip(clips.folds.tolist(), clips.groups, strict=True))) == 6
