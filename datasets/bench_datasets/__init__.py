"""The data sets that come with bench. Listing them reads no file and imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterable

from bench import DatasetSpec, hookimpl
from bench_datasets._specs import SPECS


@hookimpl
def bench_add_datasets() -> Iterable[DatasetSpec]:
    """Sounds of the environment, the city and instruments; spoken digits and words; the user's own; the demo."""
    return SPECS
