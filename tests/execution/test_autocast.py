"""Attention of bf16 cells on a CPU: the numbers of torch's, by the faster way."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.execution.autocast import autocast

FUSED = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


class Operators(TorchDispatchMode):
    """Names of what ran."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


def heads(tokens: int = 34) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, tokens, 16, generator=generator).requires_grad_() for _ in range(3)]


def trained(precision: str, inputs: list[Tensor], **options) -> tuple[Tensor, list[Tensor]]:
    with autocast("cpu", precision):
        found = F.scaled_dot_product_attention(*inputs, **options)
    weights = torch.linspace(-1, 1, found.numel()).reshape(found.shape)
    return found, list(torch.autograd.grad((found.float() * weights).sum(), inputs))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.5},
        {"is_causal": True},
        {"attn_mask": (torch.arange(34) < 30).expand(2, 1, 34, 34)},
        {"attn_mask": torch.linspace(-2, 2, 34).expand(2, 1, 34, 34)},
        {"attn_mask": (torch.arange(34) > 5)[:, None].expand(2, 1, 34, 34)},
    ],
    ids=["plain", "scaled", "causal", "boolean", "added", "all hidden"],
)
def test_values_and_gradients_are_those_of_float32_within_bf16(options):
    expected, gradients = trained("fp32", heads(), **options)
    found, ours = trained("bf16", heads(), **options)
    assert found.dtype == torch.bfloat16
    for mine, right in zip([found, *ours], [expected, *gradients], strict=True):
        assert (mine - right).norm() < 0.02 * right.norm()


def test_the_fused_kernel_runs_in_float32_and_where_it_is_causal_only():
    def ran(precision: str, **options) -> bool:
        with Operators() as operators:
            trained(precision, heads(), **options)
        return FUSED in operators.seen

    assert not ran("bf16")
    assert not ran("bf16", attn_mask=torch.ones(34, 34, dtype=torch.bool))
    assert ran("fp32")
    assert ran("bf16", is_causal=True)


def test_attention_of_torchs_own_modules_is_meant_too():
    module = nn.MultiheadAttention(16, 2, batch_first=True)
    x = torch.randn(2, 5, 16)
    with Operators() as operators, autocast("cpu", "bf16"):
        module(x, x, x, need_weights=False)
    assert FUSED not in operators.seen
    assert torch.ops.aten.bmm.default in operators.seen


def test_dropout_leaves_out_what_it_should():
    query, key, value = heads()
    torch.manual_seed(0)
    with autocast("cpu", "bf16"):
        kept = F.scaled_dot_product_attention(query, key, torch.ones_like(value), dropout_p=0.5)
    assert 0.8 < kept.float().mean() < 1.2
    assert kept.float().std() > 0.05


def test_float32_and_what_runs_outside_are_left_alone():
    plain = F.scaled_dot_product_attention(*heads())
    with autocast("cpu", "bf16"):
        pass
    with autocast("cpu", "fp32"):
        assert torch.equal(F.scaled_dot_product_attention(*heads()), plain)
    assert torch.equal(F.scaled_dot_product_attention(*heads()), plain)
