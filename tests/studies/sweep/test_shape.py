"""How steep a curve is around its best value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.studies.sweep.shape import sensitivity


def line(scores: dict) -> list[dict]:
    return [
        {"texts": {"lr": str(value)}, "values": {"lr": value}, "score": score, "complete": score is not None}
        for value, score in scores.items()
    ]


def test_sensitivity_interpolates_to_the_ends_of_the_window() -> None:
    found = sensitivity(line({1e-5: 0.0, 1e-4: 0.8, 1e-3: 0.4}), "lr", 1)
    assert found["range"] == pytest.approx(0.4)  # half of the 0.8 lost within a decade below
    assert found["factor"] == pytest.approx(10)
    assert (found["low"], found["high"]) == (pytest.approx(1e-4 / 10**0.5), pytest.approx(1e-4 * 10**0.5))


def test_sensitivity_ends_where_training_diverges() -> None:
    found = sensitivity(line({1e-4: 0.6, 2e-4: 0.7, 4e-4: None, 8e-4: 0.1}), "lr", 1)
    assert found["high"] == pytest.approx(2e-4)
    assert found["low"] == pytest.approx(1e-4)
    assert found["range"] == pytest.approx(0.1)
    assert found["lost"] == ["0.0004"]


def test_values_without_a_logarithm_give_the_whole_range() -> None:
    for values in ({0.0: 0.2, 0.5: 0.9}, {"cosine": 0.2, "step": 0.9}, {True: 0.2, False: 0.9}):
        found = sensitivity(line(values), "lr", 1)
        assert found["range"] == pytest.approx(0.7)
        assert found["factor"] is None


@given(
    st.dictionaries(st.floats(-6, 0), st.floats(0, 1), min_size=1, max_size=8).map(
        lambda found: {10**log: score for log, score in sorted(found.items())}
    )
)
def test_sensitivity_is_within_the_range_of_all_scores(scores) -> None:
    best = max(range(len(scores)), key=lambda i: list(scores.values())[i])
    found = sensitivity(line(scores), "lr", best)
    assert 0 <= found["range"] <= max(scores.values()) - min(scores.values()) + 1e-12
    assert found["factor"] <= 10 + 1e-6
