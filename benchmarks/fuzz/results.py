"""Readers of what runs leave: records, plans, costs, predictions, baselines, histories, policies, published results."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.analysis.board import build_board
from bench.analysis.predictions import verify
from bench.cell import Cell
from bench.errors import StoreError
from bench.gate.baseline import Baseline, Measured, PinnedRow, Scored, _checksum, is_baseline, packed, parse_baseline
from bench.gate.benchmark_json import collect_benchmarks
from bench.gate.collect import Collected, collect
from bench.gate.comparison import compare
from bench.gate.policy import DEFAULTS, parse_policy
from bench.gate.verdict import markdown
from bench.metrics.scoring import catalog
from bench.planning.costs import Cost
from bench.plugins.discovery import load
from bench.plugins.factories import load_factory
from bench.reports.published import read_published
from bench.results.folder import mark
from bench.results.merge import merge
from bench.results.plans import parse_plan
from bench.results.records import Record, parse_record
from bench.results.store import Store, npz_bytes
from bench.running.prices import Prices, _path
from bench.studies.frontends import plots
from bench.studies.frontends.read import read_study
from bench.studies.history import read as history
from bench.studies.history import render
from bench.textfiles import read_text
from fuzz.blocks import EscapeError, Reader
from fuzz.damage import damaged_bytes, damaged_json, damaged_lines, damaged_toml, damaged_value

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"
ARRAYS: dict[str, Any] = {
    "ids": np.array(["a", "b", "c"]), "targets": np.array([0, 1, 1]), "groups": np.array(["g", "g", "h"]),
    "logits": np.array([[2, 1], [1, 2], [2, 1]], dtype=np.float32), "curve_train_loss": np.array([2.0, 1.0]),
}  # fmt: skip


@cache
def registry() -> Any:
    """All that is installed."""
    return load().registry


@cache
def metrics() -> Any:
    """The metrics of all that is installed."""
    return catalog(registry())


@cache
def records() -> list[bytes]:
    """Records of every kind."""
    evaluate = sorted((PUBLISHED / "esc10-full" / "records").rglob("evaluate-*.json"))
    profile = sorted((PUBLISHED / "esc10-full" / "records").rglob("profile-*.json"))
    masked = sorted((PUBLISHED / "esc10-masked" / "records").rglob("*.json"))
    golden = Path(__file__).resolve().parents[2] / "tests" / "golden"
    old = [golden / "record_v1.json", golden / "record_v2.json"]
    return [path.read_bytes() for path in (*evaluate[::12], *profile[::4], *masked[::9], *old)]


def shown(found: list[Record], predictions: Callable[[Record], Any] | None = None) -> None:
    """All that ``bench report`` makes of records, and what ``bench baseline pin`` does."""
    board = build_board(found, metrics=metrics(), predictions=predictions)
    for name in ("md", "csv", "json", "latex"):
        load_factory(registry().reporters[name].factory)(board)


def _sometimes(content: bytes) -> bool:
    """Once in eight contents: boards take a hundred times as long as reading."""
    return zlib.crc32(content) % 8 == 0


def _record(content: bytes, folder: Path, whole: bytes) -> object:
    """As in a run folder: read, shown, pinned, merged; what is damaged is set aside."""
    (folder / "records").mkdir()
    (folder / "records" / "x.json").write_bytes(content)
    good, bad = Store(folder).records()
    if bad:
        raise bad[0]
    beside = [record.model_copy(update={"artifacts": {}}) for record in (*good, parse_record(whole, "whole"))]
    if _sometimes(content):
        shown(beside)
    return collect(beside, lambda _: {}, metrics())


def _plan_sample() -> list[bytes]:
    cells = [Cell(kind="evaluate", dataset="d", protocol="4+1", fold=fold, model="m") for fold in (1, 2)]
    decided = [{"id": c.id, "decision": "run", "fingerprint": "f", "reason": "", "cost_s": 1.0} for c in cells]
    return [json.dumps({"cells": [c.to_json() for c in cells], "decisions": decided, "slots": 1}, indent=1).encode()]


def _plan(content: bytes, folder: Path, _: bytes) -> object:
    source = folder / "a"
    source.mkdir()
    (source / "plan.json").write_bytes(content)
    found = parse_plan(source / "plan.json")
    return list(found.pairs), merge([source], folder / "b")


def _marker(content: bytes, folder: Path, _: bytes) -> object:
    (folder / ".bench-run.json").write_bytes(content)
    note = mark(folder)
    again = mark(folder)
    if again:
        raise EscapeError(f"damaged again: {again}")
    return note


class _Notes:
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def _cost(content: bytes, _: Path, __: bytes) -> object:
    """As planning remembers it: a cost, or a note."""
    path, prices = _path("key"), Prices.__new__(Prices)
    prices.progress = notes = _Notes()  # type: ignore[assignment]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = prices._read("key", Cost)
    if found is None and not notes.said:
        raise EscapeError("neither a cost nor a note")
    if found is None:
        raise StoreError(notes.said[0])
    return found


@cache
def scored() -> Record:
    """A record that the arrays belong to."""
    record = parse_record(records()[0], "sample")
    scores = tuple(score.of(2 / 3) for score in record.scores if score.name == "accuracy")
    return record.model_copy(update={"artifacts": {}, "scores": scores})


def _damaged_arrays(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.6:
        return damaged_bytes(rng, content)
    others = (
        np.zeros(2), np.array(3), np.array(["x"]), np.array([b"x"]), np.zeros((3, 1)), np.zeros((3, 2), int),
        np.zeros(0), np.full(3, np.nan), np.array([2**62] * 3), np.array(["\x00", "é", "\u202e"]),
        np.zeros((3, 2), np.complex64),
        np.zeros(3, "M8[s]"), np.zeros((0, 2), np.float32), np.full((3, 2), np.inf, np.float32), np.zeros(3, bool),
        np.array([0, 1, 1], np.uint8), np.zeros((3, 2), np.float16), np.zeros((3, 2), order="F"), np.array(["a"] * 3),
    )  # fmt: skip
    arrays = dict(ARRAYS)
    for _ in range(rng.randint(1, 2)):
        arrays[rng.choice([*ARRAYS, "curve_x", "embeddings"])] = rng.choice(others)
    arrays.pop(rng.choice([*ARRAYS, "none", "none"]), None)
    return npz_bytes(arrays)


def _predictions(content: bytes, folder: Path, whole: bytes) -> object:
    """Beside a record that names its checksum, and beside one whose checksum was made again by someone."""
    store = Store(folder)
    record = store.write(scored(), ARRAYS)
    store.path(record.cell).with_suffix(".npz").write_bytes(content)
    if content != whole and store.intact(record):
        raise EscapeError("other bytes than written, and taken")
    forged = store.write(scored(), files={"predictions.npz": content})
    if _sometimes(content):
        shown([forged], store.predictions)
    verify([forged], store.predictions, metrics())
    return collect([forged], store.predictions, metrics())


@cache
def baseline() -> Baseline:
    """One with scores and with speeds."""
    cells = (
        Scored(fold=1, seed=0, value=0.5, clips=10, clips_sha256="c", per_clip=packed(np.arange(10.0) % 2)),
        Scored(fold=2, seed=0, value=0.25, clips=4, per_clip=packed(np.arange(4.0) / 7)),
        Scored(fold=3, seed=0, value=0.25, clips=4, drawn=packed(np.arange(200.0) / 300)),
    )
    speed = Measured(unit="s", processes=(0.1, 0.11), mad=0.01, samples=((0.1, 0.12), (0.11, 0.1)))
    rows = (
        PinnedRow(name="d/p/m/x", kind="evaluate", metric="accuracy", cells=cells, missing={"latency": "none"}),
        PinnedRow(name="d/p/m/y", kind="profile", hardware="f00d/1 threads", quantities={"latency": speed}),
    )
    return Baseline(pinned_at="2026-01-01T00:00:00+00:00", libraries={"torch": "2"}, rows=rows)


def _damaged_baseline(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.5:
        return damaged_json(rng, content)
    values = damaged_value(rng, json.loads(content))
    if isinstance(values, dict):  # sealed again by someone who knows how
        values.pop("sha256", None)
        values["sha256"] = _checksum(values)
    return json.dumps(values).encode()


def _pinned(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "x.json").write_bytes(content)
    text = read_text(folder / "x.json")
    if not is_baseline(text):
        return collect_benchmarks(text, "x.json")
    found = parse_baseline(text, "x.json")
    now = Collected(rows=baseline().rows, lost={}, libraries={}, machines={})
    return found.to_json(), _sometimes(content) and markdown(compare(found, now, DEFAULTS, cross_hardware=True))


_STATS = {"min": 0.1, "max": 0.2, "mean": 0.15, "median": 0.15, "rounds": 3, "data": [0.1, 0.15, 0.2]}
BENCHMARKS = {
    "machine_info": {"cpu": {"brand_raw": "cpu", "count": 2}, "machine": "x86_64", "system": "Linux"},
    "benchmarks": [
        {"fullname": "t.py::a", "name": "a", "stats": _STATS},
        {"fullname": "t.py::b", "stats": {**_STATS, "data": [1, 2]}},
    ],
    "version": "5.1",
}  # fmt: skip


def _benchmarks(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "x.json").write_bytes(content)
    found = collect_benchmarks(read_text(folder / "x.json"), "x.json")
    pinned = Baseline(pinned_at="2026-01-01T00:00:00+00:00", rows=found.rows) if found.rows else baseline()
    return pinned.to_json(), markdown(compare(pinned, found, DEFAULTS, cross_hardware=True))


def _history_sample() -> list[bytes]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    entries = [
        entry
        for number in range(9)
        for entry in history.entries_of(baseline().rows, f"c{number}", start + timedelta(days=number))
    ]
    return ["".join(f"{entry.model_dump_json()}\n" for entry in entries).encode()]


def _history(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "x.jsonl").write_bytes(content)
    found = history.timelines(history.read(folder))
    return render.table(found), [render.events(one) for one in found], render.page(found[:3], "x")


POLICY = b"""[accuracy]
absolute = 0.05
evidence = "band"
level = 0.9
[latency]
relative = 0.2
better = "lower"
same_hardware = true
[flops]
skip = true
"""


def _policy(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "x.toml").write_bytes(content)
    rules = parse_policy(read_text(folder / "x.toml"), "x.toml")
    now = Collected(rows=baseline().rows, lost={}, libraries={}, machines={})
    return markdown(compare(baseline(), now, rules, cross_hardware=True))


def _published(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "published.toml").write_bytes(content)
    found = read_published(folder / "published.toml")
    board = build_board([parse_record(records()[0], "x")], metrics=metrics(), published=found)
    return [load_factory(registry().reporters[name].factory)(board) for name in ("md", "csv", "latex")]


def _study(content: bytes, folder: Path, _: bytes) -> object:
    (folder / "frontends.json").write_bytes(content)
    with patch.multiple(plots, drawing_files=lambda _: {}, render=lambda *_: ""):  # drawing takes seconds
        found, problem = read_study(folder)
    if (found is None) is (not problem):
        raise EscapeError(f"a study: {found is not None}, a problem: {problem!r}")
    return found


def _lines(rng: Random, content: bytes) -> bytes:
    return damaged_lines(rng, content) if rng.random() < 0.8 else damaged_bytes(rng, content)


def readers() -> Sequence[Reader]:
    """One for each kind of file."""
    golden = Path(__file__).resolve().parents[2] / "tests" / "golden"
    cost = json.dumps({"step_s": 0.5, "infer_clip_s": 0.25, "fit_clip_s": None, "source": "measured"}).encode()
    marker = json.dumps({"schema_version": 1, "id": "0" * 32}).encode()
    return (
        Reader(name="records", samples=records, damage=damaged_json, read=_record, share=1.5),
        Reader(name="plans", samples=_plan_sample, damage=damaged_json, read=_plan),
        Reader(name="costs", samples=lambda: [cost], damage=damaged_json, read=_cost),
        Reader(name="markers of run folders", samples=lambda: [marker], damage=damaged_json, read=_marker, share=0.3),
        Reader(
            name="predictions", samples=lambda: [npz_bytes(ARRAYS), npz_bytes(ARRAYS, compressed=False)],
            damage=_damaged_arrays, read=_predictions, share=0.7,
        ),
        Reader(
            name="baselines", samples=lambda: [baseline().to_json().encode()], damage=_damaged_baseline, read=_pinned,
        ),
        Reader(
            name="pytest-benchmark files", samples=lambda: [json.dumps(BENCHMARKS).encode()], damage=damaged_json,
            read=_benchmarks,
        ),
        Reader(name="history lines", samples=_history_sample, damage=_lines, read=_history),
        Reader(name="policies", samples=lambda: [POLICY], damage=damaged_toml, read=_policy),
        Reader(
            name="published.toml", samples=lambda: [(golden / "published.toml").read_bytes()], damage=damaged_toml,
            read=_published,
        ),
        Reader(
            name="front-end studies", samples=lambda: [(PUBLISHED / "frontends-esc10" / "frontends.json").read_bytes()],
            damage=damaged_json, read=_study, share=0.1,
        ),
    )  # fmt: skip
