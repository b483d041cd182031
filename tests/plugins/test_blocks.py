"""The parts of vision transformers against timm's: the same names, starts, random numbers, values and gradients."""

import pytest
import torch
from timm.layers.attention import Attention as TimmAttention
from timm.layers.drop import DropPath as TimmDropPath
from timm.layers.mlp import Mlp as TimmMlp
from timm.layers.patch_dropout import PatchDropout as TimmPatchDropout
from timm.models.vision_transformer import Block as TimmBlock
from torch import nn

from bench_plugins.blocks import Attention, Block, DropPath, Mlp, PatchDropout

DIM, HEADS, PATCHES = 24, 3, 11


def timm_block(**options):
    return TimmBlock(DIM, HEADS, norm_layer=nn.LayerNorm, **options)


PAIRS = {
    "attention": (lambda: Attention(DIM, HEADS, dropout=0.3),
                  lambda: TimmAttention(DIM, HEADS, qkv_bias=True, proj_drop=0.3)),
    "attention without bias": (lambda: Attention(DIM, HEADS, qkv_bias=False), lambda: TimmAttention(DIM, HEADS)),
    "mlp": (lambda: Mlp(DIM, dropout=0.3), lambda: TimmMlp(DIM, 4 * DIM, drop=0.3)),
    "drop path": (lambda: DropPath(0.4), lambda: TimmDropPath(0.4)),
    "patch dropout": (lambda: PatchDropout(0.6, prefix=2), lambda: TimmPatchDropout(0.6, num_prefix_tokens=2)),
    "nearly all patches": (lambda: PatchDropout(0.99, prefix=0), lambda: TimmPatchDropout(0.99, num_prefix_tokens=0)),
    "block": (lambda: Block(DIM, HEADS, dropout=0.2, drop_path=0.3),
              lambda: timm_block(qkv_bias=True, proj_drop=0.2, drop_path=0.3)),
    "plain block": (lambda: Block(DIM, HEADS, qkv_bias=False), timm_block),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", PAIRS)
def test_a_part_is_timms(name, mode):
    results = []
    for make in PAIRS[name]:
        torch.manual_seed(7)
        part = make().train(mode == "train")
        tokens = torch.randn(5, PATCHES, DIM, requires_grad=True)
        out = part(tokens)
        out.square().sum().backward()
        grads = {key: x.grad for key, x in part.named_parameters()}
        results.append((part.state_dict(), out, tokens.grad, grads, torch.get_rng_state()))
    (state, out, grad, grads, drawn), (their_state, theirs, their_grad, their_grads, their_drawn) = results
    assert list(state) == list(their_state)
    assert all(torch.equal(x, their_state[key]) for key, x in state.items())
    assert torch.equal(drawn, their_drawn)
    assert torch.equal(out, theirs)
    torch.testing.assert_close(grad, their_grad, rtol=1e-6, atol=1e-6)
    for key, x in grads.items():
        torch.testing.assert_close(x, their_grads[key], rtol=1e-6, atol=1e-6, msg=key)
    random = any(word in name for word in ("drop", "patches")) or name in ("attention", "mlp", "block")
    with torch.random.fork_rng():
        torch.manual_seed(8)
        again = PAIRS[name][0]().train(mode == "train")
        again.load_state_dict(state)
        other = again(tokens)
    assert torch.equal(out, other) is not (random and mode == "train")


def test_at_least_one_patch_is_kept():
    assert PatchDropout(0.999, prefix=2)(torch.zeros(3, 2 + PATCHES, DIM)).shape == (3, 3, DIM)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="heads = 5: must divide the width, 24"):
        Attention(DIM, 5)
