"""The work that no model changes: what a slower machine explains is not blamed on the code."""

import pytest


def found(runs, gated, machine, slow, before=1.0):
    verdict = gated(runs(1, processes=8, slow=slow, machine=machine), runs(2, processes=8, machine=before))
    return {one.quantity: one for one in verdict.findings}


@pytest.mark.parametrize(
    ("machine", "slow", "status"),
    [(1.0, 1.0, "ok"), (1.4, 1.4, "unresolved"), (1.0, 1.4, "regression"), (1.4, 2.2, "regression")],
)
def test_what_the_machine_explains_is_not_blamed(runs, gated, machine, slow, status):
    seen = found(runs, gated, machine, slow)
    assert (seen["latency"].status, seen["infer_throughput"].status) == (status, status)
    assert f"reference workload {machine - 1:+.1%}, residual" in seen["latency"].reason
    assert ("the machine is slower, not the code" in seen["latency"].reason) is (status == "unresolved")
    assert "residual" not in seen["host_memory"].reason
    assert "reference" not in seen


@pytest.mark.parametrize(("machine", "before"), [(1.4, None), (None, 1.4), (None, None)])
def test_without_it_on_both_sides_all_is_as_ever(runs, gated, machine, before):
    seen = found(runs, gated, machine, 1.4, before)
    assert seen["latency"].status == "regression"
    assert "residual" not in seen["latency"].reason
    assert "reference" not in seen
