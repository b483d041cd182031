"""Where plugins come from: installed entry points, ``--plugin`` files, modules in memory.

Nothing is imported until a candidate's ``load`` is called.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.errors import PluginError
from bench.plugins.factories import FILE_PREFIX
from bench.plugins.registry import Provenance

GROUP = "bench"
"""The entry-point group, and the project name of the hooks."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin not imported yet; ``value``, the entry point's target or the file, tells two of one name apart."""

    provenance: Provenance
    value: str
    load: Callable[[], object]

    @property
    def key(self) -> str:
        """Unique among the plugins of one manager."""
        return self.provenance.file or self.provenance.plugin


def installed(entry_points: Iterable[importlib.metadata.EntryPoint] | None) -> Iterator[Candidate]:
    """The plugins of installed distributions, sorted by name."""
    # importlib.metadata lists a distribution once even where the path holds it twice (editable and PYTHONPATH).
    found = importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    points = sorted(found, key=lambda point: (point.name, point.value))
    if entry_points is None and not any(point.value == "bench.builtin" for point in points):
        raise PluginError(
            "bench is not installed: its entry points are missing, so that there is nothing to list or run; "
            "`pip install .` (or `pip install -e .`) in its folder"
        )
    givers: dict[int, tuple[str, str]] = {}
    for point in points:
        name, version = givers.get(id(point.dist)) or givers.setdefault(id(point.dist), _name_and_version(point.dist))
        provenance = Provenance(plugin=point.name, module=point.module, distribution=name, version=version)
        yield Candidate(provenance, point.value, point.load)


def _name_and_version(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """From the first lines of the metadata: whole, they hold a page of text that takes a parser of mail."""
    text = (distribution and (distribution.read_text("METADATA") or distribution.read_text("PKG-INFO"))) or ""
    head = text.partition("\n\n")[0].splitlines()
    said = {name: value.strip() for name, mark, value in (line.partition(":") for line in head) if mark}
    return said.get("Name", ""), said.get("Version", "")


def in_memory(module: types.ModuleType) -> Candidate:
    """A module that exists already, as a plugin under its own name."""
    name = module.__name__
    return Candidate(Provenance(plugin=name, module=name, distribution="(in memory)"), name, lambda: module)


def from_file(path: Path) -> Candidate:
    """A ``--plugin`` file, given by its absolute path; its import name is derived from that path alone."""
    import hashlib  # brings OpenSSL, which a listing does without

    module = FILE_PREFIX + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    provenance = Provenance(plugin=path.name, module=module, file=str(path))
    return Candidate(provenance, str(path), lambda: _load_file(path, module))


def _load_file(path: Path, module_name: str) -> object:
    if not path.is_file() or path.suffix != ".py":
        raise PluginError("--plugin takes a Python file (.py); " + ("it is none" if path.exists() else "it is missing"))
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that a file beside the plugin never shadows an installed package
    loader = importlib.machinery.SourceFileLoader(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    if spec is None:
        raise PluginError("it cannot be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def describe(error: BaseException, file: str = "") -> str:
    """The exception in one line, with the file and line where it arose (in ``file``, if it passed there)."""
    if isinstance(error, PluginError):
        return str(error)
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if text else ''}{text}{place(error, file)}"


def place(error: BaseException, file: str = "") -> str:
    """Where an exception arose, in brackets behind a blank: in ``file``, if it passed there."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    foreign = [
        f for f in frames if f.filename != __file__ and Path(f.filename).parent.name not in ("metadata", "importlib")
    ]
    own = [f for f in foreign if f.filename == file] or foreign
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own and own[-1].lineno else ""
