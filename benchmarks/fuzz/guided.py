"""One reader under atheris, which looks for bytes that reach new lines: ``pip install atheris``, then

``python benchmarks/fuzz/guided.py READER [libFuzzer options, e.g. -max_total_time=60]``. Readers of bytes only.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["bench", "bench_datasets"]):
    from fuzz.__main__ import readers
    from fuzz.blocks import READ, REFUSED, EscapeError, outcome


def main() -> None:
    """Start from the reader's samples; what escapes is written by libFuzzer to ``crash-*``."""
    reader = next(one for name, one in readers().items() if name.startswith(sys.argv[1]))
    corpus = Path(tempfile.mkdtemp(prefix="bench-fuzz-corpus-"))
    os.environ["BENCH_CACHE"] = str(corpus / "cache")
    for number, content in enumerate(reader.samples()):
        (corpus / str(number)).write_bytes(content)

    def tried(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            found = outcome(reader, content, None, Path(folder))
        if found not in (READ, REFUSED):
            raise EscapeError(found)

    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[2:]], tried)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
