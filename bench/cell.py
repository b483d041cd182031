"""Cell: the names and numbers that say which measurement is meant."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

CellKind = Literal["evaluate", "profile"]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One measurement: printable, hashable, picklable, sortable.

    Attributes:
        kind: ``evaluate`` (train, then score) or ``profile`` (speed and memory).
        dataset: Name of the data set.
        protocol: Name and version of the protocol, ``"4+1@1"``.
        fold: Test fold in the authors' numbering; 0 for a fixed split and for profile cells.
        model: Name of the model, aliases already expanded.
        mode: ``scratch``, ``finetune``, ``probe``, ``knn`` or ``zero_shot``.
        inputs: Modalities used, joined by ``+``: ``audio``, ``audio+image``.
        frontend: Name of the front end, ``waveform`` where the model takes the samples.
        feeding: ``fly`` (features computed per batch) or ``precomputed`` (read from the store).
        recipe: Name of the recipe; a ``~hash`` is appended where settings were overridden.
        seed: Seed of initialisation, order and augmentation.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        batch: Training batch size in clips.
        clip_samples: Length of a clip in samples.
    """

    kind: CellKind
    dataset: str
    protocol: str
    fold: int
    model: str
    mode: str = "scratch"
    inputs: str = "audio"
    frontend: str = "waveform"
    feeding: str = "fly"
    recipe: str = "quick"
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    batch: int = 16
    clip_samples: int = 80_000

    @property
    def id(self) -> str:
        """A relative path that names every axis; also the test id and the log prefix."""
        where = f"fold{self.fold}-seed{self.seed}" if self.kind == "evaluate" else f"seed{self.seed}"
        axes = (
            where, self.mode, self.inputs, self.frontend, self.feeding, self.recipe,
            self.device, self.precision, f"b{self.batch}", f"n{self.clip_samples}",
        )  # fmt: skip
        return f"{self.dataset}/{self.protocol}/{self.model}/{self.kind}-{'-'.join(axes)}"

    @property
    def short(self) -> str:
        """Enough of the id for a progress line."""
        what = f"fold {self.fold} seed {self.seed}" if self.kind == "evaluate" else "profile"
        return f"{self.model} on {self.dataset} {what}"

    def to_json(self) -> dict[str, Any]:
        """The cell as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Cell:
        """The cell that :meth:`to_json` wrote.

        Raises:
            ValueError: A key is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown keys in a cell: {', '.join(unknown)}")
        if missing := sorted(known - set(values)):
            raise ValueError(f"missing keys in a cell: {', '.join(missing)}")
        return cls(**values)
