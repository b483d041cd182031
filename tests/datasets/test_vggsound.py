"""The instruments of VGGSound: which labels they are, clips that are missing, frames, and lists that are wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import bench.builtin
from bench.data.check import check_clips
from bench.errors import DataError, LeakError
from bench.plugins.discovery import load_modules
from bench.protocols.split import make_split
from bench_datasets import bench_add_datasets, vggsound

OFFICIAL = load_modules(bench.builtin).registry.protocols["official"]
PLAYED = (
    "accordion", "acoustic guitar", "badminton", "bagpipes", "banjo", "bass drum", "bass guitar", "bassoon", "bongo",
    "bugle", "castanets", "cello", "clarinet", "congas", "cornet", "cymbal", "darts", "didgeridoo", "djembe",
    "double bass", "drum kit", "electric guitar", "electronic organ", "erhu", "flute", "french horn", "glockenspiel",
    "gong", "guiro", "hammond organ", "harmonica", "harp", "harpsichord", "hockey", "lacrosse", "mandolin",
    "marimba, xylophone", "oboe", "piano", "saxophone", "shofar", "sitar", "snare drum", "squash",
    "steel guitar, slide guitar", "steelpan", "synthesizer", "tabla", "table tennis", "tambourine", "tennis",
    "theremin", "timbales", "timpani", "trombone", "trumpet", "tuning fork", "tympani", "ukulele", "vibraphone",
    "violin, fiddle", "volleyball", "washboard", "zither",
)  # fmt: skip
"""All 64 things that are played in VGGSound's 309 labels (data/stat.csv of hche11/VGGSound)."""

OTHERS = ("tapping guitar", "singing bowl", "orchestra", "striking pool", "dog barking", "people whistling")
LABELS = (*(f"playing {name}" for name in PLAYED), *OTHERS)
INSTRUMENTS = vggsound.instruments(LABELS)


def lines() -> list[list[str]]:
    """Two clips a label: one for training, one for test; ids may begin with a dash, as real ones do."""
    return [
        [f"-v{number:02d}_{split}", str(10 * number), label, split]
        for number, label in enumerate(LABELS)
        for split in ("train", "test")
    ]


def name_of(line: list[str]) -> str:
    return f"{line[0]}_{int(line[1]):06d}"


def write_list(folder: Path, content: list[list[str]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "vggsound.csv").open("w", newline="") as file:
        csv.writer(file).writerows(content)
    return folder


def tree(folder: Path, content: list[list[str]], part: str = "audio", suffix: str = ".wav") -> Path:
    """The list, and a short sound for each instrument clip."""
    write_list(folder, content)
    (folder / part).mkdir(exist_ok=True)
    for line in content:
        if line[2] in INSTRUMENTS:
            soundfile.write(folder / part / f"{name_of(line)}{suffix}", np.full(160, 0.1), 16_000)
    return folder


def picture(path: Path, colour: tuple[int, int, int] = (255, 0, 51), size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, quality=95)


def with_frames(root: Path, content: list[list[str]]) -> Path:
    for line in content:
        if line[2] in INSTRUMENTS:
            picture(root / "frames" / f"{name_of(line)}.jpg")
    return root


def test_the_57_instruments():
    assert len(PLAYED) == len(set(PLAYED)) == 64
    assert {f"playing {name}" for name in PLAYED} - set(INSTRUMENTS) == set(vggsound.EXCLUDED)
    assert len(INSTRUMENTS) == vggsound.CLASSES == 57
    assert {"playing harp", "playing timpani", "playing tympani", "playing lacrosse"} <= set(INSTRUMENTS)
    assert not set(OTHERS) & set(INSTRUMENTS)
    for spec in bench_add_datasets():
        if spec.name.startswith("vggsound_instruments"):
            assert spec.task.num_classes == vggsound.CLASSES


@pytest.mark.parametrize(("part", "suffix"), [("audio", ".wav"), (".", ".flac"), ("audio", ".ogg")])
def test_sound_only(tmp_path, part, suffix):
    root = tree(tmp_path / "vggsound", lines(), part, suffix)
    clips = check_clips(vggsound.load_audio(root.parent), "vggsound")
    assert len(clips) == 114
    assert clips.label_names == INSTRUMENTS
    assert sorted(clips.targets.tolist()) == [target for target in range(57) for _ in range(2)]
    assert clips.ids[:2] == ("-v00_train_000000", "-v00_test_000000")
    assert clips.groups[1] == "-v00_test"
    assert clips.splits == ("train", "test") * 57
    assert (clips.images, clips.image_shape, clips.faithful) == (None, None, False)
    assert clips.title == "VGGSound instruments"
    assert len(make_split(OFFICIAL, clips, 0).test) == 57


def test_missing_clips_are_counted(tmp_path):
    content = lines()
    root = tree(tmp_path, content)
    gone = [line for line in content if line[2] in ("playing harp", "playing gong")][:3]
    for line in gone:
        (root / "audio" / f"{name_of(line)}.wav").unlink()
    clips = vggsound.load_audio(root)
    assert len(clips) == 111
    assert clips.title == "VGGSound instruments (111 of 114 clips)"
    assert len(clips.label_names) == 57
    assert "clips left out because their sound is not there: 2 of 57 train, 1 of 57 test" in clips.notes
    assert "1 classes have no clip: playing gong" in clips.notes


def test_all_clips_missing(tmp_path):
    root = write_list(tmp_path, lines())
    with pytest.raises(DataError, match=r"all 114 listed clips are missing: looked for .*six digits.*\.wav, \.flac"):
        vggsound.load_audio(root)
    with pytest.raises(DataError, match="all 114 listed clips are missing"):
        vggsound.load(root)
    tree(tmp_path, lines())
    with pytest.raises(DataError, match=r"none of the 114 .*`--dataset vggsound_instruments-audio` needs no frames"):
        vggsound.load(root)


def test_frames(tmp_path):
    content = lines()
    root = with_frames(tree(tmp_path, content), content)
    clips = check_clips(vggsound.load(root), "vggsound")
    assert clips.image_shape == (3, 224, 224)
    images = clips.images(np.array([3, 0]))
    assert (images.shape, images.dtype) == ((2, 3, 224, 224), np.float32)
    np.testing.assert_allclose(images[0].mean(axis=(1, 2)), [1.0, 0.0, 0.2], atol=0.02)
    assert images.min() >= 0
    assert images.max() <= 1
    assert clips.notes == (vggsound._OWN_COPY,)
    assert clips.manifest_sha256 != vggsound.load_audio(root).manifest_sha256


def test_middle_frame_in_the_order_of_the_numbers(tmp_path):
    content = lines()
    root = with_frames(tree(tmp_path, content), content)
    name = name_of(content[0])
    (root / "frames" / f"{name}.jpg").unlink()
    for number in (0, 30, 60, 90, 120):
        picture(root / "frames" / name / f"frame_{number}.jpg", (number, number, number))
    (root / "frames" / name / "notes.txt").write_text("no picture")
    clips = vggsound.load(root)
    assert clips.images.files[0].name == "frame_60.jpg"
    np.testing.assert_allclose(clips.images([0]), 60 / 255, atol=0.01)


def test_wide_frames_lose_their_sides(tmp_path):
    pixels = np.zeros((224, 448, 3), dtype=np.uint8)
    pixels[:, 112:336] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    images = vggsound.FrameImages((tmp_path / "wide.png",))([0])
    assert images.mean() == 1.0
    Image.fromarray(pixels).resize((5, 1200)).save(tmp_path / "narrow.png")
    assert vggsound.FrameImages((tmp_path / "narrow.png",))([0]).shape == (1, 3, 224, 224)


def test_clips_without_a_frame_are_left_out(tmp_path):
    content = lines()
    root = with_frames(tree(tmp_path, content), content)
    (root / "frames" / f"{name_of(content[0])}.jpg").unlink()
    (root / "frames" / f"{name_of(content[1])}.jpg").unlink()
    (root / "frames" / name_of(content[1])).mkdir()
    clips = vggsound.load(root)
    assert len(clips) == 112
    assert "clips left out because their sound or frame is not there: 1 of 57 train, 1 of 57 test" in clips.notes
    assert len(vggsound.load_audio(root)) == 114


def test_damaged_frame(tmp_path):
    content = lines()
    root = with_frames(tree(tmp_path, content), content)
    path = root / "frames" / f"{name_of(content[0])}.jpg"
    clips = vggsound.load(root)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"cannot read .*v00_train.* as an image"):
        clips.images([0])
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="as an image"):
        clips.images([0])


def test_a_video_in_both_parts_is_a_leak(tmp_path):
    content = lines()
    content[1][0], content[1][1] = content[0][0], "500"
    with pytest.raises(LeakError, match="-v00_train"):
        make_split(OFFICIAL, vggsound.load_audio(tree(tmp_path, content)), 0)


def test_bad_lines_are_all_named(tmp_path):
    content = lines()
    content[1] = content[0]
    content[2][1] = "ten"
    content[3][1] = "-5"
    content[4][3] = "val"
    content[5][0] = ""
    content[6] = ["id", "0", "playing harp"]
    with pytest.raises(DataError) as caught:
        vggsound.load_audio(write_list(tmp_path, content))
    message = str(caught.value)
    for part in (
        "6 problem(s)", "line 2: -v00_train_000000 stands already on line 1", "line 3: start second 'ten'",
        "line 4: start second '-5'", "line 5: split 'val' is unknown; allowed are train, test",
        "line 6: the YouTube id is empty", "line 7: 3 cells",
    ):  # fmt: skip
        assert part in message, part


def test_not_the_list(tmp_path):
    with pytest.raises(DataError, match="lists 56 instruments, VGGSound 57"):
        vggsound.load_audio(write_list(tmp_path / "a", [line for line in lines() if line[2] != "playing harp"]))
    with pytest.raises(DataError, match="holds no line"):
        vggsound.load_audio(write_list(tmp_path / "b", []))
    with pytest.raises(DataError, match="line 1: start second 'start'"):
        vggsound.load_audio(write_list(tmp_path / "c", [["id", "start", "label", "split"], *lines()]))
    (tmp_path / "c" / "vggsound.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="cannot read"):
        vggsound.load_audio(tmp_path / "c")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"no vggsound\.csv"):
        vggsound.load_audio(tmp_path / "none")
    with pytest.raises(DataError, match="is no folder"):
        vggsound.load(None)
