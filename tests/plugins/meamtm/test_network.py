"""The transformer itself: counts, geometry, independence, gradients."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from bench import TaskInfo
from bench.config.recipes import BUILTIN, resolve
from bench.frontends.nnaudio import build as build_front_end
from bench.frontends.specs import FRONTENDS
from bench_plugins import meamtm
from bench_plugins.blocks import Block
from bench_plugins.meamtm.network import SIZES, AstSettings, build, patch_grid

SPECS = [spec for spec in meamtm.bench_add_models() if spec.name != "meamtm.as_coded"]  # has tests of its own
SMALL = TaskInfo(num_classes=7, clip_samples=16_000, feature_shape=(64, 101))


def features(batch: int = 3, shape: tuple[int, int] = (64, 101), seed: int = 0) -> torch.Tensor:
    return 0.5 * torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed))


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_declared_parameters(spec):
    front = build_front_end(TaskInfo(num_classes=50), **spec.frontend_options)
    task = TaskInfo(num_classes=50, feature_shape=front.feature_shape(80_000))
    with torch.device("meta"):
        assert count(build(task, **spec.options)) == spec.parameters


@pytest.mark.parametrize(("size", "millions"), [("tiny", 5.51), ("small", 21.64), ("base", 85.76)])
def test_parameters_of_the_published_geometry(size, millions):
    with torch.device("meta"):
        model = build(TaskInfo(num_classes=50, feature_shape=(128, 512)), size=size, stride=10)
    assert count(model) / 1e6 == pytest.approx(millions, rel=5e-3)


def test_names_recipes_and_front_ends_are_known():
    names = [spec.name for spec in SPECS]
    assert len(names) == len(set(names)) == 23
    assert [spec.name for spec in SPECS if "default" in spec.sets] == ["meamtm.micro"]
    known = {front.name for front in FRONTENDS}
    for spec in SPECS:
        assert spec.frontend in spec.frontends
        assert set(spec.frontends) <= known
        for recipe in BUILTIN:
            resolve(recipe, spec.recipes)
        if spec.alias_of:
            target = next(s for s in SPECS if s.name == spec.alias_of)
            assert spec.options == target.options
            assert spec.parameters == target.parameters
            assert spec.axes.get("frontend", spec.frontend) in spec.frontends


def test_listing_imports_no_torch():
    code = "import sys; from bench_plugins import meamtm as m; m.bench_add_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("shape", "stride", "grid"),
    [
        ((128, 512), 10, (12, 50)), ((128, 512), 16, (8, 32)), ((128, 1024), 10, (12, 101)),
        ((128, 501), 16, (8, 31)), ((128, 498), 12, (10, 41)), ((16, 16), 16, (1, 1)),
    ],
)  # fmt: skip
def test_patch_grid(shape, stride, grid):
    assert patch_grid(shape, stride) == grid


@pytest.mark.parametrize("stride", [10, 12, 14, 16])
def test_every_stride_gives_logits_and_embedding(stride):
    model = build(SMALL, stride=stride).eval()
    with torch.no_grad():
        assert model(features()).shape == (3, 7)
        assert model.embed(features()).shape == (3, 192)
        assert model(audio=features(1)).shape == (1, 7)


@pytest.mark.parametrize("options", [{}, {"depth": 1}, {"heads": 4, "stride": 10}, {"norm_eps": 1e-3}])
def test_the_last_block_gives_the_summary_tokens_of_a_whole_one(options):
    """A whole block in its place: the same logits, and the same gradient of every parameter."""
    model = build(SMALL, **options).eval()
    whole = copy.deepcopy(model)
    whole.blocks[-1].__class__ = Block
    assert whole.blocks(torch.randn(1, 9, 192)).shape == (1, 9, 192)
    assert model.blocks(torch.randn(1, 9, 192)).shape == (1, 2, 192)
    assert model(features(0)).shape == whole(features(0)).shape == (0, 7)
    logits = [network(features()) for network in (model, whole)]
    torch.testing.assert_close(*logits, rtol=0, atol=5e-6)
    for one in logits:
        one.logsumexp(1).sum().backward()
    for (name, mine), theirs in zip(model.named_parameters(), whole.parameters(), strict=True):
        assert mine.grad.abs().max() > 0
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_one_block_is_the_first_and_drops_nothing():
    model = build(SMALL, depth=1, drop_path=0.5)
    assert model(features()).shape == (3, 7)
    assert model.blocks[0].drop_path1.rate == 0


@pytest.mark.parametrize("shape", [(15, 100), (128, 15)])
def test_features_below_one_patch(shape):
    with pytest.raises(ValueError, match=f"features of {shape[0]} bins x {shape[1]} frames hold no 16 x 16 patch"):
        build(TaskInfo(num_classes=5, feature_shape=shape))


def test_other_features_than_built_for():
    with pytest.raises(ValueError, match=r"shape \(2, 64, 98\).*\(batch, 64, 101\)"):
        build(SMALL)(features(2, (64, 98)))
    with pytest.raises(ValueError, match="built for"):
        build(SMALL)(features(2)[:, None])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": "huge"}, ValueError, "'huge'; allowed: micro, tiny"),
        ({"stride": 8}, ValueError, "stride = 8; allowed: 10, 12, 14, 16"),
        ({"patch_dropout": 1.0}, ValueError, "patch_dropout = 1.0"),
        ({"drop_path": -0.1}, ValueError, "drop_path = -0.1"),
        ({"norm_eps": 0.0}, ValueError, "norm_eps"),
        ({"head": "old"}, ValueError, "head = 'old'"),
        ({"head": "load"}, ValueError, "give weights=FILE"),
        ({"layers": 3}, TypeError, "layers"),
    ],
)
def test_options_out_of_range(options, error, message):
    with pytest.raises(error, match=message):
        build(SMALL, **options)


def test_a_task_without_features():
    with pytest.raises(ValueError, match="choose a front end"):
        build(TaskInfo(num_classes=5))


def test_a_clip_does_not_see_its_batch_mates():
    model = build(SMALL, patch_dropout=0.5, dropout=0.1, drop_path=0.1).eval()
    x = features(4)
    with torch.no_grad():
        alone, beside = model(x[:1]), model(torch.cat([x[:1], 100 * x[1:]]))[:1]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("patch_dropout", [0.0, 0.5])
def test_gradient_reaches_every_parameter(patch_dropout):
    torch.manual_seed(0)
    model = build(SMALL, patch_dropout=patch_dropout, drop_path=0.1).train()
    torch.nn.functional.cross_entropy(model(features(4)), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_patch_dropout_keeps_the_summary_tokens_and_half_of_the_patches():
    model = build(SMALL, patch_dropout=0.5)
    seen: list[tuple[int, ...]] = []
    model.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    patches = model.grid[0] * model.grid[1]
    model.train()(features())
    model.eval()(features())
    assert seen == [(3, 2 + patches // 2, 192), (3, 2 + patches, 192)]


def test_both_summary_tokens_count_equally():
    model = build(SMALL).eval()
    with torch.no_grad():
        before = model.embed(features())
        model.cls_token.data, model.dist_token.data = model.dist_token.data, model.cls_token.data
        positions = model.pos_embed.clone()
        model.pos_embed[:, [0, 1]] = positions[:, [1, 0]]
        torch.testing.assert_close(model.embed(features()), before, atol=1e-5, rtol=1e-4)


def test_frequency_and_time_are_not_mixed_up():
    """A patch moved by one stride in time is the next token, moved in frequency it is one row of tokens on."""
    model = build(SMALL)
    rows, columns = model.grid
    x = torch.zeros(1, 64, 101)
    x[0, 16:32, 32:48] = 1  # row 1, column 2
    with torch.no_grad():
        tokens = model.patch_embed(x) - model.patch_embed.proj.bias
    assert (rows, columns) == (4, 6)
    assert tokens[0].abs().sum(-1).nonzero().flatten().tolist() == [1 * columns + 2]


def test_training_fits_a_few_clips():
    torch.manual_seed(0)
    model = build(SMALL).train()
    x, y = features(14), torch.arange(14) % 7
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).all()


def test_the_same_seed_gives_the_same_network():
    torch.manual_seed(3)
    first = build(SMALL).state_dict()
    torch.manual_seed(3)
    second = build(SMALL).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_settings_are_frozen_and_sizes_read_only():
    with pytest.raises(AttributeError):
        AstSettings().size = "tiny"  # type: ignore[misc]
    with pytest.raises(TypeError):
        SIZES["huge"] = SIZES["base"]  # type: ignore[index]
