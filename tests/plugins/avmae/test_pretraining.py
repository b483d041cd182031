"""Masked pre-training of AV-MAE: masks, what the losses look at, reconstructions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_plugins.avmae import network, pretraining
from bench_plugins.avmae.masking import Mask, draw_mask, pick, put_back
from bench_plugins.avmae.pretraining import contrastive, hidden_error, standard_patches

from .small import BOTH, KINDS, SMALL, SOUND, inputs, silent


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
