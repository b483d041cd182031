"""AudioSet on small trees of segment lists and clips, and both multi-label data sets from files to a board."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench
import bench.builtin
from bench.data.check import check_clips
from bench.errors import DataError
from bench.plugins.discovery import load_modules
from bench.protocols.split import make_split
from bench_datasets import audioset

from . import trees

pytestmark = pytest.mark.usefixtures("warm_workers")

OFFICIAL = load_modules(bench.builtin).registry.protocols["official"]
FEW = {"balanced_train": 4, "unbalanced_train": 6, "eval": 3}


def test_both_training_lists_or_the_balanced_one(tmp_path: Path) -> None:
    trees.audioset(tmp_path / "audioset", FEW)
    whole = check_clips(audioset.load(tmp_path), "audioset")
    balanced = check_clips(audioset.load_balanced(tmp_path), "audioset-balanced")
    assert whole.splits == ("train",) * 10 + ("test",) * 3
    assert balanced.splits == ("train",) * 4 + ("test",) * 3
    assert whole.ids[0] == "-bala00000_"
    assert whole.groups == whole.ids
    assert whole.targets.shape == (13, 527)
    assert [row.nonzero()[0].tolist() for row in whole.targets[:4]] == [[0, 1], [1], [2], [0, 3]]
    assert whole.label_names[:2] == ("Speech", "Child speech, kid speaking")
    assert whole.title == "AudioSet"
    assert not whole.faithful
    split = make_split(OFFICIAL, balanced, 0)
    assert (len(split.train), len(split.test), split.leak.clips) == (4, 3, 0)


@pytest.mark.parametrize(
    ("file", "within"),
    [
        ("{}.wav", "audio/bal_train"),
        ("Y{}.wav", "{}_segments"),
        ("{}_30.flac", "audio"),
        ("{}_30_40.wav", "."),
        ("{}_30.000_40.000.wav", "{}_segments"),
        ("{}_30000_40000.wav", "audio"),
        ("{}_000030.wav", "audio"),
    ],
)
def test_clips_are_found_where_common_tools_put_them(tmp_path: Path, file: str, within: str) -> None:
    trees.audioset(tmp_path, {"balanced_train": 2}, file=file, within=within)
    trees.audioset(tmp_path, {"eval": 2}, file=file, within=within.replace("bal_train", "eval"))
    assert len(audioset.load_balanced(tmp_path)) == 4


def test_clips_that_are_gone_are_counted_and_named(tmp_path: Path) -> None:
    trees.audioset(tmp_path, FEW)
    for name in ("balanced_train_segments/-bala00001_", "eval_segments/-eval00002_"):
        (tmp_path / f"{name}.wav").unlink()
    clips = audioset.load_balanced(tmp_path)
    assert clips.title == "AudioSet, balanced training (5 of 7 clips)"
    assert "clips left out because their sound is not there: 1 of 4 train, 1 of 3 test" in clips.notes
    assert "missing clips: -bala00001_, -eval00002_" in clips.notes


def test_a_video_in_two_lists_is_refused(tmp_path: Path) -> None:
    trees.audioset(tmp_path, FEW)
    trees.segments(tmp_path, "eval", [("-bala00001_", (0,)), ("-eval00001_", (0,))])
    trees.tone(tmp_path / "audio" / "-bala00001_.wav", (0,))
    with pytest.raises(DataError, match="-bala00001_"):
        check_clips(audioset.load_balanced(tmp_path), "audioset-balanced")


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "eval_segments.csv",
            ", 40.000",
            "",
            "3 problem(s): line 4: 3 cells; needed are YTID, start, end",
        ),
        (
            "eval_segments.csv",
            "30.000",
            "half past",
            "line 4: could not convert string to float: 'half past'",
        ),
        ("eval_segments.csv", '"/m/0001,', '"/m/none,', "1 labels that are no class: /m/none"),
        ("class_labels_indices.csv", "526,/m/0526,Event 526\r\n", "", "lists 526 classes, AudioSet has 527"),
    ],
)
def test_lists_that_are_wrong_are_refused(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    path = trees.audioset(tmp_path, FEW) / file
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new).encode())
    with pytest.raises(DataError) as caught:
        audioset.load_balanced(tmp_path)
    assert words in str(caught.value)


def test_without_clips_it_says_what_it_looked_for(tmp_path: Path) -> None:
    trees.audioset(tmp_path, {"balanced_train": 2, "eval": 0, "unbalanced_train": 0})
    trees.segments(tmp_path, "eval", [("gone", (0,))])
    with pytest.raises(
        DataError, match=r"none of the 3 listed clips for test: looked for .* or Y.*eval_segments, eval"
    ):
        audioset.load_balanced(tmp_path)


PLUGIN = """
from bench import ModelSpec, hookimpl

@hookimpl
def bench_add_models():
    return [ModelSpec(name="tiny", factory=":build")]

def build(task):
    from torch import nn
    return nn.Sequential(
        nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 8, 64, 16), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(8, task.num_classes),
    )
"""


@pytest.mark.slow
def test_both_run_from_their_files_to_a_mean_average_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    trees.fsd50k(tmp_path / "data" / "fsd50k", {"train": 8, "val": 4, "test": 8})
    trees.audioset(tmp_path / "data" / "audioset-balanced", {"balanced_train": 8, "eval": 8})
    (tmp_path / "tiny.py").write_text(PLUGIN)
    records = bench.run(
        "tiny", ("fsd50k", "audioset-balanced"), data=tmp_path / "data", recipe="smoke", profile=False,
        overrides=("recipe.epochs=1", "recipe.batch=4"), out=tmp_path / "run", plugins=(tmp_path / "tiny.py",), jobs=2,
    )  # fmt: skip
    assert [(r.cell.data_name, r.cell.protocol, r.status) for r in records] == [
        ("audioset-balanced", "official@1", "ok"),
        ("fsd50k", "official@1", "ok"),
    ], [r.error for r in records]
    for record in records:
        scores = {score.name: score.value for score in record.scores}
        assert 0 < scores["map"] < 1
        assert "accuracy" not in scores
        assert scores["log_loss"] > 0
