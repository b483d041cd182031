"""The table of fp32 against bf16, from records made by hand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench.results.store import Store
from bench.statistics.paired import paired_cluster_bootstrap

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "parity.py"
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def parity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_parity", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(samples, tmp_path) -> Store:
    """Model ``a`` in both precisions, the logits of bf16 moved a little and three clips of it wrong; ``b`` in fp32."""
    made = Store(tmp_path)
    for seed in SEEDS:
        arrays = samples.fold_arrays(1, 0.9, np.random.default_rng(seed))
        samples.evaluated(made, samples.cell("a", 1, seed), 0.9, arrays=arrays)
        moved = arrays["logits"] + np.float32(0.01) * np.random.default_rng(9).standard_normal((samples.CLIPS, 4))
        moved[:3] = np.roll(moved[:3], 1, axis=1)
        turned = {name: x[::-1] for name, x in (arrays | {"logits": moved.astype(np.float32)}).items()}
        changes = {"curve_train_loss": np.array([1.4, 0.9, 0.5 - 0.01 * seed])}
        samples.evaluated(made, samples.cell("a", 1, seed, precision="bf16"), 0.9, arrays=turned | changes)
        samples.evaluated(made, samples.cell("b", 1, seed), 0.8)
    return made


def test_a_row_is_read_clip_by_clip_whatever_the_order(parity, store):
    (row,) = parity.read_rows(store)
    assert row.cell.model == "a"
    assert sorted(row.pairs) == [(1, seed) for seed in SEEDS]
    fp32, bf16 = row.pairs[1, 0]
    assert (fp32.ids == bf16.ids).all()
    assert np.abs(fp32.logits - bf16.logits)[3:].max() < 0.06
    assert fp32.losses.mean() == pytest.approx(np.mean([-np.log(p) for p in softmaxed(fp32)]))


def softmaxed(scored):
    chances = np.exp(scored.logits)
    chances /= chances.sum(axis=1, keepdims=True)
    return chances[np.arange(len(chances)), scored.targets]


def test_differences_are_those_of_the_statistics(parity, store, capsys, tmp_path):
    page = tmp_path / "parity.md"
    parity.main([str(store.root), "--out", str(page)])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "`a`" in line]
    (row,) = parity.read_rows(store)
    fp32, bf16 = (row.of_seeds(at, "logits").reshape(3, -1, 4).argmax(2) == row.pairs[1, 0][0].targets for at in (0, 1))
    found = paired_cluster_bootstrap(bf16, fp32, row.of_seeds(0, "groups")[0])
    said = f"{100 * found.difference:+.1f} [{100 * found.interval.low:+.1f}, {100 * found.interval.high:+.1f}]"
    assert said in line
    assert "0.6000, 0.4900" in line
    assert "-0.1100 (-0.1200 to -0.1000)" in line
    assert line in page.read_text()


def test_distance_of_logits_and_share_of_same_answers(parity, store):
    (row,) = parity.read_rows(store)
    fp32, _ = row.pairs[1, 0]
    assert parity.apart(iter([(fp32, fp32)])) == (0.0, 1.0)
    near, same = parity.apart(iter(row.pairs.values()))
    far, seeds_same = parity.apart(parity.seeds_apart(row))
    assert near < far
    assert same == pytest.approx(1 - 3 / 40)
    assert seeds_same < 1
    assert parity.apart(iter(())) is None


def test_a_run_in_one_precision_says_what_is_missing(parity, samples, tmp_path):
    lone = Store(tmp_path)
    samples.evaluated(lone, samples.cell("a", 1, 0), 0.9)
    with pytest.raises(SystemExit, match="no model in both precisions"):
        parity.main([str(lone.root)])
