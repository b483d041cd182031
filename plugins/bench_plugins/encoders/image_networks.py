"""A network of timm on the log-mel ``(batch, freq, time)`` as a picture of one channel.

Weights of pictures with three channels are adapted as timm does: the kernels of the first convolution are summed over
the channels. They come from a local file only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import CheckpointError, TaskInfo, read_tensors


class ImageNetwork(nn.Module):
    """``network`` takes ``(batch, 1, height, width)``; features are resized to ``size`` where it takes only that."""

    network: Any

    def __init__(self, network: Any, size: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.network, self.size = network, size
        self.head = network.get_classifier()

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, freq, time) -> (batch, classes)``."""
        return self.network(self._picture(audio))  # type: ignore[no-any-return]

    def embed(self, audio: Tensor) -> Tensor:
        """``(batch, freq, time) -> (batch, dim)``: what stands before the classifier."""
        states = self.network.forward_features(self._picture(audio))
        return self.network.forward_head(states, pre_logits=True)  # type: ignore[no-any-return]

    def _picture(self, audio: Tensor) -> Tensor:
        picture = audio[:, None]  # (batch, 1, freq, time)
        if self.size is None:
            return picture
        return F.interpolate(picture, self.size, mode="bilinear", antialias=True)  # (batch, 1, height, width)


def build(task: TaskInfo, *, name: str, weights: str | None = None) -> ImageNetwork:
    """A network by its name in timm, at random or from a file.

    Raises:
        CheckpointError: timm cannot build it with one channel, or the weights are another network's.
    """
    how: dict[str, Any] = {"in_chans": 1, "num_classes": task.num_classes}
    seed = torch.initial_seed()
    torch.manual_seed(seed)
    try:
        network: Any = timm.create_model(name, **how)
        if weights and torch.get_default_device().type != "meta":
            random = network.state_dict()
            torch.manual_seed(seed)
            overlay = {"state_dict": dict(read_tensors(Path(weights)))}
            network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **how)
            _check_loaded(network, random, f"{weights} cannot be loaded into {name!r}")
    except (RuntimeError, KeyError, TypeError, AssertionError) as error:
        first = " ".join(str(error).strip().splitlines()[:2])
        raise CheckpointError(
            f"timm cannot build {name!r} with one channel from {weights or 'random'}: {first}"
        ) from error
    given = network.pretrained_cfg
    return ImageNetwork(network, tuple(given["input_size"][1:]) if given.get("fixed_input_size") else None)


def _check_loaded(network: Any, random: dict[str, Tensor], what: str) -> None:
    """Refuse a network of which a tensor is still as it was drawn; timm says nothing where names do not match."""
    heads = network.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    drawn = {name: x for name, x in network.state_dict().items() if x.numel() > 1 and bool(x.min() != x.max())}
    left = [name for name, x in drawn.items() if not name.startswith(heads) and torch.equal(x, random[name])]
    if left:
        raise CheckpointError(f"{what}: it lacks {', '.join(left[:3])}{', ...' if len(left) > 3 else ''}")
