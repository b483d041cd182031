"""``bench plan``: the cells of a run, what does not fit together, costs and an ETA; no model runs unless asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bench.cli.common import NOTHING, OK, print_json, print_note, print_table, print_text
from bench.cli.options import with_run_options
from bench.cli.progress import duration, open_progress, summary
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.planning.plan import Plan, PlannedCell
from bench.planning.shards import divide
from bench.running.runner import Runner


@with_run_options(without=("observer",))
def main(
    selection: Selection,
    settings: Settings,
    *,
    as_json: bool,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time a few steps of each model; the times are kept for later runs.")
    ] = False,
    shards: Annotated[
        int | None,
        typer.Option("--shards", metavar="N", min=1, help="Show N parts, for `bench run --shard 1/N` to `N/N`."),
    ] = None,
) -> int:
    """Show the cells, costs and incompatible pairs of a run without running it."""
    with open_progress() as progress:
        runner = Runner(selection, settings, progress)
        plan = runner.plan(measure=measure)
    parts = divide(plan, runner.host.registry, shards) if shards else []
    if as_json:
        found = plan.to_json(runner.slots)
        print_json(found | {"shards": [[p.cell.id for p in part.cells] for part in parts]} if parts else found)
    else:
        show(plan, runner.slots)
        show_shards(parts, runner.slots)
    return OK if any(p.decision == "run" for p in plan.cells) else NOTHING


def show(plan: Plan, slots: int) -> None:
    """The plan as a table, one line per model, kind and decision."""
    groups: dict[tuple[str, ...], list[PlannedCell]] = {}
    for planned in plan.cells:
        cell = planned.cell
        decision = "reuse" if planned.reused else planned.decision.replace("_", " ")
        start = "" if cell.weights == "random" else f" from {cell.weights}"
        key: tuple[str, ...] = (
            cell.dataset, cell.model, cell.kind, f"{cell.mode}{start}", cell.inputs, cell.frontend, cell.feeding,
            cell.recipe, decision,
        )  # fmt: skip
        groups.setdefault(key, []).append(planned)
    rows = []
    for key, cells in groups.items():
        costs = [p.cost_s for p in cells if p.cost_s is not None]
        each = f"{duration(sum(costs) / len(costs))} {cells[0].cost_source}" if costs else "-"
        rows.append([*key[:-1], str(len(cells)), each, key[-1]])
    header = [
        "data set", "model", "kind", "mode", "inputs", "front end", "feeding", "recipe", "cells", "each", "decision",
    ]  # fmt: skip
    print_table(header, rows, numeric=["cells"], kept=("model", "kind", "cells", "each"))
    for reason in dict.fromkeys(f"{p.cell.model}: {p.reason}" for p in plan.cells if p.reason):
        print_text(reason)
    for source in dict.fromkeys(p.cost_source for p in plan.runnable if p.cost_s is None):
        print_note(f"cost {source}")
    print_text(f"{summary(plan, slots)}, up to {plan.disk_bytes / 1e6:.0f} MB on disk")


def show_shards(parts: Sequence[Plan], slots: int) -> None:
    """One line per shard; its cells are the same on every machine, the time is that of this one."""
    rows = []
    for index, part in enumerate(parts, 1):
        eta = part.eta_s(slots)
        kinds = [sum(p.cell.kind == kind for p in part.runnable) for kind in ("evaluate", "profile")]
        rows.append([f"--shard {index}/{len(parts)}", *map(str, kinds), "-" if eta is None else duration(eta)])
    if rows:
        print_table(["bench run", "evaluate", "profile", "expected here"], rows, numeric=["evaluate", "profile"])
