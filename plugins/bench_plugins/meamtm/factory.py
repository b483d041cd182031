"""Builds the transformer for a task, from scratch or from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from bench import TaskInfo
from bench_plugins.meamtm.network import AstSettings, AudioSpectrogramTransformer
from bench_plugins.meamtm.weights import load_into, read_checkpoint


def build(
    task: TaskInfo,
    *,
    weights: str | Path | None = None,
    weights_grid: tuple[int, int] | None = None,
    head: Literal["new", "load"] = "new",
    **settings: Any,
) -> AudioSpectrogramTransformer:
    """Build the network.

    Args:
        task: Its ``num_classes`` and ``feature_shape`` set the geometry.
        weights: A ``.safetensors``, ``.bin``, ``.pt`` or ``.pth`` file, or a folder in transformers' layout, holding
            an AST (transformers' or the authors' names) or a timm DeiT or ViT; ``None`` = from scratch.
        weights_grid: ``(rows, columns)`` of the checkpoint's patches, where their number alone does not tell.
        head: ``new`` starts a fresh classifier; ``load`` takes the checkpoint's, which must have the task's classes.
        settings: Fields of :class:`AstSettings`; ``norm_eps`` is the checkpoint's own unless given.

    Raises:
        CheckpointError: ``weights`` is missing, unreadable or does not fit.
        TypeError: Unknown setting.
        ValueError: A setting is out of range, or the features are smaller than a patch.
    """
    if task.feature_shape is None:
        raise ValueError("this task has no feature_shape; the transformer reads log-mel features: choose a front end")
    if head not in ("new", "load"):
        raise ValueError(f"head = {head!r}; allowed: 'new', 'load'")
    if weights is None:
        if weights_grid is not None or head != "new":
            raise ValueError("weights_grid and head='load' describe a checkpoint; give weights=FILE too")
        return AudioSpectrogramTransformer(task.num_classes, task.feature_shape, AstSettings(**settings))
    checkpoint = read_checkpoint(Path(weights))
    settings.setdefault("norm_eps", checkpoint.norm_eps)
    model = AudioSpectrogramTransformer(task.num_classes, task.feature_shape, AstSettings(**settings))
    load_into(model, checkpoint, with_head=head == "load", grid=weights_grid)
    return model
