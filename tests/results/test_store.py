"""Records on disk: whole or not at all, checked when read, upgraded when old, refused when newer."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell, axes
from bench.clips import Clips
from bench.errors import StoreError
from bench.results.folder import write_atomic
from bench.results.records import SCHEMA_VERSION, Failure, Record, Score, parse_record
from bench.results.store import Store

CELL = Cell(kind="evaluate", dataset="demo", protocol="4+1@1", fold=1, model="a.b")
TOP = {
    "cell", "status", "scores", "timing", "memory", "recipe", "environment", "provenance", "artifacts",
    "started_at", "error",
}  # fmt: skip


def record(**changes) -> Record:
    values = {
        "cell": CELL, "status": "ok", "scores": (Score(name="accuracy", value=0.5),),
        "started_at": "2026-01-01T00:00:00Z",
        "provenance": {"schema_version": SCHEMA_VERSION, "fingerprint": "f"},
    }  # fmt: skip
    return Record(**(values | changes))


FAILED = record(status="failed", scores=(), error=Failure(reason="nan", stage="train", message="the loss is nan"))


def test_round_trip_and_keys(tmp_path: Path) -> None:
    store = Store(tmp_path)
    arrays = {
        "logits": np.arange(6, dtype=np.float32).reshape(3, 2), "ids": np.array(["x", "y", "z"]),
        "targets": np.array([0, 1, 1]),
    }  # fmt: skip
    written = store.write(record(), arrays, {"checkpoint.safetensors": b"weights"})
    text = store.path(CELL).read_text()
    assert set(json.loads(text)) == TOP
    assert store.read(CELL) == written
    found = store.predictions(written)
    assert found["ids"].tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(found["logits"], arrays["logits"])
    assert written.artifacts["checkpoint"]["bytes"] == 7


def test_golden_record() -> None:
    golden = Path(__file__).resolve().parents[1] / "golden" / "record_v2.json"
    assert SCHEMA_VERSION == 2, "add a golden record of the new version; keep those of the old ones"
    assert FAILED.to_json() == golden.read_text()
    assert parse_record(golden.read_text(), "golden") == FAILED


def test_first_version_knew_random_weights_only() -> None:
    text = (Path(__file__).resolve().parents[1] / "golden" / "record_v1.json").read_text()
    assert "weights" not in text
    assert parse_record(text, "golden") == FAILED


def test_weights_show_in_the_id() -> None:
    probe = replace(CELL, mode="probe", weights="masked")
    assert "-probe@masked-" in probe.id
    assert "-scratch-" in CELL.id
    assert replace(probe, weights="x~1").id != probe.id
    assert Cell.from_json(probe.to_json()) == probe
    assert (axes(probe) < axes(CELL)) == (probe < CELL)


def test_same_arrays_same_bytes(tmp_path: Path) -> None:
    arrays = {"b": np.zeros(3), "a": np.ones(2)}
    first = Store(tmp_path / "1").write(record(), arrays).artifacts
    second = Store(tmp_path / "2").write(record(), dict(reversed(arrays.items()))).artifacts
    assert first == second


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Store(tmp_path).write(record(timing={"wall_s": float("nan")}))
    assert not Store(tmp_path).path(CELL).exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a whole JSON file"),
        ("[]", "no bench record"),
        ('{"provenance": {}}', "no bench record"),
        ('{"provenance": {"schema_version": 99}}', "install the bench-audio that wrote it"),
        ('{"provenance": {"schema_version": 1}, "surprise": 3}', "edited or foreign"),
    ],
)
def test_bad_records_are_named_and_skipped(tmp_path: Path, text: str, says: str) -> None:
    store = Store(tmp_path)
    store.write(record())
    bad = tmp_path / "records" / "demo" / "bad.json"
    bad.write_text(text)
    good, problems = store.records()
    assert [r.cell for r in good] == [CELL]
    assert len(problems) == 1
    assert says in str(problems[0])
    assert "bad.json" in str(problems[0])


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(StoreError):
        parse_record(text, "noise")


def test_changed_predictions_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    written = store.write(record(), {"logits": np.zeros((2, 2))})
    path = store.path(CELL).with_suffix(".npz")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreError, match="were changed"):
        store.predictions(written)
    path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        store.predictions(written)


def test_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.write(record())
    before = store.path(CELL).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="the disk is full"):
        store.write(record(status="failed"))
    assert store.path(CELL).read_bytes() == before
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Store(blocked / "run").prepare()


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record())
    left = [tmp_path / f".plan.json.{'0' * 32}.tmp", tmp_path / "records" / f".x.json.{'1' * 32}.tmp"]
    for path in left:
        path.write_text("{")
    with store.exclusive():
        assert not any(path.exists() for path in left)
    assert store.read(CELL) == record()


def test_cell_json_refuses_unknown_axes() -> None:
    assert Cell.from_json(CELL.to_json()) == CELL
    with pytest.raises(ValueError, match="colour"):
        Cell.from_json({**CELL.to_json(), "colour": "red"})


def test_cells_of_different_axes_have_different_ids() -> None:
    from dataclasses import fields, replace

    other = {"kind": "profile", "fold": 2, "seed": 3, "batch": 99, "clip_samples": 5, "nproc": 2}
    for field in fields(Cell):
        if field.name == "kind":
            continue
        changed = replace(CELL, **{field.name: other.get(field.name, "else")})
        assert changed.id != CELL.id, field.name


def test_a_plan_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    cell = Cell(kind="evaluate", dataset="d", protocol="4+1@1", fold=1, model="m")
    values = cell.to_json()
    del values["weights"]
    store.write_plan({"cells": [values], "decisions": [{"id": cell.id, "decision": "run", "fingerprint": "f"}]})
    assert store.planned() == [cell]


def test_a_result_on_other_files_is_kept_apart_and_never_replaced(tmp_path: Path) -> None:
    def clips(contents: str) -> Clips:
        return Clips(
            title="T", ids=("a",), targets=np.array([0]), label_names=("x", "y"), audio=None, sample_rate=1,
            clip_samples=1, manifest_sha256="m", contents_sha256=contents,
        )  # fmt: skip

    store, other = Store(tmp_path), tmp_path / "other-data" / "c1c1c1c1c1c1"
    told = {"dataset": {"manifest_sha256": "m", "contents_sha256": "c1" * 32}, "schema_version": SCHEMA_VERSION}
    stored = store.write(record(provenance=told, scores=()), {"logits": np.ones(2)}, {"checkpoint.safetensors": b"w"})
    beside = replace(CELL, fold=2)
    store.write(record(cell=beside, provenance=told))
    assert store.set_aside(CELL, clips("c1" * 32)) is None
    assert store.set_aside(CELL, clips("d2" * 32)) == other
    assert store.read(CELL) is None
    assert store.read(beside) is not None
    kept = Store(other)
    assert kept.records()[0] == [stored]
    assert kept.predictions(stored)["logits"].tolist() == [1, 1]
    assert [one.cell for one in store.records()[0]] == [beside]
    assert store.set_aside(CELL, clips("e3" * 32)) is None
    early = {"dataset": {"manifest_sha256": "another list"}, "schema_version": SCHEMA_VERSION}
    store.write(record(provenance=early))
    assert store.set_aside(CELL, clips("c1" * 32)) == tmp_path / "other-data" / "another list"
    store.write(record(status="failed", scores=(), error=FAILED.error, provenance=early))
    assert store.set_aside(CELL, clips("c1" * 32)) is None
