"""What ``bench new`` writes: a plugin of one kind, as a distribution or as one file, sound as it stands."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import get_args

from bench.allowed import Name, is_name
from bench.errors import SelectionError, did_you_mean
from bench.plugins.checks import KINDS, RESERVED
from bench.plugins.registry import Registry

RUN = {
    "model": "--models $name --dataset demo",
    "dataset": "--models classical --dataset $name",
    "frontend": "--models $name.linear --dataset demo",
    "launcher": "--launcher $name --models classical --dataset demo",
    "reporter": "--format $name --models classical --dataset demo",
    "observer": "--observer $name --models classical --dataset demo",
    "metric": "--metric $name --models classical --dataset demo",
}
"""What is made, each with the options of ``bench run`` that put it to use."""
_LAYOUT = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "tests/test_plugin.py": "test_plugin.py",
    ".github/workflows/bench.yml": "workflow.yml",
}
"""What stands around the plugin in a distribution, and its template."""


def scaffold(kind: str, name: str, registry: Registry, *, to: Path | None = None, single: bool = False) -> list[Path]:
    """Write a plugin and give the paths of its files, the plugin itself first.

    Args:
        kind: As the verbs name it, in the singular: ``model``, ``dataset``, ...
        name: Of what it gives.
        registry: What is there already.
        to: Folder of the distribution (or of the file); default: one named as the distribution (or this one).
        single: One file for ``--plugin`` instead of a distribution.

    Raises:
        SelectionError: There is no such kind, the name cannot be one or is taken, or a file is there already.
    """
    if kind not in RUN:
        raise SelectionError(f"bench new makes no {kind!r}; {did_you_mean(kind, RUN)}")
    _check_name(kind, name, registry)
    word = re.sub(r"[^a-z0-9]+", "-", name)
    values = {
        "name": name,
        "label": next(each.label for each in KINDS if each.field == f"{kind}s"),
        "distribution": f"bench-{word}",
    }
    values["module"] = values["distribution"].replace("-", "_")
    values["run"] = Template(RUN[kind]).substitute(values)
    texts = {f"{values['module']}.py": f"{kind}.py"} | ({} if single else _LAYOUT)
    folder = to or Path("." if single else values["distribution"])
    paths = {folder / path: template for path, template in texts.items()}
    if there := next((path for path in paths if path.exists()), None):
        raise SelectionError(f"{there} is there already, and is not written over; choose another place with --to DIR")
    templates = resources.files("bench.testing") / "templates"
    for path, template in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (templates / f"{template}.txt").read_text(encoding="utf-8")
        path.write_text(Template(text).substitute(values), encoding="utf-8")
    return list(paths)


def _check_name(kind: str, name: str, registry: Registry) -> None:
    if not is_name(name):
        raise SelectionError(f"{name!r} cannot be the name of a {kind}: it must be {get_args(Name)[1].words}")
    models = {*registry.models, *registry.references, *RESERVED}
    models |= {word for spec in registry.models.specs() for word in (spec.family, *spec.sets)}
    if name in (models if kind == "model" else getattr(registry, f"{kind}s")):
        raise SelectionError(f"there is a {kind} {name!r} already; `bench list {kind}s` shows all; choose another name")
