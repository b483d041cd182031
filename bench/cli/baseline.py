"""``bench baseline``: pin what a run measured for the gate, and show what is pinned."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import NOTHING, OK, open_host, print_json, print_note, print_table
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.errors import BenchError, NoCellError, SelectionError, did_you_mean
from bench.gate.baseline import Baseline, is_baseline, parse_baseline
from bench.gate.benchmark_json import collect_benchmarks
from bench.gate.collect import Collected, collect, unfinished
from bench.gate.verdict import value
from bench.metrics.scoring import catalog
from bench.results.folder import write_atomic
from bench.results.store import Store
from bench.textfiles import read_text

ACTIONS = ("pin", "list", "show")


def main(  # noqa: PLR0913  one parameter per option
    action: Annotated[str, typer.Argument(metavar="pin|list|show", show_default=False, help="What to do.")],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            show_default=False,
            help="pin: folder of a run or JSON of pytest-benchmark; list: a folder of baselines; show: a baseline.",
        ),
    ],
    *,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="pin: the baseline file to write.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="pin: leave cells without a result out.")] = False,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="NAME,...", help="pin: scores beside the data set's own.")
    ] = None,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Pin what a run measured for the gate, or list or show what is pinned.

    `bench baseline pin RESULTS --to FILE`, `bench baseline show FILE`; several over time: `bench history`.
    """
    if action not in ACTIONS:
        raise SelectionError(f"bench baseline has no action {action!r}: {did_you_mean(action, ACTIONS)}")
    if action != "pin":
        return (_show if action == "show" else _list)(path, as_json=as_json)
    if to is None:
        raise SelectionError("bench baseline pin needs --to FILE, e.g. --to results/published/baselines/NAME.json")
    scores = tuple(filter(None, map(str.strip, (metric or "").split(","))))
    return _pin(read_baseline(path, plugin, no_plugin, partial=partial, scores=scores), to)


def read_results(
    path: Path, plugin: Sequence[Path] | None, no_plugin: Sequence[str] | None, *, partial: bool = True,
    scores: Collection[str] = (),
) -> Collected:  # fmt: skip
    """What a run measured.

    Args:
        path: Folder of a run, or a JSON file of pytest-benchmark.
        plugin: Files of plugins whose metrics its scores are.
        no_plugin: Plugins that are left out.
        partial: Whether cells without a result are allowed; they are missing from the rows.
        scores: Which to read beside that which boards of a data set sort by.

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
        found = collect(records, store.predictions, catalog(open_host(plugin, no_plugin).registry), scores)
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


def read_baseline(
    path: Path, plugin: Sequence[Path] | None, no_plugin: Sequence[str] | None, *, partial: bool = True,
    scores: Collection[str] = (),
) -> Baseline:  # fmt: skip
    """What is to be compared with: a pinned file, or a run or JSON of pytest-benchmark as if it were pinned now.

    Raises:
        StoreError: A pinned file that is torn, foreign, edited or newer.
        SelectionError: A score asked for is not there.
        NoCellError: No number in it.
        BenchError: What :func:`read_results` raises.
    """
    if path.is_file() and is_baseline(text := read_text(path)):
        return parse_baseline(text, str(path))
    found = read_results(path, plugin, no_plugin, partial=partial, scores=scores)
    for name in sorted(set(scores) - found.scores):
        raise SelectionError(f"no cell of {path} is scored by {name!r}: {did_you_mean(name, found.scores)}")
    rows = tuple(row for row in found.rows if row.cells or row.quantities)
    if not rows:
        raise NoCellError(f"no number in {path} that could be compared")
    for name in found.contended:
        print_note(f"others used the machine while the speed of {name} was measured; on an idle one measure again")
    now, libraries, machines = datetime.now(UTC), dict(found.libraries), dict(found.machines)
    return Baseline(pinned_at=now.isoformat(timespec="seconds"), libraries=libraries, machines=machines, rows=rows)


def _pin(baseline: Baseline, to: Path) -> int:
    write_atomic(to, baseline.to_json().encode())
    print(f"pinned {len(baseline.rows)} rows in {to}")
    return OK


def _list(folder: Path, *, as_json: bool) -> int:
    """The baselines in a folder; other files in it are named."""
    if not folder.is_dir():
        raise SelectionError(f"no folder {folder}; `bench baseline pin RESULTS --to {folder / 'NAME.json'}` makes it")
    found: dict[str, Baseline] = {}
    for path in sorted(folder.rglob("*.json")):
        try:
            found[str(path)] = parse_baseline(read_text(path), str(path))
        except BenchError as error:
            print_note(str(error))
    if as_json:
        print_json({name: one.model_dump(mode="json", exclude={"rows"}) for name, one in found.items()})
    else:
        machines = {name: "; ".join(sorted(set(one.machines.values()))) or "-" for name, one in found.items()}
        lines = [[name, one.pinned_at, str(len(one.rows)), machines[name]] for name, one in found.items()]
        print_table(("baseline", "pinned", "rows", "machines"), lines, numeric=("rows",))
    return OK if found else NOTHING


def _show(path: Path, *, as_json: bool) -> int:
    baseline = parse_baseline(read_text(path), str(path))
    if as_json:
        print_json(baseline.model_dump(mode="json"))
        return OK
    lines = []
    for row in baseline.rows:
        for one in row.numbers():
            lines.append([row.name, one.name, value(one.unit, one.value), str(one.count), row.hardware or "-"])
        lines += [[row.name, name, "-", "0", reason] for name, reason in sorted(row.missing.items())]
    print(f"pinned {baseline.pinned_at}, {len(baseline.rows)} rows")
    header = ("row", "quantity", "value", "measurements", "hardware or reason")
    print_table(header, lines, numeric=header[2:4], kept=header[1:3])
    return OK
