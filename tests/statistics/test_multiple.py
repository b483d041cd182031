"""Adjusted p values against the published example and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control
from statsmodels.stats.multitest import multipletests

from bench.statistics.ranking import benjamini_hochberg, holm

# Benjamini & Hochberg (1995), section 4: fifteen end points of a myocardial infarction trial.
TRIAL = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
]  # fmt: skip


def test_the_papers_example_rejects_four_and_three() -> None:
    assert (benjamini_hochberg(TRIAL) <= 0.05).sum() == 4
    assert (holm(TRIAL) <= 0.05).sum() == 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=12, deadline=None)
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_benjamini_hochberg_agrees_with_statsmodels_and_scipy(p_values: list[float]) -> None:
    ours = benjamini_hochberg(p_values)
    assert ours == pytest.approx(multipletests(p_values, method="fdr_bh")[1], abs=1e-12)
    assert ours == pytest.approx(false_discovery_control(p_values), abs=1e-12)
    assert (ours <= holm(p_values) + 1e-12).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_edges(adjust: object) -> None:
    assert adjust([]).size == 0  # type: ignore[operator]
    assert adjust([0.03]) == pytest.approx([0.03])  # type: ignore[operator]
    for wrong in ([0.5, 1.5], [-0.1], [np.nan], [[0.1]]):
        with pytest.raises(ValueError, match="p_values"):
            adjust(wrong)  # type: ignore[operator]
