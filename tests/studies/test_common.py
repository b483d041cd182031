"""What studies share: which record is meant, and by which plugins it was made."""

from __future__ import annotations

import pytest

from bench import builtin
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import SelectionError
from bench.plugins.discovery import load_modules
from bench.results.records import Failure, Record
from bench.results.store import Store
from bench.studies.common import find_record, only_model, registry_of, with_reference


def test_several_cells_without_a_score_are_no_unknown_name(samples, tmp_path) -> None:
    store = Store(tmp_path)
    store.prepare()
    told = {"schema_version": 2}
    for fold in (1, 2):
        failure = Failure(reason="raised", stage="train", message="ValueError: no")
        store.write(
            Record(cell=samples.cell("a", fold), status="failed", started_at="", error=failure, provenance=told)
        )
    with pytest.raises(SelectionError, match="evaluate/failed: it has no score"):
        find_record(store, "/a/")
    samples.evaluated(store, samples.cell("a", 3), 0.9)
    assert find_record(store, "/a/").cell.fold == 3


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"plugin": "mine.py", "distribution": ""}, "came from mine.py, which is not here; give --plugin mine.py"),
        ({"plugin": "mine", "distribution": "bench-mine"}, "came from bench-mine, .* its package or --plugin FILE"),
        ({}, "came from a plugin, which is not here"),
    ],
)
def test_a_model_whose_plugin_is_not_here_is_told_with_it(samples, tmp_path, model, said) -> None:
    record = samples.evaluated(Store(tmp_path), samples.cell("a"), 0.9)
    record = record.model_copy(update={"provenance": {**record.provenance, "model": model}})
    with pytest.raises(SelectionError, match=said):
        with_reference(load_modules(builtin).registry, record)


@pytest.mark.parametrize("asked", ["calm.conv?heads=4", "timm:resnet10t"])
def test_a_study_of_one_model_takes_it_with_options_and_by_reference(tmp_path, asked) -> None:
    selection = Selection(models=(asked,), datasets=("demo",))
    assert only_model(selection, registry_of(selection, Settings(out=tmp_path))).startswith(asked[:4])
