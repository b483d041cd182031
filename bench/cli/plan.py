"""``bench plan``: the cells of a run, what does not fit together, costs and an ETA; no model runs."""

from __future__ import annotations

from bench.cli import options as opt
from bench.cli.common import NOTHING, OK, AsJson, LeftOut, PluginFiles, print_json, print_note, print_table
from bench.cli.progress import duration, summary, watch
from bench.plan import Plan, PlannedCell
from bench.runner import DEFAULT_OUT, Runner


def main(  # noqa: PLR0913  one parameter per option
    *,
    models: opt.Models = "default",
    dataset: opt.Datasets = "demo",
    data: opt.Data = None,
    protocol: opt.ProtocolName = None,
    folds: opt.Folds = None,
    seeds: opt.Seeds = "0",
    frontend: opt.FrontendName = None,
    feeding: opt.FeedingName = None,
    recipe: opt.RecipeName = None,
    overrides: opt.Overrides = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "fp32",
    out: opt.Out = DEFAULT_OUT,
    timeout: opt.Timeout = None,
    limit: opt.Limit = None,
    jobs: opt.JobsCount = None,
    profile: opt.Profile = True,
    evaluate: opt.Evaluate = True,
    keep_checkpoints: opt.Checkpoints = True,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Show the cells, costs and misfits of a run without running it."""
    selection, settings = opt.gather(dict(locals()))
    with watch() as seen:
        runner = Runner(selection, settings, seen)
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
        key: tuple[str, ...] = (cell.dataset, cell.model, cell.kind, cell.frontend, cell.feeding, cell.recipe, decision)
        groups.setdefault(key, []).append(planned)
    rows = []
    for key, cells in groups.items():
        costs = [p.cost_s for p in cells if p.cost_s is not None]
        each = f"{duration(sum(costs) / len(costs))} {cells[0].cost_source}" if costs else "-"
        rows.append([*key[:6], str(len(cells)), each, key[6]])
    header = ["data set", "model", "kind", "front end", "feeding", "recipe", "cells", "each", "decision"]
    print_table(header, rows, numeric=["cells"])
    for reason in dict.fromkeys(f"{p.cell.model}: {p.reason}" for p in plan.cells if p.reason):
        print(reason)
    for source in dict.fromkeys(p.cost_source for p in plan.runnable if p.cost_s is None):
        print_note(f"cost {source}")
    print(f"{summary(plan, slots)}, up to {plan.disk_bytes / 1e6:.0f} MB on disk")
