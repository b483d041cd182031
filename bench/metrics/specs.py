"""The host's own scores, declared without importing numpy. Accuracy, which most boards sort by, stands first."""

from __future__ import annotations

from collections.abc import Mapping

from bench.clips import TaskType
from bench.plugins.specs import MetricSpec

PRIMARY: Mapping[TaskType, str] = {"single_label": "accuracy", "multi_label": "map"}
"""What a data set that names no metric is judged by."""

_BOTH: tuple[TaskType, ...] = ("single_label", "multi_label")

_SCORES, _WEIGHTED = "bench.metrics.scores:", "bench.metrics.weighted:"
_VECTORS = "bench.metrics.vector_scores:"


def _retrieval(name: str, column: str, description: str) -> MetricSpec:
    place = f"{_VECTORS}{column}."
    return MetricSpec(
        name=name, compute=place + "compute", per_clip=place + "per_clip", chance=place + "chance", reads="retrieval",
        description=f"frozen vectors, among the other test clips but those of the query's own group: {description}",
    )  # fmt: skip


def _clustering(name: str, description: str, unit: str = "fraction") -> MetricSpec:
    return MetricSpec(
        name=name, compute=_VECTORS + name, weighted=f"{_VECTORS}drawn_{name}", reads="clusters",
        chance=f"{_VECTORS}chance_{name}", unit=unit,
        description=f"frozen vectors, k-means with as many clusters as classes, found once: {description}",
    )  # fmt: skip


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="accuracy", compute=_SCORES + "accuracy", per_clip=_SCORES + "right",
        description="clips whose largest logit is the target's",
    ),
    MetricSpec(
        name="top5_accuracy", compute=_SCORES + "top5_accuracy", per_clip=_SCORES + "right_in_five",
        description="clips whose target is among the five largest logits (more than five classes)",
    ),
    MetricSpec(
        name="balanced_accuracy", compute=_SCORES + "balanced_accuracy", weighted=_WEIGHTED + "balanced_accuracy",
        description="recall averaged over classes",
    ),
    MetricSpec(
        name="macro_f1", compute=_SCORES + "macro_f1", weighted=_WEIGHTED + "macro_f1", task_types=_BOTH,
        description="F1 averaged over classes",
    ),
    MetricSpec(
        name="micro_f1", compute=_SCORES + "micro_f1", weighted=_WEIGHTED + "micro_f1", task_types=_BOTH,
        description="F1 of all decisions together",
    ),
    MetricSpec(
        name="map", compute=_SCORES + "mean_average_precision", weighted=_WEIGHTED + "mean_average_precision",
        task_types=_BOTH, description="average precision, one class against the rest, averaged over classes",
    ),
    MetricSpec(
        name="auroc", compute=_SCORES + "auroc", weighted=_WEIGHTED + "auroc", task_types=_BOTH,
        description="area under the ROC curve, one class against the rest, averaged over classes",
    ),
    MetricSpec(
        name="d_prime", compute=_SCORES + "d_prime", weighted=_WEIGHTED + "d_prime", unit="", task_types=_BOTH,
        description="distance of two unit normals with this AUROC",
    ),
    MetricSpec(
        name="log_loss", compute=_SCORES + "log_loss", per_clip=_SCORES + "cross_entropy", higher_is_better=False,
        unit="nats", task_types=_BOTH,
        description="cross-entropy, for multi-label tasks binary and averaged over classes",
    ),
    MetricSpec(
        name="ece", compute=_SCORES + "expected_calibration_error",
        weighted=_WEIGHTED + "expected_calibration_error", higher_is_better=False,
        description="expected calibration error over 15 bins of confidence",
    ),
    _retrieval("retrieval_map", "MAP", "average precision, averaged over queries"),
    _retrieval("r_precision", "R_PRECISION", "share of the class among as many as there are to find"),
    _retrieval("recall_at_1", "RECALL_1", "queries whose nearest clip is of their class"),
    _retrieval("recall_at_5", "RECALL_5", "queries with a clip of their class among the 5 nearest"),
    _retrieval("recall_at_10", "RECALL_10", "queries with a clip of their class among the 10 nearest"),
    _clustering("v_measure", "homogeneity and completeness, as mutual information over the mean entropy"),
    _clustering("adjusted_rand", "pairs of clips that agree with the classes, 0 = chance", unit=""),
)  # fmt: skip
