"""Do the 95 % intervals hold the truth 95 times in 100, and do boards tell equal models apart? Simulated, with the
functions that the boards use.

Run from the repository root (about a quarter of an hour of one core)::

    python benchmarks/coverage

It writes ``benchmarks/results/coverage.md`` and exits with 1 if a judged interval leaves 93 to 97 %, or if more than
5 % of the boards of a row tell two equal models apart, each by more than two standard errors of the simulation.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from boards import SCATTERS, SIZES, board_rows
from simulation import FOLD_SPREAD, GROUP_SHARE, MODEL_SHARE, Noise, group_labels, known, simulate

from bench.statistics.bootstrap import score_intervals, wilson
from bench.statistics.draws import draw_scores
from bench.statistics.folds import corrected_fold_t
from bench.statistics.paired import compare_pairs

SEEDS = (1, 2, 3, 5)
LEAST_JUDGED = 3
ACCURACIES = (0.5, 0.7, 0.9, 0.95)
GAP = 0.02
BAND = (93.0, 97.0)
CHUNK = 20
ROOT = Path(__file__).resolve().parents[2]


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
    trials: int
    judged: bool

    @property
    def verdict(self) -> str:
        if not self.judged:
            return "reported"
        error = 200 * math.sqrt(0.05 * 0.95 / self.trials)
        return "holds" if BAND[0] - error <= self.covered <= BAND[1] + error else "FAILS"

    def markdown(self) -> str:
        numbers = f"{self.covered:.1f} | {self.below:.1f} | {self.above:.1f} | {self.width:.2f}"
        return f"| {self.method} | {self.clips} | {self.accuracy} | {numbers} | {self.verdict} |"


class Tally:
    """Counts intervals that hold the truth or miss it on either side."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def add(self, low: float, high: float, truth: float) -> None:
        self.ends.append((low - truth, high - truth))

    def row(self, method: str, clips: int, accuracy: float | str, *, judged: bool = True) -> Row:
        low, high = np.array(self.ends).T
        below, above = 100 * (high < -1e-12).mean(), 100 * (low > 1e-12).mean()
        width = 100 * (high - low).mean()
        return Row(method, str(clips), str(accuracy), 100 - below - above, below, above, width, len(self.ends), judged)


def chunks(draws: int) -> Iterator[int]:
    """Sizes of the blocks that share their resamples."""
    for start in range(0, draws, CHUNK):
        yield min(CHUNK, draws - start)


def wilson_row(clips: int, accuracy: float, draws: int, rng: np.random.Generator) -> Row:
    tally = Tally()
    for successes in rng.binomial(clips, accuracy, size=draws):
        interval = wilson(int(successes), clips)
        tally.add(interval.low, interval.high, accuracy)
    return tally.row("Wilson, independent clips", clips, accuracy)


def grouped_rows(clips: int, accuracy: float, counts: tuple[int, int], rng: np.random.Generator) -> list[Row]:
    """Cluster and paired bootstrap over clips only on the same simulated trainings; the naive interval beside them."""
    draws, inner = counts
    naive, plain, cluster, paired = Tally(), Tally(), Tally(), Tally()
    for block in chunks(draws):
        labels = group_labels(clips, rng)
        made = [simulate(labels, (accuracy, accuracy - GAP), 1, Noise(), rng)[0] for _ in range(block)]
        models = [model for pair in made for model in pair]
        drawn = known(draw_scores(models, labels, draws=inner, seed=rng))
        _, ends = compare_pairs(drawn, 0.95)
        for i, found in enumerate(score_intervals(drawn, 0.95)[::2]):
            interval = known(found)
            cluster.add(interval.low, interval.high, accuracy)
            plain.add(*np.quantile(drawn.drawn[:, 2 * i], [0.025, 0.975]), accuracy)
            independent = wilson(float(models[2 * i].mean()) * clips, clips)
            naive.add(independent.low, independent.high, accuracy)
            paired.add(*ends[2 * i, 2 * i + 1], GAP)
    return [
        cluster.row("cluster bootstrap", clips, accuracy),
        paired.row("paired bootstrap", clips, f"{accuracy} - {accuracy - GAP:g}"),
        naive.row("Wilson although clips come in groups", clips, accuracy, judged=False),
        plain.row("cluster bootstrap, plain percentiles", clips, accuracy, judged=False),
    ]


def seeded_rows(
    clips: int, seeds: int, scatter: float, counts: tuple[int, int], rng: np.random.Generator
) -> tuple[Row, Row]:
    """One score and a difference, each the mean of some trainings that scatter by so many points."""
    draws, inner = counts
    one, pair, (high, low) = Tally(), Tally(), (0.72, 0.70)
    for block in chunks(draws):
        labels = group_labels(clips, rng)
        made = [simulate(labels, (high, low), seeds, Noise.of(scatter), rng) for _ in range(block)]
        drawn = known(draw_scores([model for models, _ in made for model in models], labels, draws=inner, seed=rng))
        intervals, (_, ends) = score_intervals(drawn, 0.95), compare_pairs(drawn, 0.95)
        for i, (_, (first, second)) in enumerate(made):
            interval = known(intervals[2 * i])
            one.add(interval.low, interval.high, first)
            pair.add(*ends[2 * i, 2 * i + 1], first - second)
    name, judged = f"{seeds} seed{'s' * (seeds > 1)}, scatter {scatter:g} points", seeds >= LEAST_JUDGED
    return (
        one.row(f"cluster bootstrap, {name}", clips, high, judged=judged),
        pair.row(f"paired bootstrap, {name}", clips, f"{high} - {low}", judged=judged),
    )


def fold_rows(training_spread: float, ratio: float, name: str, draws: int, rng: np.random.Generator) -> list[Row]:
    """Corrected and naive t over five folds whose training sets overlap.

    Each fifth of the data moves the difference of every model trained on it; test clips add their own noise.
    """
    corrected, naive = Tally(), Tally()
    used = 4 if ratio == 0.25 else 3
    for _ in range(draws):
        fifths = training_spread * rng.standard_normal(5)
        trained = np.array([sum(fifths[(fold + 1 + skip) % 5] for skip in range(4 - used, 4)) for fold in range(5)])
        differences = GAP + trained / math.sqrt(used) + math.sqrt(0.15 / 400) * rng.standard_normal(5)
        for tally, scale in ((corrected, 1.0), (naive, None)):
            test = known(corrected_fold_t(differences, ratio))
            half = test.interval.width / 2 / (1.0 if scale else test.factor)
            tally.add(test.interval.estimate - half, test.interval.estimate + half, GAP)
    label = f"{name}, training sets add sd {100 * training_spread:g} points"
    return [
        corrected.row(f"corrected fold t, {label}", 2000, "5 folds", judged=False),
        naive.row(f"naive fold t, {label}", 2000, "5 folds", judged=False),
    ]


def table(draws: int, inner: int, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = [wilson_row(n, p, draws, rng) for n in SIZES for p in ACCURACIES]
    grouped = [grouped_rows(n, p, (draws, inner), rng) for n in SIZES for p in ACCURACIES]
    for kind in range(4):
        rows += [part[kind] for part in grouped]
    cases = [(n, seeds, scatter) for seeds in SEEDS for scatter in SCATTERS for n in SIZES]
    seeded = [seeded_rows(*case, (draws // 2, inner), rng) for case in cases]
    for kind in range(2):
        rows += [part[kind] for part in seeded]
    for spread in (0.0, 0.01, 0.02):
        rows += fold_rows(spread, 0.25, "4+1", draws, rng)
        rows += fold_rows(spread, 1 / 3, "3+1+1", draws, rng)
    return rows


HEADER = """# Coverage of the intervals

Written by `python benchmarks/coverage{options}`: {draws} simulated experiments a row ({half} for rows with
seeds), {inner} resamples in each, nominal level 95 %. The standard error of a coverage is {error:.1f} points.
A judged row has to lie between 93 and 97 %, within two standard errors. "Too low" counts intervals that lie wholly
below the truth.

- Wilson is judged where its assumption holds, on independent clips. On clips that come in groups it is too
  narrow: those rows show why boards use the bootstrap over groups there.
- Groups have one to eight clips. Two models 2 points apart share {model:.0%} of the variance of what they make of a
  clip; {group:.0%} of that share belongs to the group.
- The cluster bootstrap is BCa with Student's quantile. Plain percentiles, reported beside it, cover least
  and miss mostly on one side where accuracy is high and clips are few. Differences are hardly skewed: percentiles,
  stretched to Student's quantile.
- Rows with seeds: the mean of that many trainings on five folds, in which every group lies in one. "Scatter" is the
  standard deviation of the score of a whole seed; half of its variance moves all clips of a seed, half those of one
  training (a seed on a fold). Folds differ besides by a standard deviation of {fold:g} points whatever the seed. The
  truth is the mean over all seeds that could have been drawn, for the training sets of these five folds: what other
  training sets would give no interval of a board says. Below three seeds the interval is over clips only, and no board
  ranks by it: reported.
- The corrected fold t is reported, not judged: whether its correction is too large or too small depends on how much
  the training sets move the difference, which five folds cannot tell.

| interval | clips | accuracy | covered % | too low % | too high % | width (points) | verdict |
|---|---:|---|---:|---:|---:|---:|---|
"""

BOARDS = """
## Boards

{boards} simulated boards a row, ranked as boards are (Holm's method over all pairs, 5 %). A board is false if it tells
any two equal models apart; at most 5 % may be, and a row fails beyond two standard errors of that ({error:.1f} points).
"Found" is the share of the pairs that truly differ.

| boards | clips | seeds | scatter (points) | false boards % | found % | verdict |
|---|---:|---:|---:|---:|---:|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5000, help="simulated experiments a row")
    parser.add_argument("--inner", type=int, default=2000, help="resamples in each")
    parser.add_argument("--boards", type=int, default=1000, help="simulated boards a row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "results" / "coverage.md")
    arguments = parser.parse_args()
    draws, inner, boards, seed = arguments.draws, arguments.inner, arguments.boards, arguments.seed
    rows = table(draws, inner, seed)
    ranked = board_rows(boards, inner, np.random.default_rng([seed, 1]))
    asked = {"draws": draws, "inner": inner, "boards": boards, "seed": seed}
    options = "".join(f" --{name} {value}" for name, value in asked.items() if value != parser.get_default(name))
    header = HEADER.format(
        options=options,
        draws=draws,
        half=draws // 2,
        inner=inner,
        error=100 * math.sqrt(0.95 * 0.05 / draws),
        group=GROUP_SHARE,
        model=MODEL_SHARE,
        fold=100 * FOLD_SPREAD,
    )
    below = BOARDS.format(boards=boards, error=200 * math.sqrt(0.05 * 0.95 / boards))
    arguments.to.parent.mkdir(parents=True, exist_ok=True)
    tables = ["\n".join(row.markdown() for row in part) + "\n" for part in (rows, ranked)]
    arguments.to.write_text(header + tables[0] + below + tables[1], encoding="utf-8")
    failed = [row for row in (*rows, *ranked) if row.verdict == "FAILS"]
    print(f"{len(rows) + len(ranked)} rows, {len(failed)} fail: {arguments.to}")
    for row in failed:
        print(row.markdown())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
