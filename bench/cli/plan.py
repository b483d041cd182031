"""``bench plan``: the cells of a run, what does not fit together, costs and an ETA; no model runs."""

from __future__ import annotations

from bench.cli.common import NOTHING, OK, print_json, print_note, print_table
from bench.cli.options import with_run_options
from bench.cli.progress import duration, open_progress, summary
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.planning.plan import Plan, PlannedCell
from bench.running.runner import Runner


@with_run_options()
def main(selection: Selection, settings: Settings, *, as_json: bool) -> int:
    """Show the cells, costs and incompatible pairs of a run without running it."""
    with open_progress() as progress:
        runner = Runner(selection, settings, progress)
        plan = runner.plan(measure=False)
    if as_json:
        print_json(plan.to_json(runner.slots))
    else:
        show(plan, runner.slots)
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
    print_table(header, rows, numeric=["cells"])
    for reason in dict.fromkeys(f"{p.cell.model}: {p.reason}" for p in plan.cells if p.reason):
        print(reason)
    for source in dict.fromkeys(p.cost_source for p in plan.runnable if p.cost_s is None):
        print_note(f"cost {source}")
    print(f"{summary(plan, slots)}, up to {plan.disk_bytes / 1e6:.0f} MB on disk")
