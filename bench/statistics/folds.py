"""Model A against model B over folds, whose training clips overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy import special

from bench.statistics.results import Interval, Refusal, check_level, finite_vector


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
    method = "corrected t over folds"
    return FoldTest(
        interval=Interval(estimate=mean, low=mean - half, high=mean + half, level=level, method=method),
        statistic=mean / error,
        freedom=freedom,
        p_value=float(2 * special.stdtr(freedom, -abs(mean / error))),
        factor=factor,
    )
