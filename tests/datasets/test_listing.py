"""The data set plugin as a plugin: cheap to list, and true to what its loaders return."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.builtin import bench_add_protocols
from bench.config.recipes import resolve
from bench.data.locate import open_clips
from bench.errors import DataError
from bench.plugins.factories import load_factory
from bench_datasets import bench_add_datasets

SPECS = {spec.name: spec for spec in bench_add_datasets()}
NOT_AT_HAND = {
    "audioset", "audioset-balanced", "digits-khacef", "fsd50k", "manifest", "speech_commands", "speech_commands-12",
    "urbansound8k", "vggsound_instruments", "vggsound_instruments-audio",
}  # fmt: skip
"""Tested on small trees in the publishers' layout."""
HAVE = [name for name in SPECS if name not in NOT_AT_HAND]


def test_names():
    assert set(SPECS) == {
        "esc50", "esc10", "esc50-titles", "fsdd", "fsdd-speaker", "digits", "digits-speaker", "digits-khacef",
        "manifest", "demo", "speech_commands", "speech_commands-12", "urbansound8k",
        "vggsound_instruments", "vggsound_instruments-audio", "fsd50k", "audioset", "audioset-balanced",
    }  # fmt: skip


@pytest.mark.parametrize("recipe", ["quick", "full"])
@pytest.mark.parametrize("name", SPECS)
def test_only_sounds_that_go_on_are_rolled_and_what_is_unknown_is_not_augmented(name, recipe):
    found = resolve(recipe, clips=SPECS[name].settings)
    textures = {"esc50", "esc10", "esc50-titles", "urbansound8k", "fsd50k", "audioset", "audioset-balanced"}
    assert found.roll is (name in textures)
    if name in ("manifest", "fsdd", "fsdd-speaker", "digits", "digits-speaker"):
        assert (found.spec_masks, found.shift, found.mixup_alpha, found.gain_db) == (0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", SPECS)
def test_specs_hold_together(name):
    spec = SPECS[name]
    protocols = {protocol.name: protocol for protocol in bench_add_protocols()}
    assert set(spec.protocols) <= set(protocols)
    assert spec.description
    assert len(spec.manifest_sha256) in (0, 64)
    assert bool(spec.url) <= bool(spec.download_bytes)
    if spec.task is not None:
        needs = {need for name in spec.protocols for need in protocols[name].needs}
        assert ("folds" in needs) == bool(spec.folds)
        assert ("image" in spec.task.modalities) == (spec.task.image_shape is not None)
        assert callable(load_factory(spec.load))


def test_missing_data_say_where_to_get_them(tmp_path):
    with pytest.raises(DataError, match=r"speech_commands_v0\.02\.tar\.gz \(about 2400 MB\)"):
        open_clips(SPECS["speech_commands"], tmp_path)
    for name in ("urbansound8k", "vggsound_instruments"):
        with pytest.raises(DataError, match=r"cannot be downloaded: give its file or folder with --data PATH"):
            open_clips(SPECS[name], tmp_path)


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, bench_datasets; bench_datasets.bench_add_datasets();"
        "print({'torch', 'numpy', 'pandas', 'soundfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.data
@pytest.mark.parametrize("name", HAVE)
def test_specs_say_what_the_loaders_give(name, data_root):
    spec = SPECS[name]
    clips = open_clips(spec, data_root if spec.needs_files else None)
    task = spec.task
    assert len(clips.label_names) == task.num_classes
    assert (clips.sample_rate, clips.clip_samples) == (task.sample_rate, task.clip_samples)
    assert clips.image_shape == task.image_shape
    assert (clips.images is not None) == ("image" in task.modalities)
    assert (clips.texts is not None) == ("text" in task.modalities)
    assert tuple(sorted(set(clips.folds.tolist()))) == spec.folds if spec.folds else clips.folds is None
    assert (clips.groups is not None) == bool(spec.groups)
    assert (clips.splits is not None) == ("official" in spec.protocols)
    assert set(spec.known_leaks) <= set(clips.groups or ())


@pytest.mark.data
@pytest.mark.parametrize("name", HAVE)
def test_manifest_is_the_same_every_time(name, data_root):
    spec = SPECS[name]
    root = data_root if spec.needs_files else None
    first, second = open_clips(spec, root), open_clips(spec, root)
    assert first.manifest_sha256 == second.manifest_sha256
    assert len(first.manifest_sha256) == 64
