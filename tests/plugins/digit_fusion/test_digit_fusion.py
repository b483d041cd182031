"""The digit fusion family: exact counts, equal budgets, controls, and the faults of the published programs."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from bench import ModelSpec, TaskInfo
from bench_plugins.digit_fusion import as_coded, bench_add_models
from bench_plugins.digit_fusion.network import FusionConfig, build, to_frames

ROOT = Path(__file__).resolve().parents[3]
SPECS = {spec.name.removeprefix("digit_fusion."): spec for spec in bench_add_models()}
FOUR = ("rnn_linear", "rnn_attention", "transformer_linear", "transformer_attention")
FIXED = ("as_coded_rnn_attention", "as_coded_transformer_attention", "as_coded_transformer_linear")


def make_task(num_classes: int = 10, time: int = 51) -> TaskInfo:
    return TaskInfo(num_classes=num_classes, feature_shape=(13, time), image_shape=(1, 28, 28))


def make(spec: ModelSpec, task: TaskInfo) -> nn.Module:
    module, function = spec.factory.split(":")
    torch.manual_seed(0)
    return getattr(importlib.import_module(module), function)(task, **spec.options)


def inputs(spec: ModelSpec, batch: int, time: int = 51) -> dict[str, torch.Tensor]:
    views = {"audio": torch.randn(batch, 13, time), "image": torch.rand(batch, 1, 28, 28)}
    return {name: views[name] for name in spec.modalities}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("variant", SPECS)
def test_declared_parameters_are_those_at_50_classes_and_five_seconds(variant):
    assert count(make(SPECS[variant], make_task(50, 251))) == SPECS[variant].parameters


@pytest.mark.parametrize(
    ("variant", "parameters"), list(zip(FOUR, (2145126, 1746826, 16923549, 16579091), strict=True))
)
def test_as_coded_has_the_published_size_to_the_last_digit(variant, parameters):
    assert count(make(SPECS[f"as_coded_{variant}"], make_task())) == parameters


@pytest.mark.parametrize("classes", [10, 50])
def test_the_four_variants_have_equal_budgets(classes):
    sizes = [count(make(SPECS[variant], make_task(classes))) for variant in FOUR]
    assert max(sizes) / min(sizes) < 1.003


def test_variants_differ_in_nothing_but_what_their_names_say():
    for encoder in ("rnn", "transformer"):
        linear, attention = (make(SPECS[f"{encoder}_{fusion}"], make_task()) for fusion in ("linear", "attention"))
        for part in ("image", "audio", "head"):
            shapes = [
                {key: value.shape for key, value in getattr(model, part).state_dict().items()}
                for model in (linear, attention)
            ]
            assert shapes[0] == shapes[1]


@pytest.mark.parametrize("variant", SPECS)
def test_logits_are_a_clips_own(variant):
    spec = SPECS[variant]
    model = make(spec, make_task()).eval()
    batch = inputs(spec, 5)
    order = torch.tensor([3, 1, 4, 0, 2])
    with torch.no_grad():
        logits = model(**batch)
        moved = model(**{name: view[order] for name, view in batch.items()})
        alone = model(**{name: view[2:3] for name, view in batch.items()})
    assert logits.shape == (5, 10)
    torch.testing.assert_close(moved, logits[order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, logits[2:3], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)


@pytest.mark.parametrize("variant", [name for name in SPECS if name not in FIXED])
def test_every_parameter_learns(variant):
    spec = SPECS[variant]
    model = make(spec, make_task()).train()
    nn.functional.cross_entropy(model(**inputs(spec, 4)), torch.arange(4)).backward()
    still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("variant", FIXED)
def test_query_and_key_weights_of_one_key_attention_never_learn(variant):
    """Softmax over one key is 1, so the published attentions have no gradient for what they compare."""
    spec = SPECS[variant]
    model = make(spec, make_task()).train()
    nn.functional.cross_entropy(model(**inputs(spec, 4)), torch.arange(4)).backward()
    attentions = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    assert attentions
    for attention in attentions:
        dim = attention.embed_dim
        assert attention.in_proj_weight.grad[: 2 * dim].abs().max() < 1e-7
        assert attention.in_proj_weight.grad[2 * dim :].abs().max() > 1e-7


@pytest.mark.parametrize("variant", SPECS)
def test_state_dict_round_trip(variant):
    spec = SPECS[variant]
    first, second = make(spec, make_task()).eval(), make(spec, make_task()).eval()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.add_(0.05)
        second.load_state_dict(first.state_dict())
        batch = inputs(spec, 2)
        assert torch.equal(first(**batch), second(**batch))


def test_attention_with_a_single_key_is_a_linear_map():
    torch.manual_seed(0)
    fusion = as_coded.OneKeyAttention().eval()
    image, audio = torch.randn(16, 128), torch.randn(16, 128)
    with torch.no_grad():
        attended = fusion.attend(image, audio)
        torch.testing.assert_close(attended, fusion.linear_map(audio), atol=1e-6, rtol=1e-6)
        assert torch.equal(attended, fusion.attend(torch.randn(16, 128), audio)), "what asks does not matter"
        both = fusion.attend(image, 0.5 * audio + 0.5 * audio.flip(0))
        torch.testing.assert_close(both, 0.5 * attended + 0.5 * attended.flip(0), atol=1e-6, rtol=1e-6)


def test_the_documented_fusion_is_no_linear_map():
    torch.manual_seed(0)
    fusion = build(make_task()).fusion.eval()
    places, frames = torch.randn(4, 49, 128), torch.randn(4, 39, 128)
    other = torch.randn(4, 39, 128)

    def heard(memory):
        return fusion.attention(places, memory, memory)[0]

    with torch.no_grad():
        mixed = heard(0.5 * frames + 0.5 * other)
        assert (mixed - 0.5 * heard(frames) - 0.5 * heard(other)).abs().max() > 1e-2


def test_dropout_of_the_original_stays_on_at_test_time():
    torch.manual_seed(0)
    image, audio = torch.randn(64, 128), torch.randn(64, 128)
    repaired = as_coded.OneKeyAttention().eval()
    original = as_coded.OneKeyAttention(drop_in_eval=True).eval()
    with torch.no_grad():
        assert torch.equal(repaired(image, audio), repaired(image, audio))
        assert not torch.equal(original(image, audio), original(image, audio))
    assert not original.norm.training


def test_scalar_layout_reads_the_frames_one_after_the_other():
    """39 x 13 in a row: number 13 k + c is coefficient c of frame k."""
    features = torch.arange(13.0).view(1, 13, 1) + 100 * torch.arange(39.0).view(1, 1, 39)
    row = to_frames(features).flatten(1)[0]
    assert row.shape == (507,)
    assert row[13 * 5 + 7] == 507.0
    assert torch.equal(row[13:] - row[:-13], torch.full((494,), 100.0))


@pytest.mark.parametrize("time", [10, 39, 51, 251, 1001])
def test_any_length_becomes_39_frames(time):
    features = torch.rand(2, 13, time)
    frames = to_frames(features)
    assert frames.shape == (2, 39, 13)
    assert frames.min() >= features.min()
    assert frames.max() <= features.max()
    if time == 39:
        assert torch.equal(frames, features.transpose(1, 2))


@pytest.mark.parametrize("variant", FOUR)
def test_both_views_reach_the_logits(variant):
    spec = SPECS[variant]
    model = make(spec, make_task()).eval()
    batch = inputs(spec, 4)
    with torch.no_grad():
        logits = model(**batch)
        for view in batch:
            assert not torch.allclose(model(**{**batch, view: batch[view].flip(0)}), logits, atol=1e-4)


def test_controls_take_one_view():
    assert SPECS["image_only"].modalities == ("image",)
    assert SPECS["audio_only"].modalities == ("audio",)
    image = make(SPECS["image_only"], make_task())
    assert image(torch.rand(3, 1, 28, 28)).shape == (3, 10)
    audio = make(SPECS["audio_only"], TaskInfo(num_classes=10, feature_shape=(13, 51)))
    assert audio(torch.randn(3, 13, 51)).shape == (3, 10)


@pytest.mark.parametrize("variant", SPECS)
def test_it_can_be_built_and_run_without_memory(variant):
    """A cost estimate builds it on the meta device."""
    spec = SPECS[variant]
    with torch.device("meta"):
        model = make(spec, make_task()).to("meta")
        assert model(**inputs(spec, 2)).shape == (2, 10)


def test_embeddings_of_each_view():
    model = make(SPECS["transformer_attention"], make_task()).eval()
    batch = inputs(SPECS["transformer_attention"], 3)
    with torch.no_grad():
        vectors = model.embed(**batch)
        assert {name: x.shape for name, x in vectors.items()} == dict.fromkeys(("image", "audio", "fused"), (3, 128))
        assert torch.equal(model.head(vectors["fused"]), model(**batch))
        other = model.embed(audio=batch["audio"], image=torch.zeros_like(batch["image"]))
        assert torch.equal(other["audio"], vectors["audio"])
        assert not torch.equal(other["image"], vectors["image"])


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 64, 48), (1, 20, 20)])
def test_pictures_of_another_size(shape):
    model = build(TaskInfo(num_classes=3, feature_shape=(13, 51), image_shape=shape))
    assert model(torch.randn(2, 13, 51), torch.rand(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build(TaskInfo(num_classes=3, image_shape=(1, 28, 28))), "feature_shape"),
        (lambda: build(TaskInfo(num_classes=3, feature_shape=(13, 51))), "image_shape"),
        (lambda: FusionConfig(encoder="gru"), "transformer or rnn"),
        (lambda: FusionConfig(fusion="sum"), "attention or linear"),
        (
            lambda: as_coded.build(
                TaskInfo(num_classes=3, feature_shape=(40, 51), image_shape=(1, 28, 28)), encoder="rnn", fusion="linear"
            ),
            "fixed to 13 cepstra",
        ),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_sets_and_recipes():
    assert [name for name, spec in SPECS.items() if "default" in spec.sets] == ["transformer_attention"]
    assert {name for name, spec in SPECS.items() if "documented" in spec.sets} == set(FOUR)
    from bench.config.recipes import resolve

    recipe = resolve("full", SPECS["as_coded_rnn_attention"].recipes)
    assert (recipe.optimizer, recipe.batch, recipe.epochs, recipe.ema) == ("adam", 128, 15, None)


def test_it_learns_a_few_clips():
    torch.manual_seed(0)
    model = build(make_task(4)).train()
    audio, image, y = torch.randn(8, 13, 39), torch.rand(8, 1, 28, 28), torch.arange(8) % 4
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(audio, image), y).backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        assert (model(audio, image).argmax(1) == y).float().mean() == 1.0


def test_listing_imports_no_torch():
    code = "import sys, bench_plugins.digit_fusion as it; it.bench_add_models(); assert 'torch' not in sys.modules"
    path = os.pathsep.join(str(ROOT / part) for part in ("", "plugins"))
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
