"""Attention over one key."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import TaskInfo
from bench_plugins.digit_fusion.as_coded import AsCoded, build
from findings.entry import Finding, Number, Study

SEEDS = 5
PAIRS = 256
TASK = TaskInfo(num_classes=10, feature_shape=(13, 39), image_shape=(1, 28, 28))


def network(seed: int) -> AsCoded:
    """The published transformer with attention fusion, at random weights."""
    torch.manual_seed(seed)
    return build(TASK, encoder="transformer", fusion="attention", kernel=5).eval()


def linear_map(attention: nn.MultiheadAttention, value: Tensor) -> Tensor:
    """Value projection, then output projection; ``(batch, dim)`` to the same shape."""
    dim = attention.embed_dim
    kept = F.linear(value, attention.in_proj_weight[2 * dim :], attention.in_proj_bias[2 * dim :])
    return F.linear(kept, attention.out_proj.weight, attention.out_proj.bias)


def apart(attention: nn.MultiheadAttention, query: Tensor, value: Tensor) -> float:
    """Largest difference between the attention and its linear map, in standard deviations of its output."""
    key = value.unsqueeze(1)
    with torch.no_grad():
        attended = attention(query.unsqueeze(1), key, key, need_weights=False)[0].squeeze(1)
        return float((attended - linear_map(attention, value)).abs().max() / attended.std())


def find(data: Path | None) -> Finding:  # noqa: ARG001  (the contract of every study)
    worst, gradient, swapped = 0.0, 0.0, 0.0
    for seed in range(SEEDS):
        net = network(seed)
        attentions = [module for module in net.modules() if isinstance(module, nn.MultiheadAttention)]
        for attention in attentions:
            query, value = torch.randn(2, PAIRS, attention.embed_dim)
            worst = max(worst, apart(attention, query, value))
        with torch.no_grad():
            audio = torch.randn(PAIRS, 128)
            one, other = (net.attention.attend(torch.randn(PAIRS, 128), audio) for _ in range(2))
            swapped = max(swapped, float((one - other).abs().max()))
        logits = net(torch.randn(64, 13, 39), torch.rand(64, 1, 28, 28))
        F.cross_entropy(logits, torch.arange(64) % 10).backward()
        for attention in attentions:
            gradient = max(gradient, float(attention.in_proj_weight.grad[: 2 * attention.embed_dim].abs().max()))
    idle = sum(2 * attention.embed_dim * (attention.embed_dim + 1) for attention in attentions)
    total = sum(parameter.numel() for parameter in net.parameters())
    over = f"largest of {SEEDS} seeds x {PAIRS} pairs x {len(attentions)} attentions"
    return Finding(
        title="Attention with one key is a linear map",
        source="Jaron-U/Multimodal-Image-and-Audio-Recognition-Model @ f797aee, `transformer_audio_model.py`, "
        "`multi_model_fusion.py`; README, model 4",
        practice="A recording of 39 frames x 13 cepstra enters the transformer as one token of 507 numbers, and the "
        "fusion asks one audio vector with one image vector. The README names multi-head attention as what joins them.",
        method="The published network (`digit_fusion.as_coded_transformer_attention`) at random weights: each of its "
        "six attentions against its own value and output projection, multiplied out; softmax over one key is 1.",
        numbers=(
            Number(what="largest difference between attention and linear map", value=worst, unit="sd of its output",
                   spread=over, tolerance=1e-5),
            Number(what="largest change of the fused vector when other images ask", value=swapped, spread=over,
                   tolerance=1e-6),
            Number(what="largest gradient of a query or key weight", value=gradient, spread=f"{SEEDS} seeds, 64 pairs",
                   tolerance=1e-6),
            Number(what="query and key parameters, all without effect", value=idle),
            Number(what="their share of the network", value=100 * idle / total, unit="%"),
        ),
        instead="The documented presets read the recording as 39 frames and the picture as 49 places, so that every "
        "attention has something to choose from; the published graphs stay available as `digit_fusion.as_coded_*`.",
    )  # fmt: skip


STUDY = Study(find=find)
