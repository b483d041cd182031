"""How long ``bench list models`` takes beside the imports that any such program needs.

``python benchmarks/listing.py [--pairs 40] [--json]``. The promise: at most 1.2 times the processor time of
``python -c "import typer, rich, pluggy, pydantic"``. Both run in turns on one core; the ratio is the median over the
pairs, with a 95 % interval from resampling them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

import numpy as np

LIMIT = 1.2
IMPORTS = ("-c", "import typer, rich, pluggy, pydantic")
LISTING = ("-m", "bench", "list", "models")


def processor_seconds(compiled: str, *words: str) -> float:
    """User and system time of one Python process that keeps its byte code in the folder ``compiled``."""
    env = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-P", *words], check=True, stdout=subprocess.DEVNULL, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(pairs: int) -> np.ndarray:
    """Seconds ``(pairs, 2)``: the imports, the listing."""
    with tempfile.TemporaryDirectory() as compiled:
        for words in (IMPORTS, LISTING):
            processor_seconds(compiled, *words)
        return np.array([[processor_seconds(compiled, *words) for words in (IMPORTS, LISTING)] for _ in range(pairs)])


def interval(ratios: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of the median, by the percentile bootstrap over pairs."""
    drawn = np.random.default_rng(0).choice(ratios, size=(resamples, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(low), float(high)


def main() -> int:
    """Measure and print; 1 where the whole interval is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    seconds = measure(options.pairs)
    ratios = seconds[:, 1] / seconds[:, 0]
    ratio, (low, high) = float(np.median(ratios)), interval(ratios)
    imports, listing = (1e3 * float(value) for value in np.median(seconds, axis=0))
    if options.json:
        print(json.dumps({"imports_ms": imports, "listing_ms": listing, "ratio": ratio, "low": low, "high": high}))
    else:
        print(f"imports {imports:.0f} ms, listing {listing:.0f} ms: ratio {ratio:.2f} [{low:.2f}, {high:.2f}]")
        print(f"limit {LIMIT}: {'kept' if ratio <= LIMIT else 'missed'}")
    return int(low > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
