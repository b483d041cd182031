"""The data set plugin as a plugin: cheap to list, and true to what its loaders return."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.data.locate import open_clips
from bench_datasets import bench_add_datasets

SPECS = {spec.name: spec for spec in bench_add_datasets()}
HAVE = [name for name in SPECS if name != "manifest"]


def test_names():
    assert set(SPECS) == {
        "esc50", "esc10", "esc50-titles", "fsdd", "fsdd-speaker", "digits", "digits-speaker", "manifest", "demo",
    }  # fmt: skip


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
