"""Do the 95 % intervals hold the truth 95 times in 100? Simulated, with the functions that the boards use.

Run from the repository root (about a minute of one core)::

    python -P benchmarks/coverage.py

It writes ``benchmarks/results/coverage.md`` and exits with 1 if a judged row leaves 93 to 97 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy import special

from bench.statistics.bootstrap import score_intervals, wilson
from bench.statistics.draws import draw_scores
from bench.statistics.paired import corrected_fold_t, difference_interval
from bench.statistics.results import Refusal

T = TypeVar("T")
SIZES = (400, 2000)
ACCURACIES = (0.5, 0.7, 0.9, 0.95)
GAP = 0.02
GROUP_SHARE = 0.4
MODEL_SHARE = 0.6
BAND = (93.0, 97.0)
CHUNK = 20
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; shares in percent, widths in points."""

    method: str
    clips: str
    accuracy: str
    covered: float
    below: float
    above: float
    width: float
    judged: bool

    @property
    def verdict(self) -> str:
        if not self.judged:
            return "reported"
        return "holds" if BAND[0] <= self.covered <= BAND[1] else "FAILS"

    def markdown(self) -> str:
        numbers = f"{self.covered:.1f} | {self.below:.1f} | {self.above:.1f} | {self.width:.2f}"
        return f"| {self.method} | {self.clips} | {self.accuracy} | {numbers} | {self.verdict} |"


class Tally:
    """Counts intervals that hold the truth or miss it on either side."""

    def __init__(self, truth: float) -> None:
        self.truth = truth
        self.ends: list[tuple[float, float]] = []

    def add(self, low: float, high: float) -> None:
        self.ends.append((low, high))

    def row(self, method: str, clips: int, accuracy: float | str, *, judged: bool = True) -> Row:
        low, high = np.array(self.ends).T
        below, above = 100 * (high < self.truth - 1e-12).mean(), 100 * (low > self.truth + 1e-12).mean()
        width = 100 * (high - low).mean()
        return Row(method, str(clips), str(accuracy), 100 - below - above, below, above, width, judged)


def group_labels(clips: int, rng: np.random.Generator) -> np.ndarray:
    """Groups of one to eight clips ``(clips,)``."""
    sizes = rng.integers(1, 9, size=clips)
    return np.repeat(np.arange(clips), sizes)[:clips]


def simulate(
    labels: np.ndarray, accuracies: tuple[float, ...], seeds: int, seed_spread: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Right or wrong per model ``(seeds, clips)``: a normal score below the model's threshold.

    A share of the score's variance belongs to the group, a share to the clip (both common to all models and
    seeds), the rest to the single training. A seed also moves the threshold of all its clips by ``seed_spread``
    (in accuracy).
    """
    clips = labels.size
    group = rng.standard_normal(labels.max() + 1)[labels]
    shared = math.sqrt(GROUP_SHARE) * group + math.sqrt(1 - GROUP_SHARE) * rng.standard_normal(clips)
    results = []
    for accuracy in accuracies:
        noise = rng.standard_normal((seeds, clips))
        score = math.sqrt(MODEL_SHARE) * shared + math.sqrt(1 - MODEL_SHARE) * noise
        moved = accuracy + seed_spread * rng.standard_normal((seeds, 1))
        results.append((score < special.ndtri(np.clip(moved, 0.001, 0.999))).astype(np.float64))
    return results


def chunks(draws: int) -> Iterator[int]:
    """Sizes of the blocks that share their resamples."""
    for start in range(0, draws, CHUNK):
        yield min(CHUNK, draws - start)


def wilson_row(clips: int, accuracy: float, draws: int, rng: np.random.Generator) -> Row:
    tally = Tally(accuracy)
    for successes in rng.binomial(clips, accuracy, size=draws):
        interval = wilson(int(successes), clips)
        tally.add(interval.low, interval.high)
    return tally.row("Wilson, independent clips", clips, accuracy)


def grouped_rows(
    clips: int, accuracy: float, counts: tuple[int, int], seeds: tuple[int, float], rng: np.random.Generator
) -> list[Row]:
    """Cluster and paired bootstrap on the same simulated trainings; the naive interval beside them."""
    draws, inner = counts
    naive, plain, cluster, paired = Tally(accuracy), Tally(accuracy), Tally(accuracy), Tally(GAP)
    for block in chunks(draws):
        labels = group_labels(clips, rng)
        models = [m for _ in range(block) for m in simulate(labels, (accuracy, accuracy - GAP), *seeds, rng)]
        drawn = known(draw_scores(models, labels, draws=inner, seed=rng))
        for i, found in enumerate(score_intervals(drawn, 0.95)[::2]):
            interval, pair = known(found), known(difference_interval(drawn, 2 * i, 2 * i + 1, 0.95))
            cluster.add(interval.low, interval.high)
            plain.add(*np.quantile(drawn.drawn[:, 2 * i], [0.025, 0.975]))
            independent = wilson(float(models[2 * i].mean()) * clips, clips)
            naive.add(independent.low, independent.high)
            paired.add(pair.low, pair.high)
    if seeds[0] > 1:
        name = f"{seeds[0]} seeds, seed sd {100 * seeds[1]:g} points"
        return [
            cluster.row(f"cluster bootstrap, {name}", clips, accuracy, judged=False),
            paired.row(f"paired bootstrap, {name}", clips, f"{accuracy} - {accuracy - GAP:g}", judged=False),
        ]
    return [
        cluster.row("cluster bootstrap", clips, accuracy),
        paired.row("paired bootstrap", clips, f"{accuracy} - {accuracy - GAP:g}"),
        naive.row("Wilson although clips come in groups", clips, accuracy, judged=False),
        plain.row("cluster bootstrap, plain percentiles", clips, accuracy, judged=False),
    ]


def known(result: T | Refusal) -> T:
    """What the statistics give where they give something."""
    if isinstance(result, Refusal):
        raise TypeError(result.reason)
    return result


def fold_rows(training_spread: float, ratio: float, name: str, draws: int, rng: np.random.Generator) -> list[Row]:
    """Corrected and naive t over five folds whose training sets overlap.

    Each fifth of the data moves the difference of every model trained on it; test clips add their own noise.
    """
    corrected, naive = Tally(GAP), Tally(GAP)
    used = 4 if ratio == 0.25 else 3
    for _ in range(draws):
        fifths = training_spread * rng.standard_normal(5)
        trained = np.array([sum(fifths[(fold + 1 + skip) % 5] for skip in range(4 - used, 4)) for fold in range(5)])
        differences = GAP + trained / math.sqrt(used) + math.sqrt(0.15 / 400) * rng.standard_normal(5)
        for tally, scale in ((corrected, 1.0), (naive, None)):
            test = known(corrected_fold_t(differences, ratio))
            half = test.interval.width / 2 / (1.0 if scale else test.factor)
            tally.add(test.interval.estimate - half, test.interval.estimate + half)
    label = f"{name}, training sets add sd {100 * training_spread:g} points"
    return [
        corrected.row(f"corrected fold t, {label}", 2000, "5 folds", judged=False),
        naive.row(f"naive fold t, {label}", 2000, "5 folds", judged=False),
    ]


def table(draws: int, inner: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = [wilson_row(n, p, draws, rng) for n in SIZES for p in ACCURACIES]
    grouped = [grouped_rows(n, p, (draws, inner), (1, 0.0), rng) for n in SIZES for p in ACCURACIES]
    for kind in range(4):
        rows += [part[kind] for part in grouped]
    seeded = [
        grouped_rows(n, 0.9, (draws // 2, inner), (3, spread), rng) for n in SIZES for spread in (0.0, 0.005, 0.02)
    ]
    for kind in range(2):
        rows += [part[kind] for part in seeded]
    for spread in (0.0, 0.01, 0.02):
        rows += fold_rows(spread, 0.25, "4+1", draws, rng)
        rows += fold_rows(spread, 1 / 3, "3+1+1", draws, rng)
    return rows


HEADER = """# Coverage of the intervals

Written by `python -P benchmarks/coverage.py{options}`: {draws} simulated experiments a row ({half} for rows with
seeds), {inner} resamples in each, nominal level 95 %. The standard error of a coverage is {error:.1f} points.
A judged row has to lie between 93 and 97 %. "Too low" counts intervals that lie wholly below the truth.

- Wilson is judged where its assumption holds, on independent clips. On clips that come in groups it is too
  narrow: those rows show why boards use the bootstrap over groups there.
- Groups have one to eight clips. Two models 2 points apart share {model:.0%} of the variance of what they make of a
  clip; {group:.0%} of that share belongs to the group.
- The cluster bootstrap is BCa with Student's quantile. Plain percentiles, reported beside it, cover least
  and miss mostly on one side where accuracy is high and clips are few. Differences are hardly skewed: percentiles,
  stretched to Student's quantile.
- "3 seeds" is the mean of three trainings; the truth is the mean over all seeds that could have been drawn.
- The corrected fold t is reported, not judged: whether its correction is too large or too small depends on how much
  the training sets move the difference, which five folds cannot tell.

| interval | clips | accuracy | covered % | too low % | too high % | width (points) | verdict |
|---|---:|---|---:|---:|---:|---:|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5000, help="simulated experiments a row")
    parser.add_argument("--inner", type=int, default=2000, help="resamples in each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "results" / "coverage.md")
    arguments = parser.parse_args()
    draws, inner, seed = arguments.draws, arguments.inner, arguments.seed
    rows = table(draws, inner, seed)
    options = "" if (draws, inner, seed) == (5000, 2000, 0) else f" --draws {draws} --inner {inner} --seed {seed}"
    header = HEADER.format(
        options=options,
        draws=draws,
        half=draws // 2,
        inner=inner,
        error=100 * math.sqrt(0.95 * 0.05 / draws),
        group=GROUP_SHARE,
        model=MODEL_SHARE,
    )
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    arguments.to.write_text(header + "\n".join(row.markdown() for row in rows) + "\n", encoding="utf-8")
    failed = [row for row in rows if row.verdict == "FAILS"]
    print(f"{len(rows)} rows, {len(failed)} outside {BAND[0]:g}-{BAND[1]:g} %: {arguments.to}")
    for row in failed:
        print(row.markdown())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
