"""Seconds of processor time that the statistics of one large board take: intervals, all pairs, ranks and letters.

``python -P benchmarks/board_statistics.py [--models 40] [--seeds 3] [--clips 2000] [--pairs 5]``; the promise is at
most 5 s on one core for 40 models, 3 seeds and 2000 clips, with and without groups.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bench.statistics.ranking import ranking


def seconds(models: int, seeds: int, clips: int, groups: np.ndarray | None) -> float:
    """Processor time of one ranking of synthetic models."""
    rng = np.random.default_rng(0)
    shared = rng.random(clips)
    made = {
        f"m{i:03d}": 0.5 * shared + 0.5 * rng.random((seeds, clips)) < 0.3 + 0.4 * i / models for i in range(models)
    }
    started = time.process_time()
    ranking(made, groups)
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("models", 40), ("seeds", 3), ("clips", 2000), ("pairs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    for what, groups in (("no groups", None), ("groups of four clips", np.arange(options.clips) // 4)):
        found = [seconds(options.models, options.seeds, options.clips, groups) for _ in range(options.pairs)]
        print(f"{what}: {np.median(found):.2f} s [{min(found):.2f}, {max(found):.2f}]")


if __name__ == "__main__":
    main()
