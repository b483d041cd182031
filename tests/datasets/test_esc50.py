"""ESC-50 and ESC-10: the publishers' layout, copies that differ, and lists that are wrong."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.data.check import check_clips
from bench.errors import DataError
from bench_datasets.esc50 import load_esc10, load_esc50, load_esc50_titles

COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file", "take")


def rows(classes=(0, 1, 38), folds=(1, 2, 3, 4, 5)) -> list[dict[str, str]]:
    return [
        {
            "filename": f"{fold}-{fold}{target}-A-{target}.wav", "fold": str(fold), "target": str(target),
            "category": f"kind{target}", "esc10": str(target != 1), "src_file": f"{fold}{target}", "take": "A",
        }
        for fold in folds for target in classes
    ]  # fmt: skip


def tree(folder: Path, table: list[dict[str, str]], suffix: str = ".wav", rate: int = 44_100) -> Path:
    (folder / "meta").mkdir(parents=True)
    (folder / "audio").mkdir()
    with (folder / "meta" / "esc50.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table)
    for row in table:
        soundfile.write(folder / "audio" / (Path(row["filename"]).stem + suffix), np.zeros(441), rate)
    return folder


def test_layouts(tmp_path):
    for place in (tmp_path / "a", tmp_path / "b" / "esc50", tmp_path / "c" / "ESC-50-master"):
        tree(place, rows())
    for root in (tmp_path / "a", tmp_path / "b", tmp_path / "c"):
        clips = check_clips(load_esc50(root), "esc50")
        assert len(clips) == 15
        assert clips.label_names == ("kind0", "kind1", "kind38")
        assert clips.targets.tolist() == [0, 1, 2] * 5
        assert (clips.sample_rate, clips.clip_samples) == (16_000, 80_000)


def test_esc10_is_the_marked_subset(tmp_path):
    clips = check_clips(load_esc10(tree(tmp_path / "esc50", rows()).parent), "esc10")
    assert clips.label_names == ("kind0", "kind38")
    assert clips.targets.tolist() == [0, 1] * 5
    assert clips.groups[:2] == ("10", "138")


@pytest.mark.parametrize(
    ("suffix", "rate", "title"),
    [(".wav", 44_100, "ESC-50"), (".ogg", 16_000, "ESC-50 (16 kHz Ogg)"), (".flac", 22_050, "ESC-50 (22.05 kHz Flac)")],
)
def test_a_copy_says_so(tmp_path, suffix, rate, title):
    clips = load_esc50(tree(tmp_path, rows(), suffix, rate))
    assert clips.title == f"{title}, altered list"
    assert clips.faithful is False
    assert any("not the official one" in note for note in clips.notes)
    assert any("copy" in note for note in clips.notes) == (title != "ESC-50")


def test_the_official_list_makes_it_faithful(tmp_path, monkeypatch):
    from bench_datasets import esc50
    from bench_datasets._common import sha256

    root = tree(tmp_path, rows(), ".ogg", 44_100)
    monkeypatch.setattr(esc50, "OFFICIAL_CSV", sha256(root / "meta" / "esc50.csv"))
    ten, fifty = load_esc10(root), load_esc50(root)
    assert (ten.title, ten.faithful, ten.notes) == ("ESC-10", True, ())
    assert (fifty.title, fifty.faithful) == ("ESC-50 (44.1 kHz Ogg)", False)


def test_manifest_follows_the_files(tmp_path):
    root = tree(tmp_path, rows())
    before = load_esc50(root).manifest_sha256
    soundfile.write(root / "audio" / "1-10-A-0.wav", np.zeros(442), 44_100)
    assert load_esc50(root).manifest_sha256 != before


def test_missing_clips_are_counted(tmp_path):
    root = tree(tmp_path, rows())
    (root / "audio" / "1-10-A-0.wav").unlink()
    (root / "audio" / "2-21-A-1.wav").unlink()
    with pytest.raises(DataError, match=r"2 of 15 clips are missing.*1-10-A-0\.wav"):
        load_esc50(root)
    assert len(load_esc10(tree(tmp_path / "x", rows()))) == 10


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("fold", "6", "allowed are 1 to 5"), ("fold", "one", "'one'"), ("target", "50", "allowed are 0 to 49"),
        ("category", "other", "several categories"),
    ],
)  # fmt: skip
def test_wrong_lists(tmp_path, column, value, message):
    table = rows()
    table[4][column] = value
    with pytest.raises(DataError, match=message):
        load_esc50(tree(tmp_path, table))


def test_twice_no_column_no_row_no_folder(tmp_path):
    with pytest.raises(DataError, match="stand twice"):
        check_clips(load_esc50(tree(tmp_path / "a", [*rows(), rows()[0]])), "esc50")
    root = tree(tmp_path / "b", rows())
    (root / "meta" / "esc50.csv").write_text("filename,fold\nx,1\n")
    with pytest.raises(DataError, match="no column target"):
        load_esc50(root)
    (root / "meta" / "esc50.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(DataError, match="holds no row"):
        load_esc50(root)
    (root / "meta" / "esc50.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot read"):
        load_esc50(root)
    with pytest.raises(DataError, match=r"no meta/esc50\.csv"):
        load_esc50(tmp_path / "a" / "meta")
    with pytest.raises(DataError, match="is no folder"):
        load_esc50(tmp_path / "nowhere")


def test_titles(tmp_path):
    root = tree(tmp_path, rows())
    lines = [f"{Path(row['filename']).stem}.ogg,title of {row['filename']}" for row in rows()]
    (root / "meta" / "titles.csv").write_text("\n".join(["filename,title", *lines]))
    clips = load_esc50_titles(root)
    assert clips.texts[0] == "title of 1-10-A-0.wav"
    assert any("83.8 %" in note for note in clips.notes)
    assert clips.manifest_sha256 != load_esc50(root).manifest_sha256
    (root / "meta" / "titles.csv").write_text("\n".join(["filename,title", *lines[1:]]))
    with pytest.raises(DataError, match="no title for 1 clips"):
        load_esc50_titles(root)


@pytest.mark.data
def test_real_esc50(data_root):
    clips = check_clips(load_esc50(data_root), "esc50")
    assert len(clips) == 2000
    assert Counter(clips.folds.tolist()) == dict.fromkeys(range(1, 6), 400)
    assert set(Counter(zip(clips.folds.tolist(), clips.targets.tolist(), strict=True)).values()) == {8}
    places = defaultdict(set)
    for group, fold in zip(clips.groups, clips.folds.tolist(), strict=True):
        places[group].add(fold)
    assert {group for group, folds in places.items() if len(folds) > 1} == {"131943", "134049", "209698", "234879"}
    assert clips.title == "ESC-50 (16 kHz Ogg)"
    assert not clips.faithful


@pytest.mark.data
def test_real_esc10(data_root):
    clips = check_clips(load_esc10(data_root), "esc10")
    assert len(clips) == 400
    assert Counter(clips.folds.tolist()) == dict.fromkeys(range(1, 6), 80)
    assert set(Counter(clips.targets.tolist()).values()) == {40}
    places = defaultdict(set)
    for group, fold in zip(clips.groups, clips.folds.tolist(), strict=True):
        places[group].add(fold)
    assert max(map(len, places.values())) == 1
    assert (clips.title, clips.faithful) == ("ESC-10", True)
    with (data_root / "esc10" / "meta" / "esc10.csv").open() as file:
        published = {row["filename"]: row["target10"] for row in csv.DictReader(file)}
    assert [int(published[f"{clip_id}.ogg"]) for clip_id in clips.ids] == clips.targets.tolist()


@pytest.mark.data
def test_real_esc10_inside_esc50(data_root):
    clips = load_esc10(data_root / "esc50")
    assert (len(clips), clips.title, clips.faithful) == (400, "ESC-10 (16 kHz Ogg)", False)
