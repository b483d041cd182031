"""The result file format: one JSON object per cell, versioned, upgraded one step at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from bench.cell import Cell
from bench.errors import StoreError
from bench.results.blocks import blocks
from bench.results.reading import first_problem, parse_json, reason
from bench.results.writing import json_text

SCHEMA_VERSION = 2
AGAIN = "the bench run that made it sets it aside and measures again"

Status = Literal["ok", "failed", "oom", "timeout", "crashed", "cancelled", "incompatible", "over_budget"]
PLANNED: frozenset[str] = frozenset({"incompatible", "over_budget"})
"""Outcomes that the plan decides; they are results, not failures."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, strict=True)


_STRICT = Field(strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number with its direction, so that no reader needs the metric's plugin.

    Attributes:
        name: ``accuracy``, ``macro_f1``, ...
        value: The number (a fraction where the unit says so); ``None`` where it is not defined here.
        unit: ``fraction``, ``nats`` or empty.
        higher_is_better: Its direction.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # its fields are strict, as a record is

    name: Annotated[str, _STRICT]
    value: Annotated[float | None, _STRICT]
    unit: Annotated[str, _STRICT] = "fraction"
    higher_is_better: Annotated[bool, _STRICT] = True

    @property
    def sign(self) -> int:
        """What a value is multiplied by so that more is better."""
        return 1 if self.higher_is_better else -1

    def of(self, value: float | None) -> Score:
        """The same score with another value."""
        if value is None:
            return _without_value(self.name, self.unit, self.higher_is_better)
        return replace(self, value=value)


@functools.lru_cache(maxsize=256)
def _without_value(name: str, unit: str, higher_is_better: bool) -> Score:  # noqa: FBT001
    return Score(name=name, value=None, unit=unit, higher_is_better=higher_is_better)


class Failure(_Frozen):
    """Why a cell has no result.

    Attributes:
        reason: ``raised``, ``nan``, ``shape``, ``state``, ``data``, ``memory``, ``timeout``, ``exit``, ``signal``, ``needs``,
            ``budget``, ...
        stage: Where: ``plan``, ``data``, ``frontend``, ``build``, ``pretrain``, ``train``, ``evaluate``, ``profile``,
            ``record``.
        message: One line for people.
        detail: Traceback or the tail of the worker's log.
    """

    reason: str
    stage: str
    message: str
    detail: str = ""


class Record(_Frozen):
    """What became of one cell, self-contained: a report needs no plugin and no registry.

    Attributes:
        cell: Which measurement this is.
        status: ``ok`` or what happened instead.
        scores: Of an ``ok`` evaluate cell.
        timing: Seconds and rates: ``{"wall_s": ..., "train_s": ..., "train_clips_per_s": ...}``; a profile cell
            adds ``latency`` and ``throughput`` (see :mod:`bench.measurement`). Unknown is ``None``.
        memory: MiB: ``{"host_peak_mib": ..., "device_peak_mib": ..., ...}``; unknown is ``None``
            with the reason under ``"reasons"``.
        recipe: The resolved training settings.
        environment: Hardware, libraries and state of the machine.
        provenance: ``schema_version``, ``fingerprint``, protocol (name, hash, leak report), data set (title,
            labels, counts, manifest, notes), model (parameters, plugin, distribution, version, inputs given or
            derived, inductive), ``publishable`` and why not, git state, clips done.
        artifacts: Files beside the record: ``{"predictions": {"file": ..., "sha256": ..., "bytes": ...}}``.
        started_at: UTC, ISO 8601.
        error: ``None`` for ``ok``.
    """

    cell: Cell
    status: Status
    scores: Annotated[tuple[Score, ...], Field(strict=False)] = ()
    timing: dict[str, Any] = Field(default_factory=dict)
    memory: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    started_at: str
    error: Failure | None = None

    @field_validator("cell", mode="before")
    @classmethod
    def _cell(cls, value: Any) -> Cell:
        return value if isinstance(value, Cell) else Cell.from_json(value)

    @property
    def fingerprint(self) -> str:
        """What decides whether the record may be reused."""
        return str(self.provenance.get("fingerprint", ""))

    def score(self, name: str) -> float | None:
        """The value of one score, ``None`` where the record has none of that name."""
        return next((score.value for score in self.scores if score.name == name), None)

    @property
    def primary(self) -> Score | None:
        """The score that its data set is judged by, else the first; ``None`` without scores."""
        dataset = self.provenance.get("dataset")
        name = dataset.get("primary_metric") if isinstance(dataset, dict) else None
        return next((score for score in self.scores if score.name == name), next(iter(self.scores), None))

    def to_json(self) -> str:
        """The record as it is stored: sorted keys, one object, a final newline; NaN is refused."""
        values = self.model_dump(mode="python", exclude={"cell"})
        values["cell"] = self.cell.to_json()
        return json_text(values) + "\n"


Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


def upgraded_cell(values: Any) -> Any:
    """A cell as any version stored it, with the axes that came later: plans hold cells without a version."""
    return {"weights": "random", **values} if isinstance(values, dict) else values


def _with_weights(raw: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew training from random weights only."""
    return {**raw, "cell": upgraded_cell(raw.get("cell"))}


UPGRADES: Mapping[int, Upgrade] = {1: _with_weights}
"""``{n: function}``: each turns a raw record of version n into one of version n + 1."""


def parse_record(text: str | bytes, origin: str) -> Record:
    """The record in ``text``, upgraded to the current schema.

    Args:
        text: Contents of a record file.
        origin: Its name, for messages.

    Raises:
        StoreError: Torn, foreign, damaged or newer than this version of bench.
    """
    try:
        raw = parse_json(text)
    except ValueError as error:
        raise StoreError(f"{origin}: not a whole JSON file ({reason(error)}); {AGAIN}") from error
    provenance = raw.get("provenance") if isinstance(raw, dict) else None
    version = provenance.get("schema_version") if isinstance(provenance, dict) else None
    if type(version) is not int or version < 1:
        raise StoreError(f"{origin}: no bench record (provenance.schema_version is {version!r:.40}); {AGAIN}")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{origin}: schema version {version}, this bench reads up to {SCHEMA_VERSION}; "
            "install the bench-audio that wrote it or a newer one (`pip install -U bench-audio`)"
        )
    while version < SCHEMA_VERSION:
        raw = UPGRADES[version](raw)
        version += 1
        raw["provenance"]["schema_version"] = version
    try:
        blocks()(raw)
        return Record.model_validate(raw)
    except ValueError as error:
        raise StoreError(f"{origin}: edited or foreign record: {first_problem(error)}; {AGAIN}") from error
