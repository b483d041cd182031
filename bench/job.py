"""Job: all that a worker process needs to run one cell, as JSON values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell with everything around it that is no axis of the measurement.

    Attributes:
        cell: What to measure.
        recipe: Resolved training settings.
        fingerprint: Decides whether the stored record may be reused.
        out: Run folder.
        data: ``--data``, ``None`` for the environment or the cache.
        plugins: Absolute paths of ``--plugin`` files.
        without: Plugin names not to load.
        limit: Largest number of clips per split part; ``None`` = all.
        threads: Compute threads of the worker.
        timeout_s: Seconds after which the supervisor kills the worker.
        keep_checkpoint: Store the weights and the test embeddings beside the record.
        action: ``cell`` runs it; ``probe`` times a few steps for the plan, on synthetic clips.
    """

    cell: Cell
    recipe: Recipe
    fingerprint: str
    out: Path
    data: Path | None = None
    plugins: tuple[Path, ...] = ()
    without: tuple[str, ...] = ()
    limit: int | None = None
    threads: int = 1
    timeout_s: float | None = None
    keep_checkpoint: bool = True
    action: str = "cell"
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """Jobs of the same key may follow each other in one worker; a profile cell never does."""
        if self.action == "estimate":
            return ("", "", "estimate")  # nothing is run, so nothing can disturb the next one
        kind = self.cell.id if self.cell.kind == "profile" or self.action == "probe" else "evaluate"
        return (self.cell.model, self.cell.dataset, kind)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "cell": self.cell.to_json(),
                "recipe": self.recipe.model_dump(mode="json"),
                "fingerprint": self.fingerprint,
                "out": str(self.out),
                "data": str(self.data) if self.data else None,
                "plugins": [str(p) for p in self.plugins],
                "without": list(self.without),
                "limit": self.limit,
                "threads": self.threads,
                "timeout_s": self.timeout_s,
                "keep_checkpoint": self.keep_checkpoint,
                "action": self.action,
                "extra": self.extra,
            }
        )

    @classmethod
    def from_json(cls, line: str) -> Job:
        """The job that :meth:`to_json` wrote."""
        raw = json.loads(line)
        raw["cell"] = Cell.from_json(raw["cell"])
        raw["recipe"] = Recipe.model_validate(raw["recipe"])
        raw["out"] = Path(raw["out"])
        raw["data"] = Path(raw["data"]) if raw["data"] else None
        raw["plugins"] = tuple(Path(p) for p in raw["plugins"])
        raw["without"] = tuple(raw["without"])
        return cls(**raw)
