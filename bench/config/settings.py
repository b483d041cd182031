"""How to run, as opposed to what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_OUT = Path("results") / "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run, as opposed to what.

    Attributes:
        out: Run folder.
        timeout_s: Limit of one cell; ``None`` = half an hour, or five times its expected time if that is more.
        jobs: Evaluate cells at the same time; ``None`` = as many as cores and memory allow (1 on a GPU).
        plugins: ``--plugin`` files.
        without: Plugins not to load.
        launcher: Who runs the cells, ``NAME`` or ``NAME:key=value,...``; empty = the registry's default.
        metric: What boards sort and rank by where it is defined, ``None`` = each data set's own.
        keep_checkpoints: Store weights and test embeddings beside the records.
    """

    out: Path = DEFAULT_OUT
    timeout_s: float | None = None
    jobs: int | None = None
    plugins: tuple[Path, ...] = ()
    without: tuple[str, ...] = ()
    launcher: str = ""
    metric: str | None = None
    keep_checkpoints: bool = True
