"""Who is told how far a run is: the command line through :class:`Progress`, plugins through guarded observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.plugins.sources import place

if TYPE_CHECKING:
    from bench.cell import Cell
    from bench.planning.plan import Plan
    from bench.plugins.discovery import Host
    from bench.plugins.interfaces import EpochEnded
    from bench.results.records import Record


class Progress:
    """Told what happens; this one looks away, those of the command line draw it."""

    def note(self, text: str) -> None:
        """A sentence for people."""

    def count(self, what: str, done: int, total: int) -> None:
        """Something countable goes on (download, decoding, timing of models)."""

    def planned(self, plan: Plan, slots: int) -> None:
        """The plan stands."""

    def started(self, cell: Cell) -> None:
        """A cell began."""

    def epoch(self, event: EpochEnded) -> None:
        """A pass over the training clips of a cell ended."""

    def finished(self, record: Record) -> None:
        """A cell ended, or was planned not to run."""


class Observers:
    """The observing hooks of all plugins, guarded: what one raises is never a cell's or a run's fault.

    Args:
        host: The plugins.
        report: Called once with ``(plugin, hook, error)`` for each observer that raised; it is then switched off.
    """

    def __init__(self, host: Host, report: Callable[[str, str, str], None]) -> None:
        self._hooks, self._report = host.hook, report
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
                said = f"{type(error).__name__}: {first}{place(error, observer.plugin_name)}"
                self.failed(observer.plugin_name, hook, said)

    def failed(self, plugin: str, hook: str, error: str) -> None:
        """An observer raised, here or in a worker."""
        if (plugin, hook) not in self._off:
            self._off.add((plugin, hook))
            self._report(plugin, hook, error)
