"""Simulated gates in turns: how often the looks of ``bench gate --against`` blame, pass, and say that time is short.

``python benchmarks/gate_power/simulate.py [--gates 400] [--to benchmarks/results/gate_looks.md]``. A gate is one
quantity among those of its job; its processes scatter by 2 % in one of several ways, and the machine may drift by
half. Processes of a real machine stand behind ``judge.py``; here are the conditions that a bank of
them cannot set.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.gate.looks import Series, judge_look
from bench.gate.policy import AGAINST
from bench.statistics.sequential import planned_looks

Floats = npt.NDArray[np.float64]
SCATTER = 0.02
NOISES: Mapping[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, rounds: SCATTER * rng.standard_normal((3, rounds)),
    "heavy tails (t, 3 degrees)": lambda rng, rounds: SCATTER / 3**0.5 * rng.standard_t(3, (3, rounds)),
    "one of ten disturbed by 30 %": lambda rng, rounds: (
        SCATTER / 2 * rng.standard_normal((3, rounds))
        + (rng.random((3, rounds)) < 0.1) * rng.exponential(0.3, (3, rounds))
    ),
    "normal, the machine slows down by half": lambda rng, rounds: (
        SCATTER * rng.standard_normal((3, rounds)) + np.linspace(0, 0.4, rounds)
    ),
    "normal, load comes and goes": lambda rng, rounds: (
        SCATTER * rng.standard_normal((3, rounds)) + 0.3 * (np.sin(np.arange(rounds) / 5 + 6 * rng.random()) > 0)
    ),
}
JOBS = ((60, 4), (12, 40))
"""Rounds and quantities: one model for some minutes, ten in the same time."""
SLOWER = (0.0, 0.02, 0.05)


def gate(times: Floats, tests: int) -> tuple[str, int]:
    """Verdict and rounds until it was clear, of ``(3, rounds)``: base, base again, candidate."""
    rounds = times.shape[1]
    looks = planned_looks(rounds)
    for number, done in enumerate(looks):
        series = Series(
            row="r", quantity="latency", unit="s", higher_is_better=False, base=times[:2, :done],
            candidate=times[2, :done],
        )  # fmt: skip
        shares = tuple(look / rounds for look in looks[: number + 1])
        found = judge_look([series], AGAINST, shares, {}, tests=tests, last=done == rounds)
        if series.key in found:
            return found[series.key].status, done
    return "not_resolvable", rounds


def page(gates: int) -> str:
    """All conditions as Markdown."""
    rng = np.random.default_rng(0)
    lines = [
        "# Simulated gates in turns",
        f"{gates} gates a line, made by `benchmarks/gate_power/simulate.py`; processes scatter by {SCATTER:.0%}.",
        "| rounds | quantities | noise | slower by | blamed | praised | within | not resolvable | rounds taken |",
    ]
    lines.append("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for rounds, tests in JOBS:
        for name, noise in NOISES.items():
            for slower in SLOWER:
                shift = np.array([[1.0], [1.0], [1 + slower]])
                found = [gate(np.exp(noise(rng, rounds)) * shift, tests) for _ in range(gates)]
                counts = Counter(status for status, _ in found)
                shares = [counts[status] / gates for status in ("regression", "improved", "ok", "not_resolvable")]
                said = " | ".join(f"{share:.1%}" for share in shares)
                taken = np.median([done for _, done in found])
                lines.append(f"| {rounds} | {tests} | {name} | {slower:.0%} | {said} | {taken:.0f} |")
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:]) + "\n"


def main() -> int:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gates", type=int, default=400)
    parser.add_argument("--to", type=Path)
    args = parser.parse_args()
    text = page(args.gates)
    if args.to:
        args.to.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
