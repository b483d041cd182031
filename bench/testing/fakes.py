"""Fake plugins and fake installed distributions, so that tests need no installation.

A fake plugin is an ordinary module on a fresh plugin manager; a fake distribution is a folder with a module and the
``.dist-info`` that the standard library reads, so that what is tested is the real loading path.
"""

from __future__ import annotations

import importlib.metadata
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import hookimpl
from bench.plugins.checks import KINDS


@dataclass(frozen=True, slots=True)
class FakeDistribution:
    """An installed distribution: source text by module name, and ``bench`` entry points by plugin name."""

    name: str
    version: str = "1.0"
    modules: Mapping[str, str] = field(default_factory=dict, hash=False)
    entry_points: Mapping[str, str] = field(default_factory=dict, hash=False)


def write_distribution(folder: Path, fake: FakeDistribution) -> Path:
    """Write modules and metadata below ``folder``; put ``folder`` on ``sys.path`` to have it installed.

    Returns:
        The ``.dist-info`` folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for module, source in fake.modules.items():
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{fake.name.replace('-', '_')}-{fake.version}.dist-info"
    info.mkdir(exist_ok=True)
    head = f"Metadata-Version: 2.1\nName: {fake.name}\nVersion: {fake.version}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    lines = [f"{name} = {target}" for name, target in fake.entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[bench]", *lines, ""]), encoding="utf-8")
    return info


def entry_points_in(*folders: Path) -> list[importlib.metadata.EntryPoint]:
    """The ``bench`` entry points of the distributions in ``folders`` and of no others."""
    found = importlib.metadata.distributions(path=[str(folder) for folder in folders])
    return [point for distribution in found for point in distribution.entry_points if point.group == "bench"]


def fake_plugin(name: str, specs: Iterable[object] = (), **functions: object) -> types.ModuleType:
    """A plugin module in memory, whose hooks give ``specs``.

    Args:
        name: Import name of the module.
        specs: Models, data sets, ... in any order; each goes to the hook of its kind.
        functions: More attributes of the module: factories, observers marked ``@hookimpl``.

    Raises:
        TypeError: A spec is of no known kind.
    """
    given = list(specs)
    module = types.ModuleType(name)
    for kind in KINDS:
        mine = [spec for spec in given if isinstance(spec, kind.spec)]
        given = [spec for spec in given if not isinstance(spec, kind.spec)]
        if mine:

            def give(found: tuple[object, ...] = tuple(mine)) -> list[object]:
                return list(found)

            setattr(module, kind.hook, hookimpl(give))
    if given:
        raise TypeError(f"no hook gives {type(given[0]).__name__}")
    for key, value in functions.items():
        setattr(module, key, value)
    return module
