"""``bench baseline``: pin what a run measured for the gate, show what is pinned, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import OK, open_host, print_json, print_note, print_table
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.errors import DataError, NoCellError, SelectionError, did_you_mean
from bench.gate import history
from bench.gate.baseline import Baseline, parse_baseline
from bench.gate.collect import Collected, collect, collect_benchmarks, unfinished
from bench.gate.verdict import value
from bench.metrics.scoring import catalog
from bench.results.store import Store, write_atomic

ACTIONS = ("pin", "show", "history")


def main(  # noqa: PLR0913  one parameter per option
    action: Annotated[str, typer.Argument(metavar="pin|show|history", show_default=False, help="What to do.")],
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            show_default=False,
            help="pin: folder of a run or JSON of pytest-benchmark; show: a baseline; history: several, oldest first.",
        ),
    ],
    *,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="pin: the baseline file to write.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="pin: leave cells without a result out.")] = False,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Pin what a run measured for the gate, show what is pinned, or look for steps and drift.

    `bench baseline pin RESULTS --to FILE`, `bench baseline show FILE`, `bench baseline history FILE...`.
    """
    if action not in ACTIONS:
        raise SelectionError(f"bench baseline has no action {action!r}: {did_you_mean(action, ACTIONS)}")
    if action == "history":
        return _history(paths, as_json=as_json)
    if len(paths) > 1:
        raise SelectionError(f"bench baseline {action} takes one path, got {len(paths)}: {', '.join(map(str, paths))}")
    if action == "show":
        return _show(paths[0], as_json=as_json)
    if to is None:
        raise SelectionError("bench baseline pin needs --to FILE, e.g. --to results/published/baselines/NAME.json")
    return _pin(read_results(paths[0], plugin, no_plugin, partial=partial), to)


def read_results(
    path: Path, plugin: Sequence[Path] | None, no_plugin: Sequence[str] | None, *, partial: bool = True
) -> Collected:
    """What a run measured.

    Args:
        path: Folder of a run, or a JSON file of pytest-benchmark.
        plugin: Files of plugins whose metrics its scores are.
        no_plugin: Plugins that are left out.
        partial: Whether cells without a result are allowed; they are missing from the rows.

    Raises:
        SelectionError: There is no such folder or file, or cells have no result.
        NoCellError: Nothing was measured.
        StoreError: Predictions were changed or are missing.
        DataError: The file is none of pytest-benchmark.
    """
    if path.is_file():
        found = collect_benchmarks(read_text(path), str(path))
        bad = [f"{row.name}: {why}" for row in found.rows for why in row.missing.values()]
    elif path.is_dir():
        store = Store(path)
        records, errors = store.records()
        found = collect(records, store.predictions, catalog(open_host(plugin, no_plugin).registry))
        planned = {cell.id for cell in store.planned()} - {record.cell.id for record in records}
        bad = [*map(str, errors), *unfinished(records), *(f"{cell}: never ran" for cell in sorted(planned))]
        bad += [f"{row.name}: {row.missing[row.metric]}" for row in found.rows if row.metric in row.missing]
    else:
        raise SelectionError(f"no folder or file {path}; give the --out folder of a run or JSON of pytest-benchmark")
    if not found.rows:
        raise NoCellError("\n  - ".join([f"nothing measured in {path}", *bad]))
    if bad and not partial:
        lines = "\n  - ".join([f"{path} is not complete", *bad])
        raise SelectionError(f"{lines}\nrun these again, or give --partial to pin the others")
    for line in bad:
        print_note(line)
    return found


def read_text(path: Path) -> str:
    """The contents of a text file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"{path} cannot be read: {reason}") from error


def _pin(found: Collected, to: Path) -> int:
    rows = tuple(row for row in found.rows if row.cells or row.quantities)
    if not rows:
        raise NoCellError("no number in the results that a gate could compare")
    now, libraries, machines = datetime.now(UTC), dict(found.libraries), dict(found.machines)
    baseline = Baseline(pinned_at=now.isoformat(timespec="seconds"), libraries=libraries, machines=machines, rows=rows)
    for name in found.contended:
        print_note(f"others used the machine while the speed of {name} was measured; on an idle one pin again")
    write_atomic(to, baseline.to_json().encode())
    print(f"pinned {len(baseline.rows)} rows in {to}")
    return OK


def _show(path: Path, *, as_json: bool) -> int:
    baseline = parse_baseline(read_text(path), str(path))
    if as_json:
        print_json(baseline.model_dump(mode="json"))
        return OK
    lines = []
    for row in baseline.rows:
        for name, unit, number, count in history.pinned_values(row):
            lines.append([row.name, name, value(unit, number), str(count), row.hardware or "-"])
        lines += [[row.name, name, "-", "0", reason] for name, reason in sorted(row.missing.items())]
    print(f"pinned {baseline.pinned_at}, {len(baseline.rows)} rows")
    header = ("row", "quantity", "value", "measurements", "hardware or reason")
    print_table(header, lines, numeric=("value", "measurements"))
    return OK


def _history(paths: Sequence[Path], *, as_json: bool) -> int:
    found = history.histories([parse_baseline(read_text(path), str(path)) for path in paths])
    if as_json:
        print_json({"baselines": paths, "histories": found})
    else:
        rows = history.table(found, [path.name for path in paths])
        print_table(history.HEADER, rows, numeric=("baselines", "first", "last", "change"))
    return OK
