"""Heads on frozen embeddings, one for each frozen mode: regressions, neighbours, prototypes, a small network.

The linear probe and the weighted neighbours are those of the self-supervised literature: Wu et al. 2018 (1805.01978)
and Caron et al. 2021 (2104.14294), with their temperature of 0.07 and 20 neighbours. Prototypes are the class means of
Snell et al. 2017 (1703.05175). All but the weighted neighbours see embeddings standardised by those of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.execution.attention import Attention, fit_attention
from bench.execution.heads import Doubles, Floats, Head, Targets, Training, indicators, moments
from bench.execution.perceptron import Perceptron, fit_perceptrons
from bench.execution.regression import solve
from bench.execution.zero_shot import Prompted
from bench.protocols.groups import inner_folds

NEIGHBOURS = 20
TEMPERATURE = 0.07
PROBE_C = 1.0
EXACT, FITTED, CHOOSING = 1e-7, 1e-5, 1e-3
"""Largest element of the gradient at the end of a probe, of a regression with C chosen, and of those that choose it."""
INNER_FOLDS = 5
"""Folds inside the training clips that choose C; fewer where a class has fewer clips or groups."""
_ABSENT = -1e3
"""Logit of a class that no training clip had."""
_LEAST = 1e-6
"""A vote share below this counts as this, so that its logarithm stays finite."""
_CHUNK = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Logits that are linear in standardised embeddings: ``weight (classes, dim)``, ``bias (classes,)``.

    ``scale`` is the deviation of the training embeddings, 1 where it is 0; ``notes`` say what was fitted.
    """

    weight: Doubles
    bias: Doubles
    mean: Doubles
    scale: Doubles
    notes: Mapping[str, Any]

    def logits(self, x: Floats) -> Floats:
        """``(clips, dim) -> (clips, classes)``."""
        out: Floats = (((x - self.mean) / self.scale) @ self.weight.T + self.bias).astype(np.float32)
        return out

    def tensors(self) -> dict[str, Tensor]:
        """The coefficients, float32."""
        parts = {"weight": self.weight, "bias": self.bias, "mean": self.mean, "scale": self.scale}
        return {name: torch.from_numpy(np.ascontiguousarray(x)).float() for name, x in parts.items()}

    def describe(self) -> dict[str, Any]:
        """What was fitted."""
        return {**self.notes, "dim": len(self.mean)}


def fit_probe(
    x: Floats, targets: Targets, classes: int, *, strength: float = PROBE_C, tolerance: float = EXACT
) -> Linear:
    """Logistic regression on training embeddings ``(clips, dim)``; a class that no clip has is never predicted.

    ``targets`` are class indices ``(clips,)``, or indicators ``(clips, classes)``: one regression per class then.
    """
    mean, scale = moments(x)
    standard, y = torch.from_numpy((x - mean) / scale), indicators(targets, classes)
    counts = y.sum(axis=0)
    weight, bias = np.zeros((classes, x.shape[1])), np.where(counts > 0, 0.0, _ABSENT)
    if targets.ndim == 2:  # half a clip of either kind keeps the constant of a class with one of them finite
        bias = np.log((counts + 0.5) / (len(y) - counts + 0.5))
    fitted, several = _regressions(y, one_each=targets.ndim == 1)
    one = torch.ones(1, len(x), dtype=torch.float64)
    found = solve(
        standard, torch.from_numpy(y[:, fitted]).double(), one, torch.tensor([strength], dtype=torch.float64),
        several=several, tolerance=tolerance,
    )  # fmt: skip
    weight[fitted], bias[fitted] = found.weight[0].T.numpy(), found.bias[0].numpy()
    notes = {"classifier": "logistic regression", "C": strength, "converged": bool(found.converged[0])}
    return Linear(weight=weight, bias=bias, mean=mean, scale=scale, notes=notes)


def _regressions(y: Floats, *, one_each: bool) -> tuple[npt.NDArray[np.int64], bool]:
    """The classes that get coefficients, and whether each is a regression of its own.

    Of two classes that exclude each other it is the second, against the first, whose logit is 0.
    """
    counts = y.sum(axis=0)
    present = np.flatnonzero((counts > 0) & (one_each | (counts < len(y))))
    return (present[1:], True) if one_each and len(present) < 3 else (present, not one_each)


def fit_logistic(data: Training) -> Linear:
    """The same with C chosen in folds drawn inside the training clips, of whole groups.

    By accuracy and, between equals, by the log loss; of several labels by the log loss alone.
    """
    choices = data.recipe.head_c
    folds = inner_folds(data.targets, data.groups, INNER_FOLDS)
    if folds is None or len(choices) < 2:
        why = "the only one" if len(choices) < 2 else "too few clips or groups a class to choose"
        fitted = fit_probe(data.x, data.targets, data.classes, strength=PROBE_C if folds is None else choices[0])
        return replace(fitted, notes={**fitted.notes, "chosen": why})
    losses, right = _held_out(data, folds, choices)
    best = int(np.lexsort((losses, -right))[0])
    fitted = fit_probe(data.x, data.targets, data.classes, strength=choices[best], tolerance=FITTED)
    notes: dict[str, Any] = {**fitted.notes, "inner_folds": int(folds.max())}
    for name, found in (("held_out_loss", losses), ("held_out_accuracy", right)):
        notes[name] = {f"{c:g}": round(float(one), 4) for c, one in zip(choices, found, strict=True)}
    return replace(fitted, notes=notes)


def _held_out(data: Training, folds: npt.NDArray[np.int64], choices: Sequence[float]) -> tuple[Doubles, Doubles]:
    """Mean loss and accuracy ``(choices,)`` of the clips that each inner fold holds out; 0 for several labels."""
    centre, scale = moments(data.x)
    fitted, several = _regressions(data.indicators, one_each=data.targets.ndim == 1)
    x, y = (torch.from_numpy(a.astype(np.float32)) for a in ((data.x - centre) / scale, data.indicators[:, fitted]))
    out = torch.from_numpy(np.arange(1, folds.max() + 1)[:, None] == folds).float()  # (folds, clips)
    held = out.repeat_interleave(len(choices), 0)  # (folds x choices, clips)
    found = solve(x, y, 1 - held, torch.tensor(choices).float().repeat(len(out)), several=several, tolerance=CHOOSING)
    logits = torch.einsum("nd,pdk->pnk", x, found.weight) + found.bias[:, None]
    right = torch.zeros_like(held)
    if several:
        each = (torch.nn.functional.softplus(logits) - logits * y).sum(2)
    else:
        each = logits.logsumexp(2) - (logits * y).sum(2)
        right = (logits.argmax(2) == y.argmax(1)).float()
    if data.targets.ndim == 1 and several and len(fitted):  # two classes: one regression; one class: none
        right = ((logits[..., 0] > 0) == (y[:, 0] > 0)).float()

    def mean(values: Tensor) -> Doubles:
        total: Doubles = (values * held).view(len(out), len(choices), -1).sum((0, 2)).double().numpy()
        return total / len(x)

    return mean(each), mean(right)


def fit_prototypes(data: Training) -> Linear:
    """The nearest class mean; of several labels, whichever is nearer: the mean of clips with a label or without."""
    mean, scale = moments(data.x)
    standard, y = (data.x - mean) / scale, data.indicators.astype(np.float64)
    counts = y.sum(axis=0)[:, None]  # (classes, 1)
    centre = (y.T @ standard) / np.maximum(counts, 1)
    without = ((1 - y).T @ standard) / np.maximum(len(y) - counts, 1) if data.targets.ndim == 2 else 0 * centre
    bias = 0.5 * (without**2).sum(1) - 0.5 * (centre**2).sum(1)
    centre, bias = np.where(counts > 0, centre - without, 0.0), np.where(counts[:, 0] > 0, bias, _ABSENT)
    return Linear(weight=centre, bias=bias, mean=mean, scale=scale, notes={"classifier": "prototypes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Votes of the nearest training clips.

    By cosine, each weighted by ``exp(similarity / temperature)``; or, where there is no temperature, by Euclidean
    distance, equally. The ``bank`` holds their embeddings ``(clips, dim)``, of length 1 or standardised, and ``votes``
    their indicators ``(clips, classes)``.
    """

    bank: Floats
    votes: Floats
    multi_label: bool
    wanted: int = NEIGHBOURS
    temperature: float | None = TEMPERATURE
    mean: Doubles | float = 0.0
    scale: Doubles | float = 1.0

    @property
    def k(self) -> int:
        """Neighbours asked."""
        return min(self.wanted, len(self.bank))

    def logits(self, x: Floats) -> Floats:
        """``(clips, dim) -> (clips, classes)``: logarithm of the vote shares (multi-label: their logit)."""
        shares = np.concatenate([self._shares(x[i : i + _CHUNK]) for i in range(0, len(x), _CHUNK)])
        shares = np.clip(shares, _LEAST, 1 - _LEAST if self.multi_label else 1.0)
        out: Floats = (np.log(shares) - np.log1p(-shares) if self.multi_label else np.log(shares)).astype(np.float32)
        return out

    def _shares(self, x: Floats) -> Doubles:
        if self.temperature is None:
            similarity = ((x - self.mean) / self.scale) @ self.bank.T - 0.5 * (self.bank**2).sum(axis=1)
        else:
            similarity = (_unit(x) @ self.bank.T).astype(np.float64)  # (clips, training clips)
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : self.k]
        if self.temperature is None:
            found: Doubles = self.votes[nearest].mean(axis=1, dtype=np.float64)
            return found
        close = np.take_along_axis(similarity, nearest, axis=1)  # (clips, k)
        weight = np.exp((close - close.max(axis=1, keepdims=True)) / self.temperature)
        weight /= weight.sum(axis=1, keepdims=True)
        shares: Doubles = np.einsum("nk,nkc->nc", weight, self.votes[nearest])
        return shares

    def tensors(self) -> dict[str, Tensor]:
        """The embeddings of the training clips and their votes, and of equal ones how many and on which scale."""
        found = {"bank": torch.from_numpy(self.bank), "votes": torch.from_numpy(self.votes)}
        if self.temperature is None:
            found |= {name: torch.as_tensor(getattr(self, name)) for name in ("wanted", "mean", "scale")}
        return found

    def describe(self) -> dict[str, Any]:
        """Settings."""
        dim = self.bank.shape[1]
        return {"classifier": "k nearest neighbours", "dim": dim, "k": self.k, "temperature": self.temperature}


def fit_neighbours(x: Floats, targets: Targets, classes: int) -> Neighbours:
    """Keep the training embeddings; arguments as of :func:`fit_probe`."""
    return Neighbours(bank=_unit(x), votes=indicators(targets, classes), multi_label=targets.ndim == 2)


def fit_plain_neighbours(data: Training) -> Neighbours:
    """The same for equal votes on standardised embeddings; no more than the largest class has, or all would tie."""
    mean, scale = moments(data.x)
    wanted = min(data.recipe.neighbours, int(data.indicators.sum(axis=0).max()))
    return Neighbours(
        bank=((data.x - mean) / scale).astype(np.float32), votes=data.indicators, multi_label=data.targets.ndim == 2,
        wanted=wanted, temperature=None, mean=mean, scale=scale,
    )  # fmt: skip


def fit_mlp(data: Training) -> Perceptron:
    """A network of one hidden layer, of the cell's seed."""
    fitted = fit_perceptrons(data.x, data.indicators, moments(data.x), [data.seed], several=data.targets.ndim == 2)
    return fitted[0]


def _unit(x: Floats) -> Floats:
    out: Floats = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return out.astype(np.float32)


def restore(tensors: Mapping[str, Tensor], *, multi_label: bool) -> Head:
    """The head whose ``tensors`` these are.

    Raises:
        KeyError: They are those of none.
    """
    if "text" in tensors:
        return Prompted(text=tensors["text"].double().numpy(), notes={"classifier": "cosine with texts"})
    if "query" in tensors:
        return Attention(**dict[str, Any](tensors))
    if "inner" in tensors:
        return Perceptron.of(tensors)
    if "bank" not in tensors:
        parts = {name: tensors[name].double().numpy() for name in ("weight", "bias", "mean", "scale")}
        return Linear(**parts, notes={"classifier": "linear"})
    equal: dict[str, Any] = {"temperature": None, "wanted": int(tensors["wanted"])} if "wanted" in tensors else {}
    equal |= {name: tensors[name].double().numpy() for name in ("mean", "scale") if equal}
    bank, votes = (tensors[name].numpy() for name in ("bank", "votes"))
    return Neighbours(bank=bank, votes=votes, multi_label=multi_label, **equal)


FIT: Mapping[str, Callable[[Training], Head]] = {
    "probe": lambda data: fit_probe(data.x, data.targets, data.classes),
    "knn": lambda data: fit_neighbours(data.x, data.targets, data.classes),
    "logistic": fit_logistic,
    "neighbours": fit_plain_neighbours,
    "prototypes": fit_prototypes,
    "mlp": fit_mlp,
    "attention": lambda data: fit_attention(data.x, data.indicators, data.seed, several=data.targets.ndim == 2),
}
"""Fitting by run mode."""
