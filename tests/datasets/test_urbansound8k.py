"""UrbanSound8K in the publishers' layout, copies that differ, and lists that are wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bench.builtin
from bench.data.check import check_clips
from bench.data.waveforms import open_waveforms
from bench.errors import DataError, LeakError
from bench.plugins.discovery import load_modules
from bench.protocols.split import available_folds, make_split
from bench_datasets import bench_add_datasets, urbansound8k

COLUMNS = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
FOUR_PLUS_ONE = load_modules(bench.builtin).registry.protocols["4+1"]


def rows(classes=(3, 7)) -> list[dict[str, str]]:
    return [
        {
            "slice_file_name": f"{100 * fold + target}-{target}-0-0.wav", "fsID": str(100 * fold + target),
            "start": "0.0", "end": "4.0", "salience": "1", "fold": str(fold), "classID": str(target),
            "class": urbansound8k.CLASSES[target],
        }
        for fold in urbansound8k.FOLDS for target in classes
    ]  # fmt: skip


def write_table(folder: Path, table: list[dict[str, str]]) -> None:
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    with (folder / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)


def tree(folder: Path, table: list[dict[str, str]], suffix: str = ".wav") -> Path:
    write_table(folder, table)
    for row in table:
        place = folder / "audio" / f"fold{row['fold']}"
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / (Path(row["slice_file_name"]).stem + suffix), np.full(441, 0.1), 44_100)
    return folder


def test_layouts(tmp_path):
    for place in (tmp_path / "a", tmp_path / "b" / "UrbanSound8K", tmp_path / "c" / "urbansound8k"):
        tree(place, rows())
    for root in (tmp_path / "a", tmp_path / "b", tmp_path / "c"):
        clips = check_clips(urbansound8k.load(root), "urbansound8k")
        assert len(clips) == 20
        assert clips.targets.tolist() == [3, 7] * 10
        assert clips.label_names[3] == "dog_bark"
        assert clips.folds.tolist() == [fold for fold in range(1, 11) for _ in range(2)]
        assert clips.groups[:2] == ("103", "107")
        assert clips.audio[19].parent.name == "fold10"
        assert clips.splits is None
        assert not clips.faithful


def test_each_fold_is_a_test_fold(tmp_path):
    clips = urbansound8k.load(tree(tmp_path, rows()))
    assert available_folds(FOUR_PLUS_ONE, clips) == tuple(range(1, 11))
    split = make_split(FOUR_PLUS_ONE, clips, 10)
    assert split.test.tolist() == [18, 19]
    assert len(split.train) == 18


def test_short_slices_are_filled_to_four_seconds(tmp_path):
    clips = urbansound8k.load(tree(tmp_path / "data", rows()))
    waveforms = open_waveforms(clips, trim_db=None, fill="zeros", cache=tmp_path / "cache")
    assert waveforms.samples.shape == (20, 64_000)
    assert set(waveforms.lengths.tolist()) == {160}


def test_shared_recordings_are_refused_unless_documented(tmp_path):
    spec = next(spec for spec in bench_add_datasets() if spec.name == "urbansound8k")
    table = rows()
    table[0]["fsID"] = table[2]["fsID"] = "77751"
    clips = urbansound8k.load(tree(tmp_path / "a", table))
    assert make_split(FOUR_PLUS_ONE, clips, 1, known_leaks=spec.known_leaks).leak.groups == ("77751",)
    table[0]["fsID"] = table[2]["fsID"] = "5"
    with pytest.raises(LeakError, match="'5'"):
        make_split(FOUR_PLUS_ONE, urbansound8k.load(tree(tmp_path / "b", table)), 1, known_leaks=spec.known_leaks)


def test_the_official_list_makes_it_faithful(tmp_path, monkeypatch):
    from bench_datasets._common import sha256

    root = tree(tmp_path / "wav", rows())
    monkeypatch.setattr(urbansound8k, "OFFICIAL_CSV", sha256(root / "metadata" / "UrbanSound8K.csv"))
    clips = urbansound8k.load(root)
    assert (clips.title, clips.faithful, clips.notes) == ("UrbanSound8K", True, ())
    other = urbansound8k.load(tree(tmp_path / "ogg", rows(), ".ogg"))
    assert (other.title, other.faithful) == ("UrbanSound8K (altered copy)", False)
    assert any("re-encoded slices (.ogg)" in note for note in other.notes)


def test_missing_slices_are_counted_over_all_folds(tmp_path):
    root = tree(tmp_path, rows())
    (root / "audio" / "fold1" / "103-3-0-0.wav").unlink()
    (root / "audio" / "fold9" / "907-7-0-0.wav").rename(root / "audio" / "fold8" / "907-7-0-0.wav")
    with pytest.raises(DataError, match=r"2 of 20 clips are missing.*fold1/103-3-0-0\.wav, fold9/907-7-0-0\.wav"):
        urbansound8k.load(root)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("fold", "11", r"fold of 203-3-0-0\.wav is '11'; allowed are 1 to 10"), ("fold", "0", "'0'"),
        ("fold", "", "fold of"), ("classID", "10", "allowed are 0 to 9"), ("classID", "dog", "'dog'"),
        ("class", "siren", "203-3-0-0.wav is 'siren' and not 'dog_bark'"), ("fsID", "", "empty on lines 4"),
        ("slice_file_name", "", "empty on lines 4"),
    ],
)  # fmt: skip
def test_wrong_rows(tmp_path, column, value, message):
    table = rows()
    tree(tmp_path, table)
    table[2][column] = value
    write_table(tmp_path, table)
    with pytest.raises(DataError, match=message):
        urbansound8k.load(tmp_path)


def test_twice_ragged_no_column_no_row_no_folder(tmp_path):
    with pytest.raises(DataError, match="1 ids stand twice: 103-3-0-0"):
        check_clips(urbansound8k.load(tree(tmp_path, [*rows(), rows()[0]])), "urbansound8k")
    table = tmp_path / "metadata" / "UrbanSound8K.csv"
    content = table.read_text()
    table.write_text(content + "1-1-0-0.wav,1\n2-1-0-0.wav,2,0,4,1,1,1,car_horn,more\n")
    with pytest.raises(DataError, match=r"2 lines have more or fewer cells than the first one: lines 23, 24"):
        urbansound8k.load(tmp_path)
    table.write_text(content.replace("fsID", "source"))
    with pytest.raises(DataError, match="no column fsID"):
        urbansound8k.load(tmp_path)
    table.write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(DataError, match="holds no row"):
        urbansound8k.load(tmp_path)
    with pytest.raises(DataError, match=r"no metadata/UrbanSound8K\.csv"):
        urbansound8k.load(tmp_path / "audio")
    with pytest.raises(DataError, match="is no folder"):
        urbansound8k.load(table)


def test_declared_constants_are_the_loaders():
    spec = next(spec for spec in bench_add_datasets() if spec.name == "urbansound8k")
    assert spec.manifest_sha256 == urbansound8k.OFFICIAL_CSV
    assert spec.folds == tuple(urbansound8k.FOLDS)
    assert spec.task.num_classes == len(urbansound8k.CLASSES) == len(set(urbansound8k.CLASSES))
