"""Heads on frozen embeddings against scikit-learn's, and the vectors that all of them read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import StandardScaler

from bench.cell import ATTENTION, HEADS
from bench.execution.classifiers import FIT, fit_logistic, restore
from bench.execution.heads import Training, moments
from bench.execution.perceptron import fit_perceptrons
from bench.execution.regression import solve
from bench.protocols.groups import inner_folds
from bench.recipe import Recipe


def blobs(classes: int = 4, clips: int = 120, dim: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(clips) % classes)
    x = rng.normal(size=(clips, dim)) * rng.uniform(0.1, 9, dim) + 1.2 * rng.normal(size=(classes, dim))[targets]
    return x.astype(np.float32), targets


def training(x: np.ndarray, targets: np.ndarray, classes: int = 4, **changes) -> Training:
    return Training(x=x, targets=targets, classes=classes, recipe=changes.pop("recipe", Recipe()), **changes)


def test_every_frozen_mode_has_a_head() -> None:
    assert set(FIT) == {*HEADS, ATTENTION}


@pytest.mark.parametrize("mode", HEADS)
@pytest.mark.parametrize("several", [False, True])
def test_heads_beat_chance_and_never_name_an_unseen_class(mode: str, several: bool) -> None:
    x, targets = blobs()
    known = np.eye(5, dtype=np.float32)[targets] if several else targets
    head = FIT[mode](training(x[:80], known[:80], classes=5))
    logits = head.logits(x[80:])
    assert logits.shape == (40, 5)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == targets[80:]).mean() > 0.4
    assert logits.argmax(axis=1).max() < 4
    assert head.describe()["dim"] == 8
    again = restore(head.tensors(), multi_label=several)
    np.testing.assert_allclose(again.logits(x[80:]), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", HEADS)
@pytest.mark.parametrize("several", [False, True])
def test_heads_fitted_on_one_class_name_it(mode: str, several: bool) -> None:
    x, targets = blobs()[0], np.full(120, 2)
    logits = FIT[mode](training(x, np.eye(4, dtype=np.float32)[targets] if several else targets)).logits(x)
    assert np.isfinite(logits).all()
    assert (logits.argmax(axis=1) == 2).all()


@pytest.mark.parametrize("k", [1, 10])
def test_neighbours_against_scikit_learn(k: int) -> None:
    x, targets = blobs()
    scaler = StandardScaler().fit(x[:80])
    theirs = KNeighborsClassifier(k).fit(scaler.transform(x[:80]), targets[:80])
    ours = FIT["neighbours"](training(x[:80], targets[:80], recipe=Recipe(neighbours=k)))
    np.testing.assert_array_equal(ours.logits(x[80:]).argmax(1), theirs.predict(scaler.transform(x[80:])))


def test_no_more_neighbours_than_a_class_has() -> None:
    """One clip a class and ten votes would be a tie of all classes."""
    x, targets = blobs(clips=4)
    head = FIT["neighbours"](training(x, targets))
    assert head.describe()["k"] == 1
    np.testing.assert_array_equal(head.logits(x).argmax(1), targets)


def test_prototypes_against_scikit_learn() -> None:
    x, targets = blobs()
    scaler = StandardScaler().fit(x[:80])
    theirs = NearestCentroid().fit(scaler.transform(x[:80]), targets[:80])
    ours = FIT["prototypes"](training(x[:80], targets[:80]))
    np.testing.assert_array_equal(ours.logits(x[80:]).argmax(1), theirs.predict(scaler.transform(x[80:])))


@pytest.mark.parametrize("classes", [2, 4])
def test_strength_is_chosen_as_scikit_learn_would(classes: int) -> None:
    """Held-out losses of inner folds are those of as many fits, one after another."""
    x, targets = blobs(classes)
    choices = (0.01, 0.1, 1.0)
    groups = [str(i // 2) for i in range(120)]
    found = fit_logistic(training(x, targets, classes, groups=groups, recipe=Recipe(head_c=choices))).notes
    folds = inner_folds(targets, groups, 5)
    assert folds is not None
    mean, scale = moments(x)
    wide = (x - mean) / scale
    losses, right = [], []
    for c in choices:
        total = 0.0
        right.append(0)
        for fold in range(1, 6):
            held = folds == fold
            fitted = LogisticRegression(C=c, tol=1e-8, max_iter=2000).fit(wide[~held], targets[~held])
            right[-1] += int((fitted.predict(wide[held]) == targets[held]).sum())
            total -= fitted.predict_log_proba(wide[held])[np.arange(held.sum()), targets[held]].sum()
        losses.append(total / 120)
    assert list(found["held_out_loss"].values()) == pytest.approx(losses, abs=5e-3)
    assert list(found["held_out_accuracy"].values()) == pytest.approx(np.divide(right, 120), abs=0.02)
    best = max(found["held_out_accuracy"].values())
    assert found["C"] in [c for c in choices if found["held_out_accuracy"][f"{c:g}"] == best]
    assert found["inner_folds"] == 5


def test_too_few_clips_to_choose_say_so() -> None:
    x, targets = blobs(clips=4)
    notes = fit_logistic(training(x, targets)).notes
    assert notes["C"] == 1.0
    assert "too few" in notes["chosen"]
    assert fit_logistic(training(*blobs(), recipe=Recipe(head_c=(0.5,)))).notes["C"] == 0.5


def test_problems_solved_together_are_those_solved_alone() -> None:
    x, targets = (torch.from_numpy(part) for part in blobs())
    x, y = (x - x.mean(0)).double() / x.std(0), torch.eye(4, dtype=torch.float64)[targets]
    weights = (torch.rand(6, 120, generator=torch.Generator().manual_seed(0)) < 0.7).double()
    strengths = torch.logspace(-3, 2, 6, dtype=torch.float64)
    together = solve(x, y, weights, strengths, tolerance=1e-7)
    assert together.converged.all()
    for i in range(6):
        alone = solve(x, y, weights[i : i + 1], strengths[i : i + 1], tolerance=1e-7)
        torch.testing.assert_close(alone.weight[0], together.weight[i], atol=2e-3, rtol=1e-3)


def test_networks_of_several_seeds_are_those_of_each() -> None:
    x, targets = blobs()
    given = x, np.eye(4, dtype=np.float32)[targets], moments(x)
    together = fit_perceptrons(*given, [3, 7], several=False)
    for seed, one in zip([3, 7], together, strict=True):
        (alone,) = fit_perceptrons(*given, [seed], several=False)
        np.testing.assert_allclose(alone.logits(x), one.logits(x), atol=1e-3)
    assert not np.allclose(together[0].logits(x), together[1].logits(x), atol=1e-2)


@settings(deadline=None, max_examples=40)
@given(
    targets=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    sizes=st.integers(1, 4),
    count=st.integers(2, 6),
)
def test_inner_folds_part_no_group(targets: list[int], sizes: int, count: int) -> None:
    groups = [f"{label}-{i // sizes}" for i, label in enumerate(targets)]
    folds = inner_folds(np.asarray(targets), groups, count)
    distinct = [len({g for g, label in zip(groups, targets, strict=True) if label == one}) for one in set(targets)]
    if folds is None:
        assert min(distinct) < 2
        return
    assert min(distinct) >= 2
    assert set(folds.tolist()) <= set(range(1, count + 1))
    assert len(set(folds.tolist())) > 1
    assert len(set(zip(groups, folds.tolist(), strict=True))) == len(set(groups))


def test_groups_decide_the_folds() -> None:
    x, targets = blobs()
    whole = training(x, targets, groups=[str(label) for label in targets])
    assert "too few" in fit_logistic(whole).notes["chosen"]
    assert "inner_folds" in fit_logistic(replace(whole, groups=None)).notes
