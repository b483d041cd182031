"""A plan in parts of about equal cost that need not know of each other: the same parts on every machine; pure."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import replace

from bench.cell import FROZEN, Cell
from bench.errors import SelectionError
from bench.planning.costs import Cost, expected_seconds
from bench.planning.plan import Plan, PlannedCell
from bench.plugins.registry import Registry
from bench.plugins.specs import ModelSpec

ELSEWHERE = "priced by its own shard"
"""The source of the cost of a cell that another shard decides about."""
CLIP_S = 2e-3
"""Nominal seconds per clip of a model without parameters, and of each million parameters more."""


def nominal_seconds(planned: PlannedCell, spec: ModelSpec) -> float:
    """What a cell costs by its clips, its recipe and its model's declared size, on no machine in particular."""
    clip_s = CLIP_S * (1 + (spec.parameters or 0) / 1e6)
    step_s = 0.0 if planned.cell.mode in FROZEN else 3 * planned.cell.batch * clip_s
    return expected_seconds(
        planned,
        Cost(
            step_s=None if spec.estimator else step_s,
            infer_clip_s=clip_s,
            fit_clip_s=clip_s,
            pretrain_step_s=3 * planned.recipe.pretrain_batch * clip_s,
        ),
    )


def divide(plan: Plan, registry: Registry, count: int) -> list[Plan]:
    """``count`` plans that hold each cell of ``plan`` once, in its order.

    The dearest cell goes first, each to the part with the least to do so far. Costs are nominal, since measured ones
    differ between machines. Profile cells of one data set stay together, so that one machine measures them in turns;
    what cannot run, and costs nothing, is told by the first part.

    Raises:
        SelectionError: There are fewer cells, or blocks of profile cells, than parts.
    """
    blocks: defaultdict[tuple[str, Cell | None], list[PlannedCell]] = defaultdict(list)
    for planned in plan.cells:
        if planned.decision == "run":
            blocks[planned.cell.dataset, None if planned.cell.kind == "profile" else planned.cell].append(planned)
    if count > len(blocks):
        raise SelectionError(f"{count} shards of {len(blocks)} cells; give at most {len(blocks)}")
    costs = [
        (sum(nominal_seconds(p, registry.models[p.cell.model].spec) for p in block), index, block)
        for index, block in enumerate(blocks.values())
    ]
    loads = [(0.0, part) for part in range(count)]
    part_of: dict[Cell, int] = {}
    for cost, _, block in sorted(costs, key=lambda one: (-one[0], one[1])):
        load, part = loads[0]
        heapq.heapreplace(loads, (load + cost, part))
        part_of |= dict.fromkeys((planned.cell for planned in block), part)
    return [
        replace(plan, cells=tuple(p for p in plan.cells if part_of.get(p.cell, 0) == part)) for part in range(count)
    ]
