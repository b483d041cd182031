"""Fine-tuning from published weights follows the source's own program, value by value."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench import TaskInfo
from bench.config.recipes import resolve
from bench.execution.optimisation import make_optimizer, rate_factor
from bench.recipe import Recipe
from bench_plugins.meamtm import bench_add_models
from bench_plugins.meamtm.network import build

MODELS = {spec.name: spec for spec in bench_add_models()}
ESC50 = {"texture": True}


def tuned(model: str, name: str) -> Recipe:
    return resolve(name, MODELS[model].recipes, mode="finetune", clips=ESC50)


@pytest.mark.parametrize("name", ["quick", "full"])
@pytest.mark.parametrize("model", ["meamtm.tiny", "meamtm.small", "meamtm.base", "meamtm.base_s16"])
def test_rates_of_25_passes_are_those_of_the_published_program(model: str, name: str) -> None:
    """Its loop: Adam over all weights, MultiStepLR from 5 on in steps of 1, stepped after each pass."""
    recipe = tuned(model, name)
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1e-5, weight_decay=5e-7, betas=(0.95, 0.999))
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(range(5, 1000)), gamma=0.85)
    factor, passes, steps = rate_factor(recipe, 7), 25, 7
    assert recipe.epochs == passes
    for epoch in range(passes):
        for step in range(steps):
            assert recipe.lr * factor(steps * epoch + step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        schedule.step()


def test_the_optimiser_is_the_published_one_with_a_faster_head() -> None:
    recipe = tuned("meamtm.base", "quick")
    task = TaskInfo(num_classes=5, clip_samples=16_000, feature_shape=(128, 101))
    model = build(task, size="micro")
    groups = make_optimizer(model, recipe, "cpu").param_groups
    head = {id(p) for p in model.head.parameters()}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        fresh = {id(p) for p in group["params"]} <= head
        assert group["lr"] == pytest.approx(1e-4 if fresh else 1e-5)
        assert (group["betas"], group["weight_decay"]) == ((0.95, 0.999), 5e-7)
    assert (recipe.optimizer, recipe.normalise, recipe.mixup_alpha, recipe.roll) == ("adam", "half", 0.0, False)
    assert (recipe.spec_masks, recipe.freq_mask, recipe.time_mask, recipe.ema) == (1, 24, 96, None)


def test_from_scratch_and_the_smallest_size_keep_their_settings() -> None:
    scratch = resolve("quick", MODELS["meamtm.base"].recipes)
    assert (scratch.lr, scratch.schedule, scratch.epochs, scratch.head_lr_scale) == (3e-4, "cosine", 20, 1.0)
    assert tuned("meamtm.micro", "quick") == resolve("quick", MODELS["meamtm.micro"].recipes, clips=ESC50)


def test_loaded_weights_are_tuned_on_whole_clips(tmp_path) -> None:
    """In training a network that starts from a file answers as in test, but for its stochastic depth."""
    task = TaskInfo(num_classes=5, clip_samples=16_000, feature_shape=(128, 101))
    options = {**MODELS["meamtm.base"].options, "size": "micro", "drop_path": 0.0}
    scratch = build(task, **options)
    save_file(scratch.state_dict(), tmp_path / "model.safetensors")
    tuned = build(task, weights=tmp_path, **options)
    x = torch.randn(2, 128, 101, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tuned.train()(x), tuned.eval()(x))
    assert not torch.allclose(scratch.train()(x), scratch.eval()(x))
