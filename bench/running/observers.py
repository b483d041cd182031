"""Observers of plugins, guarded: what one of them raises is reported once and never a cell's or a run's fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.plugins.discovery import Host


class Observers:
    """The observing hooks of all plugins.

    Args:
        host: The plugins.
        report: Called once with ``(plugin, hook, error)`` for each observer that raised; it is then switched off.
    """

    def __init__(self, host: Host, report: Callable[[str, str, str], None]) -> None:
        self._hooks = host.hook
        self._report = report
        self._off: set[tuple[str, str]] = set()

    def listen(self, hook: str) -> bool:
        """Whether any plugin wants to be told."""
        return bool(getattr(self._hooks, hook).get_hookimpls())

    def tell(self, hook: str, **values: Any) -> None:
        """Call every observer of ``hook`` that has not failed before."""
        for observer in reversed(getattr(self._hooks, hook).get_hookimpls()):
            if (observer.plugin_name, hook) in self._off:
                continue
            try:
                observer.function(*(values[name] for name in observer.argnames))
            except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything; it is reported
                first = next(iter(str(error).strip().splitlines()), "")
                self.failed(observer.plugin_name, hook, f"{type(error).__name__}: {first}")

    def failed(self, plugin: str, hook: str, error: str) -> None:
        """An observer raised, here or in a worker."""
        if (plugin, hook) not in self._off:
            self._off.add((plugin, hook))
            self._report(plugin, hook, error)
