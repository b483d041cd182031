"""Copies of a clip and groups are never parted where bench divides, and refused where others divided so."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.builtin
from bench import Clips, LeakError
from bench.plugins.discovery import load_modules
from bench.protocols.groups import draw_folds, untrained, with_copies, with_folds
from bench.protocols.split import available_folds, make_split

HOST = load_modules(bench.builtin).registry.protocols


def clips(targets, **given) -> Clips:
    count = len(targets)
    return Clips(
        title="Made up", ids=tuple(f"c{i}" for i in range(count)), targets=np.asarray(targets),
        label_names=("a", "b", "c"),
        audio=lambda _: (np.zeros(4, dtype=np.float32), 8), sample_rate=8, clip_samples=4, manifest_sha256="m", **given,
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=80))
def test_drawn_folds(items):
    data = clips([label for label, _ in items], groups=tuple(str(group) for _, group in items))
    folds = draw_folds(data, count=5)
    np.testing.assert_array_equal(folds, draw_folds(data, count=5))
    assert ((folds >= 1) & (folds <= 5)).all()
    assert len(set(zip(data.groups, folds.tolist(), strict=True))) == len(set(data.groups))


def test_drawn_folds_are_even_without_groups():
    data = clips([0] * 50 + [1] * 25)
    folds = draw_folds(data, count=5)
    assert Counter(zip(data.targets.tolist(), folds.tolist(), strict=True)) == {
        (label, fold): size for label, size in ((0, 10), (1, 5)) for fold in range(1, 6)
    }


@given(st.lists(st.integers(0, 8), min_size=12, max_size=40), st.booleans())
def test_no_fold_of_ours_parts_copies(sounds, grouped):
    """Whoever draws the folds, whether there are groups or not: a recording stands in one of them."""
    first = np.array([sounds.index(sound) for sound in sounds])
    groups = tuple(f"g{i // 3}" for i in range(len(sounds))) if grouped else None
    data = with_copies(with_folds(clips([i % 3 for i in range(len(sounds))], groups=groups, folds_to_draw=5)), first)
    names = ["4+1", *(["grouped-5", "grouped-3"] if grouped else ["random-5fold"])]
    for protocol in (HOST[name] for name in names):
        if len(set(data.groups or first.tolist())) < 5:
            continue
        for fold in available_folds(protocol, data):
            split = make_split(protocol, data, fold)
            assert not set(first[split.test]) & set(first[split.train])


def test_groups_that_share_a_copy_are_one_and_it_is_said():
    data = with_copies(clips([0, 1, 2, 0], groups=("x", "y", "z", "y")), np.array([0, 0, 2, 3]))
    assert data.groups == ("x = y", "x = y", "z", "x = y")
    assert data.notes == ("1 of 4 clips are copies of others, each one group with its original: c0 = c1",)
    plain = clips([0, 1], groups=("x", "y"))
    assert with_copies(plain, np.arange(2)).groups == ("x", "y")
    assert with_copies(plain, np.arange(2)).notes == ()


@pytest.mark.parametrize("groups", [None, tuple("wxyz")])
def test_copies_in_folds_of_others_are_refused_with_their_names(groups):
    data = with_copies(clips([0, 1, 0, 1], folds=np.array([1, 1, 2, 2]), groups=groups), np.array([0, 1, 0, 3]))
    with pytest.raises(
        LeakError, match=r"'c0' \(test\) and 'c2' \(train\) are the same recording: leave one out"
    ) as caught:
        make_split(HOST["4+1"], data, 1)
    assert caught.value.rate == 0.5
    known = ("c0",) if groups is None else ("w = y",)
    assert make_split(HOST["4+1"], data, 1, known_leaks=known).leak.groups == known
    assert make_split(HOST["random-80-20"], data, 0).test.tolist()


def test_a_published_split_is_held_to_the_same():
    data = with_copies(clips([0, 1, 0], splits=("train", "train", "test")), np.array([0, 1, 0]))
    with pytest.raises(LeakError, match="same recording"):
        make_split(HOST["official"], data, 0)


def test_classes_that_no_training_clip_has_are_named():
    data = clips([0, 1, 2, 0, 1])
    assert (
        untrained(data, np.array([0, 1]), np.array([2, 3]))
        == "no training clip has class 'c', which can only be guessed"
    )
    assert untrained(data, np.array([0, 1, 2]), np.array([3, 4])) == ""
    several = replace(data, targets=np.eye(3, dtype=np.float32)[data.targets])
    assert "class 'b', 'c'" in untrained(several, np.array([0]), np.array([1, 2, 3]))
