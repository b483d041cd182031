"""A classifier of texts alone: the cosine of a clip's vector with those of its class names in a prompt.

Source: Radford et al. 2021 (2103.00020), section 3.1; for sound Elizalde et al. 2023 (2206.04769).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench.errors import PluginError
from bench.recipe import LABEL

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompted:
    """Vectors of texts ``(classes, dim)``, as long as the factor on the cosine; ``notes`` say what was written."""

    text: npt.NDArray[np.float64]
    notes: Mapping[str, Any]

    def logits(self, x: Floats) -> Floats:
        """``(clips, dim) -> (clips, classes)``."""
        if x.shape[1] != self.text.shape[1]:
            raise PluginError(
                f"embed gives {x.shape[1]} values a clip and embed_text {self.text.shape[1]} a text; both must be of "
                "one space: leave out options such as ?layer=N and ?pool=POOL"
            )
        wide = x.astype(np.float64)
        unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
        found: Floats = (unit @ self.text.T).astype(np.float32)
        return found

    def tensors(self) -> dict[str, Tensor]:
        """The vectors, float32."""
        return {"text": torch.from_numpy(self.text).float()}

    def describe(self) -> dict[str, Any]:
        """Prompt and width."""
        return {**self.notes, "dim": self.text.shape[1]}


def prompted(model: nn.Module, template: str, labels: Sequence[str]) -> Prompted:
    """The classifier of these labels, ``_`` in them read as a blank.

    Raises:
        PluginError: The model has no ``embed_text``, or it gives no vector for each text.
    """
    method: Any = getattr(model, "embed_text", None)
    if not callable(method):
        raise PluginError(f"{type(model).__name__} has no embed_text(texts) -> (texts, dim), which zero_shot stands on")
    texts = [template.replace(LABEL, label.replace("_", " ")) for label in labels]
    with torch.inference_mode():
        found = method(texts)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(texts) or not found.isfinite().all():
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise PluginError(f"embed_text() is of {got}, expected ({len(texts)}, dim) finite numbers")
    return Prompted(text=found.double().cpu().numpy(), notes={"classifier": "cosine with texts", "prompt": template})
