"""The AV-MAE family: sizes, geometry, missing modalities, blocks as timm's."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench import ModelSpec, TaskInfo
from bench_plugins.avmae import bench_add_models, network, pretraining
from bench_plugins.avmae.network import AvMaeConfig, Block
from bench_plugins.avmae.patches import Grid, Patches, audio_grid, image_grid, sincos, standardise

from .small import BOTH, SMALL, SOUND, count, inputs, silent

ROOT = Path(__file__).resolve().parents[3]
SPECS = {spec.name.removeprefix("avmae."): spec for spec in bench_add_models()}


def make(spec: ModelSpec, task: TaskInfo) -> nn.Module:
    module, function = spec.factory.split(":")
    return getattr(importlib.import_module(module), function)(task, **spec.options)


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if not spec.modalities])
def test_declared_parameters_are_those_at_50_classes_and_five_seconds(name):
    spec = SPECS[name]
    shape = (spec.frontend_options["n_mels"], 498 * 160 // spec.frontend_options["hop"])
    with torch.device("meta"):
        model = make(spec, TaskInfo(num_classes=50, feature_shape=shape))
    assert count(model) == spec.parameters


@pytest.mark.parametrize(
    ("size", "encoder", "pretraining_total"), [("base", 164.5e6, 191.04e6), ("small", 41.3e6, 43.1e6)]
)
def test_with_both_modalities_the_sizes_are_the_published_ones(size, encoder, pretraining_total):
    """Ten seconds, 224 x 224 pictures, 16 x 16 patches."""
    options = {key: value for key, value in SPECS[size].options.items() if key != "audio_patch"}
    task = TaskInfo(num_classes=57, modalities=("audio", "image"), feature_shape=(128, 998), image_shape=(3, 224, 224))
    with torch.device("meta"):
        model = pretraining.build(task, **options)
    assert count(model.encoder) == pytest.approx(encoder, rel=0.005)
    assert count(model.encoder) + count(model.decoder) == pytest.approx(
        pretraining_total, rel=0.005 if size == "base" else 0.02
    )


def test_tiny_has_about_five_million_with_both_modalities():
    own = ("audio_patch", "along_frequency")
    options = {key: value for key, value in SPECS["tiny"].options.items() if key not in own}
    task = TaskInfo(num_classes=10, modalities=("audio", "image"), feature_shape=(128, 498), image_shape=(3, 224, 224))
    with torch.device("meta"):
        fixed = sum(p.numel() for p in network.build(task, **options).encoder.parameters() if p.requires_grad)
    assert fixed == pytest.approx(5.1e6, rel=0.005)


@pytest.mark.parametrize(
    ("grid", "tokens"),
    [
        (audio_grid((128, 998)), 512),
        (audio_grid((128, 1024)), 512),
        (audio_grid((128, 498)), 256),
        (audio_grid((128, 98)), 64),
        (audio_grid((13, 39)), 10),
        (audio_grid((64, 249), (64, 8)), 32),
        (audio_grid((64, 249), (16, 8)), 128),
        (audio_grid((64, 24), (64, 8)), 24),
        (audio_grid((13, 39), (16, 8)), 20),
        (image_grid((3, 224, 224)), 196),
        (image_grid((1, 28, 28)), 64),
    ],
)
def test_geometry_follows_the_data_set(grid, tokens):
    assert grid.tokens == tokens


@given(st.integers(1, 200), st.integers(1, 1200), st.sampled_from([None, (16, 8), (64, 4)]))
@settings(max_examples=60, deadline=None)
def test_padding_holds_every_spectrogram(freq, time, patch):
    grid = audio_grid((freq, time), patch)
    assert grid.height >= freq
    assert grid.width >= time
    assert grid.height % grid.patch[0] == 0
    assert grid.width % grid.patch[1] == 0


def test_patches_and_pixels_are_inverse():
    patches = Patches(Grid(channels=3, height=8, width=12, patch=(4, 2)), 16, learn_positions=False)
    x = torch.randn(2, 3, 8, 12)
    assert patches.pixels(x).shape == (2, 12, 24)
    assert torch.equal(patches.picture(patches.pixels(x)), x)
    with torch.no_grad():
        expected = patches.pixels(x) @ patches.project.weight.flatten(1).T + patches.project.bias
        torch.testing.assert_close(patches(x) - patches.positions - patches.modality, expected, atol=1e-5, rtol=1e-5)


def test_positions_tell_every_place_apart():
    table = sincos(Grid(channels=1, height=128, width=512, patch=(16, 16)), 32)
    assert table.shape == (256, 32)
    assert torch.cdist(table, table).fill_diagonal_(9.0).min() > 1e-3
    same_column = table[0::32]  # the first patch of each row
    torch.testing.assert_close(same_column[:, :16], same_column[:1, :16].expand(8, -1))
    with pytest.raises(ValueError, match="multiple of 4"):
        sincos(Grid(channels=1, height=16, width=16, patch=(16, 16)), 6)


@pytest.mark.parametrize("task", [SOUND, BOTH], ids=["audio", "both"])
def test_logits_are_a_clips_own(task):
    torch.manual_seed(0)
    model = network.build(task, **SMALL, token_drop=0.5, drop_path=0.2).eval()
    views = inputs(task, 5)
    order = torch.tensor([3, 1, 4, 0, 2])
    with torch.no_grad():
        logits = model(**views)
        moved = model(**{name: x[order] for name, x in views.items()})
        alone = model(**{name: x[2:3] for name, x in views.items()})
    torch.testing.assert_close(moved, logits[order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, logits[2:3], atol=1e-5, rtol=1e-5)
    assert logits.shape == (5, 4)
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)


@pytest.mark.parametrize("task", [SOUND, BOTH], ids=["audio", "both"])
@pytest.mark.parametrize("learn_positions", [False, True])
def test_every_parameter_learns(task, learn_positions):
    torch.manual_seed(0)
    model = network.build(task, **SMALL, learn_positions=learn_positions).train()
    nn.functional.cross_entropy(model(**inputs(task, 4)), torch.arange(4)).backward()
    assert silent(model) == []
    assert model.encoder.patches_of("audio").positions.requires_grad is learn_positions


def test_a_missing_modality_gives_logits_and_both_views_count():
    torch.manual_seed(0)
    model = network.build(BOTH, **SMALL).eval()
    views = inputs(BOTH, 3)
    with torch.no_grad():
        both, sound, sight = model(**views), model(audio=views["audio"]), model(image=views["image"])
        for view in views:
            assert not torch.allclose(model(**{**views, view: views[view].flip(0)}), both, atol=1e-5)
    assert both.shape == sound.shape == sight.shape == (3, 4)
    assert not torch.allclose(sound, sight, atol=1e-4)


def test_tokens_are_dropped_in_training_only():
    model = network.build(SOUND, **SMALL, token_drop=0.5)
    seen = []
    model.encoder.blocks["audio"][0].register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0]))
    audio = torch.randn(2, 13, 39)
    model.train()(audio)
    model.eval()(audio)
    assert [tokens.shape[1] for tokens in seen] == [5, 10]


def test_state_dict_round_trip():
    first, second = pretraining.build(BOTH, **SMALL).eval(), pretraining.build(BOTH, **SMALL).eval()
    views = inputs(BOTH, 2)
    with torch.no_grad():
        assert not torch.equal(first(**views), second(**views))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(**views), second(**views))


def test_a_block_equals_timms_own():
    from timm.models.vision_transformer import Block as Theirs

    ours, theirs = Block(32, 2).eval(), Theirs(32, 2, qkv_bias=True, norm_layer=nn.LayerNorm).eval()
    theirs.norm1.load_state_dict(ours.before_attention["own"].state_dict())
    theirs.norm2.load_state_dict(ours.before_mlp["own"].state_dict())
    theirs.attn.load_state_dict(ours.attention.state_dict())
    theirs.mlp.load_state_dict(ours.mlp.state_dict())
    x = torch.randn(2, 7, 32)
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_joint_block_shares_all_but_its_norms():
    joint = network.build(BOTH, **SMALL).encoder.joint
    assert set(joint.before_attention) == {"joint", "audio", "image"}
    assert set(network.build(SOUND, **SMALL).encoder.joint.before_attention) == {"audio"}


def test_drop_path_grows_with_depth():
    model = network.build(SOUND, **{**SMALL, "depth": 4}, drop_path=0.2)
    rates = [block.drop_path.rate for block in model.encoder.blocks["audio"]]
    rates.append(model.encoder.joint.drop_path.rate)
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])


def test_pictures_are_standardised():
    image = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    torch.testing.assert_close(standardise("image", image), torch.zeros(1, 3, 4, 4))
    assert standardise("image", torch.ones(1, 1, 2, 2)).unique().tolist() == [1.0]
    assert standardise("audio", torch.zeros(2, 13, 39)).shape == (2, 1, 13, 39)


def test_a_task_whose_images_are_not_used_has_no_visual_branch():
    task = TaskInfo(num_classes=4, modalities=("audio",), feature_shape=(13, 39), image_shape=(1, 28, 28))
    assert set(network.build(task, **SMALL).encoder.patches) == {"audio"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: network.build(TaskInfo(num_classes=3)), "feature_shape"),
        (lambda: network.build(TaskInfo(num_classes=3, modalities=("text",))), "the task gives text"),
        (
            lambda: network.build(
                TaskInfo(num_classes=3, modalities=("audio", "image"), feature_shape=(13, 39)), **SMALL
            ),
            "image_shape",
        ),
        (lambda: AvMaeConfig(objective="gan"), "mae, contrastive or both"),
        (lambda: pretraining.build(SOUND, **SMALL, objective="contrastive"), "needs pictures"),
        (lambda: network.build(SOUND, **SMALL)(image=torch.rand(1, 1, 28, 28)), "built for audio and was given image"),
        (lambda: network.build(SOUND, **SMALL)(), "nothing"),
        (lambda: network.build(SOUND, **SMALL)(torch.randn(1, 13, 400)), "does not fit"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_it_can_be_built_and_run_without_memory():
    """A cost estimate builds it on the meta device."""
    with torch.device("meta"):
        model = network.build(BOTH, **SMALL).to("meta")
        assert model(**inputs(BOTH, 2)).shape == (2, 4)


def test_sets():
    assert [size for size, spec in SPECS.items() if "default" in spec.sets] == ["tiny"]
    assert [size for size, spec in SPECS.items() if "documented" in spec.sets] == ["base"]


def test_it_learns_a_few_clips():
    torch.manual_seed(0)
    model = network.build(BOTH, **SMALL).train()
    views, y = inputs(BOTH, 8), torch.arange(8) % 4
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(**views), y).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        assert (model(**views).argmax(1) == y).float().mean() == 1.0


def test_listing_imports_no_torch():
    code = "import sys, bench_plugins.avmae as family; family.bench_add_models(); assert 'torch' not in sys.modules"
    path = os.pathsep.join(str(ROOT / part) for part in ("", "plugins"))
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
