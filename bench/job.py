"""Job: all that a worker process needs to run one cell, as JSON values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from bench.cell import Cell
from bench.recipe import Recipe

Action = Literal["cell", "price", "estimate", "pace", "trace", "block", "count"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell with everything around it that is no axis of the measurement.

    Attributes:
        cell: What to measure.
        recipe: Resolved training settings.
        fingerprint: Decides whether the stored record may be reused.
        data: ``--data``, ``None`` for the environment or the cache.
        weights: The file of ``--weights FILE``, ``None`` where the cell starts from none.
        weights_prefix: Which names of its tensors stand for others, ``OLD=NEW``; empty = they are the model's own.
        reference: What the model was asked for by, empty where it has a name in the registry.
        plugins: Absolute paths of ``--plugin`` files.
        without: Plugin names not to load.
        limit: Largest number of clips per split part; ``None`` = all.
        threads: Compute threads of the worker.
        timeout_s: Seconds after which the supervisor kills the worker.
        counters: ``perf`` or ``callgrind``: count operators, allocations and instructions too; empty = no.
        keep_checkpoint: Keep the weights and the test embeddings beside the record.
        action: ``cell`` runs it; ``price`` times a few steps for the plan, ``estimate`` counts operators for it,
            ``pace`` times this machine at such; ``trace`` runs a few steps under the profiler, ``block`` measures
            shortly for a gate, ``count`` what is no time.
        stack: The id of the first of those cells that are to be trained as one network; empty = it is none of them.
        mates: On the first one the jobs of the others.
        if_faster: Whether they are only where that is the faster way.
        apart: Why a cell runs by itself that was to be trained together with others.
    """

    cell: Cell
    recipe: Recipe
    fingerprint: str
    data: Path | None = None
    weights: Path | None = None
    weights_prefix: str = ""
    reference: str = ""
    plugins: tuple[Path, ...] = ()
    without: tuple[str, ...] = ()
    limit: int | None = None
    threads: int = 1
    timeout_s: float | None = None
    counters: str = ""
    keep_checkpoint: bool = True
    action: Action = "cell"
    stack: str = ""
    mates: tuple[Job, ...] = ()
    if_faster: bool = False
    apart: str = ""

    @property
    def alone(self) -> bool:
        """Whether the job needs a process that nothing was run in before, as what is measured does."""
        return self.action in ("price", "trace") or (self.action == "cell" and self.cell.kind == "profile")

    @property
    def counts(self) -> bool:
        """Whether it runs no model: such jobs follow each other in one process."""
        return self.action in ("estimate", "pace")

    @property
    def forks(self) -> bool:
        """Whether a fork of a process that has imported what other models need will do: nothing is published.

        The second and later processes of a model (seeds of its profile cells) are there to have another layout in
        memory, which forks share.
        """
        return not self.recipe.publishable and not (self.alone and self.cell.seed)

    @property
    def key(self) -> tuple[str, str, str]:
        """Jobs of the same key may follow each other in one worker; one that is ``alone`` has a key of its own."""
        if self.counts:
            return ("", "", "estimate")  # nothing is run, so nothing can disturb the next one
        if self.action in ("block", "count"):
            return ("", "", "block")  # each runs in a fork of its own
        return (self.cell.model, self.cell.dataset, self.cell.id if self.alone else self.stack or self.cell.kind)

    def to_json(self) -> str:
        """One line of JSON."""
        values = {"cell": self.cell.to_json(), "recipe": self.recipe.model_dump(mode="json")}
        mates = [mate.to_json() for mate in self.mates]
        return json.dumps(asdict(replace(self, mates=())) | values | {"mates": mates}, default=str)

    @classmethod
    def from_json(cls, line: str) -> Job:
        """The job that :meth:`to_json` wrote."""
        raw = json.loads(line)
        raw |= {"cell": Cell.from_json(raw["cell"]), "recipe": Recipe.model_validate(raw["recipe"])}
        raw |= {name: Path(raw[name]) if raw[name] else None for name in ("data", "weights")}
        raw |= {"plugins": tuple(Path(path) for path in raw["plugins"]), "without": tuple(raw["without"])}
        raw["mates"] = tuple(map(cls.from_json, raw.get("mates", ())))
        return cls(**raw)
