"""Speech Commands in the publishers' layout: 35 words, the 12 classes made from them, and damaged trees."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import bench.builtin
from bench.data.check import check_clips
from bench.data.waveforms import open_waveforms
from bench.errors import DataError, LeakError
from bench.plugins.discovery import load_modules
from bench.protocols.split import make_split
from bench_datasets import bench_add_datasets, speech_commands, speech_commands_12

PROTOCOLS = load_modules(bench.builtin).registry.protocols
SPECS = {spec.name: spec for spec in bench_add_datasets()}
SPEAKERS = {"0a": None, "1b": None, "2c": "validation_list.txt", "3d": "testing_list.txt"}
NOISE_SECONDS = 6


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Four speakers say each word once; speaker i's samples are all i / 10."""
    root = tmp_path_factory.mktemp("commands")
    lists: dict[str, list[str]] = {"validation_list.txt": [], "testing_list.txt": []}
    for word in speech_commands.WORDS:
        (root / word).mkdir()
        for number, (speaker, part) in enumerate(SPEAKERS.items()):
            name = f"{word}/{speaker}_nohash_0.wav"
            soundfile.write(root / name, np.full(160, number / 10), 16_000)
            if part:
                lists[part].append(name)
    for name, lines in lists.items():
        (root / name).write_text("\n".join(lines))
    (root / "_background_noise_").mkdir()
    ramp = np.arange(NOISE_SECONDS * 16_000) / 2**17
    for name in speech_commands_12.NOISES:
        soundfile.write(root / "_background_noise_" / f"{name}.wav", ramp, 16_000)
    (root / "_background_noise_" / "README.md").write_text("noise")
    (root / "README.md").write_text("words")
    return root


@pytest.fixture
def tree(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "speech_commands_v0.02"))


def test_words_speakers_and_parts(tree):
    for root in (tree, tree.parent):
        clips = check_clips(speech_commands.load(root), "speech_commands")
        assert len(clips) == 140
        assert clips.label_names == speech_commands.WORDS
        assert len(set(clips.label_names)) == 35
        assert clips.ids[:2] == ("backward/0a_nohash_0", "backward/1b_nohash_0")
        assert clips.groups == tuple(SPEAKERS) * 35
        assert clips.splits == ("train", "train", "val", "test") * 35
        assert clips.targets.tolist() == [word for word in range(35) for _ in range(4)]
        assert not any("_background_noise_" in clip_id for clip_id in clips.ids)
        assert not clips.faithful


def test_protocols(tree):
    clips = speech_commands.load(tree)
    assert SPECS["speech_commands"].protocols == ("official", "official-val")
    sizes = [
        tuple(map(len, (split.train, split.validation, split.test)))
        for split in (make_split(PROTOCOLS[name], clips, 0) for name in SPECS["speech_commands"].protocols)
    ]
    assert sizes == [(105, 0, 35), (70, 35, 35)]


def test_what_makes_it_faithful(tree, monkeypatch):
    from bench_datasets._common import sha256

    notes = speech_commands.load(tree).notes
    assert len(notes) == 3
    assert "140 recordings where the published archive holds 105829" in notes
    official = {split: sha256(tree / name) for split, name in speech_commands.LISTS.items()}
    monkeypatch.setattr(speech_commands, "OFFICIAL_LISTS", official)
    monkeypatch.setattr(speech_commands, "OFFICIAL_CLIPS", 140)
    clips = speech_commands.load(tree)
    assert (clips.title, clips.faithful, clips.notes) == ("Speech Commands v2", True, ())
    assert speech_commands_12.load(tree).faithful
    soundfile.write(tree / "bed" / "0a_nohash_0.flac", np.zeros(16), 16_000)
    (tree / "bed" / "0a_nohash_0.wav").unlink()
    assert "re-encoded recordings (.flac)" in speech_commands.load(tree).notes[0]


def test_a_speaker_in_two_parts_is_a_leak(tree):
    shutil.copy(tree / "bed" / "3d_nohash_0.wav", tree / "bed" / "3d_nohash_1.wav")
    with pytest.raises(LeakError, match="'3d'"):
        make_split(PROTOCOLS["official"], speech_commands.load(tree), 0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "testing_list.txt",
            "bed/9f_nohash_0.wav\nbed/3d_nohash_0.wav",
            r"1 of 2 clips of testing_list.*bed/9f_nohash_0",
        ),
        ("testing_list.txt", "bed/3d_nohash_0.wav\nbed/3d_nohash_0.wav", "names 1 clips twice: bed/3d_nohash_0"),
        ("testing_list.txt", "bed/2c_nohash_0.wav", "1 clips stand in both lists"),
        ("validation_list.txt", "\n", "names no clip"),
        ("validation_list.txt", ". / bed/.wav", "are missing"),
        ("validation_list.txt", "_background_noise_/white_noise.wav", "are missing"),
    ],
)
def test_wrong_lists(tree, name, text, message):
    (tree / name).write_text(text)
    with pytest.raises(DataError, match=message):
        speech_commands.load(tree)


def test_unreadable_and_missing_lists(tree):
    (tree / "validation_list.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="cannot read"):
        speech_commands.load(tree)
    (tree / "validation_list.txt").unlink()
    with pytest.raises(DataError, match=r"cannot read .*validation_list"):
        speech_commands.load(tree)
    (tree / "testing_list.txt").unlink()
    with pytest.raises(DataError, match=r"no testing_list\.txt"):
        speech_commands.load(tree)
    with pytest.raises(DataError, match="is no folder"):
        speech_commands.load(tree / "README.md")


def test_wrong_folders_and_names(tree):
    (tree / "bed" / "anna.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 files in .* are not named speaker_nohash_take: bed/anna"):
        speech_commands.load(tree)
    (tree / "bed" / "anna.wav").unlink()
    (tree / "hello").mkdir()
    with pytest.raises(DataError, match=r"no word of Speech Commands v0\.02: hello"):
        speech_commands.load(tree)
    (tree / "hello").rmdir()
    shutil.rmtree(tree / "visual")
    with pytest.raises(DataError, match=r"no folder for 1 of the 35 words of Speech Commands v0\.02: visual"):
        speech_commands.load(tree)
    (tree / "visual").mkdir()
    with pytest.raises(DataError, match="no recording of visual"):
        speech_commands.load(tree)


def test_twelve_classes(tree):
    clips = check_clips(speech_commands_12.load(tree), "speech_commands-12")
    names = [clips.label_names[target] for target in clips.targets]
    assert clips.label_names[-2:] == ("unknown", "silence")
    # Ten words, one speaker in val and in test, two in train: a tenth of that for unknown and for silence.
    for split, words, share in (("train", 20, 2), ("val", 10, 1), ("test", 10, 1)):
        counts = Counter(name for name, part in zip(names, clips.splits, strict=True) if part == split)
        assert counts["unknown"] == counts["silence"] == share
        assert sum(counts.values()) == words + 2 * share
        assert counts["yes"] == words // 10
    unknown = {clip_id for clip_id, name in zip(clips.ids, names, strict=True) if name == "unknown"}
    assert not {clip_id.partition("/")[0] for clip_id in unknown} & set(speech_commands_12.COMMANDS)
    assert speech_commands_12.load(tree).manifest_sha256 == clips.manifest_sha256


@pytest.mark.parametrize(("commands", "share"), [(4074, 408), (3703, 371), (30769, 3077)])
def test_published_sizes(commands, share):
    assert -(-commands // speech_commands_12._SHARE) == share
    assert (commands + 2 * share) in (4890, 4445, 36923)


def test_silence_windows_share_no_sample_between_parts(tree):
    noise = tree / "_background_noise_" / "white_noise.wav"
    windows = {split: speech_commands_12._starts(noise, split, 40) for split in speech_commands_12.PARTS}
    total = NOISE_SECONDS * 16_000
    for split, starts in windows.items():
        first, last = (fraction * total for fraction in speech_commands_12.PARTS[split])
        assert len(set(starts)) == 40
        assert first <= min(starts)
        assert max(starts) + 16_000 <= last
    assert min(windows["train"]) == 0
    assert max(windows["test"]) == total - 16_000


def test_silence_is_the_window_it_says(tree, tmp_path):
    clips = speech_commands_12.load(tree)
    row = [clip_id.startswith("silence/") for clip_id in clips.ids].index(True)
    start = int(clips.ids[row].rpartition("_")[2])
    waveform, rate = clips.audio(row)
    assert (waveform.shape, waveform.dtype, rate) == ((1, 16_000), np.float32, 16_000)
    np.testing.assert_allclose(waveform[0], (start + np.arange(16_000)) / 2**17, atol=1 / 2**15)
    waveforms = open_waveforms(clips, trim_db=None, fill="zeros", cache=tmp_path / "cache")
    assert waveforms.lengths[row] == 16_000
    word = clips.ids.index("yes/3d_nohash_0")
    assert waveforms.lengths[word] == 160
    np.testing.assert_allclose(waveforms.samples[word, :160] / 32768, 0.3, atol=1e-4)


def test_shared_noise_is_a_documented_leak(original, tmp_path):
    tree = Path(shutil.copytree(original, tmp_path / "t"))
    for word in speech_commands_12.COMMANDS:
        for take in range(1, 8):
            for speaker in SPEAKERS:
                shutil.copy(tree / word / f"{speaker}_nohash_0.wav", tree / word / f"{speaker}_nohash_{take}.wav")
    for speaker, name in SPEAKERS.items():
        if name:
            more = [f"{w}/{speaker}_nohash_{take}.wav" for w in speech_commands_12.COMMANDS for take in range(1, 8)]
            (tree / name).write_text("\n".join([(tree / name).read_text(), *more]))
    clips = speech_commands_12.load(tree)
    known = SPECS["speech_commands-12"].known_leaks
    leak = make_split(PROTOCOLS["official"], clips, 0, known_leaks=known).leak
    assert leak.groups == tuple(sorted(known)) == speech_commands_12.NOISES
    assert (leak.clips, leak.test_clips) == (8, 96)
    with pytest.raises(LeakError):
        make_split(PROTOCOLS["official"], clips, 0)


def test_broken_noise(tree):
    noise = tree / "_background_noise_" / "running_tap.wav"
    clips = speech_commands_12.load(tree)
    rows = [row for row, clip_id in enumerate(clips.ids) if clip_id.startswith("silence/doing_the_dishes")]
    assert [clips.audio.starts[row] for row in rows] == [0, 57_600, 76_800]
    soundfile.write(tree / "_background_noise_" / "doing_the_dishes.wav", np.zeros(100), 16_000)
    with pytest.raises(DataError, match=r"doing_the_dishes\.wav: it ends after 100 of 16000 frames"):
        clips.audio(rows[0])
    with pytest.raises(DataError, match=r"cannot read .*doing_the_dishes\.wav"):
        clips.audio(rows[1])
    with pytest.raises(DataError, match=r"doing_the_dishes\.wav lasts 0\.01 s; its train part"):
        speech_commands_12.load(tree)
    noise.write_bytes(b"no sound")
    with pytest.raises(DataError, match="cannot read"):
        speech_commands_12._starts(noise, "train", 1)
    noise.unlink()
    with pytest.raises(DataError, match=r"1 of 6 clips are missing in .*_background_noise_: running_tap\.wav"):
        speech_commands_12.load(tree)


def test_too_few_other_words(tree):
    path = tree / "testing_list.txt"
    path.write_text("\n".join(line for line in path.read_text().split() if line.startswith("yes/")))
    with pytest.raises(DataError, match=r"the test part holds 0 recordings of the other 25 words; .* needs 1"):
        speech_commands_12.load(tree)
    path.write_text("bed/3d_nohash_0.wav")
    with pytest.raises(DataError, match="the test part holds no recording of yes, no"):
        speech_commands_12.load(tree)


def test_declared_constants_are_the_loaders():
    both = SPECS["speech_commands"], SPECS["speech_commands-12"]
    assert {spec.manifest_sha256 for spec in both} == {speech_commands.OFFICIAL_LISTS["test"]}
    assert both[1].known_leaks == speech_commands_12.NOISES
    assert both[0].task.num_classes == len(speech_commands.WORDS)
    assert both[1].task.num_classes == len(speech_commands_12.LABELS)
    assert set(speech_commands_12.COMMANDS) < set(speech_commands.WORDS)
