"""How often does the gate blame an unchanged model for its score, and how often does it catch a worse one?

``python benchmarks/gate_scores.py [--gates 1000]`` prints a table; two minutes on one core, nothing is trained.
One row of 400 clips at 85 % is gated by the default policy. Each clip lies at a distance of its own from the border of
right and wrong, training moves every clip (so that ``change`` of them change sides when an unchanged model is trained
again) and, as a whole, the accuracy of a seed (by a standard deviation of ``scatter`` points).
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.gate.baseline import PinnedRow, Scored, packed
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


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=1000, help="of each kind")
    gates = parser.parse_args().gates
    print("| Clips that change sides | Scatter of seeds | Seeds | Unchanged, blamed | 5 points worse, caught |")
    print("|" + " --- |" * 5)
    for change, scatter, seeds in itertools.product((0.05, 0.1), (0.0, 0.005, 0.01, 0.015), (1, 3, 5)):
        training = Training(change=change, scatter=scatter)
        false, caught = (100 * blamed(training, seeds, drop, gates) for drop in (0.0, DROP))
        print(
            f"| {100 * change:g} % | {100 * scatter:g} points | {seeds} | {false:.1f} % | {caught:.0f} % |", flush=True
        )


if __name__ == "__main__":
    main()
