"""Intervals, paired tests and timing comparison: pure functions on numpy arrays.

Everything that a board may have to leave blank comes back as a :class:`Refusal` with its reason; ``ValueError``
means that the call itself was wrong.
"""

from bench.statistics.bootstrap import cluster_bootstrap, score_interval
from bench.statistics.draws import Evidence, Resampled, clip_weights
from bench.statistics.folds import (
    FoldTest,
    corrected_fold_t,
    correction_factor,
)
from bench.statistics.history import Step, Trend, detect_steps, trend_test
from bench.statistics.multiple import benjamini_hochberg, holm
from bench.statistics.paired import Comparison, McNemar, mcnemar_exact, paired_cluster_bootstrap
from bench.statistics.proportion import minimum_detectable_difference, wilson
from bench.statistics.ranking import RankedModel, Ranking, ranking
from bench.statistics.results import Interval, Refusal
from bench.statistics.timing import (
    compare_times,
    percentile,
    process_interval,
    samples_needed,
)

__all__ = [
    "Comparison",
    "Evidence",
    "FoldTest",
    "Interval",
    "McNemar",
    "RankedModel",
    "Ranking",
    "Refusal",
    "Resampled",
    "Step",
    "Trend",
    "benjamini_hochberg",
    "clip_weights",
    "cluster_bootstrap",
    "compare_times",
    "corrected_fold_t",
    "correction_factor",
    "detect_steps",
    "holm",
    "mcnemar_exact",
    "minimum_detectable_difference",
    "paired_cluster_bootstrap",
    "percentile",
    "process_interval",
    "ranking",
    "samples_needed",
    "score_interval",
    "trend_test",
    "wilson",
]
