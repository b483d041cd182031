"""Five folds are not five independent experiments: their training sets overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.statistics._checks import check_level, finite_vector
from bench.statistics.results import Interval, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldTest:
    """Corrected resampled t test over folds.

    Attributes:
        interval: Of the mean difference.
        statistic: Student's t with the corrected standard error.
        freedom: Degrees of freedom, folds minus one.
        p_value: Two-sided.
        factor: What the naive standard error was multiplied by.
    """

    interval: Interval
    statistic: float
    freedom: int
    p_value: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceComponents:
    """How far scores scatter between seeds and between folds, as standard deviations.

    Attributes:
        mean: Of all scores.
        between_seeds: Of retraining on the same fold; a refusal with fewer than two seeds.
        between_folds: Of changing the fold (another training set and other test clips), beyond what seeds explain;
            0 where seeds explain all of it; a refusal with fewer than two folds or seeds.
        folds: How many folds.
        seeds: How many seeds.
    """

    mean: float
    between_seeds: float | Refusal
    between_folds: float | Refusal
    folds: int
    seeds: int


def correction_factor(folds: int, test_to_train: float) -> float:
    """How much wider the standard error over folds is than the naive one.

    Args:
        folds: Test folds that were averaged.
        test_to_train: Test clips divided by training clips.

    Returns:
        ``sqrt((1/k + n_test/n_train) / (1/k))``: 1.50 for five folds trained on four, 1.63 trained on three.

    Raises:
        ValueError: If there is no fold or the ratio is not positive.

    Source: Nadeau & Bengio (1999; 2003), the corrected resampled t test.
    """
    if folds < 1:
        raise ValueError(f"folds is {folds}; at least one is needed")
    if not (math.isfinite(test_to_train) and test_to_train > 0):
        raise ValueError(f"test_to_train is {test_to_train}; it must be test clips / training clips, above 0")
    return math.sqrt((1 / folds + test_to_train) * folds)


def corrected_fold_t(differences: ArrayLike, test_to_train: float, *, level: float = 0.95) -> FoldTest | Refusal:
    """Test the mean of per-fold differences without pretending that folds are independent.

    Args:
        differences: Score of A minus score of B on each fold ``(folds,)``, seeds averaged first.
        test_to_train: Test clips divided by training clips: 0.25 for ``4+1``, 1/3 for ``3+1+1``.
        level: Nominal coverage.

    Returns:
        The test, or a refusal with fewer than two folds or where all differences are equal.

    Raises:
        ValueError: If an argument is no finite vector, no ratio or no level.

    Source: Nadeau & Bengio (1999; 2003).
    """
    check_level(level)
    values = finite_vector(differences, "differences")
    factor = correction_factor(max(1, values.size), test_to_train)
    if values.size < 2:
        return Refusal(reason=f"{values.size} folds: a test over folds needs at least 2", have=values.size, need=2)
    deviation = float(values.std(ddof=1))
    mean = float(values.mean())
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return Refusal(reason="all folds differ by the same amount: their scatter is unknown", have=1, need=2)
    error = factor * deviation / math.sqrt(values.size)
    freedom = values.size - 1
    half = float(special.stdtrit(freedom, 0.5 + level / 2)) * error
    return FoldTest(
        interval=Interval(
            estimate=mean, low=mean - half, high=mean + half, level=level, method="corrected t over folds"
        ),
        statistic=mean / error,
        freedom=freedom,
        p_value=float(2 * special.stdtr(freedom, -abs(mean / error))),
        factor=factor,
    )


def variance_components(scores: ArrayLike) -> VarianceComponents:
    """Split the scatter of scores into seeds within folds, and folds.

    Args:
        scores: One score per training ``(folds, seeds)``.

    Returns:
        Standard deviations from the one-way analysis of variance (seeds nested in folds).

    Raises:
        ValueError: If it is no finite, non-empty matrix.

    Source: Searle, Casella & McCulloch (1992), balanced one-way random model.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"scores has shape {values.shape}; expected finite (folds, seeds), every cell present")
    folds, seeds = values.shape
    between_seeds: float | Refusal
    between_folds: float | Refusal
    if seeds < 2:
        between_seeds = Refusal(reason=f"{seeds} seed: retraining was not repeated", have=seeds, need=2)
        between_folds = Refusal(reason="1 seed: folds and seeds cannot be told apart", have=seeds, need=2)
    else:
        within = float(values.var(axis=1, ddof=1).mean())
        between_seeds = math.sqrt(within)
        if folds < 2:
            between_folds = Refusal(reason=f"{folds} fold: nothing to compare it with", have=folds, need=2)
        else:
            between_folds = math.sqrt(max(0.0, float(values.mean(axis=1).var(ddof=1)) - within / seeds))
    return VarianceComponents(
        mean=float(values.mean()), between_seeds=between_seeds, between_folds=between_folds, folds=folds, seeds=seeds
    )
