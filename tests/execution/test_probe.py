"""The probe and the weighted neighbours against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from bench.execution.classifiers import fit_neighbours, fit_probe


def blobs(classes: int = 3, clips: int = 90, seed: int = 0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(classes, size=clips)
    x = rng.normal(size=(clips, 6)) + 1.5 * rng.normal(size=(classes, 6))[targets]
    return x.astype(np.float32), targets


@pytest.mark.parametrize("classes", [2, 3])
def test_probe_against_scikit_learn(classes: int) -> None:
    x, targets = blobs(classes)
    wide = x.astype(np.float64)
    scaler = StandardScaler().fit(wide[:60])
    theirs = LogisticRegression(C=1.0, max_iter=2000, tol=1e-9).fit(scaler.transform(wide[:60]), targets[:60])
    ours = torch.from_numpy(fit_probe(x[:60], targets[:60], classes).logits(x[60:])).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(scaler.transform(wide[60:])), atol=1e-5)


def test_probe_with_several_labels_against_scikit_learn() -> None:
    x, first = blobs()
    targets = np.stack([first == 0, first > 0, np.zeros(90), np.ones(90)], axis=1).astype(np.float32)
    logits = fit_probe(x[:60], targets[:60], 4).logits(x[60:])
    scaler = StandardScaler().fit(x[:60])
    theirs = LogisticRegression(max_iter=2000, tol=1e-9).fit(scaler.transform(x[:60]), targets[:60, 1])
    np.testing.assert_allclose(logits[:, 1], theirs.decision_function(scaler.transform(x[60:])), atol=1e-3)
    assert np.ptp(logits[:, 2]) == 0
    assert logits[0, 2] == pytest.approx(-logits[0, 3]) == pytest.approx(np.log(0.5 / 60.5))


def test_probe_never_predicts_an_unseen_class() -> None:
    x, targets = blobs()
    logits = fit_probe(x, np.where(targets == 1, 0, targets), 3).logits(x)
    assert (logits.argmax(axis=1) != 1).all()
    assert np.isfinite(logits).all()
    alone = fit_probe(x, np.full(90, 2), 3).logits(x)
    assert (alone.argmax(axis=1) == 2).all()


def test_neighbours_against_scikit_learn() -> None:
    x, targets = blobs()

    def weigh(distances):
        return np.exp((1 - distances) / 0.07)

    theirs = KNeighborsClassifier(20, metric="cosine", weights=weigh).fit(x[:60], targets[:60])
    ours = fit_neighbours(x[:60], targets[:60], 3)
    assert ours.k == 20
    np.testing.assert_allclose(np.exp(ours.logits(x[60:])), theirs.predict_proba(x[60:]).clip(1e-6), atol=2e-4)
    several = fit_neighbours(x[:60], np.eye(3, dtype=np.float32)[targets[:60]], 3).logits(x[60:])
    chances = 1 / (1 + np.exp(-several.astype(np.float64)))
    np.testing.assert_allclose(chances, theirs.predict_proba(x[60:]).clip(1e-6, 1 - 1e-6), atol=2e-4)


def test_few_clips_are_all_neighbours() -> None:
    x, targets = blobs(clips=5)
    assert fit_neighbours(x, targets, 3).k == 5
    assert np.isfinite(fit_neighbours(np.zeros_like(x), targets, 3).logits(x)).all()
