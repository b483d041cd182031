"""What cells cost, and which of them a recipe's budget allows; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bench.cell import FROZEN, Cell
from bench.clips import Clips
from bench.planning.fingerprints import machine
from bench.planning.plan import Plan, PlannedCell
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import ModelSpec
from bench.recipe import Recipe
from bench.results.provenance import digest, extra_versions, hash_files, library_versions, source_hash
from bench.results.reading import parse_as
from bench.results.records import Record

Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of the parts of a cell of one model, ``measured`` on this machine or ``estimated`` from operators.

    A training step is ``None`` for an estimator and 0 for a frozen network; only estimators are fitted per clip.
    ``contended``: others used the machine meanwhile.
    """

    step_s: Seconds | None
    infer_clip_s: Seconds
    fit_clip_s: Seconds | None
    pretrain_step_s: Seconds | None = None
    source: str = "measured"
    contended: bool = False

    @property
    def rough(self) -> bool:
        """Whether the truth may lie a factor of :data:`ROUGH` away."""
        return self.contended or self.source != "measured"


COUNTERS = ("measurement/work.py", "measurement/flops.py", "execution/counting.py")
"""The files of the host that say what is counted."""
_HERE = Path(__file__).resolve().parents[1]
ROUGH = 2.0
"""What was estimated, or measured beside others, decides about a budget only beyond it by more than this factor."""
PROBE_CLIP_S = {"probe": 3e-3, "logistic": 6e-3, "mlp": 3e-3, "attention": 3e-2}
"""Rough seconds per training clip of the heads on a frozen network that take any."""
MAP_CLIP_S, MAP_CLIPS = 4e-3, 2000
"""Rough seconds per test clip of the map of a network's embeddings, and the most clips that are drawn."""


def cost_of(record: Record) -> Cost | None:
    """What the model of a cell that ran, or began to, costs by its own times; ``None`` where they do not tell."""
    if record.status == "over_budget":
        try:
            return parse_as(Cost, record.provenance.get("cost"))
        except ValueError:  # what a worker says is not believed unread
            return None
    timing = record.timing
    train_s, steps, rate = timing.get("train_s"), timing.get("steps"), timing.get("infer_clips_per_s")
    clips = record.provenance.get("dataset", {}).get("train")
    if record.status != "ok" or not train_s or not rate or not clips or record.cell.weights == "masked":
        return None
    fitted = record.cell.mode not in FROZEN and not steps
    step_s = 0.0 if record.cell.mode in FROZEN else train_s / steps if steps else None
    return Cost(step_s=step_s, infer_clip_s=1 / rate, fit_clip_s=train_s / clips if fitted else None)


def cost_key(planned: PlannedCell, registry: Registry, threads: int) -> str:
    """Under which a model's cost is kept between runs: everything that changes the time of a step."""
    cell = planned.cell
    model = registry.models[cell.model]
    return digest(
        [
            cell.model, cell.dataset, cell.inputs, cell.frontend, cell.feeding, cell.device, cell.precision,
            cell.batch, cell.clip_samples, source_hash(model.factory),
            model.contents or dict(model.spec.options), dict(model.spec.frontend_options), library_versions(),
            machine(), threads,
            planned.recipe.spec_masks, planned.recipe.roll, planned.recipe.ema is None, *_mode_key(planned, model),
        ]
    )  # fmt: skip


def count_key(planned: PlannedCell, registry: Registry, clips: Clips) -> str:
    """Under which a model's operators are kept: all that they depend on but torch's own formulas, no machine."""
    cell, recipe = planned.cell, planned.recipe
    model, data = registry.models[cell.model], registry.datasets[cell.data_name].spec
    spec, frontend = model.spec, registry.frontends.entries.get(cell.frontend)
    clips = clips.at(spec.sample_rate)
    return digest(
        [
            "operators", hash_files(_HERE, [_HERE / name for name in COUNTERS]), source_hash(model.factory),
            model.contents or dict(spec.options), spec.by_name, spec.lengths, spec.needs_weights,
            extra_versions(spec.extra, model.provenance.distribution) if spec.extra else None,
            cell.weights if "~" in cell.weights else "", cell.inputs, cell.batch, cell.clip_samples,
            cell.frontend, cell.feeding, frontend and source_hash(frontend.factory), dict(spec.frontend_options),
            clips.sample_rate, clips.label_names, clips.targets.ndim, clips.image_shape,
            None if clips.features is None else clips.features.shape[1:], data.task and data.task.text_length,
            recipe.long_clips, recipe.window_s,
            *_mode_key(planned, model),
        ]
    )  # fmt: skip


def pace_key(device: str, threads: int) -> str:
    """Under which the pace of this machine is kept."""
    timed_by = hash_files(_HERE, [_HERE / "measurement" / "calibration.py"])
    return digest(["pace", device, threads, machine(), library_versions(), timed_by])


def _mode_key(planned: PlannedCell, model: Entry[ModelSpec]) -> list[object]:
    """What the mode adds; nothing from scratch, and fine-tuning from a file costs what training costs."""
    key: list[object] = ["frozen"] if planned.cell.mode in FROZEN else []
    if planned.cell.weights == "masked" and model.spec.pretrain is not None:
        source = source_hash(model.home(model.spec.pretrain))
        key += ["masked", planned.recipe.pretrain_batch, source]
    return key


def with_costs(plan: Plan, costs: Mapping[Cell, Cost | str]) -> Plan:
    """The plan with expected seconds and budget decisions; a string says why a cost is unknown."""
    return replace(plan, cells=tuple(_priced(planned, costs.get(planned.cell, "not asked")) for planned in plan.cells))


def _priced(planned: PlannedCell, cost: Cost | str) -> PlannedCell:
    if planned.decision != "run":
        return planned
    if isinstance(cost, str):
        return replace(planned, cost_s=None, cost_source=f"unknown: {cost}")
    seconds = expected_seconds(planned, cost)
    source = f"{cost.source} beside others" if cost.contended else cost.source
    budget = planned.recipe.budget_seconds
    if budget is not None and seconds > budget * (ROUGH if cost.rough else 1.0) and not planned.reused:
        reason = over_budget(seconds, source, planned.recipe)
        return replace(planned, decision="over_budget", reason=reason, cost_s=seconds, cost_source=source)
    return replace(planned, cost_s=seconds, cost_source=source)


def over_budget(seconds: float, source: str, recipe: Recipe) -> str:
    """Why a cell that would take ``seconds`` is not run, or not run to its end."""
    return (
        f"expected {_duration(seconds)} ({source}), the budget of recipe {recipe.name!r} is "
        f"{_duration(recipe.budget_seconds or 0.0)} a cell; raise it with --set recipe.budget_seconds=..., or use "
        "--recipe full"
    )


def expected_seconds(planned: PlannedCell, cost: Cost) -> float:
    """Seconds of one cell, worker start not included."""
    if planned.cell.kind == "profile":
        return _profile_seconds(planned, cost)
    score = planned.test_clips * cost.infer_clip_s
    if cost.step_s is None:
        return 0.5 + planned.train_clips * (cost.fit_clip_s or 0.0) + score
    normalise = 0.1 * planned.train_clips * cost.infer_clip_s
    before = 0.5 + normalise + pretraining_seconds(planned, cost)
    test = planned.test_clips - planned.validation_clips
    score += 2 * test * cost.infer_clip_s + (MAP_CLIP_S * test if test <= MAP_CLIPS else 0.0)  # embeddings, their map
    if planned.cell.mode in FROZEN:
        clip_s = cost.infer_clip_s + PROBE_CLIP_S.get(planned.cell.mode, 1e-4)
        return before + planned.train_clips * clip_s + score
    steps = -(-planned.train_clips // planned.cell.batch)
    epoch = steps * cost.step_s + planned.validation_clips * cost.infer_clip_s
    return before + planned.recipe.epochs * epoch + score


def pretraining_seconds(planned: PlannedCell, cost: Cost) -> float:
    """Seconds of masked pre-training in one cell; 0 where it has none."""
    if planned.cell.weights != "masked" or cost.pretrain_step_s is None:
        return 0.0
    return planned.recipe.pretrain_steps * cost.pretrain_step_s


def _profile_seconds(planned: PlannedCell, cost: Cost) -> float:
    """Fixed sampling times, and the steps that a slow model needs whatever it takes (see bench.execution.profile)."""
    brief = not planned.recipe.publishable
    batch_s = planned.cell.batch * cost.infer_clip_s
    if cost.step_s is None:
        return (1.5 if brief else 5.0) + 16 * cost.infer_clip_s
    if brief:
        return 2.5 + 9 * cost.step_s + 13 * batch_s + 12 * cost.infer_clip_s
    return 18.0 + 10 * cost.step_s + 20 * batch_s + 16 * cost.infer_clip_s


def _duration(seconds: float) -> str:
    if seconds < 300:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
