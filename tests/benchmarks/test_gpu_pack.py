"""The folder for a machine with a GPU: its check names what cannot be imported, before anything is timed."""

import runpy
import subprocess
import sys
from pathlib import Path

PACK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "gpu" / "pack.py"))


def check(names: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    script = PACK["CHECK"].format(names=names)
    return subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)


def test_everything_that_is_checked_can_be_imported_here() -> None:
    found = check(tuple(name for name in PACK["IMPORTS"] if name != "torchvision"))
    assert (found.returncode, found.stdout.strip()) == (0, "all imports work"), found.stdout


def test_what_is_missing_is_named() -> None:
    found = check(("json", "no_such_module_here"))
    assert found.returncode == 1
    assert found.stdout.startswith("no_such_module_here: ModuleNotFoundError")
