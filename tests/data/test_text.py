"""Hashed tokens are the same everywhere."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.text import hash_tokens
from bench.errors import DataError


def test_known_values():
    ids, mask = hash_tokens(["Dog barks, dog!", ""], 4, buckets=100)
    dog, barks = 1 + zlib.crc32(b"dog") % 99, 1 + zlib.crc32(b"barks") % 99
    assert ids.tolist() == [[dog, barks, dog, 0], [1, 0, 0, 0]]
    assert mask.tolist() == [[True, True, True, False], [True, False, False, False]]
    assert ids.dtype == np.int64
    assert mask.dtype == np.bool_


@given(st.lists(st.text(max_size=40), max_size=5), st.integers(1, 9), st.integers(2, 50))
def test_ranges(texts, length, buckets):
    ids, mask = hash_tokens(texts, length, buckets)
    assert ids.shape == mask.shape == (len(texts), length)
    assert ((ids >= 0) & (ids < buckets)).all()
    np.testing.assert_array_equal(mask, ids > 0)
    assert mask.any(axis=1).all()


def test_independent_of_the_hash_seed():
    code = "from bench.data.text import hash_tokens; print(hash_tokens(['rain on a tin roof'], 6)[0].tolist())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**__import__("os").environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


def test_wrong_arguments():
    with pytest.raises(DataError, match="length=0"):
        hash_tokens(["a"], 0)
