"""A folder of wheels and data for a GPU machine that has PyTorch and no network.

``benchmarks/gpu/pack DIR`` takes this project's wheel and those of the versions installed here, for Linux x86-64; with
``--data FOLDER --sets esc10,esc50`` the data sets beside them. On the machine::

    python3 -m pip install --no-index --no-deps --target SITE DIR/wheels/*.whl
    PYTHONPATH=.:plugins:datasets:SITE python3 -P DIR/check.py
    PYTHONPATH=.:plugins:datasets:SITE benchmarks/gpu/run --data DIR/data --out OUT

``check.py`` imports everything and names what is missing, before any timed part.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
WHEELS = (
    "nnAudio", "soundfile", "soxr", "pooch", "platformdirs", "pydantic", "pydantic_core", "annotated-types",
    "typing-inspection", "typing-extensions", "typer", "rich", "annotated-doc", "shellingham", "mdurl",
    "markdown-it-py", "pygments", "cffi", "pycparser", "torch-tb-profiler",
)  # fmt: skip
"""What a machine with torch, torchvision, timm, transformers and the usual scientific packages lacks."""
PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64",
             "manylinux2014_x86_64", "manylinux1_x86_64")  # fmt: skip
IMPORTS = (
    "torch", "torchvision", "timm", "transformers", "pluggy", "pandas", "sklearn", "scipy", "matplotlib",
    "tabulate", "pynvml", "psutil", "jinja2", "nnAudio", "soundfile", "soxr", "pooch", "platformdirs", "pydantic",
    "typer", "rich", "cffi", "pytest", "hypothesis", "pytest_benchmark", "pytest_timeout",
)  # fmt: skip
CHECK = '''"""Everything that the benchmark imports, before any second is timed."""
import importlib, sys
missing = []
for name in {names!r}:
    try:
        importlib.import_module(name)
    except Exception as error:
        missing.append(f"{{name}}: {{type(error).__name__}}: {{error}}")
print("\\n".join(missing) or "all imports work")
sys.exit(bool(missing))
'''


def wheels(folder: Path, python: str) -> None:
    """Download the wheels, each in the version that is installed here, and build this project's own."""
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in WHEELS]
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version",
               python, "--implementation", "cp", *platforms, "-d", str(folder), *wanted]  # fmt: skip
    subprocess.run(command, check=True)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(HERE)], check=True)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version on the machine")
    parser.add_argument("--data", type=Path, help="folder with the data sets by name")
    parser.add_argument("--sets", default="esc10", help="names, comma-separated")
    given = parser.parse_args()
    names = given.sets.split(",") if given.data else []
    if missing := [name for name in names if not (given.data / name).is_dir()]:
        parser.error(
            f"{given.data} holds no folder {missing[0]!r}; it holds {sorted(p.name for p in given.data.iterdir())}"
        )
    given.folder.mkdir(parents=True, exist_ok=True)
    wheels(given.folder / "wheels", given.python)
    for name in names:
        shutil.copytree(given.data / name, given.folder / "data" / name, dirs_exist_ok=True)
    (given.folder / "check.py").write_text(CHECK.format(names=IMPORTS), encoding="utf-8")
    size = sum(path.stat().st_size for path in given.folder.rglob("*") if path.is_file())
    print(f"{given.folder}: {size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
