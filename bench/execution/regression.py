"""Logistic regressions on the same clips, solved together: inner folds and regularisation strengths are one batch.

All problems see the rows in the basis of their principal components, where the curvature of the loss is about a
diagonal (Böhning 1992, Ann. Inst. Statist. Math. 44), from which L-BFGS starts. A step costs two matrix products for
all problems together; the line search reads logits that are there already.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

_MEMORY = 6
_STEPS = 2000
_HALVINGS = 12
_ABSENT = -1e3
_SUFFICIENT = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """Solutions ``weight (problems, dim, classes)`` and ``bias (problems, classes)``, and which converged."""

    weight: Tensor
    bias: Tensor
    converged: Tensor


@dataclass(slots=True)
class _Problems:
    """``rows (clips, dim + 1)`` with a last column of ones, ``targets (clips, classes)``, what each problem weighs.

    ``shares (problems, clips)`` are weights of clips that add up to 1, ``ridge (problems, dim + 1)`` the penalty of
    each coefficient, ``absent (problems, 1, classes)`` what is added to the logits of classes without a clip.
    """

    rows: Tensor
    targets: Tensor
    shares: Tensor
    ridge: Tensor
    absent: Tensor
    several: bool

    def logits(self, weight: Tensor) -> Tensor:
        """``(problems, dim + 1, classes) -> (problems, clips, classes)``, one product for all."""
        problems, dim, classes = weight.shape
        flat = self.rows @ weight.permute(1, 0, 2).reshape(dim, problems * classes)
        return flat.view(len(self.rows), problems, classes).transpose(0, 1)

    def loss(self, logits: Tensor, penalty: Tensor) -> Tensor:
        """``(problems,)``: mean loss plus penalty."""
        if self.several:
            each = torch.nn.functional.softplus(logits).sum(2) - (logits * self.targets).sum(2)
        else:
            logits = logits + self.absent
            each = logits.logsumexp(2) - (logits * self.targets).sum(2)
        return (each * self.shares).sum(1) + penalty

    def gradient(self, logits: Tensor, weight: Tensor) -> Tensor:
        """``(problems, dim + 1, classes)``."""
        chances = logits.sigmoid() if self.several else (logits + self.absent).softmax(2)
        left = (chances - self.targets) * self.shares[..., None]  # (problems, clips, classes)
        problems, clips, classes = left.shape
        flat = self.rows.T @ left.transpose(0, 1).reshape(clips, problems * classes)
        return flat.view(-1, problems, classes).transpose(0, 1) + self.ridge[..., None] * weight

    def penalty(self, weight: Tensor, other: Tensor) -> Tensor:
        """``(problems,)``: half the inner product of two coefficients under the penalty."""
        return 0.5 * (self.ridge * (weight * other).sum(2)).sum(1)

    def of(self, which: Tensor) -> _Problems:
        """Some of the problems."""
        kept = self.shares[which], self.ridge[which], self.absent[which]
        return _Problems(self.rows, self.targets, *kept, self.several)


@dataclass(slots=True)
class _History:
    """Steps and changes of the gradient, the newest last, each ``(problems, dim + 1, classes)``."""

    scale: Tensor
    pairs: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)

    def direction(self, gradient: Tensor) -> Tensor:
        """Where L-BFGS goes from here."""
        found, passed = gradient.clone(), []
        for step, change, rho in reversed(self.pairs):
            alpha = rho * _inner(step, found)
            found -= _wide(alpha) * change
            passed.append(alpha)
        factor = torch.ones(len(gradient), dtype=gradient.dtype)
        if self.pairs:
            step, change, _ = self.pairs[-1]
            bent = _inner(change, change * self.scale)
            factor = torch.where(bent > 0, _inner(step, change) / bent, factor)
            factor = torch.where(factor > 0, factor, torch.ones_like(factor))
        found *= self.scale * _wide(factor)
        for (step, change, rho), alpha in zip(self.pairs, reversed(passed), strict=True):
            found += _wide(alpha - rho * _inner(change, found)) * step
        return -found

    def add(self, step: Tensor, change: Tensor) -> None:
        """Remember a step; where the curvature along it is not positive it counts for nothing."""
        product = _inner(step, change)
        rho = torch.where(product > 1e-20, 1 / product, torch.zeros_like(product))
        self.pairs = [*self.pairs[1 - _MEMORY :], (step, change, rho)]

    def of(self, which: Tensor) -> _History:
        """That of some of the problems."""
        return _History(self.scale[which], [(s[which], c[which], r[which]) for s, c, r in self.pairs])


def solve(
    x: Tensor, targets: Tensor, weights: Tensor, strengths: Tensor, *, several: bool = False, tolerance: float = 1e-4
) -> Solved:  # fmt: skip
    """The minimum of ``C * sum of losses + |weight|^2 / 2`` for each problem; the bias is free.

    Args:
        x: ``(clips, dim)``, standardised; in float64 where the solution matters to more than four digits.
        targets: ``(clips, classes)`` indicators.
        weights: ``(problems, clips)``: 1 for clips that a problem fits, 0 for others.
        strengths: ``(problems,)``: C of each.
        several: Whether clips have several labels: one regression a class then.
        tolerance: Largest element of the gradient of the mean loss at which a problem is solved.
    """
    if not targets.shape[1]:
        return Solved(
            weight=x.new_zeros(len(weights), x.shape[1], 0),
            bias=x.new_zeros(len(weights), 0),
            converged=torch.ones(len(weights), dtype=torch.bool),
        )
    values, basis = torch.linalg.eigh(x.T @ x)
    rows = torch.cat([x @ basis, x.new_ones(len(x), 1)], dim=1)
    count = weights.sum(1, keepdim=True)
    ridge = torch.cat([(1 / (strengths[:, None] * count)).expand(-1, x.shape[1]), torch.zeros_like(count)], dim=1)
    absent = torch.where((weights @ targets > 0) | several, 0.0, _ABSENT).to(x)[:, None]
    problems = _Problems(rows, targets, weights / count, ridge, absent, several)
    bent = 0.25 if several else (1 - 1 / targets.shape[1]) / targets.shape[1]
    curvature = torch.cat([values.clamp_min(0), values.new_full((1,), len(x))]) * bent / len(x)
    scale = (1 / (curvature + curvature.mean() + ridge).clamp_min(1e-12))[..., None]
    solved, converged = _descend(problems, _History(scale), tolerance)
    return Solved(weight=basis @ solved[:, :-1], bias=solved[:, -1] + absent[:, 0], converged=converged)


def _descend(problems: _Problems, history: _History, tolerance: float) -> tuple[Tensor, Tensor]:
    """Coefficients of all problems; one that is solved leaves the batch."""
    dim, classes = problems.rows.shape[1], problems.targets.shape[1]
    found = problems.rows.new_zeros(len(problems.shares), dim, classes)
    converged = torch.zeros(len(found), dtype=torch.bool)
    left = torch.arange(len(found))
    weight, logits = found.clone(), problems.logits(found)
    gradient = problems.gradient(logits, weight)
    for _ in range(_STEPS):
        done = gradient.abs().amax((1, 2)) <= tolerance
        if bool(done.any()):
            found[left[done]], converged[left[done]] = weight[done], True
            kept = torch.nonzero(~done)[:, 0]
            if not len(kept):
                break
            left, weight, logits, gradient = left[kept], weight[kept], logits[kept], gradient[kept]
            problems, history = problems.of(kept), history.of(kept)
        direction = history.direction(gradient)
        along = problems.logits(direction)
        length = _line_search(problems, weight, direction, (logits, along, _inner(gradient, direction)))
        if not bool(length.any()):
            break  # no float between here and a lower loss
        step = _wide(length) * direction
        weight, logits = weight + step, logits + _wide(length) * along
        before, gradient = gradient, problems.gradient(logits, weight)
        history.add(step, gradient - before)
    found[left] = weight
    return found, converged


def _line_search(p: _Problems, weight: Tensor, direction: Tensor, line: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """``(problems,)``: the largest halving of a whole step that lowers each loss enough, 0 where none does.

    The ``line`` is the logits here, how they change along the direction, and the slope.
    """
    logits, along, slope = line
    ends = [p.penalty(weight, weight), 2 * p.penalty(weight, direction), p.penalty(direction, direction)]
    start = p.loss(logits, ends[0])
    length, found = torch.ones_like(slope), torch.zeros_like(slope)
    open_ = torch.ones_like(slope, dtype=torch.bool)
    for _ in range(_HALVINGS):
        penalty = ends[0] + length * ends[1] + length**2 * ends[2]
        good = p.loss(logits + _wide(length) * along, penalty) <= start + _SUFFICIENT * length * slope
        found = torch.where(open_ & good, length, found)
        open_ &= ~good
        if not bool(open_.any()):
            break
        length = torch.where(open_, length / 2, length)
    return found


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2))


def _wide(x: Tensor) -> Tensor:
    return x[:, None, None]
