"""aisfx as a model of bench, declared without importing it."""

from __future__ import annotations

from collections.abc import Iterable

from bench import ModelSpec, hookimpl


@hookimpl
def bench_add_models() -> Iterable[ModelSpec]:
    """The encoder of the paper's best model, X-Sequential-CE."""
    yield ModelSpec(
        name="aisfx",
        factory="bench_aisfx.encoder:build",
        sample_rate=44_100,
        lengths=True,
        axes={"mode": "probe"},
        recipes={"*": {"trim_db": None, "fill": "zeros"}},
        parameters=4_711_794,
        license="CC-BY-4.0",
        source="Ma & Lerch 2022, ISMIR: Representation Learning for the Automatic Indexing of Sound Effects Libraries",
        trained_on=("Pro Sound Effects", "Soundly", "UCS Mixed"),
        description="sound effects CNN: 512 values, the mean over blocks of 100 frames",
    )
