"""The two views of a clip as both graphs of this family take them: a 39 x 13 cepstrogram and a picture."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench import TaskInfo

FRAMES = 39
"""Frames of the published recordings (50 ms windows, 25 ms apart)."""

COEFFICIENTS = 13
"""Cepstral coefficients of the published recordings."""

TOKENS = (7, 7)
"""Grid of the picture after two poolings of 28 x 28."""


def check_task(task: TaskInfo, *, audio: bool, image: bool) -> None:
    """Refuse a task that lacks a view.

    Raises:
        ValueError: No features or no image where the variant needs them.
    """
    if audio and task.feature_shape is None:
        raise ValueError("digit_fusion takes features (freq, time) but feature_shape is None; choose --frontend mfcc")
    if image and task.image_shape is None:
        raise ValueError(
            "this digit_fusion variant needs an image but image_shape is None; try digit_fusion.audio_only"
        )


def to_frames(audio: Tensor) -> Tensor:
    """Bring features of any length to 39 frames.

    Averages (or, for shorter clips, repeats) neighbouring frames, so that clips of one and of five seconds fit
    the same network.

    Args:
        audio: ``(batch, freq, time)``.

    Returns:
        ``(batch, 39, freq)``.
    """
    return F.adaptive_avg_pool1d(audio, FRAMES).transpose(1, 2)  # (batch, freq, 39) -> (batch, 39, freq)
