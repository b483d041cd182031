"""``--observer NAME:key=value,...``: whom the host tells what happens to the cells that run; guarded."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError, PluginError
from bench.plugins.factories import built, load_factory, written_options
from bench.plugins.registry import Registry
from bench.plugins.sources import describe
from bench.textfiles import at_home

FOLDER = "observers"
"""Of a run folder: where observers write that are given no folder of their own."""


class Observing:
    """The observers that the user names; what one raises is never a cell's or a run's fault.

    Args:
        texts: What was typed for each.
        registry: All plugins.
        out: The run folder.
        report: Told once of each observer that raised, in words; it is then switched off.

    Raises:
        SelectionError: An option that an observer does not have, lacks or refuses, or its package is not installed.
        UnknownNameError: No plugin gives it.
        PluginError: Its factory raised.
    """

    def __init__(self, texts: Sequence[str], registry: Registry, out: Path, report: Callable[[str], None]) -> None:
        self._report = report
        self._told = {text: _observer(text, registry, out) for text in texts}

    def tell(self, method: str, *values: Any) -> None:
        """Call a method of every observer that has it and has not failed before."""
        for text, (observer, plugin) in list(self._told.items()):
            try:
                if call := getattr(observer, method, None):
                    call(*values)
            except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; it is reported
                del self._told[text]
                self._report(f"--observer {text}: {method} raised {describe(error, plugin)}; it is told no more")


def _observer(text: str, registry: Registry, out: Path) -> tuple[Any, str]:
    """What the factory gives, and the name of its plugin."""
    name = text.partition(":")[0]
    entry = registry.observers[name]
    options = written_options("--observer", text)
    factory = load_factory(entry.factory)
    if "folder" in inspect.signature(factory).parameters:
        options["folder"] = at_home(str(options.get("folder", out / FOLDER / name)))
    try:
        return built(f"--observer {text}", factory, options), entry.provenance.plugin
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(f"observer {name!r} of {entry.provenance} raised {type(error).__name__}: {error}") from error
