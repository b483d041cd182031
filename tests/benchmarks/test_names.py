"""Scripts that no test runs: every name that they take from bench is there."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for folder in ("benchmarks", "docs", "findings") for path in (ROOT / folder).rglob("*.py"))


def taken(path: Path) -> list[tuple[str, str]]:
    """Modules of ours and the names that a file imports from them."""
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in found if node.module and node.module.partition(".")[0].startswith("bench")]
    return [(node.module, one.name) for node in ours for one in node.names]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_script_imports_from_bench_is_there(path: Path) -> None:
    for module, name in taken(path):
        whole = importlib.import_module(module)
        assert hasattr(whole, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module} has no {name}"
