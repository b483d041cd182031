"""How often does the gate blame an unchanged model for its score, and how often does it catch a worse one?

``python benchmarks/gate_scores.py [--gates 1000]`` prints two tables; a quarter of an hour, nothing is trained.

First, one row of 400 clips at 85 % is gated by the default policy. Each clip lies at a distance of its own from the
border of right and wrong, training moves every clip (so that ``change`` of them change sides when an unchanged model is
trained again) and, as a whole, the accuracy of a seed (by a standard deviation of ``scatter`` points).

Then each model of a published board of three seeds (``--board``): of every clip the probability that a training gets it
right is drawn from its posterior, a beta distribution whose prior is fitted to all clips of the row; training again
draws every clip anew, five folds and three seeds a side. What the accuracies of its stored seeds scatter more than
clips explain is drawn besides. The worse model has the same clips with their odds of being right shifted so that the
mean falls by 5 points.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from bench.cli.baseline import read_results
from bench.gate.baseline import PinnedRow, Scored, packed, unpacked
from bench.gate.comparison import judge
from bench.gate.intervals import score_difference
from bench.gate.policy import DEFAULTS

CLIPS, ACCURACY, DROP = 400, 0.85, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What training the same model again moves.

    Attributes:
        change: Share of clips that change sides between two trainings whose accuracy is the same.
        scatter: Standard deviation of the accuracy of seeds as a whole, as a fraction.
    """

    change: float
    scatter: float

    def wobble(self) -> float:
        """How far training moves a clip, in deviations of the clips' distances from the border."""
        middles, low, high = stats.norm.ppf((np.arange(2000) + 0.5) / 2000), 1e-3, 5.0
        for _ in range(40):
            wobble = (low + high) / 2
            right = stats.norm.cdf((stats.norm.ppf(ACCURACY) * np.hypot(1, wobble) + middles) / wobble)
            low, high = (wobble, high) if (2 * right * (1 - right)).mean() < self.change else (low, wobble)
        return wobble

    def trained(
        self, clips: npt.NDArray[np.float64], accuracy: float, seeds: int, wobble: float, rng: np.random.Generator
    ) -> PinnedRow:
        """A row of as many trainings on the same clips."""
        cells = []
        for seed in range(seeds):
            own = np.clip(accuracy + self.scatter * rng.standard_normal(), 0.01, 0.99)
            border = -stats.norm.ppf(own) * np.hypot(1, wobble)
            right = (clips + wobble * rng.standard_normal(CLIPS) > border).astype(np.float64)
            held = {"clips": CLIPS, "clips_sha256": "same", "per_clip": packed(right)}
            cells.append(Scored(fold=1, seed=seed, value=float(right.mean()), **held))
        return PinnedRow(name="row", kind="evaluate", metric="accuracy", cells=tuple(cells))


def blamed(training: Training, seeds: int, drop: float, gates: int) -> float:
    """Share of gates that call a model a regression whose true accuracy fell by ``drop``."""
    rng, wobble, rule = np.random.default_rng([seeds, int(1e3 * drop)]), training.wobble(), DEFAULTS["accuracy"]
    found = 0
    for _ in range(gates):
        clips = rng.standard_normal(CLIPS)
        old = training.trained(clips, ACCURACY, seeds, wobble, rng)
        new = training.trained(clips, ACCURACY - drop, seeds, wobble, rng)
        difference = score_difference(new, old, rule.level)
        found += (
            judge("row", "accuracy", difference, rule, unit="fraction", higher_is_better=True).status == "regression"
        )
    return found / gates


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a board's row holds of its clips, in the order of its folds.

    Attributes:
        right: Trainings that got a clip right ``(clips,)``.
        folds: Test fold of each clip.
        seeds: Trainings.
        prior: Of the clips' probabilities, parameters of a beta distribution.
        scatter: Standard deviation of the accuracy of seeds beyond what clips explain.
    """

    right: npt.NDArray[np.float64]
    folds: npt.NDArray[np.int64]
    seeds: int
    prior: tuple[float, float]
    scatter: float

    def trained(self, chances: npt.NDArray[np.float64], rng: np.random.Generator) -> PinnedRow:
        """A row of as many trainings, each with an own shift of all odds."""
        cells = []
        for seed in range(self.seeds):
            own = shifted(chances, self.scatter * float(rng.standard_normal()))
            hits = (rng.random(chances.size) < own).astype(np.float64)
            for fold in np.unique(self.folds):
                mine = hits[self.folds == fold]
                held = {"clips": mine.size, "clips_sha256": f"fold {fold}", "per_clip": packed(mine)}
                cells.append(Scored(fold=int(fold), seed=seed, value=float(mine.mean()), **held))
        return PinnedRow(name="row", kind="evaluate", metric="accuracy", cells=tuple(cells))

    def blamed(self, drop: float, gates: int) -> float:
        """Share of gates that call a model a regression whose true accuracy fell by ``drop``."""
        rng, rule, found = np.random.default_rng(int(1e3 * drop)), DEFAULTS["accuracy"], 0
        for _ in range(gates):
            chances = rng.beta(self.prior[0] + self.right, self.prior[1] + self.seeds - self.right)
            sides = [self.trained(shifted(chances, move), rng) for move in (-drop, 0.0)]
            difference = score_difference(*sides, rule.level)
            judged = judge("row", "accuracy", difference, rule, unit="fraction", higher_is_better=True)
            found += judged.status == "regression"
        return found / gates


def shifted(chances: npt.NDArray[np.float64], move: float) -> npt.NDArray[np.float64]:
    """The same clips with their odds shifted so that the mean of the chances moves by ``move``."""
    odds, wanted = special.logit(np.clip(chances, 1e-9, 1 - 1e-9)), float(np.clip(chances.mean() + move, 1e-3, 0.999))
    shift = optimize.brentq(lambda by: float(special.expit(odds + by).mean()) - wanted, -30, 30)
    return np.asarray(special.expit(odds + shift), dtype=np.float64)


def stored(board: Path) -> dict[str, Stored]:
    """The rows of a board that have several seeds of all folds."""
    found = dict[str, Stored]()
    for row in read_results(board, None, None).rows:
        seeds = sorted({cell.seed for cell in row.cells})
        if row.kind != "evaluate" or len(seeds) < 2:
            continue
        cells = sorted(row.cells, key=lambda cell: (cell.fold, cell.seed))
        values = [unpacked(cell.per_clip or "", cell.clips or 0) for cell in cells]
        folds = np.concatenate([np.full(cell.clips or 0, cell.fold) for cell in cells[:: len(seeds)]])
        hits = np.stack([np.concatenate(values[seed :: len(seeds)]) for seed in range(len(seeds))])
        right, count = hits.sum(axis=0), len(seeds)

        def unlikely(logs: npt.NDArray[np.float64], right: Any = right, count: int = count) -> float:
            return -float(stats.betabinom.logpmf(right, count, *np.exp(logs)).sum())

        prior = np.exp(optimize.minimize(unlikely, np.log([2.0, 0.5]), method="Nelder-Mead").x)
        middle = (prior[0] + right) / (prior.sum() + count)
        excess = hits.mean(axis=1).var(ddof=1) - (middle * (1 - middle)).sum() / right.size**2
        found[row.name] = Stored(
            right=right, folds=folds, seeds=count, prior=(float(prior[0]), float(prior[1])),
            scatter=math.sqrt(max(0.0, excess)),
        )  # fmt: skip
    return found


def main() -> None:
    """The tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=1000, help="of each kind")
    parser.add_argument("--board", type=Path, default=Path("results/published/esc10-full"))
    asked = parser.parse_args()
    gates = asked.gates
    print("| Clips that change sides | Scatter of seeds | Seeds | Unchanged, blamed | 5 points worse, caught |")
    print("|" + " --- |" * 5)
    for change, scatter, seeds in itertools.product((0.05, 0.1), (0.0, 0.005, 0.01, 0.015), (1, 3, 5)):
        training = Training(change=change, scatter=scatter)
        false, caught = (100 * blamed(training, seeds, drop, gates) for drop in (0.0, DROP))
        print(
            f"| {100 * change:g} % | {100 * scatter:g} points | {seeds} | {false:.1f} % | {caught:.0f} % |", flush=True
        )
    print(f"\n| Row of {asked.board.name} | Accuracy | Scatter of seeds | Unchanged, blamed | 5 points worse, caught |")
    print("|" + " --- |" * 5)
    for name, row in stored(asked.board).items():
        false, caught = (100 * row.blamed(drop, gates) for drop in (0.0, DROP))
        accuracy = 100 * row.right.mean() / row.seeds
        print(
            f"| {name} | {accuracy:.1f} % | {100 * row.scatter:.2g} points | {false:.1f} % | {caught:.0f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
