"""What weights have seen of the test clips: counted where declared, unknown where not, said on the board."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.analysis.tuned import contaminated
from bench.cell import Cell
from bench.clips import Clips
from bench.execution.opening import Opened
from bench.execution.sealed import masked
from bench.job import Job
from bench.plugins.specs import DatasetSpec, ModelSpec
from bench.recipe import Recipe
from bench.results.records import Record
from bench.running.contamination import contamination

COUNT = 8
IDS = tuple(f"freesound:{100 + row // 2}" for row in range(COUNT))


def clips(recordings=IDS) -> Clips:
    return Clips(
        title="Sounds", ids=tuple(map(str, range(COUNT))), targets=np.arange(COUNT) % 2, label_names=("a", "b"),
        audio=tuple(map(Path, map(str, range(COUNT)))), sample_rate=8000, clip_samples=800, manifest_sha256="m",
        recordings=recordings,
    )  # fmt: skip


def found(spec=None, *, weights="random", file=None, recordings=IDS, rows=(0, 1, 2, 7)):
    model = ModelSpec(name="net", factory="bench:run", **(spec or {}))
    entry = SimpleNamespace(spec=model, home=lambda name: name)
    dataset = SimpleNamespace(
        spec=DatasetSpec(name="esc10", load="bench:run", part_of="esc50", recordings_of=("sounds",))
    )
    cell = Cell(kind="evaluate", dataset="esc10", protocol="4+1@1", fold=1, model="net", weights=weights)
    job = Job(cell=cell, recipe=Recipe(name="quick"), fingerprint="f", weights=file)
    registry = SimpleNamespace(models={"net": entry}, datasets={"esc10": dataset})
    return contamination(registry, clips(recordings), job, list(rows))


def many():
    return (f"freesound:{number}" for number in (100, 103, 900))


def test_from_scratch_nothing_was_seen() -> None:
    assert found() is None
    assert found(weights="masked") is None


@pytest.mark.parametrize("name", ["ESC-50", "esc_10", "ESC 50", "Sounds"])
def test_a_model_trained_on_the_data_set_has_seen_it(name) -> None:
    told = found({"trained_on": ("AudioSet", name)})
    assert (told["rate"], told["clips"], told["of"]) == (1.0, 4, 4)


def test_recordings_are_counted_by_their_ids(monkeypatch) -> None:
    told = found({"trained_on": ("freesound:101",)})
    assert (told["rate"], told["clips"], told["reason"]) == (0.25, 1, "")
    assert found({"trained_on": ("freesound:999",)})["rate"] == 0.0
    monkeypatch.setattr("bench.running.contamination.load_factory", lambda name: many if name == "pkg:many" else None)
    assert found({"trained_recordings": "pkg:many"})["clips"] == 3


@pytest.mark.parametrize(
    ("spec", "more", "reason"),
    [
        ({"trained_on": ("AudioSet",)}, {}, "AudioSet has no recordings to compare"),
        ({"trained_on": ("youtube:abc",)}, {}, "youtube has no recordings to compare"),
        ({"trained_on": ("freesound:101",)}, {"recordings": None}, "the recordings of Sounds have no public ids"),
        ({"options": {"weights": "a.pt"}}, {}, "nothing says what its weights were trained on"),
        ({}, {"weights": "a~123456", "file": Path("none/a.pt")}, "nothing says what its weights were trained on"),
        ({}, {"weights": "hf~123456"}, "nothing says what its weights were trained on"),
    ],
)
def test_what_nobody_declares_is_unknown(spec, more, reason) -> None:
    told = found(spec, **more)
    assert (told["rate"], told["clips"], told["reason"]) == (None, None, reason)


def test_a_text_file_beside_a_weight_file_declares_for_it(tmp_path) -> None:
    file = tmp_path / "a.safetensors"
    (tmp_path / "a.safetensors.trained_on").write_text("FSD50K\n\nfreesound:100\nfreesound:101\n")
    told = found({"trained_on": ("ESC-50",)}, weights="a~123456", file=file)  # of the weights that it replaces
    assert (told["clips"], told["rate"], told["declared"]) == (3, 0.75, ["FSD50K"])


def record(fold: int, told) -> Record:
    cell = Cell(kind="evaluate", dataset="esc10", protocol="4+1@1", fold=fold, model="net")
    provenance = {} if told is None else {"contamination": told}
    return Record(cell=cell, status="ok", started_at="2026-01-01", provenance=provenance)


def test_a_row_says_what_its_records_found() -> None:
    def said(*told):
        return [*contaminated(SimpleNamespace(evaluate=[record(n, one) for n, one in enumerate(told, 1)]))]

    some = found({"trained_on": ("freesound:101",)})
    assert said(None, None) == []
    assert said(found({"trained_on": ("freesound:999",)})) == []
    assert said(some, some) == ["contaminated: its weights have seen 2 of 8 test clips"]
    unknown = found({"trained_on": ("AudioSet",)})
    assert said(unknown, unknown) == [
        "whether its weights have seen the test clips is unknown: AudioSet has no recordings to compare"
    ]


def test_the_process_that_fits_is_not_told_which_clips_belong_together() -> None:
    part = np.arange(4)
    split = SimpleNamespace(train=part, validation=part[:0], test=part + 4)
    cell = Cell(kind="evaluate", dataset="esc10", protocol="4+1@1", fold=1, model="net")
    job = Job(cell=cell, recipe=Recipe(name="quick"), fingerprint="f")
    assert masked(Opened(clips=clips(), waveforms=None), split, job).clips.recordings is None
