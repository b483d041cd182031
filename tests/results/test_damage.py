"""Whatever happens to a file on disk: one error that names it, never a traceback, never another number."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analysis.board import build_board
from bench.analysis.predictions import verify
from bench.cell import Cell
from bench.errors import StoreError
from bench.gate.baseline import Baseline, PinnedRow, Scored, _checksum, packed, parse_baseline
from bench.gate.collect import collect
from bench.metrics.scoring import catalog
from bench.planning.costs import Cost
from bench.plugins.discovery import load
from bench.plugins.factories import load_factory
from bench.results.plans import parse_plan
from bench.results.predictions import NpzArrays
from bench.results.reading import parse_as, parse_json
from bench.results.records import Record, parse_record
from bench.results.store import Store, npz_bytes

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
REGISTRY = load().registry
METRICS = catalog(REGISTRY)
OTHERS: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 1e308, 10**30, "", "x", "..", "a/../b", "\x00", [], ["x"], [[]], {}, {"x": {}}, [None] * 3,
)  # fmt: skip
"""Values of every type, to stand where another one should."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def changed(value: Any, at: tuple[Any, ...], other: Any) -> Any:
    """The value with something else at one place; ``KeyError`` for ``other`` takes the key away."""
    whole = [copy.deepcopy(value)]
    home: Any = whole
    for key in (0, *at)[:-1]:
        home = home[key]
    last = (0, *at)[-1]
    if other is KeyError:
        del home[last]
    else:
        home[last] = other
    return whole[0] if whole else None


def shown(records: list[Record], predictions: Callable[[Record], Any] | None = None) -> None:
    """All that ``bench report`` makes of records, and what ``bench baseline pin`` does."""
    board = build_board(records, metrics=METRICS, predictions=predictions)
    for name in ("md", "csv", "json", "latex"):
        load_factory(REGISTRY.reporters[name].factory)(board)
    collect([record.model_copy(update={"artifacts": {}}) for record in records], lambda _: {}, METRICS)


SAMPLES = {
    "evaluate": next((PUBLISHED / "esc10-full" / "records").rglob("evaluate-*.json")),
    "profile": next((PUBLISHED / "esc10-full" / "records").rglob("meamtm*/profile-*.json")),
}


@pytest.mark.parametrize("kind", SAMPLES)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_record_of_other_types_is_refused_or_shown(kind: str, data: st.DataObject) -> None:
    text = SAMPLES[kind].read_bytes()
    value = json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from([*places(value)]))
        if at or not isinstance(value, dict):
            value = changed(value, at, data.draw(st.sampled_from((*OTHERS, KeyError))))
    try:
        record = parse_record(json.dumps(value), "x.json")
    except StoreError as error:
        assert "x.json" in str(error)
        return
    shown([record, parse_record(text, "whole")])


def _plan() -> bytes:
    cell = Cell(kind="evaluate", dataset="d", protocol="4+1@1", fold=1, model="m")
    decision = {"id": cell.id, "decision": "run", "fingerprint": "f", "reason": "", "cost_s": 1.0}
    return json.dumps({"cells": [cell.to_json()], "decisions": [decision], "slots": 1}).encode()


def _baseline() -> bytes:
    cells = (
        Scored(fold=1, seed=0, value=0.5, clips=10, clips_sha256="c", per_clip=packed(np.arange(10.0) % 2)),
        Scored(fold=2, seed=0, value=0.25, clips=4, per_clip=packed(np.arange(4.0) / 7)),
    )
    row = PinnedRow(name="d/p/m/x", kind="evaluate", metric="accuracy", cells=cells, missing={"latency": "none"})
    return Baseline(pinned_at="2026-01-01T00:00:00+00:00", libraries={"torch": "2"}, rows=(row,)).to_json().encode()


COST = Cost(step_s=0.5, infer_clip_s=0.25, fit_clip_s=None)


def _as_plan(content: bytes, folder: Path) -> object:
    (folder / "plan.json").write_bytes(content)
    return parse_plan(folder / "plan.json")


def _as_cost(content: bytes, _: Path) -> object:
    try:
        return parse_as(Cost, parse_json(content))
    except ValueError as error:
        raise StoreError(str(error)) from error


def _as_text(parse: Callable[[str, str], object]) -> Callable[[bytes, Path], object]:
    return lambda content, _: parse(content.decode(errors="replace"), "x")


def _refused_or_read(parse: Callable[[bytes, Path], object], content: bytes, folder: Path) -> bool:
    """Whether a refusal names its reason, or a value came out; anything else that is raised comes through."""
    try:
        return parse(content, folder) is not None
    except StoreError as error:
        return bool(str(error))


KINDS: dict[str, tuple[bytes, Callable[[bytes, Path], object]]] = {
    "record": (SAMPLES["evaluate"].read_bytes(), lambda content, _: parse_record(content, "x")),
    "plan": (_plan(), _as_plan),
    "baseline": (_baseline(), _as_text(parse_baseline)),
    "cost": (json.dumps({name: getattr(COST, name) for name in Cost.__dataclass_fields__}).encode(), _as_cost),
}
RAW = (
    b"", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"NaN", b"[1e999]", b"\xff\xfe", b'"\\ud800"', b"null", b"[]",
    b'{"provenance": {"schema_version": 0}}', b'{"provenance": {"schema_version": -1}}',
    b'{"provenance": {"schema_version": 1' + b"0" * 40 + b"}}", b'{"provenance": {"schema_version": true}}',
)  # fmt: skip
"""Texts that no file of ours is."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("raw", RAW, ids=lambda raw: repr(raw[:30]))
def test_what_is_no_file_of_ours_is_named(kind: str, raw: bytes, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        KINDS[kind][1](raw, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_and_cuts_are_refused_or_read(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    content, parse = KINDS[kind]
    broken = bytearray(content)
    for _ in range(data.draw(st.integers(0, 2))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, 40) | st.integers(0, len(broken)))
    assert _refused_or_read(parse, bytes(broken[: len(broken) - cut]), tmp_path)


@pytest.mark.parametrize("kind", ["plan", "baseline", "cost"])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_other_types_are_refused_or_read(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    content, parse = KINDS[kind]
    value = json.loads(content)
    at = data.draw(st.sampled_from([*places(value)][1:]))
    value = changed(value, at, data.draw(st.sampled_from((*OTHERS, KeyError))))
    if kind == "baseline" and data.draw(st.booleans()):  # by someone who knows how it is sealed
        value.pop("sha256", None)
        value["sha256"] = _checksum(value)
    assert _refused_or_read(parse, json.dumps(value).encode(), tmp_path)


ARRAYS = {
    "ids": np.array(["a", "b", "c"]), "targets": np.array([0, 1, 1]), "groups": np.array(["g", "g", "h"]),
    "logits": np.array([[2, 1], [1, 2], [2, 1]], dtype=np.float32), "curve_train_loss": np.array([2.0, 1.0]),
}  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Record]:
    store = Store(tmp_path_factory.mktemp("run"))
    record = parse_record(SAMPLES["evaluate"].read_bytes(), "sample")
    scores = tuple(score.of(2 / 3) for score in record.scores if score.name == "accuracy")
    return store, store.write(record.model_copy(update={"artifacts": {}, "scores": scores}), ARRAYS)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_flipped_byte_of_predictions_is_always_found(stored: tuple[Store, Record], data: st.DataObject) -> None:
    store, record = stored
    path, content = store.path(record.cell).with_suffix(".npz"), npz_bytes(ARRAYS)
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytes([*content[:place], content[place] ^ data.draw(st.integers(1, 255)), *content[place + 1 :]])
    path.write_bytes(data.draw(st.sampled_from([flipped, content[:place], content + b"x"])))
    with pytest.raises(StoreError, match=r"were changed"):
        store.predictions(record)
    assert not store.intact(record)
    path.write_bytes(content)
    assert store.intact(record)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_predictions_whose_checksum_was_made_again(stored: tuple[Store, Record], data: st.DataObject) -> None:
    """No damage gives these, but a file of somebody else may."""
    store, record = stored
    kind = data.draw(st.sampled_from(["bytes", "arrays"]))
    if kind == "bytes":
        broken = bytearray(npz_bytes(ARRAYS))
        for _ in range(3):
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        content = bytes(broken)
    else:
        others = [np.zeros(2), np.array(3), np.array(["x"]), np.array([b"x"]), np.zeros((3, 1)), np.zeros((3, 2), int)]
        arrays: dict[str, Any] = {**ARRAYS, data.draw(st.sampled_from([*ARRAYS])): data.draw(st.sampled_from(others))}
        arrays.pop(data.draw(st.sampled_from([*ARRAYS, "none"])), None)
        content = npz_bytes(arrays)

    def predictions(one: Record) -> NpzArrays:
        return NpzArrays(content, scored=bool(one.scores))

    shown([record], predictions)
    found = verify([record], predictions, METRICS)
    try:
        collect([record], predictions, METRICS)
    except StoreError as error:
        refused = str(error)
    else:
        refused = ""
    assert found or not refused, "the gate refuses what a check finds nothing wrong with"


def spoil_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


SPOILT: dict[str, Callable[[Path], None]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "a folder": spoil_folder,
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path))[1],
    "a loop of links": lambda path: (path.unlink(), path.symlink_to(path.name))[1],
}


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_what_is_damaged_is_named_set_aside_and_free_to_be_made_again(how: str, suffix: str, tmp_path: Path) -> None:
    store, record = Store(tmp_path), parse_record(SAMPLES["evaluate"].read_bytes(), "sample")
    record = store.write(record.model_copy(update={"artifacts": {}, "scores": ()}), ARRAYS)
    path = store.path(record.cell)
    assert store.set_damaged_aside(record.cell) == ""
    SPOILT[how](path.with_suffix(suffix))
    good, bad = store.records()
    assert (len(good), len(bad)) == ((0, 1) if suffix == ".json" else (1, 0))
    assert not good or not store.intact(good[0])
    note = store.set_damaged_aside(record.cell)
    assert path.with_suffix(suffix).name in note
    assert "set aside as" in note.lower()
    aside = [file.name for file in path.parent.iterdir()]
    assert sorted(aside) == [f"{path.stem}.json.damaged-1", f"{path.stem}.npz.damaged-1"]
    assert store.write(record, ARRAYS) == store.read(record.cell)
    SPOILT[how](path.with_suffix(suffix))
    store.set_damaged_aside(record.cell)
    assert {f"{path.stem}.json.damaged-{number}" for number in (1, 2)} <= {file.name for file in path.parent.iterdir()}


def test_a_damaged_plan_is_named_and_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_plan(json.loads(_plan()))
    assert len(store.planned()) == 1
    (tmp_path / "plan.json").write_text('{"cells": [{}], "decisions": []}')
    assert store.planned() == []
    assert "plan.json: no whole plan" in str(store.records()[1][0])
    with store.exclusive() as notes:
        assert "plan.json.damaged-1" in notes[0]
    assert store.records() == ([], [])


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.write(parse_record(SAMPLES["evaluate"].read_bytes(), "sample").model_copy(update={"artifacts": {}}))
    real = os.scandir

    def refused(path: Any) -> Any:
        if str(path).endswith("/records"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    good, bad = store.records()
    assert not good
    assert "Permission denied" in str(bad[0])
