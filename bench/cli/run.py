"""``bench run``: train and measure, then a leaderboard."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.analysis.phrases import plural
from bench.cli.common import CELL_FAILED, OK, print_json, print_note, room
from bench.cli.flags import Wide
from bench.cli.formats import parse_formats, write_board
from bench.cli.options import Formats, MetricName, with_run_options
from bench.cli.progress import duration
from bench.cli.study import resumable
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import SelectionError, short
from bench.planning.plan import Plan
from bench.plugins.factories import load_factory
from bench.running.result import Result
from bench.running.runner import Runner
from bench.statistics.draws import MIN_SEEDS


@with_run_options()
def main(  # noqa: PLR0913  one parameter per option
    selection: Selection,
    settings: Settings,
    *,
    as_json: bool,
    formats: Formats = None,
    metric: MetricName = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Run part I of N, without a leaderboard; `bench plan --shards N`."),
    ] = None,
    wide: Wide = False,
) -> int:
    """Train and measure models on data sets and write a leaderboard."""
    settings = dataclasses.replace(settings, metric=metric, shard=shard_of(shard))
    with resumable(settings.out) as progress:
        runner = Runner(selection, settings, progress)
        registry = runner.host.registry
        if metric is not None:
            registry.metrics[metric]
        names = parse_formats(formats, registry, "run")
        renderers = [registry.reporters[name].factory for name in names]
        threading.Thread(target=_import_board, args=(renderers,), daemon=True).start()
        result = runner.run()
    files = write_board(result.folder_board, registry, names, settings.out) if shard is None else []
    _tell(result, runner, files, as_json=as_json, wide=wide)
    return CELL_FAILED if result.failed else OK


def shard_of(text: str | None) -> tuple[int, int] | None:
    """``"3/16"`` as ``(3, 16)``.

    >>> shard_of("3/16")
    (3, 16)
    """
    if text is None:
        return None
    match = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        said = f"--shard {short(text)} is no part I/N with I from 1 to N"
        raise SelectionError(f"{said}; e.g. --shard 1/16 to --shard 16/16")
    return int(match[1]), int(match[2])


def _import_board(renderers: Sequence[str]) -> None:
    """Import what the leaderboard needs while the first worker starts; what cannot be is told when it is needed."""
    for name in ("bench.analysis.board", "bench.reports.terminal"):
        importlib.import_module(name)
    with contextlib.suppress(Exception):
        for factory in renderers:
            load_factory(factory)


def _tell(result: Result, runner: Runner, files: list[Path], *, as_json: bool, wide: bool) -> None:
    slots, shard = runner.slots, runner.settings.shard
    if as_json:
        print_json(
            {
                "out": str(result.store.root),
                "seconds": round(result.seconds, 3),
                "cells": len(result.records),
                "reused": len(result.reused),
                "statuses": {r.cell.id: r.status for r in result.records},
                "files": [str(path) for path in files],
            }
        )
    else:
        if files:
            from bench.reports.terminal import text

            print(text(result.board, room(wide=wide)), end="")
        for path in files:
            print(f"wrote {path}")
        if shard:
            print(f"shard {shard[0]}/{shard[1]} is done")
            print_note(f"`bench report {result.store.root}` makes the leaderboard once all shards are there")
    eta = result.plan.eta_s(slots)
    planned = "" if eta is None or not result.plan.runnable else f" (planned {duration(eta)})"
    print_note(f"{len(result.records)} cells, {len(result.reused)} reused, {duration(result.seconds)}{planned}")
    if not shard and (few := more_seeds(result.plan, slots)):
        print_note(few)
    for record in result.failed:
        why = record.error.message if record.error else ""
        print(f"{record.status}: {record.cell.id}: {why}", file=sys.stderr)


def more_seeds(plan: Plan, slots: int) -> str:
    """What ranks would take where there are too few seeds for them, empty where there are enough."""
    cells = [one for one in plan.cells if one.cell.kind == "evaluate" and one.decision == "run"]
    seeds = sorted({one.cell.seed for one in cells})
    missing = MIN_SEEDS - len(seeds)
    if missing <= 0 or not seeds:
        return ""
    costs = [one.cost_s for one in cells]
    known = [cost for cost in costs if cost is not None]
    took = "an unknown time"
    if len(known) == len(costs):
        took = f"about {duration(missing * sum(known) / len(seeds) / max(1, min(slots, len(cells))))}"
    wanted = [*seeds, *(seed for seed in range(len(seeds) + MIN_SEEDS) if seed not in seeds)][:MIN_SEEDS]
    return (
        f"{plural(len(seeds), 'seed')}: rows are ordered by score, not ranked; ranks take {MIN_SEEDS} "
        f"(--seeds {','.join(map(str, sorted(wanted)))}): {missing} more, {took}"
    )
