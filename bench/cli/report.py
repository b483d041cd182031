"""``bench report``: leaderboards from stored records, and a check that the scores follow from the predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bench.analysis.artifacts import PageSection
from bench.analysis.board import build_board
from bench.analysis.model import Board, Published
from bench.analysis.predictions import verify as verify_scores
from bench.cli.common import CELL_FAILED, OK, collection_paused, open_host, print_json, print_note, room
from bench.cli.flags import AsJson, LeftOut, PluginFiles, Results, Wide
from bench.cli.forks import MANY, forked_map
from bench.cli.formats import parse_formats, write_board
from bench.cli.options import Formats, MetricName, SuiteName
from bench.config.suites import read_suite, stored_suite
from bench.errors import NoCellError, SelectionError, StoreError
from bench.metrics.scoring import catalog
from bench.plugins.registry import Registry
from bench.reports.published import find_published, read_published
from bench.reports.terminal import text
from bench.results.records import Record
from bench.results.store import Store
from bench.studies.frontends import FILE as STUDY


def main(  # noqa: PLR0913  one parameter per option
    results: Results,
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where the files go; default: RESULTS itself.")
    ] = None,
    formats: Formats = None,
    published: Annotated[
        Path | None,
        typer.Option("--published", metavar="FILE", help="Results from elsewhere; default: nearest published.toml."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute every score from stored predictions.")] = False,
    metric: MetricName = None,
    suite: SuiteName = None,
    wide: Wide = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Make leaderboards from stored records."""
    registry = open_host(plugin, no_plugin).registry
    names = parse_formats(formats, registry, "report")
    store = open_store(results)
    context_file = published or find_published(results)
    with collection_paused():
        board = load_board(store, registry, read_published(context_file) if context_file else (), metric, suite)
        files = write_board(board, registry, names, to or results)
    checked, differences = _verify(store, registry) if verify else (None, [])
    if as_json:
        found = {"files": [str(path) for path in files], "problems": list(board.problems), "scores_checked": checked}
        print_json(found | {"differences": differences, "published": str(context_file) if context_file else None})
    else:
        print(text(board, room(wide=wide)), end="")
        for path in files:
            print(f"wrote {path}")
        if checked is not None:
            print(f"{checked} scores recomputed from predictions, {len(differences)} differ or cannot be")
    for problem in (*board.problems, *differences):
        print_note(problem)
    return CELL_FAILED if board.problems or differences else OK


def open_store(results: Path) -> Store:
    """The store of a run folder."""
    if not results.is_dir():
        raise SelectionError(f"no folder {results}; give the --out folder of a run, e.g. bench report results/runs")
    return Store(results)


def records_of(store: Store) -> tuple[list[Record], list[StoreError]]:
    """The records of a run folder and what could not be read; no record at all is an error."""
    records, bad = store.records()
    if not records:
        reasons = "".join(f"\n  - {error}" for error in bad)
        raise NoCellError(f"no records in {store.root}; `bench run --out {store.root}` makes some{reasons}")
    return records, bad


def load_board(
    store: Store,
    registry: Registry,
    published: Sequence[Published] = (),
    metric: str | None = None,
    suite: str | None = None,
) -> Board:
    """The board of a run folder, with its front-end study and its suite (or the one named) where it holds one."""
    records, bad = records_of(store)
    together, damaged = (read_suite(suite), "") if suite else stored_suite(store.read_plan())
    study, broken = _study(store.root)
    board = build_board(
        records,
        metrics=catalog(registry),
        metric=metric,
        planned=store.planned(),
        predictions=store.predictions,
        problems=[*map(str, bad), *filter(None, (broken, damaged))],
        published=published,
        suite=together,
        each=forked_map if len(records) > MANY else map,
    )
    return dataclasses.replace(board, extra=(study,) if study else ())


def _study(folder: Path) -> tuple[PageSection | None, str]:
    if not (folder / STUDY).is_file():
        return None, ""
    from bench.studies.frontends.read import read_study  # imports what runs cells

    return read_study(folder)


def _verify(store: Store, registry: Registry) -> tuple[int, list[str]]:
    return verify_scores(store.records()[0], store.predictions, catalog(registry))
