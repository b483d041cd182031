"""What a row's records say apart from their scores: the model, what is missing and why, how to run it again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.analysis.grouping import RowGroup, RowKey, part
from bench.cell import FROZEN, Cell, axes, parse_inputs
from bench.config.recipes import BUILTIN
from bench.escaping import shell
from bench.results.records import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the records say about the model.

    Attributes:
        parameters: Parameters without the front end; ``None`` if unknown.
        frontend_parameters: Parameters and buffers of the front end; ``None`` if unknown.
        inputs: Modality to how it came: ``given``, ``derived``, ``shuffled``, ``missing``.
        inductive: ``False`` if a clip's logits depend on its batch mates; ``None`` where nobody could tell.
        trained_on: Data its weights had seen before.
        plugin: Who gave it: plugin, distribution and version.
        source: What it follows.
        license: Of its code.
        checkpoint_bytes: Largest stored weight file of its cells; ``None`` where none was kept.
    """

    family: str = ""
    parameters: int | None = None
    frontend_parameters: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    inductive: bool | None = True
    trained_on: tuple[str, ...] = ()
    plugin: str = ""
    source: str = ""
    license: str = ""
    checkpoint_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """Cells without a result, and why.

    Attributes:
        status: The records' status; ``missing`` where a planned cell has no record.
        kind: ``evaluate`` or ``profile``.
        reason: The records' reason (``nan``, ``budget``, ...), empty where missing.
        stage: Where it happened.
        message: One line for people.
        cells: How many cells, of these folds and seeds.
    """

    status: Status | str
    kind: str
    reason: str
    stage: str
    message: str
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    cells: int


def facts(group: RowGroup) -> ModelFacts:
    """What the best-informed record says about the model."""
    records = sorted([*group.evaluate, *group.profile], key=lambda record: (record.status != "ok", axes(record.cell)))
    blocks: list[Mapping[str, Any]] = [part(record, "model") for record in records]
    block = next((block for block in blocks if block), {})
    sizes = [record.artifacts.get("checkpoint", {}).get("bytes") for record in records]
    plugin = " ".join(str(block[name]) for name in ("plugin", "distribution", "version") if block.get(name))
    return ModelFacts(
        family=str(block.get("family") or group.key.model.partition(".")[0]),
        parameters=next((found["parameters"] for found in blocks if found.get("parameters") is not None), None),
        frontend_parameters=block.get("frontend_parameters"),
        inputs=dict(block.get("inputs") or {}),
        inductive=min((one.get("inductive", True) for one in blocks), key=(False, None, True).index, default=True),
        trained_on=tuple(block.get("trained_on") or ()),
        plugin=plugin,
        source=str(block.get("source") or ""),
        license=str(block.get("license") or ""),
        checkpoint_bytes=max(filter(None, sizes), default=None),
    )


def control(key: RowKey, about: ModelFacts) -> str:
    """Why a row shows what a score is worth rather than competes for rank; empty where it competes."""
    told = [how.split(", ") for how in about.inputs.values()]
    ways = {how for found in (*parse_inputs(key.inputs).values(), *told) for how in found}
    if ways & {"shuffled", "missing"}:
        return "a control"
    frozen = key.mode in FROZEN and key.weights == "random" and not about.trained_on
    return "a control: frozen random weights" if frozen else ""


def publishable(group: RowGroup) -> tuple[bool, tuple[str, ...]]:
    """Whether every result of the row may enter a published table, and why not."""
    good = [record.provenance for record in group.evaluate if record.status == "ok"]
    reasons = dict.fromkeys(str(why) for block in good for why in block.get("not_publishable") or ())
    if not reasons and any(block.get("publishable") is not True for block in good):
        reasons["its records say so without a reason"] = None
    return bool(good) and not reasons, tuple(reasons)


def outcomes(group: RowGroup, done: Collection[tuple[int, int]]) -> tuple[Unfinished, ...]:
    """Cells without a result, put together where the reason is the same.

    ``done`` are the ``(fold, seed)`` that have a result all the same (from another device, say).
    """
    pairs: dict[tuple[str, str, str, str, str], list[tuple[int, int]]] = {}
    for record in [*group.evaluate, *group.profile]:
        cell = record.cell
        if record.status == "ok" or (cell.kind == "evaluate" and (cell.fold, cell.seed) in done):
            continue
        error = record.error
        why = ("", "", "") if error is None else (error.reason, error.stage, error.message)
        pairs.setdefault((cell.kind, record.status, *why), []).append((cell.fold, cell.seed))
    recorded = {(record.cell.fold, record.cell.seed) for record in group.evaluate}
    for cell in group.planned:
        if cell.kind == "profile" or (cell.fold, cell.seed) not in recorded:
            key = (cell.kind, "missing", "", "", "planned, not run yet: the same bench run resumes")
            pairs.setdefault(key, []).append((cell.fold, cell.seed))
    return tuple(
        Unfinished(
            kind=kind,
            status=status,
            reason=reason,
            stage=stage,
            message=message,
            folds=tuple(sorted({fold for fold, _ in where})),
            seeds=tuple(sorted({seed for _, seed in where})),
            cells=len(where),
        )
        for (kind, status, reason, stage, message), where in sorted(pairs.items())
    )


def recipe_source(recipe: str) -> str:
    """What ``--recipe`` takes for a record's recipe: a built-in name, or the file it came from.

    >>> recipe_source("full"), recipe_source("quick~12ab34"), recipe_source("digits~a9bffa")
    ('full', 'quick', 'digits.toml')
    """
    base = recipe.partition("~")[0].partition("@")[0]
    return base if base in BUILTIN else f"{base}.toml"


def typed(group: RowGroup) -> list[tuple[str, str]]:
    """Options that its cells do not name, with their values, as they were typed for the row's first record."""
    found = (record.provenance.get("typed") for record in [*group.evaluate, *group.profile])
    return [(str(option), str(value)) for option, value in next(filter(None, found), ())]


def command(group: RowGroup, cells: Sequence[Cell]) -> str:
    """A command that makes the row again; of earlier records as far as names can say it."""
    if not cells:
        return ""
    key, first, options = group.key, min(cells), typed(group)
    folds = sorted({cell.fold for cell in cells} - {0})
    named = {option for option, _ in options}
    given = key.weights != "random" and not named & {"--weights", "--models"}
    label, _, limit = key.recipe.partition("@limit")
    said = {
        "--models": key.model if "--models" not in named else "",
        "--dataset": first.data_name,
        "--protocol": first.protocol.partition("@")[0],
        "--folds": ",".join(map(str, folds)),
        "--seeds": ",".join(map(str, sorted({cell.seed for cell in cells}))),
        "--mode": key.mode if key.mode != "scratch" else "",
        "--weights": key.weights if given else "",
        "--inputs": key.inputs,
        "--frontend": key.frontend if key.frontend not in ("waveform", "given") else "",
        "--feeding": key.feeding if key.feeding != "fly" and key.frontend != "given" else "",
        "--recipe": recipe_source(label) if "--recipe" not in named else "",
        "--device": first.device,
        "--nproc": str(first.nproc) if first.nproc > 1 else "",
        "--precision": key.precision if key.precision != "fp32" else "",
        "--limit": limit,
    }
    words = [f"{option} {shell(value)}" for option, value in [*said.items(), *options] if value]
    return " ".join(["bench run", *words])
