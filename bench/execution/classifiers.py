"""Classifiers on frozen embeddings: a linear probe, and votes of the nearest training clips.

Both are those of the self-supervised literature: Wu et al. 2018 (1805.01978) and Caron et al. 2021 (2104.14294) for the
neighbours, with their temperature of 0.07 and 20 neighbours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NEIGHBOURS = 20
TEMPERATURE = 0.07
PROBE_C = 1.0
PROBE_STEPS = 2000
_ABSENT = -1e3
"""Logit of a class that no training clip had."""
_LEAST = 1e-6
"""A vote share below this counts as this, so that its logarithm stays finite."""
_CHUNK = 1024

Floats = npt.NDArray[np.float32]
Targets = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Logistic regression on standardised embeddings: ``weight (classes, dim)``, the others ``(classes,)``, ``(dim,)``.

    ``scale`` is the deviation of the training embeddings, 1 where it is 0.
    """

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    converged: bool

    def logits(self, x: Floats) -> Floats:
        """``(clips, dim) -> (clips, classes)``."""
        out: Floats = (((x - self.mean) / self.scale) @ self.weight.T + self.bias).astype(np.float32)
        return out

    def tensors(self) -> dict[str, Tensor]:
        """The coefficients under ``probe.``, float32."""
        parts = {"weight": self.weight, "bias": self.bias, "mean": self.mean, "scale": self.scale}
        return {f"probe.{name}": torch.from_numpy(np.ascontiguousarray(x)).float() for name, x in parts.items()}

    def describe(self) -> dict[str, Any]:
        """Settings and whether the solver converged."""
        return {"classifier": "logistic regression", "dim": len(self.mean), "C": PROBE_C, "converged": self.converged}


def fit_probe(x: Floats, targets: Targets, classes: int) -> Probe:
    """Fit on training embeddings ``(clips, dim)``; a class that no training clip has is never predicted.

    ``targets`` are class indices ``(clips,)``, or indicators ``(clips, classes)``: one regression per class then.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x.astype(np.float64))
    standard = scaler.transform(x.astype(np.float64))
    weight = np.zeros((classes, x.shape[1]))
    bias = np.full(classes, _ABSENT)
    converged = True
    if targets.ndim == 1:
        present = np.unique(targets)
        weight[present], bias[present] = 0.0, 0.0
        if len(present) > 1:
            # Of two classes scikit-learn gives one row: the second against the first, whose logit is then 0.
            rows = present if len(present) > 2 else present[1:]
            weight[rows], bias[rows], converged = _regression(standard, targets)
    else:
        for one in range(classes):
            positive = int((targets[:, one] > 0.5).sum())
            if positive in (0, len(targets)):
                # Half a clip of either kind keeps the constant finite.
                bias[one] = np.log((positive + 0.5) / (len(targets) - positive + 0.5))
                continue
            weight[[one]], bias[[one]], done = _regression(standard, targets[:, one] > 0.5)
            converged = converged and done
    return Probe(weight=weight, bias=bias, mean=scaler.mean_, scale=scaler.scale_, converged=converged)


def _regression(x: npt.NDArray[np.float64], targets: Targets) -> tuple[Any, Any, bool]:
    """Weights, biases, and whether the solver converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is reported in the record instead
        fitted = LogisticRegression(C=PROBE_C, max_iter=PROBE_STEPS).fit(x, targets)
    return fitted.coef_, fitted.intercept_, bool(fitted.n_iter_.max() < PROBE_STEPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Votes of the nearest training clips by cosine, each weighted by ``exp(similarity / 0.07)``.

    The ``bank`` holds their embeddings ``(clips, dim)`` of length 1, ``votes`` their indicators ``(clips, classes)``.
    """

    bank: Floats
    votes: Floats
    multi_label: bool

    @property
    def k(self) -> int:
        """Neighbours asked."""
        return min(NEIGHBOURS, len(self.bank))

    def logits(self, x: Floats) -> Floats:
        """``(clips, dim) -> (clips, classes)``: logarithm of the vote shares (multi-label: their logit)."""
        shares = np.concatenate([self._shares(_unit(x[i : i + _CHUNK])) for i in range(0, len(x), _CHUNK)])
        shares = np.clip(shares, _LEAST, 1 - _LEAST if self.multi_label else 1.0)
        out: Floats = (np.log(shares) - np.log1p(-shares) if self.multi_label else np.log(shares)).astype(np.float32)
        return out

    def _shares(self, unit: Floats) -> npt.NDArray[np.float64]:
        similarity = (unit @ self.bank.T).astype(np.float64)  # (clips, training clips)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : self.k]
        close = np.take_along_axis(similarity, nearest, axis=1)  # (clips, k)
        weight = np.exp((close - close.max(axis=1, keepdims=True)) / TEMPERATURE)
        weight /= weight.sum(axis=1, keepdims=True)
        shares: npt.NDArray[np.float64] = np.einsum("nk,nkc->nc", weight, self.votes[nearest])
        return shares

    def tensors(self) -> dict[str, Tensor]:
        """The embeddings of the training clips and their votes under ``knn.``."""
        return {"knn.bank": torch.from_numpy(self.bank), "knn.votes": torch.from_numpy(self.votes)}

    def describe(self) -> dict[str, Any]:
        """Settings."""
        dim = self.bank.shape[1]
        return {"classifier": "k nearest neighbours", "dim": dim, "k": self.k, "temperature": TEMPERATURE}


def fit_neighbours(x: Floats, targets: Targets, classes: int) -> Neighbours:
    """Keep the training embeddings; arguments as of :func:`fit_probe`."""
    multi_label = targets.ndim == 2
    votes = targets if multi_label else np.eye(classes)[targets.astype(np.int64)]
    return Neighbours(bank=_unit(x), votes=votes.astype(np.float32), multi_label=multi_label)


def _unit(x: Floats) -> Floats:
    out: Floats = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return out.astype(np.float32)


def restore_probe(tensors: Mapping[str, Tensor], *, multi_label: bool) -> Probe:  # noqa: ARG001
    """The probe whose ``tensors`` these are."""
    parts = {name: tensors[f"probe.{name}"].double().numpy() for name in ("weight", "bias", "mean", "scale")}
    return Probe(**parts, converged=True)


def restore_neighbours(tensors: Mapping[str, Tensor], *, multi_label: bool) -> Neighbours:
    """The neighbours whose ``tensors`` these are."""
    return Neighbours(bank=tensors["knn.bank"].numpy(), votes=tensors["knn.votes"].numpy(), multi_label=multi_label)


FIT: Mapping[str, Callable[[Floats, Targets, int], Probe | Neighbours]] = {"probe": fit_probe, "knn": fit_neighbours}
"""Fitting by run mode."""
RESTORE: Mapping[str, Callable[..., Probe | Neighbours]] = {"probe": restore_probe, "knn": restore_neighbours}
"""Back from the tensors of a checkpoint, which all stand under the name of the mode."""
