"""Change points of constructed histories: ours beside those of asv and Apache Otava.

``python benchmarks/history.py --rivals DIR [--histories 300]``, where ``pip install --target DIR asv==0.6.6
apache-otava==0.8.0`` was run. Every history has noise by a factor; a place is right within one run of the truth.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.statistics.changes import Changes, detect_changes

Floats = npt.NDArray[np.float64]
Places = list[int]
LENGTH = 60


def level(*parts: tuple[float, int]) -> Floats:
    """Levels, each for so many runs."""
    return np.concatenate([np.full(count, value) for value, count in parts])


def cases() -> Iterator[tuple[str, Floats, Places, bool]]:
    """Name, values without noise, first runs of new levels, and whether it creeps."""
    yield "nothing", level((1, LENGTH)), [], False
    yield "one run off in the middle", level((1, 30), (2, 1), (1, 29)), [], False
    yield "+20 % in the middle", level((1, 30), (1.2, 30)), [30], False
    yield "+100 % in the last three", level((1, 30), (2, 3)), [30], False
    yield "+20 % in the last five", level((1, 55), (1.2, 5)), [55], False
    yield "+20 % for nine runs, mended", level((1, 20), (1.2, 9), (1, 31)), [20, 29], False
    yield "from 0 to 3 (exact)", level((0, 20), (3, 20)), [20], False
    yield "+1 % a commit", 1.01 ** np.arange(LENGTH), [], True
    yield "+5 % a commit", 1.05 ** np.arange(LENGTH), [], True


def ours(values: Floats) -> tuple[Places, bool]:
    """First runs of new levels, and whether something else is reported."""
    found = detect_changes(values)
    assert isinstance(found, Changes)
    return [step.index for step in found.steps], bool(found.creeps)


def asv(values: Floats) -> tuple[Places, bool]:
    """Where the levels of asv's own step detection begin; asv knows no creep."""
    from asv.step_detect import detect_steps

    steps = detect_steps(list(values), [None] * len(values))
    return [int(step[0]) for step in steps[1:]], False


def otava(values: Floats) -> tuple[Places, bool]:
    """Change points of Otava with its own settings; it knows no creep."""
    from otava.series import AnalysisOptions, Metric, Series

    series = Series("x", None, list(range(len(values))), {"x": Metric(-1)}, {"x": list(map(float, values))}, {})
    return [int(point.index) for point in series.analyze(AnalysisOptions()).change_points["x"]], False


def right(found: tuple[Places, bool], places: Places, *, creeps: bool) -> bool:
    """Whether the steps are those, each within one run, and creep is told where there is some and only there."""
    same = len(found[0]) == len(places) and all(abs(a - b) <= 1 for a, b in zip(found[0], places, strict=True))
    return same and found[1] == creeps


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rivals", type=Path, default=None)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--rival-histories", type=int, default=100)
    chosen = parser.parse_args(argv)
    methods: dict[str, tuple[Callable[[Floats], tuple[Places, bool]], int]] = {"bench": (ours, chosen.histories)}
    if chosen.rivals:
        sys.path.append(str(chosen.rivals))
        for name, package, method in (("asv", "asv", asv), ("Otava", "apache-otava", otava)):
            methods[f"{name} {importlib.metadata.version(package)}"] = (method, chosen.rival_histories)
    print(f"| history | noise | {' | '.join(methods)} |")
    print(f"| --- | --- |{' ---: |' * len(methods)}")
    for name, clean, places, creeps in cases():
        for spread in (0.02, 0.05) if "exact" not in name else (0.0,):
            cells = []
            for method, count in methods.values():
                rng = np.random.default_rng(0)
                tried = 1 if spread == 0 else count
                noise = np.exp(spread * rng.standard_normal((tried, clean.size)))
                good = sum(right(method(clean * one), places, creeps=creeps) for one in noise)
                cells.append(f"{good} of {tried}")
            print(f"| {name} | {spread:.0%} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
