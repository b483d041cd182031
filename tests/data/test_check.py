"""What a plugin returns is checked, all problems at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.clips import Clips
from bench.data.check import check_clips
from bench.errors import DataError

GOOD = Clips(
    title="T", ids=("a", "b", "c"), targets=np.array([0, 1, 1]), label_names=("x", "y"),
    audio=(Path("a"), Path("b"), Path("c")), sample_rate=8000, clip_samples=10, manifest_sha256="m",
    folds=np.array([1, 2, 1]), groups=("g", "g", "h"), splits=("train", "val", "test"), texts=("", "", ""),
)  # fmt: skip


def test_good_clips_come_back():
    assert check_clips(GOOD, "t") is GOOD
    indicators = replace(GOOD, targets=np.array([[0, 1], [1, 1], [0, 0]], dtype=np.float32))
    assert check_clips(indicators, "t") is indicators
    assert check_clips(replace(GOOD, audio=lambda i: None), "t")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ("a", "b\udce9", "c")}, "1 ids are not UTF-8: .b.udce9"), ({"ids": ()}, "no clip"),
        ({"ids": ("a", "a", "c")}, "stand twice: a"), ({"ids": ("a",)}, "targets has 3 rows"),
        ({"targets": np.array([0, 1, 2])}, "0 to 2; allowed are 0 to 1"),
        ({"targets": np.array([0, -1, 1])}, "from -1"), ({"targets": np.array([0.0, 1.0, 1.0])}, "dtype float64"),
        ({"targets": np.zeros((3, 3), np.float32)}, "shape"),
        ({"targets": np.full((3, 2), 0.5, np.float32)}, "0 or 1"),
        ({"label_names": ("x",)}, "at least 2"), ({"label_names": ("x", "x")}, "label names stand twice"),
        ({"folds": np.array([1])}, "folds has 1 rows"), ({"audio": (Path("a"),)}, "audio has 1 rows"),
        ({"splits": ("train", "dev", "test")}, "unknown splits dev"), ({"listed_bad": ("z",)}, "names no clip: z"),
        ({"clip_samples": 0}, "must be positive"), ({"image_shape": (1, 2, 2)}, "given together"),
    ],
)  # fmt: skip
def test_problems_are_named(change, message):
    with pytest.raises(DataError, match=message):
        check_clips(replace(GOOD, **change), "t")


def test_another_type_and_several_problems():
    with pytest.raises(DataError, match=r"returned dict, not bench\.Clips"):
        check_clips({}, "t")
    with pytest.raises(DataError, match="is inconsistent") as caught:
        check_clips(replace(GOOD, ids=("a", "a", "c"), sample_rate=0), "t")
    assert "twice" in str(caught.value)
    assert "positive" in str(caught.value)
