"""The conformance checks of data sets: each finds the fault it is for."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from dataclasses import replace

import numpy as np
import pytest

import bench.builtin
from bench import DataError, DatasetSpec, TaskInfo
from bench.plugins.discovery import load_modules
from bench.testing import check_dataset, datasets, recordings
from bench.testing.fakes import fake_plugin
from bench.testing.inputs import IMAGE_SHAPE, synthetic_clips, take
from bench.testing.recordings import spread

TASK = TaskInfo(
    num_classes=4, modalities=("audio", "image", "text"), clip_samples=800, image_shape=IMAGE_SHAPE, text_length=8
)
COUNTER = itertools.count()


def sound(root=None):
    clips = synthetic_clips(clips=40, classes=4, samples=800)
    folds = np.arange(40) // 8 + 1
    return replace(clips, folds=folds, groups=tuple(f"g{i // 2}" for i in range(40)))


def broken(fault, root=None):
    clips = sound()
    targets = clips.targets
    match fault:
        case "ids":
            return replace(clips, ids=("same", "same", *clips.ids[2:]))
        case "range":
            return replace(clips, targets=targets + 1)
        case "empty_class":
            return replace(clips, targets=np.where(targets == 3, 0, targets))
        case "groups":
            return replace(clips, groups=tuple(f"g{i % 16}" for i in range(40)))
        case "declared":
            return replace(clips, sample_rate=8_000)
        case "repeatable":
            return replace(clips, manifest_sha256=f"{next(COUNTER)}")
        case "decodes":
            return replace(clips, audio=lambda i: (np.full(800, np.nan, dtype=np.float32), 16_000))
        case "images":
            return replace(clips, images=lambda rows: np.full((len(rows), *IMAGE_SHAPE), 255.0, dtype=np.float32))
        case "texts":
            return replace(clips, texts=("", *clips.texts[1:]))
    raise AssertionError(fault)


broken_ids = functools.partial(broken, "ids")
broken_range = functools.partial(broken, "range")
broken_empty_class = functools.partial(broken, "empty_class")
broken_groups = functools.partial(broken, "groups")
broken_declared = functools.partial(broken, "declared")
broken_repeatable = functools.partial(broken, "repeatable")
broken_decodes = functools.partial(broken, "decodes")
broken_images = functools.partial(broken, "images")
broken_texts = functools.partial(broken, "texts")


def from_files(root):
    path = root / "clips.csv"
    if not path.is_file():
        raise DataError(f"no clips.csv in {root}")
    if "broken" in path.read_text(encoding="utf-8"):
        raise DataError(f"{path} is broken")
    return sound()


def results_of(load="sound", **fields):
    given = {"task": TASK, "folds": (1, 2, 3, 4, 5), "groups": "pair", "needs_files": False, **fields}
    options = {key: given.pop(key) for key in ("data", "required") if key in given}
    spec = DatasetSpec(name="fake", load=f"{__name__}:{load}", protocols=("4+1", "3+1+1", "random-5fold"), **given)
    registry = load_modules(fake_plugin("fakes", [spec]), bench.builtin).registry
    return {result.name: result for result in check_dataset("fake", registry, **options)}


def test_a_sound_data_set_passes_everything():
    results = results_of()
    assert results.pop("manifest").status == "skipped"
    assert {result.status for result in results.values()} == {"passed"}
    assert set(results) == {
        "load", "declared", "ids", "labels", "folds", "groups", "repeatable", "decodes", "copies",
        "near_copies", "images", "texts",
    }  # fmt: skip
    assert "20 groups (pair), pure" in results["groups"].message


@pytest.mark.parametrize(
    ("fault", "check", "says"),
    [
        ("ids", "load", "ids stand twice"),
        ("range", "load", "allowed are 0 to 3"),
        ("empty_class", "labels", "no clip of class 3"),
        ("groups", "groups", "leaks"),
        ("declared", "declared", "sample_rate is declared 16000 and is 8000"),
        ("repeatable", "repeatable", "sort what the loader lists"),
        ("decodes", "decodes", "NaN, infinite"),
        ("images", "images", "divide by 255"),
        ("texts", "texts", "1 empty"),
    ],
)
def test_each_fault_is_found_by_its_check(fault, check, says):
    results = results_of(f"broken_{fault}")
    found = {name: result.message for name, result in results.items() if result.status == "failed"}
    assert set(found) == {check}
    assert says in found[check]


def faulty(root=None):
    """Forty clips of noise: one silent, one half empty, a copy in another fold, a near copy in another fold."""
    rows = list(np.random.default_rng(0).uniform(-0.5, 0.5, (40, 16_000)).astype(np.float32))
    rows[3], rows[4] = np.zeros(800, np.float32), np.concatenate([rows[4], np.zeros(20_000, np.float32)])
    rows[31] = rows[2]
    rows[23] = np.concatenate([np.zeros(2_000, np.float32), 0.2 * rows[5]])
    return replace(sound(), audio=lambda i: (rows[i], 16_000), clip_samples=16_000)


def test_faults_of_recordings_are_listed_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    results = results_of("faulty", task=replace(TASK, clip_samples=16_000))
    listed = {one.what: one for result in results.values() for one in result.listed}
    names = faulty().ids
    for what, rows in {"silent": (3,), "more than half digital silence": (4,)}.items():
        assert (listed[what].count, listed[what].first) == (len(rows), tuple(names[row] for row in rows))
    assert listed["truncated to the length of a clip"].count == 2
    assert listed["the same samples as another clip"].first == (f"{names[2]} = {names[31]}",)
    same_label = faulty().targets[2] == faulty().targets[31]
    assert ("the same with another label" in listed) == (not same_label)
    assert ("with another label than it" in results["copies"].message) == (not same_label)
    (pair,) = listed["such pairs in different folds or parts"].first
    assert pair.startswith(f"{names[5]} ~ {names[23]} (1.0")
    assert "1 pair of clips sounding alike (0 of one group, 1 in different folds" in results["near_copies"].message
    assert results["groups"].status == "failed"
    assert "the same recording: leave one out" in results["groups"].message


def test_a_class_without_a_training_clip_is_named():
    assert "; 4+1, fold 1: no training clip has class" in results_of("lonely")["folds"].message


def lonely(root=None):
    clips = sound()
    return replace(clips, targets=np.where(np.arange(40) < 8, 3, np.arange(40) % 3))


def test_documented_leaks_are_told_and_stale_ones_refused():
    names = tuple(f"g{i}" for i in range(16))
    told = results_of("broken_groups", known_leaks=names)["groups"]
    assert told.status == "passed"
    assert "16 documented exceptions, in at most 100.0% of a test part" in told.message
    stale = results_of(known_leaks=("g3",))["groups"]
    assert (stale.status, "known_leaks names g3" in stale.message) == ("failed", True)


def test_declared_groups_must_be_given():
    results = results_of("loose", groups="pair")
    assert results["groups"].status == "failed"
    assert results_of("loose", groups="")["groups"].status == "skipped"


def loose(root=None):
    return replace(sound(), groups=None)


def test_absent_files_are_skipped_with_a_reason_unless_required(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    fields = {"load": "from_files", "needs_files": True}
    (result,) = results_of(**fields).values()
    assert (result.name, result.status) == ("load", "skipped")
    assert "--data DIR" in result.message
    assert results_of(**fields, data=tmp_path)["load"].status == "skipped"
    assert results_of(**fields, data=tmp_path, required=True)["load"].status == "failed"


def test_broken_files_under_the_data_sets_name_are_a_failure(tmp_path):
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "clips.csv").write_text("broken", encoding="utf-8")
    (result,) = results_of("from_files", needs_files=True, data=tmp_path).values()
    assert (result.status, "is broken" in result.message) == ("failed", True)


def test_the_declared_checksum_may_be_that_of_a_metadata_file(tmp_path):
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "clips.csv").write_text("a,b\n", encoding="utf-8")
    right = hashlib.sha256(b"a,b\n").hexdigest()
    fields = {"load": "from_files", "needs_files": True, "data": tmp_path}
    assert results_of(**fields, manifest_sha256=right)["manifest"].message.startswith("clips.csv has")
    wrong = results_of(**fields, manifest_sha256="0" * 64)["manifest"]
    assert (wrong.status, "calls itself faithful" in wrong.message) == ("failed", True)


def test_take_gives_the_classes_in_turn():
    clips = synthetic_clips(clips=40, classes=4, samples=800)
    few = take(clips, 6)
    assert few.targets.tolist() == [0, 1, 2, 3, 0, 1]
    assert few.ids == clips.ids[:6]
    assert np.array_equal(few.audio(5)[0], clips.audio(5)[0])
    assert np.array_equal(few.images([4, 1]), clips.images([4, 1]))
    with pytest.raises(DataError, match="64 clips of one label"):
        take(clips, 64)


@pytest.mark.parametrize(("count", "wanted"), [(1, 8), (8, 8), (9, 8), (1000, 3)])
def test_spread_reaches_from_first_to_last(count, wanted):
    rows = spread(count, wanted)
    assert len(rows) == min(count, wanted)
    assert (rows[0], rows[-1]) == (0, count - 1)


SPARSE = {"esc50", "digits-speaker"}
"""The recordings of esc10 and digits again, and more: as of a large set, few are decoded; ``BENCH_THOROUGH=1``: all."""


@pytest.mark.data
@pytest.mark.parametrize("name", ["demo", "esc10", "esc50", "digits", "digits-speaker"])
def test_the_data_sets_at_hand_keep_their_contract(name, data_root, monkeypatch):
    import bench_datasets

    for module in (datasets, recordings) if name in SPARSE and not os.environ.get("BENCH_THOROUGH") else ():
        monkeypatch.setattr(module, "EVERY", 1_000)
    registry = load_modules(bench_datasets, bench.builtin).registry
    results = check_dataset(name, registry, data=data_root)
    assert [str(result) for result in results if result.status == "failed"] == []
    assert len(results) == 13
