"""The host stands on its own seams: what runs, prints and renders names nothing that ``bench.builtin`` gives."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench
from bench import builtin
from bench.plugins.checks import KINDS
from bench.plugins.discovery import load_modules

HOST = Path(bench.__file__).parent
ROOMS = ("running", "cli", "reports", "planning", "analysis", "execution", "statistics")
SEAMS = ("launchers", "reporters", "observers", "protocols", "metrics", "frontends")


OTHER = {
    "json": "what pydantic calls plain values",
    "given": "how an input of a cell came",
    "markdown": "a word",
    "adjusted_rand": "a figure of the clusters of every map",
    "inner": "what `bench sweep --select` takes",
}
"""Strings that are names of a reporter, a metric or a front end too, and what they mean where they stand."""


def given() -> dict[str, str]:
    """Names of what ``bench.builtin`` gives and modules that make it, each with its kind."""
    registry = load_modules(builtin).registry
    code = {kind.field: kind.factory for kind in KINDS}
    found = {}
    for seam in SEAMS:
        for entry in getattr(registry, seam).entries.values():
            found[entry.spec.name] = seam
            if code[seam]:
                found[entry.factory.partition(":")[0]] = seam
    return {name: seam for name, seam in found.items() if name not in OTHER}


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every item of every string that is no docstring, and every module of ``bench`` that is imported."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield from ((node.lineno, word.strip()) for word in node.value.split(","))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bench"):
            yield from ((node.lineno, place) for place in (node.module, f"{node.module}.{node.names[0].name}"))


def named(room: str) -> Iterator[str]:
    """Where a room names something of the host's own; a file that is itself such a thing may."""
    names = given()
    for path in sorted((HOST / room).rglob("*.py")):
        if ".".join(("bench", *path.relative_to(HOST).with_suffix("").parts)) not in names:
            for line, word in words(ast.parse(path.read_text(encoding="utf-8"))):
                if word in names:
                    yield f"{path.relative_to(HOST)}:{line}: {names[word]}: {word}"


def test_names_are_known() -> None:
    assert {"local", "md", "html", "4+1", "few-shot-5", "accuracy", "kaldi", "bench.running.local"} <= given().keys()


@pytest.mark.parametrize("room", ROOMS)
def test_no_implementation_is_named(room: str) -> None:
    assert list(named(room)) == []
