"""Embedding maps, pre-training curves and reconstructions: from stored arrays to the page."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from bench import builtin
from bench.analysis.board import build_board
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports.html import render
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)


def learned_record(samples, store, fold: int, seed: int, purity: float):
    cell = samples.cell("learner", fold, seed)
    cell = replace(cell, mode="finetune", weights="masked")
    rng = np.random.default_rng(10 * fold + seed)
    clips = len(samples.fold_arrays(fold, 0.7, rng)["targets"])
    spectrogram = rng.normal(size=(2, 1, 16, 32)).astype(np.float16)
    masked = spectrogram.copy()
    masked[:, :, :8, :8] = np.nan
    arrays = {
        "embed_map_audio": rng.normal(size=(clips, 2)).astype(np.float32),
        "embed_map_image": rng.normal(size=(clips, 2)).astype(np.float32),
        "pretrain_loss": np.array([1.0, 0.5, 0.25]),
        "pretrain_step": np.array([1, 50, 100]),
        "reconstruct_ids": np.array(["clip-a", "clip-b"]),
        "reconstruct_audio_input": spectrogram,
        "reconstruct_audio_masked": masked,
        "reconstruct_audio_guess": np.zeros_like(spectrogram),
    }
    figures = {"dim": 8, "clusters": 5, "purity": purity, "adjusted_rand": purity - 0.1}
    return samples.evaluated(store, cell, 0.7, arrays=arrays, embeddings={"audio": figures, "image": figures})


@pytest.fixture
def page(samples, tmp_path):
    store = Store(tmp_path)
    for fold in (1, 2):
        for seed in (0, 1):
            learned_record(samples, store, fold, seed, 0.8 + 0.1 * seed)
    records, bad = store.records()
    assert not bad
    return render(build_board(records, metrics=METRICS, predictions=store.predictions))


def test_maps_are_drawn_once_a_row_with_figures_over_cells(page):
    captions = re.findall(r"<figcaption>(learner, finetune from masked, (?:audio|image): [^<]+)</figcaption>", page)
    assert len(captions) == 2
    assert "purity 0.85 ± 0.06, adjusted Rand 0.75 ± 0.06 (4 cells; drawn: fold 1, seed 0)" in captions[0]


def test_pretraining_and_guesses_are_shown(page):
    assert "loss of masked pre-training by step" in page
    assert "learner, finetune from masked, audio of clip-a: whole, as seen, as guessed" in page
    assert page.count('class="triple ') == 2


def test_hidden_places_are_clear_and_only_they(page):
    from PIL import Image

    sources = re.findall(r'alt="audio of clip clip-a, as seen" src="data:image/png;base64,([^"]+)"', page)
    image = Image.open(io.BytesIO(base64.b64decode(sources[0]))).convert("RGBA")
    alpha = np.asarray(image)[..., 3]
    assert alpha.shape == (16, 32)
    hidden = np.zeros((16, 32), dtype=bool)
    hidden[8:, :8] = True  # low frequencies are at the bottom of the picture
    assert np.array_equal(alpha == 0, hidden)


def test_rows_of_one_label_are_told_apart_by_their_inputs(samples, tmp_path):
    store = Store(tmp_path)
    points = {"embed_map": np.zeros((len(samples.fold_arrays(1, 0.5, np.random.default_rng(0))["targets"]), 2))}
    for given in ("audio", "audio+image"):
        where = replace(samples.cell("net"), inputs=given)
        samples.evaluated(store, where, 0.7, arrays=points)
    page = render(build_board(store.records()[0], metrics=METRICS, predictions=store.predictions))
    assert "net (audio) (fold 1, seed 0)" in page
    assert "net (audio + image) (fold 1, seed 0)" in page


def test_a_row_without_any_of_it_shows_none(samples, tmp_path):
    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("plain"), 0.7)
    page = render(build_board(store.records()[0], metrics=METRICS, predictions=store.predictions))
    for words in ("Embeddings.", "Pre-training.", "What pre-training guessed."):
        assert words not in page
