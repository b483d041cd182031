"""The AV-MAE family: sizes, geometry, masks, what the losses look at, missing modalities, timm's parts."""

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
from torch import Tensor, nn

from bench import ModelSpec, TaskInfo
from bench_plugins.avmae import bench_add_models, network, pretraining
from bench_plugins.avmae.masking import Mask, draw_mask, pick, put_back
from bench_plugins.avmae.network import AvMaeConfig, Block
from bench_plugins.avmae.patches import Grid, Patches, audio_grid, image_grid, sincos, standardise
from bench_plugins.avmae.pretraining import contrastive, hidden_error, standard_patches

ROOT = Path(__file__).resolve().parents[3]
SPECS = {spec.name.removeprefix("avmae."): spec for spec in bench_add_models()}
SMALL = {"dim": 32, "heads": 2, "depth": 1, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}
SOUND = TaskInfo(num_classes=4, feature_shape=(13, 39))
BOTH = TaskInfo(num_classes=4, modalities=("audio", "image"), feature_shape=(13, 39), image_shape=(1, 28, 28))
KINDS = ("unstructured", "time", "freq", "time_freq")


def make(spec: ModelSpec, task: TaskInfo) -> nn.Module:
    module, function = spec.factory.split(":")
    return getattr(importlib.import_module(module), function)(task, **spec.options)


def inputs(task: TaskInfo, batch: int) -> dict[str, Tensor]:
    views = {"audio": torch.randn(batch, *task.feature_shape)}
    if "image" in task.modalities:
        views["image"] = torch.rand(batch, *task.image_shape)
    return views


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def silent(model: nn.Module) -> list[str]:
    """Names of trainable parameters that got no gradient."""
    return [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    ]


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


@given(st.sampled_from(KINDS), st.floats(0, 0.99), st.integers(2, 9), st.integers(2, 12), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_visible_and_hidden_are_all_patches_once(kind, ratio, rows, columns, batch):
    mask = draw_mask(batch, (rows, columns), ratio, kind, torch.device("cpu"))
    both = torch.cat([mask.visible, mask.hidden], 1).sort(1).values
    assert torch.equal(both, torch.arange(rows * columns).expand(batch, -1))
    assert mask.visible.shape[1] == max(1, round(rows * columns * (1 - ratio)))


@pytest.mark.parametrize("kind", ["time", "freq"])
def test_structured_masks_hide_whole_columns_or_rows(kind):
    mask = draw_mask(5, (8, 16), 0.75, kind, torch.device("cpu"))
    hidden = torch.zeros(5, 128).scatter(1, mask.hidden, 1.0).view(5, 8, 16)
    lines = hidden.mean(1 if kind == "time" else 2)
    assert ((lines == 0) | (lines == 1)).all()
    assert hidden.mean() == 0.75


def test_time_frequency_masks_leave_a_rectangle_of_rows_and_columns():
    mask = draw_mask(1, (8, 16), 0.75, "time_freq", torch.device("cpu"))
    visible = torch.zeros(1, 128).scatter(1, mask.visible, 1.0).view(8, 16)
    rows, columns = visible.any(1), visible.any(0)
    filled = visible[rows][:, columns]
    assert rows.sum() < 8
    assert columns.sum() < 16
    assert filled.mean() > 0.75


def test_every_clip_has_a_mask_of_its_own():
    mask = draw_mask(2, (8, 16), 0.75, "unstructured", torch.device("cpu"))
    assert not torch.equal(mask.visible[0].sort().values, mask.visible[1].sort().values)


@pytest.mark.parametrize(
    ("ratio", "kind", "message"), [(1.0, "time", "ratio"), (-0.1, "time", "ratio"), (0.5, "x", "x")]
)
def test_bad_masks_are_refused(ratio, kind, message):
    with pytest.raises(ValueError, match=message):
        draw_mask(1, (2, 2), ratio, kind, torch.device("cpu"))


@pytest.mark.parametrize(
    ("shape", "kind"), [((1, 8), "freq"), ((1, 8), "time_freq"), ((8, 1), "time"), ((8, 1), "time_freq")]
)
def test_a_mask_of_lines_needs_several(shape, kind):
    with pytest.raises(ValueError, match="needs several rows and columns"):
        draw_mask(1, shape, 0.5, kind, torch.device("cpu"))


def test_tokens_return_to_their_places():
    tokens, filler = torch.randn(2, 12, 3), torch.full((3,), 7.0)
    mask = draw_mask(2, (3, 4), 0.5, "unstructured", torch.device("cpu"))
    back = put_back(pick(tokens, mask.visible), filler, mask)
    assert torch.equal(pick(back, mask.visible), pick(tokens, mask.visible))
    assert (pick(back, mask.hidden) == 7.0).all()


def test_the_loss_sees_hidden_patches_only():
    mask = Mask(torch.tensor([[0, 2]]), torch.tensor([[1, 3]]))
    guess, target = torch.zeros(1, 4, 5), torch.zeros(1, 4, 5)
    guess[:, [0, 2]] = 1e3
    assert hidden_error(guess, target, mask) == 0.0
    guess[:, 3] = 2.0
    assert hidden_error(guess, target, mask) == 2.0


def test_targets_have_mean_0_and_variance_1():
    target = standard_patches(torch.randn(2, 3, 64) * 9 + 4)
    torch.testing.assert_close(target.mean(-1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.var(-1), torch.ones(2, 3), atol=1e-4, rtol=0)
    assert torch.equal(standard_patches(torch.full((1, 1, 8), 3.0)), torch.zeros(1, 1, 8))


def test_contrastive_loss_values():
    eye = torch.eye(4)
    assert contrastive(eye, eye) == pytest.approx(0.0, abs=1e-6)
    assert contrastive(torch.ones(4, 3), torch.ones(4, 3)).item() == pytest.approx(torch.tensor(4.0).log().item())
    assert contrastive(eye, eye.roll(1, 0)) > 10


def test_the_encoder_sees_visible_tokens_only():
    """Hidden patches enter the loss as targets, never the encoder."""
    torch.manual_seed(0)
    model = pretraining.build(SOUND, **SMALL).eval()
    seen = []
    model.encoder.blocks["audio"][0].register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0]))
    audio = torch.randn(2, 13, 39)
    torch.manual_seed(1)
    first = model.guess(audio)
    patches = model.encoder.patches_of("audio")
    pixels = patches.pixels(patches.pad(audio.unsqueeze(1)))
    index = first.masks["audio"].hidden.unsqueeze(-1).expand(-1, -1, pixels.shape[2])
    other = patches.picture(pixels.scatter(1, index, 99.0))[:, 0, :13, :39]
    torch.manual_seed(1)
    second = model.guess(other)
    assert torch.equal(first.masks["audio"].hidden, second.masks["audio"].hidden)
    assert seen[0].shape == (2, 2, 32)
    assert torch.equal(seen[0], seen[1])
    torch.testing.assert_close(first.pixels["audio"], second.pixels["audio"])


@pytest.mark.parametrize("mask", KINDS)
def test_pretraining_reaches_every_parameter_but_the_head(mask):
    torch.manual_seed(0)
    model = pretraining.build(BOTH, **SMALL, mask=mask, audio_patch=(4, 4)).train()
    loss = model.pretrain_loss(**inputs(BOTH, 4))
    assert loss.ndim == 0
    loss.backward()
    assert [name for name in silent(model) if not name.startswith("head.")] == []


def test_pretraining_guesses_better_after_some_steps():
    torch.manual_seed(0)
    model = pretraining.build(SOUND, **SMALL).train()
    audio = torch.randn(13, 39) + 0.1 * torch.randn(16, 13, 39)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = model.pretrain_loss(audio)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])


@pytest.mark.parametrize("objective", ["mae", "contrastive", "both"])
def test_objectives(objective):
    torch.manual_seed(0)
    model = pretraining.build(BOTH, **SMALL, objective=objective)
    views = inputs(BOTH, 4)
    torch.manual_seed(1)
    loss = model.pretrain_loss(**views)
    torch.manual_seed(1)
    guess = model.guess(**views)
    mae = sum(hidden_error(guess.pixels[n], guess.targets[n], guess.masks[n]) for n in guess.pixels)
    match = contrastive(guess.pooled["audio"], guess.pooled["image"])
    expected = {"mae": mae, "contrastive": match, "both": mae + 0.01 * match}[objective]
    torch.testing.assert_close(loss, expected)


def test_pretraining_works_with_a_single_modality_of_two():
    model = pretraining.build(BOTH, **SMALL)
    views = inputs(BOTH, 3)
    assert model.pretrain_loss(audio=views["audio"]).isfinite()
    assert model.pretrain_loss(image=views["image"]).isfinite()


def test_reconstructions_keep_what_was_visible():
    torch.manual_seed(0)
    model = pretraining.build(BOTH, **SMALL)
    views = inputs(BOTH, 2)
    pictures = model.reconstruct(**views)
    for name, shape in {"audio": (2, 1, 16, 40), "image": (2, 1, 32, 32)}.items():
        picture = pictures[name]
        assert picture["input"].shape == picture["guess"].shape == shape
        visible = ~picture["masked"].isnan()
        assert 0 < visible.float().mean() < 0.5
        assert torch.equal(picture["masked"][visible], picture["input"][visible])
        assert torch.equal(picture["guess"][visible], picture["input"][visible])
        assert picture["guess"].isfinite().all()


def test_a_pretrained_encoder_fits_the_classifier():
    model = pretraining.build(BOTH, **SMALL)
    classifier = network.build(BOTH, **SMALL)
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith("decoder.")}
    classifier.load_state_dict(weights)
    views = inputs(BOTH, 2)
    with torch.no_grad():
        assert torch.equal(model.eval()(**views), classifier.eval()(**views))
    assert not hasattr(classifier, "pretrain_loss")


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


def test_attention_and_mlp_are_timms():
    from timm.layers.attention import Attention
    from timm.layers.drop import DropPath
    from timm.layers.mlp import Mlp

    block = Block(32, 2, drop_path=0.3)
    assert type(block.attention) is Attention
    assert type(block.mlp) is Mlp
    assert type(block.drop_path) is DropPath


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
    rates = [block.drop_path.drop_prob for block in model.encoder.blocks["audio"]]
    rates.append(model.encoder.joint.drop_path.drop_prob)
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
