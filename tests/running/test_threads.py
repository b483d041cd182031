"""How many threads a cell computes with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

TAKES = """
import os, sys
{imports}
from bench.running.worker import _take_threads
_take_threads(int(sys.argv[1]))
found = [os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]]
if "torch" in sys.modules:
    found.append(str(sys.modules["torch"].get_num_threads()))
if pools := sys.modules.get("threadpoolctl"):
    found += [str(pool["num_threads"]) for pool in pools.threadpool_info()]
print(*found)
"""


@pytest.mark.parametrize("imports", ["", "import torch", "import sklearn.cluster", "import sklearn.cluster, torch"])
@pytest.mark.parametrize(("started_with", "count"), [(None, 1), ("1", 2), ("2", 1)])
def test_a_job_computes_with_as_many_threads_as_it_names(imports, started_with, count) -> None:
    """Whatever the worker was started with, and whatever it has imported before."""
    own = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    given = {} if started_with is None else {"OMP_NUM_THREADS": started_with, "MKL_NUM_THREADS": started_with}
    command = [sys.executable, "-P", "-c", TAKES.format(imports=imports), str(count)]
    done = subprocess.run(command, env=own | given, capture_output=True, text=True, check=True)
    said = done.stdout.split()
    assert len(said) >= 2
    assert set(said) == {str(count)}, f"{imports!r} started with {started_with}"
