"""What the variants of the family say, and what pre-training leaves behind: embeddings, parameters, modalities."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench import Clips, TaskInfo
from bench.config.recipes import resolve
from bench.config.selection import Selection
from bench.planning.axes import choose_axes, target_of
from bench.plugins.discovery import discover
from bench_plugins.avmae import bench_add_models, network, pretraining
from bench_plugins.avmae.masking import draw_mask, pick
from bench_plugins.avmae.patches import Grid, Patches, audio_grid, bands

SPECS = {spec.name.removeprefix("avmae."): spec for spec in bench_add_models()}
SMALL = {"dim": 32, "heads": 2, "depth": 1, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}
SOUND = TaskInfo(num_classes=4, feature_shape=(64, 49))
SIGHT = TaskInfo(num_classes=4, modalities=("image",), image_shape=(1, 28, 28))
BOTH = TaskInfo(num_classes=4, modalities=("audio", "image"), feature_shape=(64, 49), image_shape=(1, 28, 28))
TASKS = pytest.mark.parametrize("task", [SOUND, SIGHT, BOTH], ids=["audio", "image", "both"])


def inputs(task: TaskInfo, batch: int) -> dict[str, Tensor]:
    views = {}
    if "audio" in task.modalities:
        views["audio"] = torch.randn(batch, *task.feature_shape)
    if "image" in task.modalities:
        views["image"] = torch.rand(batch, *task.image_shape)
    return views


def rows(views: dict[str, Tensor], index: list[int]) -> dict[str, Tensor]:
    return {name: x[index] for name, x in views.items()}


def test_the_variants_are_the_documented_ones():
    modes = {"": ("scratch", "random"), "_probe": ("probe", "masked"), "_finetune": ("finetune", "masked")}
    given = {"": None, "_audio": "audio", "_visual": "image", "_both": "audio+image"}
    for mode, (run_mode, weights) in modes.items():
        for suffix, wanted in given.items():
            spec = SPECS[f"tiny{mode}{suffix}"]
            assert spec.alias_of == ("avmae.tiny" if mode + suffix else None)
            assert spec.axes.get("mode", "scratch") == run_mode
            assert spec.axes.get("weights", "random") == weights
            assert spec.axes.get("inputs") == wanted
    assert SPECS["tiny_knn"].axes == {"mode": "knn", "weights": "masked"}
    assert SPECS["tiny_missing_image"].axes == {"inputs": "audio+image.missing"}
    assert SPECS["tiny_missing_audio"].axes == {"inputs": "audio.missing+image"}


def test_an_alias_is_the_network_it_is_named_after():
    for spec in SPECS.values():
        if spec.alias_of:
            target = SPECS[spec.alias_of.removeprefix("avmae.")]
            assert (spec.factory, spec.options, spec.recipes) == (target.factory, target.options, target.recipes)
            assert spec.axes != target.axes


def test_no_two_variants_are_the_same_run():
    said = [(spec.options, spec.axes, spec.frontend_options, spec.modalities) for spec in SPECS.values()]
    assert all(said.count(one) == 1 for one in said)


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if not spec.alias_of])
def test_every_network_can_be_pretrained_as_it_is_classified(name):
    """Every pretrain factory takes the options of the factory and gives its parameters once the decoder is gone."""
    spec = SPECS[name]
    shape = (spec.frontend_options["n_mels"], 498 * 160 // spec.frontend_options["hop"])
    task = TaskInfo(
        num_classes=50, modalities=("audio", "image"), feature_shape=shape, image_shape=(1, 28, 28)
    )  # fmt: skip
    built = []
    for factory in (spec.factory, spec.pretrain):
        module, function = factory.split(":")
        with torch.device("meta"):
            built.append(getattr(importlib.import_module(module), function)(task, **spec.options))
    plain, pretrained = built
    decoder = [name for name, _ in pretrained.named_parameters() if name.startswith("decoder.")]
    assert bool(decoder) is (spec.options.get("objective") != "contrastive")
    pretrained.end_pretraining()
    shapes = [{name: (p.shape, p.requires_grad) for name, p in model.named_parameters()} for model in built]
    assert shapes[0] == shapes[1]
    assert list(plain.state_dict()) == list(pretrained.state_dict())


@TASKS
def test_ending_pretraining_leaves_the_classifier(task):
    torch.manual_seed(0)
    model, plain = pretraining.build(task, **SMALL), network.build(task, **SMALL)
    views = inputs(task, 3)
    with torch.no_grad():
        before = model.eval()(**views)
        model.end_pretraining()
        assert torch.equal(model(**views), before)
        plain.load_state_dict(model.state_dict())
        assert torch.equal(plain.eval()(**views), before)
    model.train()
    nn.functional.cross_entropy(model(**views), torch.arange(3)).backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    for call in (model.pretrain_loss, model.reconstruct):
        with pytest.raises(RuntimeError, match="no decoder any more"):
            call(**views)


@TASKS
def test_embeddings_are_a_clips_own(task):
    torch.manual_seed(0)
    model = network.build(task, **SMALL, token_drop=0.5, drop_path=0.2).eval()
    views, order = inputs(task, 5), [3, 1, 4, 0, 2]
    with torch.no_grad():
        vectors = model.embed(**views)
        assert vectors.shape == (5, 32)
        assert torch.equal(vectors, model.embed(**views))
        torch.testing.assert_close(model.embed(**rows(views, order)), vectors[order], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model.embed(**rows(views, [2])), vectors[[2]], atol=1e-5, rtol=1e-5)
        assert torch.equal(model.head(vectors), model(**views))
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-4)


@TASKS
def test_pretraining_loss_falls_on_a_toy(task):
    torch.manual_seed(0)
    model = pretraining.build(task, **SMALL).train()
    views = {name: x[:1] + 0.05 * torch.randn(16, *x.shape[1:]) for name, x in inputs(task, 1).items()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(50):
        loss = model.pretrain_loss(**views)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@TASKS
def test_guesses_go_into_hidden_places_only(task):
    torch.manual_seed(0)
    model = pretraining.build(task, **SMALL).eval()
    pictures = model.reconstruct(**inputs(task, 2))
    assert set(pictures) == set(task.modalities)
    for picture in pictures.values():
        hidden = picture["masked"].isnan()
        changed = picture["guess"] != picture["input"]
        assert torch.equal(picture["guess"][~hidden], picture["input"][~hidden])
        assert changed[hidden].float().mean() > 0.9
        assert 0.6 < hidden.float().mean() < 0.9


@pytest.mark.parametrize("given", ["audio", "image"])
def test_a_network_of_two_modalities_is_trained_with_both_and_tested_on_one(given):
    torch.manual_seed(0)
    model = network.build(BOTH, **SMALL).train()
    views = inputs(BOTH, 8)
    targets = torch.arange(8) % 4
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(**views), targets).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        logits = model(**{given: views[given]})
    assert logits.shape == (8, 4)
    assert (logits.argmax(1) == targets).float().mean() > 0.25


def test_a_task_of_pictures_needs_no_features():
    model = network.build(SIGHT, **SMALL)
    assert set(model.encoder.patches) == {"image"}
    assert "joint" not in model.encoder.streams
    with pytest.raises(ValueError, match="built for image and was given audio"):
        model(audio=torch.randn(1, 64, 49))


def test_the_head_is_what_recipes_call_the_head():
    """The host multiplies the rate of the module ``head`` by ``head_lr_scale``."""
    model = network.build(SOUND, **SMALL)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"encoder", "head"}
    assert not callable(getattr(model, "param_groups", None))
    assert "weights" not in inspect.signature(network.build).parameters


@pytest.mark.parametrize("name", ["quick", "full"])
def test_the_published_sizes_are_fine_tuned_as_published(name):
    """From weights of its own the source trains the old layers at 1e-4 and the fresh head at ten times that."""
    specs = {spec.name: spec for spec in bench_add_models()}
    for size in ("small", "base"):
        recipe = resolve(name, specs[f"avmae.{size}"].recipes, mode="finetune")
        assert (recipe.lr, recipe.head_lr_scale, recipe.optimizer, recipe.betas) == (1e-4, 10.0, "adam", (0.95, 0.999))
        assert (recipe.weight_decay, recipe.decay_all, recipe.label_smoothing) == (5e-7, True, 0.1)
        assert (recipe.spec_masks, recipe.freq_mask, recipe.time_mask) == (1, 48, 192)
        assert (recipe.mixup_alpha, recipe.mixup_prob) == (10.0, 0.5)
    tiny = specs["avmae.tiny"].recipes
    assert resolve(name, tiny, mode="finetune") == resolve(name, tiny)


@pytest.mark.parametrize("along_frequency", [False, True])
def test_visible_patches_are_embedded_as_among_all(along_frequency):
    torch.manual_seed(0)
    grid = Grid(channels=1, height=20, width=32, patch=(20 if along_frequency else 5, 4))
    patches = Patches(grid, 12, learn_positions=False, along_frequency=along_frequency)
    x = torch.randn(3, 1, 20, 32)
    mask = draw_mask(3, grid.shape, 0.5, "unstructured", torch.device("cpu"))
    torch.testing.assert_close(patches(x, mask.visible), pick(patches(x), mask.visible), atol=1e-5, rtol=1e-5)


def test_a_patch_embedded_along_frequency_sees_itself_alone():
    torch.manual_seed(0)
    patches = Patches(audio_grid((64, 64), (64, 4)), 12, learn_positions=False, along_frequency=True)
    x = torch.randn(1, 1, 64, 64)
    other = x.clone()
    other[..., 8:12] += 1
    with torch.no_grad():
        change = (patches(x) - patches(other)).abs().sum(-1)[0]
    assert change.nonzero().flatten().tolist() == [2]


@given(st.integers(1, 130))
@settings(max_examples=25, deadline=None)
def test_bands_of_any_height_become_one_token_a_column(height):
    grid = Grid(channels=1, height=height, width=8, patch=(height, 2))
    assert bands(grid, 12)(torch.randn(1, 1, height, 8)).shape == (1, 12, 1, 4)


def test_bands_need_the_full_height():
    with pytest.raises(ValueError, match="64 rows; audio_patch has 16"):
        network.build(SOUND, **SMALL, audio_patch=(16, 8), along_frequency=True)


def test_on_sound_alone_no_variant_hides_another():
    """What does not fit is named by the inputs it asked for, never by those of a run that fits."""
    registry = discover()
    sounds = Clips(
        title="Sounds", ids=("a",), targets=np.zeros(1), label_names=("x",), audio=(Path("a.wav"),), sample_rate=8,
        clip_samples=8, manifest_sha256="",
    )  # fmt: skip
    fits, incompatible = {}, {}
    for name, spec in SPECS.items():
        target = target_of(spec, registry)
        axes = choose_axes(Selection(), registry, spec, sounds)
        place = incompatible if axes.problem else fits
        place[name] = (target.name, axes.mode, axes.weights, axes.inputs)
    assert set(fits) == {
        "tiny", "small", "base", "tiny_audio", "tiny_probe", "tiny_probe_audio", "tiny_finetune", "tiny_finetune_audio",
        "tiny_knn", "tiny_unstructured", "tiny_time", "tiny_freq", "tiny_time_freq",
    }  # fmt: skip
    assert not set(fits.values()) & set(incompatible.values())
