"""The data sets that come with bench. Listing them reads no file and imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterable

from bench import DatasetSpec, hookimpl
from bench_datasets import _specs_sounds, _specs_speech


@hookimpl
def bench_add_datasets() -> Iterable[DatasetSpec]:
    """Sounds of the environment, the city and instruments; spoken digits and words; the user's own; the demo."""
    return [
        *_specs_sounds.environmental(),
        *_specs_sounds.urban(),
        *_specs_sounds.instruments(),
        *_specs_speech.spoken_digits(),
        *_specs_speech.digit_pairs(),
        *_specs_speech.published_digits(),
        *_specs_speech.spoken_commands(),
        _specs_sounds.manifest(),
        _specs_sounds.demo(),
    ]
