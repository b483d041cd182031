"""Adjusted p values against the published example and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from bench.statistics.ranking import holm

# Benjamini & Hochberg (1995), section 4: fifteen end points of a myocardial infarction trial.
TRIAL = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
]  # fmt: skip


def test_the_papers_example_rejects_three() -> None:
    assert (holm(TRIAL) <= 0.05).sum() == 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=12, deadline=None)
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


def test_edges() -> None:
    assert holm([]).size == 0
    assert holm([0.03]) == pytest.approx([0.03])
    for wrong in ([0.5, 1.5], [-0.1], [np.nan], [[0.1]]):
        with pytest.raises(ValueError, match="p_values"):
            holm(wrong)
