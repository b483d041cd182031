"""One process has an interval of its throughput too: over the blocks that it ran."""

from __future__ import annotations

import numpy as np
import pytest

from bench.gate.baseline import Measured
from bench.gate.intervals import measured_difference


def rates(*blocks: float) -> Measured:
    """A throughput of one process from the rates of its equally long blocks."""
    return Measured(unit="clips/s", processes=(1 / np.mean(1 / np.array(blocks)),), samples=(blocks,))


STEADY = rates(*np.random.default_rng(0).normal(100, 1, 10))


def test_neighbours_that_held_up_three_blocks_are_no_proof():
    found = measured_difference(rates(*[100.0] * 7, 40.0, 50.0, 60.0), STEADY, 0.95)
    assert found.candidate < 0.85 * found.baseline
    assert found.method == "10 and 10 blocks of samples"
    assert found.high is not None
    assert found.high > -0.15 * found.baseline


def test_thirty_percent_more_work_in_every_block_is():
    slower = rates(*np.random.default_rng(1).normal(100 / 1.3, 1, 10))
    found = measured_difference(slower, STEADY, 0.95)
    assert found.high is not None
    assert found.high < -0.15 * found.baseline
    assert found.candidate - found.baseline == pytest.approx(-23, abs=1.5)


def test_few_blocks_give_no_interval():
    found = measured_difference(rates(100.0, 101.0, 99.0), STEADY, 0.95)
    assert (found.low, found.high) == (None, None)
    assert found.method == "no interval: 1 process, 8 needed"
