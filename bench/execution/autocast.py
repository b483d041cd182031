"""The precision that a model runs in, and how attention is computed there."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def autocast(device: str, precision: str) -> torch.autocast:
    """The precision that a model runs in: ``fp32`` or ``bf16``."""
    if device == "cpu" and precision == "bf16":
        _register()
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bf16")


@functools.cache
def _register() -> torch.library.Library:
    """Have :func:`attention` run in place of torch's own wherever a CPU's autocast is on in this process."""
    library = torch.library.Library("aten", "IMPL", "AutocastCPU")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*Overriding a previously registered kernel", UserWarning)
        library.impl("scaled_dot_product_attention", attention, allow_override=True)  # type: ignore[no-untyped-call]
    return library


def attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    *is_causal: bool, **named: Any,
) -> Tensor:  # fmt: skip
    """``F.scaled_dot_product_attention`` as products of matrices but where it is causal or of groups.

    It casts to what the autocast around it says, and leaves float64 alone, as torch's own does. Torch's fused kernel
    (2.11) trains much longer in bf16 on a CPU than these products do, and longer than in float32, where it is the
    faster way.
    """
    wanted = torch.get_autocast_dtype("cpu")
    with torch.autocast("cpu", enabled=False):
        query, key, value = (x if x.dtype == torch.float64 else x.to(wanted) for x in (query, key, value))
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = torch.where(attn_mask, 0.0, -torch.inf)
        mask = None if attn_mask is None else attn_mask.to(query.dtype)
        if any(is_causal) or named.get("enable_gqa"):
            return F.scaled_dot_product_attention(query, key, value, mask, dropout_p, *is_causal, **named)
        scores = query * named.get("scale", query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        # What hides everything gives 0, as torch's own does.
        weights = scores.softmax(dim=-1) if mask is None else torch._safe_softmax(scores + mask, -1)
        return F.dropout(weights, dropout_p) @ value if dropout_p else weights @ value
