"""Damaged files and wild words for every reader: what is neither read nor refused with one clear error is an escape.

``python benchmarks/fuzz [--cases 100000] [--seed 0] [--reader NAME ...]`` prints the counts and exits with 1 where
there is an escape; ``--reader NAME --case N`` shows one case with its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz import data, models, results, words
from fuzz.blocks import READ, REFUSED, Counts, Reader, case, run

SHOWN = 12


def readers() -> dict[str, Reader]:
    """All readers by name."""
    return {one.name: one for one in (*results.readers(), *data.readers(), *words.readers(), *models.readers())}


def table(found: Mapping[str, Counts]) -> str:
    """The counts as Markdown."""
    lines = ["| reader | cases | read | refused | escaped | seconds |", "|---|--:|--:|--:|--:|--:|"]
    rows = {
        name: (one.cases, one.outcomes[READ], one.outcomes[REFUSED], one.escaped, round(one.seconds))
        for name, one in found.items()
    }
    rows["all"] = tuple(map(sum, zip(*rows.values(), strict=True)))
    shown = (
        f"| {name} | {' | '.join(f'{number:,}'.replace(',', ' ') for number in row)} |" for name, row in rows.items()
    )
    return "\n".join([*lines, *shown])


def show(reader: Reader, seed: int, number: int) -> None:
    """One case, with what it raises."""
    damaged, whole = case(reader, seed, number, reader.samples())
    with contextlib.suppress(Exception):  # of what says nothing of itself
        print(f"{damaged!r:.3000}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_CACHE"] = f"{folder}/cache"
        (Path(folder) / "case").mkdir()
        try:
            print("read:", repr(reader.read(damaged, Path(folder) / "case", whole))[:500])
        except Exception:  # noqa: BLE001  that is what is to be seen
            traceback.print_exc()


def main() -> int:
    """Run and print."""
    known = readers()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="over all readers; default: 10000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", metavar="NAME", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--case", type=int, metavar="N")
    options = parser.parse_args()
    chosen = [one for name, one in known.items() if any(name.startswith(word) for word in options.reader or [""])]
    if options.case is not None:
        show(chosen[0], options.seed, options.case)
        return 0
    total, found = sum(one.share for one in chosen), {}
    for reader in chosen:
        found[reader.name] = counts = run(reader, round(options.cases * reader.share / total), options.seed)
        print(f"{reader.name}: {counts.cases} cases, {counts.escaped} escaped, {counts.seconds:.0f} s", flush=True)
        for name, numbers in list(counts.escapes.items())[:SHOWN]:
            print(f"    {len(numbers)} x {name} (--reader '{reader.name}' --case {numbers[0]})", flush=True)
    print(f"\n{table(found)}")
    return int(any(one.escaped for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
