"""``bench check``: whether what plugins give keeps its contract; downloads nothing."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import textwrap
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import options as opt
from bench.cli.common import CELL_FAILED, OK, collection_paused, open_host, print_json, print_note, room
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.config.selection import spelled
from bench.data.contents import file_digests
from bench.errors import PluginError, SelectionError
from bench.plugins.references import referring
from bench.plugins.registry import Registry
from bench.reports.fitting import folded
from bench.testing.results import CheckResult, Effort
from bench.testing.subjects import Subject, given_by, select

_QUIET_S = 2.0

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        show_default=False,
        help="Models, families, data sets, ... or all; a plugin file stands for what it gives.",
    ),
]
Slow = Annotated[
    bool, typer.Option("--slow/--quick", help="Overfit large networks too, and build them on every front end.")
]


Augmentations = Annotated[
    bool,
    typer.Option(
        "--augmentations",
        help="Measure on each data set which augmentation hurts a small network: two minutes, no test clip is heard.",
    ),
]


def main(  # noqa: PLR0913  one parameter per option
    names: Names = None,
    *,
    slow: Slow = False,
    augmentations: Augmentations = False,
    data: opt.Data = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Start the models from this file or folder.")
    ] = None,
    weights_prefix: opt.WeightsPrefix = "",
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what a plugin raised.")] = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Check that models, data sets, metrics and all else keep their contracts."""
    if not names and not plugin:
        raise SelectionError("nothing to check; name a model, family or data set, or `bench check all`")
    files = [Path(name) for name in names or () if name.endswith(".py")]
    try:
        registry = open_host([*(plugin or ()), *files], no_plugin).registry
    except PluginError as error:
        if debug and error.__cause__:
            traceback.print_exception(error.__cause__)
        raise
    registry, subjects = _subjects(registry, names or [], files if names else plugin or [])
    if not subjects:
        raise SelectionError("the plugin files give nothing to check; observers are tried by `bench run --plugin FILE`")
    effort = Effort(slow=slow, augmentations=augmentations, weights=weights, weights_prefix=weights_prefix)
    progress = _Progress(len(subjects))
    with collection_paused():
        importlib.import_module("bench.testing.conformance")  # and torch with it
    results: list[CheckResult] = []
    for progress.number, subject in enumerate(subjects, 1):
        progress.tell(f"{subject.kind} {subject.name}")
        found = subject.check(registry, effort=effort, data=data, on_result=progress.take, tell=progress.tell)
        results += found
        if not as_json:
            _show(subject, found, registry, debug=debug)
    if as_json:
        print_json([dataclasses.asdict(result) for result in results])
    else:
        print(_counts(results), "in", f"{time.monotonic() - progress.start:.0f} s")
    if not debug and any(result.traceback for result in results):
        print_note("--debug shows the traceback of what a plugin raised")
    return CELL_FAILED if any(result.status == "failed" for result in results) else OK


def _subjects(registry: Registry, names: Sequence[str], files: Sequence[Path]) -> tuple[Registry, list[Subject]]:
    """The registry with all that names refer to, and what is to be checked: the names, and all that ``files`` give."""
    words = spelled([name for name in names if not name.endswith(".py")], registry)
    registry = referring(registry, words, file_digests)
    given = given_by(registry, [str(file.resolve()) for file in files])
    return registry, list({(one.kind, one.name): one for one in (*given, *select(words, registry))}.values())


@dataclasses.dataclass(slots=True)
class _Progress:
    """A line on standard error for what takes long, at most one in two seconds."""

    total: int
    number: int = 0
    start: float = dataclasses.field(default_factory=time.monotonic)
    last: float = dataclasses.field(default_factory=time.monotonic)

    def tell(self, what: str) -> None:
        now = time.monotonic()
        if now - self.last >= _QUIET_S:
            self.last = now
            print(f"[{self.number}/{self.total}, {now - self.start:.0f} s] {what}", file=sys.stderr, flush=True)

    def take(self, result: CheckResult) -> None:
        self.tell(f"{result.kind} {result.subject}: {result.name} {result.status}")


def _show(subject: Subject, results: tuple[CheckResult, ...], registry: Registry, *, debug: bool) -> None:
    bad = any(result.status == "failed" for result in results)
    giver = getattr(registry, f"{subject.kind}s")[subject.name].provenance
    print(f"{subject.kind} {subject.name}: {_counts(results)}" + (f" ({giver})" if bad else ""))
    width = max(len(result.name) for result in results)
    free, indent = room(), width + 13
    for result in results:
        message = folded(result.message, free and max(24, free - indent)).replace("\n", "\n" + " " * indent)
        print(f"  {result.status:<7}  {result.name:<{width}}  {message}", flush=True)
        if debug and result.traceback:
            print(textwrap.indent(result.traceback, "    "), flush=True)


def _counts(results: list[CheckResult] | tuple[CheckResult, ...]) -> str:
    counts = {status: sum(r.status == status for r in results) for status in ("passed", "failed", "skipped")}
    return ", ".join(f"{count} {status}" for status, count in counts.items() if count)
