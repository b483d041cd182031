"""``python benchmarks/findings [NAME ...] [--check | --write] [--data DIR]``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from findings.entry import differences  # noqa: E402
from findings.registry import STORED, STUDIES, data_folder, measure, versions  # noqa: E402


def main() -> int:
    """Measure, then print, compare or write."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(STUDIES)}; all where none is named")
    parser.add_argument("--check", action="store_true", help="exit 1 where a number left its tolerance")
    parser.add_argument("--write", action="store_true", help=f"replace {STORED.name}; needs the real clips")
    parser.add_argument("--data", type=Path, help="folder with esc50/ and digits/; else BENCH_DATA or ../shared/data")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(STUDIES)):
        parser.error(f"no finding {', '.join(unknown)}; there are {', '.join(STUDIES)}")
    if options.write and options.check:
        parser.error("--write or --check, not both")
    kept = json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else {"versions": {}, "findings": {}}
    if options.write and options.names and kept["versions"] != versions():
        parser.error("the stored findings were made with other versions; write all of them: name none")
    data = data_folder(options.data)
    names = options.names or list(STUDIES)
    without = [name for name in names if STUDIES[name].needs_data and data is None]
    if without and (options.write or options.names):
        parser.error(
            f"{', '.join(without)} needs real clips: set BENCH_DATA or --data to a folder with esc50/ and digits/"
        )
    for name in without:
        print(f"left out, no real clips: {name}", file=sys.stderr)
    made = {}
    for name in names:
        if name not in without:
            start = time.perf_counter()
            made[name] = measure(name, data)
            print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    if options.write:
        found = {name: made.get(name, kept["findings"].get(name)) for name in STUDIES}
        text = json.dumps({"versions": versions(), "findings": found}, indent=2, ensure_ascii=False)
        STORED.write_text(text + "\n", encoding="utf-8")
        return 0
    if not options.check:
        print(json.dumps(made, indent=2, ensure_ascii=False))
        return 0
    stored = kept["findings"]
    wrong = [f"{name}: {line}" for name, new in made.items() for line in differences(new, stored.get(name, {}))]
    wrong += [f"{name}: stored, but there is no such finding" for name in stored if name not in STUDIES]
    print("\n".join(wrong) or f"{len(made)} findings as stored")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
