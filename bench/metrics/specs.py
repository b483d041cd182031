"""The host's own scores, declared without importing numpy. Accuracy, which most boards sort by, stands first."""

from __future__ import annotations

from collections.abc import Mapping

from bench.clips import TaskType
from bench.plugins.specs import MetricSpec

PRIMARY: Mapping[TaskType, str] = {"single_label": "accuracy", "multi_label": "map"}
"""What a data set that names no metric is judged by."""

_BOTH: tuple[TaskType, ...] = ("single_label", "multi_label")

METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        name="accuracy",
        compute="bench.metrics.scores:accuracy",
        per_clip="bench.metrics.scores:right",
        description="clips whose largest logit is the target's",
    ),
    MetricSpec(
        name="top5_accuracy",
        compute="bench.metrics.scores:top5_accuracy",
        per_clip="bench.metrics.scores:right_in_five",
        description="clips whose target is among the five largest logits (more than five classes)",
    ),
    MetricSpec(
        name="balanced_accuracy",
        compute="bench.metrics.scores:balanced_accuracy",
        weighted="bench.metrics.weighted:balanced_accuracy",
        description="recall averaged over classes",
    ),
    MetricSpec(
        name="macro_f1",
        compute="bench.metrics.scores:macro_f1",
        weighted="bench.metrics.weighted:macro_f1",
        task_types=_BOTH,
        description="F1 averaged over classes",
    ),
    MetricSpec(
        name="micro_f1",
        compute="bench.metrics.scores:micro_f1",
        weighted="bench.metrics.weighted:micro_f1",
        task_types=_BOTH,
        description="F1 of all decisions together",
    ),
    MetricSpec(
        name="map",
        compute="bench.metrics.scores:mean_average_precision",
        weighted="bench.metrics.weighted:mean_average_precision",
        task_types=_BOTH,
        description="average precision, one class against the rest, averaged over classes",
    ),
    MetricSpec(
        name="auroc",
        compute="bench.metrics.scores:auroc",
        weighted="bench.metrics.weighted:auroc",
        task_types=_BOTH,
        description="area under the ROC curve, one class against the rest, averaged over classes",
    ),
    MetricSpec(
        name="d_prime",
        compute="bench.metrics.scores:d_prime",
        weighted="bench.metrics.weighted:d_prime",
        unit="",
        task_types=_BOTH,
        description="distance of two unit normals with this AUROC",
    ),
    MetricSpec(
        name="log_loss",
        compute="bench.metrics.scores:log_loss",
        per_clip="bench.metrics.scores:cross_entropy",
        higher_is_better=False,
        unit="nats",
        task_types=_BOTH,
        description="cross-entropy, for multi-label tasks binary and averaged over classes",
    ),
    MetricSpec(
        name="ece",
        compute="bench.metrics.scores:expected_calibration_error",
        weighted="bench.metrics.weighted:expected_calibration_error",
        higher_is_better=False,
        description="expected calibration error over 15 bins of confidence",
    ),
)
