"""The library's two functions: run a selection, read records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.config.selection import Selection
from bench.config.settings import DEFAULT_OUT, Settings
from bench.errors import StoreError
from bench.results.records import Record
from bench.results.store import Store
from bench.running.progress import Progress
from bench.running.runner import Runner


def run(
    models: str | Sequence[str] = "default",
    dataset: str | Sequence[str] = "demo",
    *,
    out: str | Path = DEFAULT_OUT,
    progress: Progress | None = None,
    **options: Any,
) -> list[Record]:
    """Train and measure models on data sets; stored results whose fingerprint still holds are reused.

    Args:
        models: ``default``, ``all``, ``documented``, families or model names.
        dataset: Names of data sets.
        out: Run folder; an existing one is resumed.
        progress: Told what happens, a :class:`bench.Progress`.
        **options: Fields of :class:`bench.config.selection.Selection` (``folds``, ``seeds``, ``mode``, ``weights``,
            ``inputs``, ``recipe``, ``device``, ...) and of
            :class:`bench.config.settings.Settings` (``timeout_s``, ``jobs``, ``plugins``, ``launcher``, ...).

    Returns:
        One record per cell; failed cells are records too, look at ``record.status``.

    Raises:
        BenchError: The selection, a plugin or the data needs attention.
    """
    what = {key: value for key, value in options.items() if key in Selection.__dataclass_fields__}
    how = {key: value for key, value in options.items() if key in Settings.__dataclass_fields__}
    if unknown := sorted(set(options) - set(what) - set(how)):
        allowed = sorted({*Selection.__dataclass_fields__, *Settings.__dataclass_fields__})
        raise TypeError(f"run() has no option {unknown[0]!r}; it has {', '.join(allowed)}")
    selection = Selection(models=_several(models), datasets=_several(dataset), **what)
    return Runner(selection, Settings(out=Path(out), **how), progress).run().records


def load_records(root: str | Path) -> list[Record]:
    """All records of a run folder, in the order of their cells.

    Raises:
        StoreError: There are none, or one cannot be read; the message names every such file.
    """
    records, problems = Store(Path(root)).records()
    if problems:
        raise StoreError("; ".join(str(problem) for problem in problems))
    if not records:
        raise StoreError(f"no records in {root}; `bench run --out {root}` writes some")
    return records


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)
