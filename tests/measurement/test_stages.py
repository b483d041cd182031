import json
from time import perf_counter

import numpy as np
import pytest

from bench.errors import BenchError
from bench.measurement.stages import Breakdown, measure_stages


def busy(seconds, account=None):
    def run(value):
        start = perf_counter()
        while perf_counter() - start < seconds:
            pass
        if account is not None:
            account.append(perf_counter() - start)
        return value

    return run


def test_known_stages_and_their_sum():
    # each stage keeps its own account, which holds on a loaded machine too
    known = {"decode": 0.005, "front_end": 0.004, "forward": 0.01}
    accounts = {name: [] for name in known}
    stages = [(name, busy(seconds, accounts[name])) for name, seconds in known.items()]
    result = measure_stages(stages, lambda i: i, device="cpu", passes=15, warmup=1)
    own = np.asarray(list(accounts.values())).T[2:]  # staged and whole passes alternate
    assert result.stage_s.shape == own[::2].shape == (15, 3)
    assert np.median(result.stage_s / own[::2], axis=0) == pytest.approx([1.0] * 3, rel=0.02)
    assert np.median(result.end_to_end_s / own[1::2].sum(axis=1)) == pytest.approx(1.0, rel=0.02)
    assert (result.stage_s.min(axis=0) >= list(known.values())).all()
    json.dumps(result.to_json(), allow_nan=False)


def test_each_stage_takes_what_the_one_before_gave():
    seen = []
    stages = [("double", lambda x: 2 * x), ("keep", lambda x: seen.append(x) or x)]
    measure_stages(stages, lambda i: i, device="cpu", passes=2, warmup=1)
    assert seen == [0, 0, 2, 2, 4, 4]


@pytest.mark.parametrize(("end_to_end", "adds_up"), [(0.0104, True), (0.0096, True), (0.0108, False), (0.0094, False)])
def test_five_percent(end_to_end, adds_up):
    result = Breakdown(names=("a", "b"), stage_s=np.asarray([[0.004, 0.006]] * 3), end_to_end_s=np.full(3, end_to_end))
    assert result.adds_up is adds_up
    assert result.gap == pytest.approx(0.01 / end_to_end - 1)


def test_a_stage_that_is_slow_only_when_watched_does_not_add_up():
    calls = iter(range(1000))

    def odd(value):
        return busy(0.02 if next(calls) % 2 == 0 else 0.001)(value)

    assert not measure_stages([("odd", odd)], lambda _: [], device="cpu", passes=9, warmup=1).adds_up


@pytest.mark.parametrize("stages", [[], [("a", list), ("a", list)]])
def test_names_must_be_there_and_distinct(stages):
    with pytest.raises(BenchError, match="distinct names"):
        measure_stages(stages, lambda _: [], device="cpu")
