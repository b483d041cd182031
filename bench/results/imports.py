"""The files that a module's code is made of: its own, and those it imports of its own folder or distribution.

Found without running anything, so what is named only at run time (a module put together from strings, a data file)
is not among them.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from bench.errors import PluginError

ENGINE = "bench"
"""The host's own package; it is hashed apart, see :func:`bench.results.provenance.engine_hash`."""
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)


def code_files(module: str) -> tuple[Path, list[Path]]:
    """The folder that imports of ``module`` start from, and the sorted files below it that its code is made of.

    Followed are relative and absolute imports, also inside functions and by ``import_module("name")``, with the
    ``__init__.py`` of every package on the way. Other distributions, the standard library and the host are left out;
    for a module of the host the files are those of its folder.

    Raises:
        PluginError: There is no such module.
    """
    origin = _origin(module)
    if module.partition(".")[0] == ENGINE:
        return origin.parent, sorted(origin.parent.rglob("*.py"))
    root, parts = _place(module, origin)
    waiting = _resolve(root, parts) or [((), origin)]
    found, seen = {path for _, path in waiting}, {parts, ()}
    while waiting:
        package, path = waiting.pop()
        names = set(_imported(path, package)) - seen
        seen |= names
        for name in names:
            if _is_own(name[0], root, parts[0]):
                new = [one for one in _resolve(root, name) if one[1] not in found]
                found |= {path for _, path in new}
                waiting += new
    return root, sorted(found)


def _origin(module: str) -> Path:
    loaded = sys.modules.get(module)
    if loaded is not None and getattr(loaded, "__file__", None):
        return Path(str(loaded.__file__)).resolve()
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise PluginError(f"factory module {module!r} cannot be found: {error}") from error
    if found is None or not found.origin:
        raise PluginError(f"factory module {module!r} cannot be found; check the factory string of its spec")
    return Path(found.origin).resolve()


def _place(module: str, origin: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder that the top-level name of a module stands in, and its dotted name; a lone file is its own."""
    parts = tuple(module.split("."))
    path = origin.parent if origin.name == "__init__.py" else origin.with_name(origin.name.partition(".")[0])
    if path.parts[-len(parts) :] == parts:
        return path.parents[len(parts) - 1], parts
    return path.parent, (path.name,)


def _resolve(root: Path, parts: Sequence[str]) -> list[tuple[tuple[str, ...], Path]]:
    """The files that importing a dotted name runs, each with the package that its relative imports start from.

    Trailing parts may be names inside a module; ``*`` stands for whatever a package holds.
    """
    found: list[tuple[tuple[str, ...], Path]] = []
    for end in range(1, len(parts) + 1):
        above, name = root.joinpath(*parts[: end - 1]), parts[end - 1]
        package = tuple(parts[:end])
        if name == "*":
            return found + [(package[:-1], path) for path in sorted(above.glob("*.py"))]
        if (above / name / "__init__.py").is_file():
            found.append((package, above / name / "__init__.py"))
        elif file := next((path for suffix in _SUFFIXES if (path := above / f"{name}{suffix}").is_file()), None):
            return [*found, (package[:-1], file)]
    return found


def _imported(path: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted names that a file imports, and those that ``from`` may mean by a module or a name inside one."""
    try:
        tree = ast.parse(path.read_bytes()) if path.suffix == ".py" else ast.Module([], [])
    except (SyntaxError, ValueError):
        return  # its bytes count all the same
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            yield from ((*base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield _absolute(node.args[0].value, package)


def _absolute(name: str, package: tuple[str, ...]) -> tuple[str, ...]:
    """A dotted name, relative if it begins with dots, from the top."""
    level = len(name) - len(name.lstrip("."))
    above = package[: len(package) - level + 1] if level else ()
    return (*above, *filter(None, name[level:].split(".")))


def _is_own(top: str, root: Path, own: str) -> bool:
    if top in (own, ENGINE) or top in sys.stdlib_module_names:
        return top == own
    beside = _beside(root, own)
    return beside is None or top in beside


@functools.lru_cache(maxsize=64)
def _beside(root: Path, own: str) -> frozenset[str] | None:
    """What the distribution of ``own`` put into ``root``; ``None`` where nothing is installed there: all is its own."""
    records = [b"\n" + path.read_bytes() for path in root.glob("*.dist-info/RECORD")]
    mine = [text for text in records if f"\n{own}/".encode() in text or f"\n{own}.py,".encode() in text]
    lines = (line.partition(",")[0] for text in mine for line in text.decode().splitlines())
    return frozenset(line.partition("/")[0].removesuffix(".py") for line in lines) if records else None
