"""Gates drawn from a bank of processes: error rates of our looks beside those of three rules in use.

``python benchmarks/gate_power/judge.py bank.jsonl [--live live.jsonl] [--gates 300] [--to
benchmarks/results/gate_power.md]``. A gate takes stretches of ten consecutive rounds at random places of the bank, so
that what lasts for a while stays together. The rules:

- bench: the looks of ``bench gate --against``, with its defaults, over at most 60 rounds of base, candidate and base;
- pytest-benchmark: ``--benchmark-compare-fail=mean:5%``, the mean of one process against that of a stored one, from
  another time as a stored one is, and of all processes of the gate pooled;
- asv: ``asv continuous``, medians of two processes a side that differ by more than its factor of 1.1 and by Mann and
  Whitney's test at 0.002, and the same of all processes pooled;
- a fixed threshold of 10 % on the median, of one process and of all pooled.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from bench.gate.looks import Series, judge_look
from bench.gate.policy import AGAINST
from bench.statistics.sequential import planned_looks

Floats = npt.NDArray[np.float64]
ROUNDS, CHUNK, TESTS = 60, 10, 4
"""Rounds of a gate, consecutive ones in it, and quantities of a job (latency, two throughputs, memory)."""
OURS = "bench gate --against"
CONDITIONS: Mapping[str, tuple[str, str, str]] = {
    "unchanged": ("quiet", "same", "seconds"),
    "2 % slower": ("quiet", "slow2", "seconds"),
    "5 % slower": ("quiet", "slow5", "seconds"),
    "unchanged, load comes and goes": ("loaded", "same", "seconds"),
    "unchanged memory": ("quiet", "same", "memory_mib"),
    "1 % more memory": ("quiet", "same", "fatter_mib"),
}
"""Condition to part of the bank, side that is the candidate, and what is judged."""


class Bank:
    """Complete rounds of both parts."""

    def __init__(self, path: Path) -> None:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        self.machine = next((line["machine"] for line in lines if "machine" in line), {})
        self.rounds: dict[str, list[dict[str, Any]]] = {"quiet": [], "loaded": []}
        for line in lines:
            if "part" in line:
                self.rounds[line["part"]].append(line["sides"])

    def values(self, part: str, side: str, what: str) -> Floats:
        """What the processes of a side measured, ``(rounds, processes, samples)``."""
        rounds = [[np.atleast_1d(one[what]) for one in sides[side]] for sides in self.rounds[part]]
        return np.array(rounds, dtype=np.float64)


def pick(rounds: int, wanted: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Places of ``wanted`` rounds: stretches of consecutive ones, which may wrap around the end."""
    starts = rng.integers(0, rounds, -(-wanted // CHUNK))
    return np.asarray((starts[:, None] + np.arange(CHUNK)).ravel()[:wanted] % rounds, dtype=np.int64)


def ours(base: Floats, again: Floats, candidate: Floats, quantity: str) -> tuple[str, int]:
    """Verdict and rounds until it was clear; ``(rounds,)`` each."""
    looks = planned_looks(len(candidate))
    for number, done in enumerate(looks):
        unit = "MiB" if quantity == "host_memory" else "s"
        series = Series(
            row="r", quantity=quantity, unit=unit, higher_is_better=False, base=np.stack([base[:done], again[:done]]),
            candidate=candidate[:done],
        )  # fmt: skip
        shares = tuple(look / looks[-1] for look in looks[: number + 1])
        found = judge_look([series], AGAINST, shares, {}, tests=TESTS, last=done == looks[-1])
        if series.key in found:
            return found[series.key].status, done
    return "not_resolvable", len(candidate)


def compare_fail(base: Floats, candidate: Floats) -> bool:
    """pytest-benchmark: the mean is over 5 % above the stored one."""
    return bool(candidate.mean() > 1.05 * base.mean())


def asv(base: Floats, candidate: Floats) -> bool:
    """Worse by asv's factor, and different by its test where the samples are enough for it."""
    a, b = base.ravel(), candidate.ravel()
    if np.median(b) <= 1.1 * np.median(a):
        return False
    least = 1 / special.binom(a.size + b.size, min(a.size, b.size))
    return bool(least < 0.002 and stats.mannwhitneyu(a, b, alternative="two-sided").pvalue < 0.002)


def fixed(base: Floats, candidate: Floats) -> bool:
    """The median is over 10 % higher."""
    return bool(np.median(candidate) > 1.1 * np.median(base))


RIVALS: Mapping[str, tuple[Callable[[Floats, Floats], bool], int]] = {
    "pytest-benchmark, mean:5%": (compare_fail, 1),
    "pytest-benchmark, mean:5%, pooled": (compare_fail, 0),
    "asv continuous": (asv, 2),
    "asv continuous, pooled": (asv, 0),
    "fixed 10 %": (fixed, 1),
    "fixed 10 %, pooled": (fixed, 0),
}
"""Rule, and how many processes of a side it sees; 0 = all."""


def study(bank: Bank, gates: int) -> dict[str, dict[str, Any]]:
    """For each condition: statuses of our gates, their median rounds, and how often each rival blames."""
    found: dict[str, dict[str, Any]] = {}
    for number, (condition, (part, side, what)) in enumerate(CONDITIONS.items()):
        if not bank.rounds[part]:
            continue
        before = "memory_mib" if what == "fatter_mib" else what
        base, again = (bank.values(part, name, before) for name in ("base", "again"))
        candidate = bank.values(part, side, what)
        quantity = "latency" if what == "seconds" else "host_memory"
        rng = np.random.default_rng([7, number])
        statuses: Counter[str] = Counter()
        blamed: Counter[str] = Counter()
        taken = []
        for _ in range(gates):
            at = pick(len(base), ROUNDS, rng)
            middles = (np.median(np.median(side[at], axis=2), axis=1) for side in (base, again, candidate))
            status, rounds = ours(*middles, quantity)
            statuses[status] += 1
            taken.append(rounds)
            stored = pick(len(base), ROUNDS, rng)
            for name, (rule, seen) in RIVALS.items():
                # Several processes of asv are measured in one job; a stored one comes from another time.
                part = (slice(seen), 0) if seen else (slice(None),)
                blamed[name] += rule(base[at if seen != 1 else stored][part], candidate[at][part])
        found[condition] = {"statuses": dict(statuses), "rounds": float(np.median(taken)), "blamed": dict(blamed)}
    return found


def live(path: Path | None) -> list[dict[str, Any]]:
    """Gates that were run, one a line: condition, status and minutes."""
    return [] if path is None else [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def page(bank: Bank, found: Mapping[str, Mapping[str, Any]], gates: int, lived: Sequence[Mapping[str, Any]]) -> str:
    """The study as Markdown."""
    cpu = (bank.machine.get("cpu") or {}).get("model") or "unknown CPU"
    counts = ", ".join(f"{len(rounds)} {part} rounds" for part, rounds in bank.rounds.items())
    processes = sum(len(side) for rounds in bank.rounds.values() for sides in rounds for side in sides.values())
    rows = [
        [status.replace("_", " "), OURS, *(share(one["statuses"], gates, status) for one in found.values())]
        for status in ("regression", "improved", "ok", "not_resolvable")
    ]
    rows.append(["median rounds", OURS, *(f"{one['rounds']:.0f}" for one in found.values())])
    rows += [["regression", name, *(share(one["blamed"], gates, name) for one in found.values())] for name in RIVALS]
    parts = [
        "# Power of the gate",
        f"{gates} gates a condition, drawn from a bank of {counts} on {cpu} (`benchmarks/gate_power`), "
        f"{processes} processes. A gate has at most {ROUNDS} rounds of base, candidate and base again; in a round each "
        "has a new image, of which three processes are forked. Rivals see the same processes: as many as they run "
        "(one, of asv two), and all of them pooled.",
        table(["verdict", "rule", *found], rows),
    ]
    if lived:
        parts += ["## Live gates", table(["condition", "verdicts", "minutes"], live_rows(lived))]
    return "\n\n".join(parts) + "\n"


def live_rows(lived: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """By condition: what the gates said, and the median of their minutes."""
    rows = []
    for condition in dict.fromkeys(one["condition"] for one in lived):
        mine = [one for one in lived if one["condition"] == condition]
        said = ", ".join(f"{count} {name}" for name, count in sorted(Counter(one["status"] for one in mine).items()))
        rows.append([condition, said, f"{np.median([one['minutes'] for one in mine]):.1f}"])
    return rows


def share(counts: Mapping[str, int], gates: int, name: str) -> str:
    """How often, in percent."""
    return f"{100 * counts.get(name, 0) / gates:.1f} %"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))


def missed(found: Mapping[str, Mapping[str, Any]], gates: int) -> list[str]:
    """Which of the rates that are promised do not hold."""

    def rate(condition: str, *names: str) -> float:
        return sum(found[condition]["statuses"].get(name, 0) for name in names) / gates if condition in found else 0.0

    promised = {
        "a slowdown of 5 % is caught in 95 of 100": rate("5 % slower", "regression") >= 0.95,
        "one of 2 % in 50": rate("2 % slower", "regression") >= 0.5,
        "unchanged code is never blamed": not rate("unchanged", "regression") + rate("unchanged memory", "regression"),
        "1 % more memory is always caught": rate("1 % more memory", "regression") == 1,
        "under load at most 1 verdict in 100 is wrong": rate(
            "unchanged, load comes and goes", "regression", "improved"
        ) <= 0.01,
    }  # fmt: skip
    return [name for name, holds in promised.items() if not holds]


def main() -> int:
    """Judge a bank and write the page; exit status 1 where a promised rate does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path)
    parser.add_argument("--live", type=Path)
    parser.add_argument("--gates", type=int, default=300)
    parser.add_argument("--to", type=Path)
    asked = parser.parse_args()
    bank = Bank(asked.bank)
    found = study(bank, asked.gates)
    text = page(bank, found, asked.gates, live(asked.live))
    if asked.to:
        asked.to.write_text(text, encoding="utf-8")
    print(text)
    failed = missed(found, asked.gates)
    for name in failed:
        print(f"does not hold: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
