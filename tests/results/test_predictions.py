"""Arrays beside a record, read without numpy's and zipfile's overhead, are those that numpy reads."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import StoreError
from bench.results.predictions import NpzArrays

ARRAYS = {
    "logits": np.arange(12, dtype=np.float32).reshape(4, 3),
    "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "ids": np.array(["a", "öß"]),
    "none": np.zeros((0, 3), dtype=np.int64),
    "scalar": np.array(2.5),
}


def _file(save, **arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_of_numpy(save):
    content = _file(save, **ARRAYS)
    found = NpzArrays(content)
    with np.load(io.BytesIO(content)) as expected:
        assert list(found) == list(expected)
        assert len(found) == len(ARRAYS)
        for name in ARRAYS:
            np.testing.assert_array_equal(found[name], expected[name], strict=True)


def test_what_is_missing_is_told_as_by_a_mapping():
    found = NpzArrays(_file(np.savez, a=np.zeros(2)))
    assert "b" not in found
    assert found.get("b") is None
    with pytest.raises(KeyError):
        found["b"]


@pytest.mark.filterwarnings("error")
def test_a_header_that_numpy_never_writes_is_refused_in_silence():
    content = _file(np.savez, a=np.arange(3.0)).replace(b"fortran_order", b"fortran\\order")
    with pytest.raises(StoreError, match="header"):
        NpzArrays(content)["a"]


def _bzip2() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.npy", b"abc" * 100)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all, but longer than its directory's end", _bzip2()])
def test_what_bench_never_writes_is_refused(content):
    with pytest.raises(StoreError, match="zip archive"):
        NpzArrays(content)


@given(st.lists(st.permutations(["ab", "ba", "c", "logits"]), min_size=2, max_size=6), st.integers(0, 40))
def test_directories_that_differ_in_names_order_or_numbers_are_told_apart(orders, size):
    for place, names in enumerate(orders):
        content = _file(np.savez_compressed, **{name: np.arange(size + place) + ord(name[0]) for name in names})
        found = NpzArrays(content)
        with np.load(io.BytesIO(content)) as expected:
            assert list(found) == list(expected) == names
            assert all(np.array_equal(found[name], expected[name]) for name in names)


def test_a_class_below_zero_or_beyond_the_logits_is_damage():
    arrays = {"ids": np.array(["a", "b"]), "logits": np.zeros((2, 3), dtype=np.float32)}
    for wrong in ([0, -1], [0, 3]):
        with pytest.raises(StoreError, match="belong together"):
            NpzArrays(_file(np.savez, **arrays, targets=np.array(wrong)), scored=True)
