"""Batches: order, conversion, and no difference from slicing by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.data.batches import Batches, to_floats, to_tensor
from bench.errors import DataError


@given(
    n=st.integers(0, 40), size=st.integers(1, 12), seed=st.one_of(st.none(), st.integers(0, 1000)), drop=st.booleans()
)
def test_every_index_once(n, size, seed, drop):
    clips = np.arange(60, dtype=np.int16)[:, None]
    indices = np.arange(5, 5 + n)
    batches = Batches({"audio": clips}, np.arange(60), indices, size, seed=seed, drop_last=drop)
    epoch = list(batches.epoch(3))
    assert len(epoch) == len(batches)
    seen = np.concatenate([b.index for b in epoch]) if epoch else np.array([], dtype=int)
    assert len(set(seen.tolist())) == len(seen) == (n // size * size if drop else n)
    assert set(seen.tolist()) <= set(indices.tolist())
    for batch in epoch:
        np.testing.assert_array_equal(batch.targets.numpy(), batch.index)
        np.testing.assert_array_equal(batch.inputs["audio"][:, 0].numpy() * 32768, batch.index)
    if seed is None:
        np.testing.assert_array_equal(seen, indices[: len(seen)])
    elif size > 1 and n > 1:
        assert 1 not in map(len, epoch)  # a clip left alone joins the batch before it


def test_the_order_is_the_documented_permutation():
    batches = Batches({"audio": np.zeros((10, 4), np.int16)}, np.zeros(10, np.int64), np.arange(10), 4, seed=7)
    expected = torch.randperm(10, generator=torch.Generator().manual_seed(7 * 100_003 + 2)).numpy()
    np.testing.assert_array_equal(np.concatenate([b.index for b in batches.epoch(2)]), expected)
    np.testing.assert_array_equal(np.concatenate([b.index for b in batches.epoch(2)]), expected)
    assert not np.array_equal(batches.order(1), batches.order(2))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    list(Batches({"audio": np.zeros((4, 2), np.int16)}, np.zeros(4, np.int64), np.arange(4), 2, seed=1).epoch(0))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("dtype", "value", "expected", "kind"),
    [
        (np.int16, -32768, -1.0, torch.float32), (np.uint8, 255, 1.0, torch.float32),
        (np.float16, 0.5, 0.5, torch.float32), (np.float64, 0.25, 0.25, torch.float32),
        (np.float32, 0.25, 0.25, torch.float32), (np.int64, 7, 7, torch.int64), (np.bool_, True, True, torch.bool),
    ],
)  # fmt: skip
def test_conversions(dtype, value, expected, kind):
    tensor = to_tensor(np.array([value], dtype=dtype))
    assert tensor.dtype == kind
    assert tensor.item() == expected


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float16, np.float32, np.float64, np.int64, np.bool_])
def test_arrays_are_converted_as_tensors_are(dtype):
    rows = np.arange(-(2**15), 2**15).astype(dtype)
    floats, tensor = to_floats(rows), to_tensor(rows).numpy()
    assert floats.dtype == tensor.dtype
    assert floats.tobytes() == tensor.tobytes()


def test_int16_stays_below_one():
    assert to_tensor(np.array([32767], dtype=np.int16)).item() < 1.0


def test_memmap_callable_and_multi_label(tmp_path):
    stored = np.memmap(tmp_path / "x", dtype=np.int16, mode="w+", shape=(6, 3))
    stored[:] = np.arange(18).reshape(6, 3)
    stored.flush()
    frozen = np.memmap(tmp_path / "x", dtype=np.int16, mode="r", shape=(6, 3))
    targets = np.eye(6, dtype=np.float32)
    asked = []

    def images(index):
        asked.append(list(index))
        return np.ones((len(index), 1, 2, 2), dtype=np.float32) * np.asarray(index)[:, None, None, None]

    batches = Batches({"audio": frozen, "image": images}, targets, np.array([5, 0, 3]), 2)
    first, second = list(batches.epoch(0))
    assert asked == [[5, 0], [3]]
    assert first.inputs["image"][0].unique().tolist() == [5.0]
    torch.testing.assert_close(first.inputs["audio"], torch.tensor(np.array(stored[[5, 0]])) / 32768)
    assert first.targets.dtype == torch.float32
    assert len(second) == 1
    first.inputs["audio"].zero_()
    assert stored[5].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size"), ({"inputs": {}}, "no inputs"), ({"indices": np.array([9])}, "0 to 3"),
        ({"inputs": {"audio": np.zeros((3, 2), np.int16)}}, "'audio' has 3 rows"),
    ],
)  # fmt: skip
def test_wrong_arguments(change, message):
    arguments = {
        "inputs": {"audio": np.zeros((4, 2), np.int16)}, "targets": np.zeros(4, np.int64), "indices": np.arange(4),
        "batch_size": 2, **change,
    }  # fmt: skip
    with pytest.raises(DataError, match=message):
        Batches(**arguments)
