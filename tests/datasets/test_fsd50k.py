"""FSD50K on small trees in the publishers' layout."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench.builtin
from bench.data.check import check_clips
from bench.errors import DataError
from bench.plugins.discovery import load_modules
from bench.protocols.split import make_split
from bench_datasets import fsd50k

from . import trees

PROTOCOLS = load_modules(bench.builtin).registry.protocols
FEW = {"train": 5, "val": 2, "test": 3}


def test_parts_labels_and_classes_are_the_publishers(tmp_path: Path) -> None:
    clips = check_clips(fsd50k.load(trees.fsd50k(tmp_path / "FSD50K", FEW).parent), "fsd50k")
    assert clips.ids[:2] == ("64761", "64762")
    assert clips.splits == ("train",) * 5 + ("val",) * 2 + ("test",) * 3
    assert clips.label_names == trees.FSD_CLASSES
    assert clips.targets.shape == (10, 200)
    assert [row.nonzero()[0].tolist() for row in clips.targets[:4]] == [[0, 1], [1], [2], [0, 3]]
    assert [path.parent.name for path in clips.audio[6:8]] == ["FSD50K.dev_audio", "FSD50K.eval_audio"]
    assert not clips.faithful
    assert "the lists name 7 of 40966 development and 3 of 10231 evaluation clips" in clips.notes
    assert any("brought to 10 s" in note for note in clips.notes)


def test_the_official_split_is_sealed_with_and_without_its_validation_part(tmp_path: Path) -> None:
    clips = fsd50k.load(trees.fsd50k(tmp_path, FEW))
    for name, sizes in {"official": (7, 0, 3), "official-val": (5, 2, 3)}.items():
        split = make_split(PROTOCOLS[name], clips, 0)
        assert tuple(map(len, (split.train, split.validation, split.test))) == sizes


def test_a_whole_copy_in_another_format_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsd50k, "DEV_CLIPS", 7)
    monkeypatch.setattr(fsd50k, "EVAL_CLIPS", 3)
    assert fsd50k.load(trees.fsd50k(tmp_path / "a", FEW)).title == "FSD50K"
    copy = fsd50k.load(trees.fsd50k(tmp_path / "b", FEW, suffix=".flac"))
    assert (copy.title, copy.faithful) == ("FSD50K (altered copy)", False)
    assert any("re-encoded clips (.flac)" in note for note in copy.notes)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("dev.csv", ",val", ",valid", "neither train nor val: 64766: 'valid'"),
        ("dev.csv", "Sound_002", "Sound_2", "1 labels that are no class: Sound_2"),
        ("dev.csv", "labels", "label", "has no column labels"),
        ("dev.csv", '"Sound_000,Sound_001"', '""', "2 clips have no label: rows 1, 6"),
        ("vocabulary.csv", "7,Sound_007,/m/7\n", "", "line 8 is not index, name and id"),
        ("vocabulary.csv", "199,Sound_199,/m/199\n", "", "lists 199 classes, FSD50K has 200"),
    ],
)
def test_tables_that_are_wrong_are_refused(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    path = trees.fsd50k(tmp_path, FEW) / "FSD50K.ground_truth" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError) as caught:
        fsd50k.load(tmp_path)
    assert words in str(caught.value)


def test_missing_clips_are_counted_and_named(tmp_path: Path) -> None:
    trees.fsd50k(tmp_path, FEW)
    (tmp_path / "FSD50K.dev_audio" / "64763.wav").unlink()
    with pytest.raises(DataError, match=r"1 of 7 clips are missing in .*: 64763\.wav"):
        fsd50k.load(tmp_path)
