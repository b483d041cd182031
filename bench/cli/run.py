"""``bench run``: train and measure, then a leaderboard."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.analysis.board import build_board
from bench.analysis.model import Board
from bench.cli.common import CELL_FAILED, OK, print_json, print_note
from bench.cli.options import with_run_options
from bench.cli.progress import duration, open_progress
from bench.cli.report import parse_formats, write_board
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.reports.terminal import text
from bench.running.runner import Result, Runner

INTERRUPTED = 130
"""Ctrl-C or SIGTERM, as shells expect it; the same command goes on where it stopped."""

FORMATS = "md,csv,json,latex"


@with_run_options
def main(selection: Selection, settings: Settings, *, as_json: bool) -> int:
    """Train and measure models on data sets and write a leaderboard."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with open_progress() as progress:
            runner = Runner(selection, settings, progress)
            result = runner.run()
    except KeyboardInterrupt:
        print_note(f"stopped; finished cells are in {settings.out}, the same command runs the rest")
        return INTERRUPTED
    return _tell(runner, result, settings.out, as_json=as_json)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _tell(runner: Runner, result: Result, out: Path, *, as_json: bool) -> int:
    board = board_of(runner, result)
    registry = runner.host.registry
    files = write_board(board, registry, parse_formats(FORMATS, registry), out)
    if as_json:
        print_json(
            {
                "out": str(out),
                "seconds": round(result.seconds, 3),
                "cells": len(result.records),
                "reused": len(result.reused),
                "statuses": {r.cell.id: r.status for r in result.records},
                "files": [str(path) for path in files],
            }
        )
    else:
        print(text(board), end="")
        for path in files:
            print(f"wrote {path}")
    eta = result.plan.eta_s(runner.slots)
    planned = "" if eta is None or not result.plan.runnable else f" (planned {duration(eta)})"
    print_note(f"{len(result.records)} cells, {len(result.reused)} reused, {duration(result.seconds)}{planned}")
    for record in result.failed:
        why = record.error.message if record.error else ""
        print(f"{record.status}: {record.cell.id}: {why}", file=sys.stderr)
    return CELL_FAILED if result.failed else OK


def board_of(runner: Runner, result: Result) -> Board:
    """The leaderboard of one run: its own cells, whatever else the folder holds."""
    planned = [p.cell for p in result.plan.cells]
    return build_board(result.records, planned=planned, predictions=runner.store.predictions)
