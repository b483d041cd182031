"""How to run, as opposed to what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.config.selection import Selection

DEFAULT_OUT = Path("results") / "runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to run, as opposed to what.

    Attributes:
        out: Run folder.
        timeout_s: Limit of one cell; ``None`` = half an hour, or five times its expected time if that is more.
        jobs: Evaluate cells at the same time; ``None`` = as many as cores and memory allow (1 on a GPU).
        stack: Cells of one model, of other folds and seeds, that are trained as one network where that works; ``None``
            = on a GPU the seeds of a fold, up to :data:`bench.running.stacks.MOST`, where faster; 1 = none.
        plugins: ``--plugin`` files.
        without: Plugins not to load.
        launcher: Who runs the cells, ``NAME`` or ``NAME:key=value,...``; empty = the registry's default.
        observers: Whom the run is written to, each ``NAME`` or ``NAME:key=value,...``.
        metric: What boards sort and rank by where it is defined, ``None`` = each data set's own.
        rehash: Read every file of the data again, whatever is remembered of it.
        keep_checkpoints: Store weights and test embeddings beside the records.
        shard: Run this part of so many only, counted from 1.
        adopt: Write into a folder that holds other things than a run.
    """

    out: Path = DEFAULT_OUT
    timeout_s: float | None = None
    jobs: int | None = None
    stack: int | None = None
    plugins: tuple[Path, ...] = ()
    without: tuple[str, ...] = ()
    launcher: str = ""
    observers: tuple[str, ...] = ()
    metric: str | None = None
    rehash: bool = False
    keep_checkpoints: bool = True
    shard: tuple[int, int] | None = None
    adopt: bool = False


def typed(selection: Selection, settings: Settings) -> list[tuple[str, str]]:
    """Options of a run that its cells do not name, each with its value; of an absolute path the last name only."""
    started = None if selection.weights in ("masked", "random") else selection.weights
    found = [
        ("--data", _portable(selection.data)),
        ("--weights", _portable(started)),
        ("--weights-prefix", selection.weights_prefix),
        ("--recipe", _portable(selection.recipe)),
        *(("--set", item) for item in selection.overrides),
        *(("--plugin", _portable(path)) for path in settings.plugins),
        *(("--no-plugin", name) for name in settings.without),
    ]
    return [(option, value) for option, value in found if value]


def _portable(path: str | Path | None) -> str:
    place, mark, options = str(path or "").partition("?")
    return f"{Path(place).name if Path(place).is_absolute() else place}{mark}{options}"
