"""Profile cells of the feedings: the order they run in, one row from several processes, and failures that show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from bench.cell import Cell
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import NoCellError
from bench.results.records import Failure, Record
from bench.running.progress import Progress
from bench.studies import common
from bench.studies.common import profile_in_turns
from bench.studies.frontends.read import MEASURED, feeding_row


def record(rate, *, feeding="fly", status="ok", busy=False, error=None, seed=0) -> Record:
    timing = {
        "infer": {"clips_per_s": rate, "cpu_s": 2.0, "clips": 100, "spread": 0.02},
        "train": {"clips_per_s": rate / 2, "spread": 0.03},
        "latency": {"median_ms": 1000 / rate},
        "flops": {"total": 640.0, "clips": 64},
        "energy": {"joules_per_clip": None, "reasons": {"joules_per_clip": "no counter"}},
        "reasons": {},
    }
    memory = {"host_train_mib": 300 + rate, "host_infer_mib": 200.0, "device_peak_mib": None,
              "reasons": {"device_peak_mib": "no GPU"}}  # fmt: skip
    cell = Cell(
        kind="profile", dataset="d", protocol="profile@1", fold=0, model="m", frontend="nnaudio", feeding=feeding,
        seed=seed,
    )  # fmt: skip
    return Record(
        cell=cell, status=status, timing=timing if status == "ok" else {}, memory=memory if status == "ok" else {},
        recipe={}, environment={"contended": busy}, provenance={}, started_at="", error=error,
    )  # fmt: skip


def test_a_row_holds_medians_and_every_process() -> None:
    row = feeding_row([record(rate) for rate in (10.0, 40.0, 20.0)])
    assert (row["infer"], row["train"], row["latency_ms"]) == (20.0, 10.0, 50.0)
    assert (row["cpu_ms"], row["flops"], row["host_train_mib"]) == (20.0, 10.0, 320.0)
    assert row["samples"]["infer"] == [10.0, 40.0, 20.0]
    assert (row["processes"], row["left_out"], row["intervals"]) == (3, 0, {})
    assert row["device_peak_mib"] is None
    assert row["reasons"] == {"device_peak_mib": "no GPU", "joule": "no counter"}


def test_eight_processes_give_intervals_as_a_textbook_does() -> None:
    rates = [10.0, 10.4, 9.8, 10.1, 10.3, 9.9, 10.2, 10.0]
    low, high = feeding_row([record(rate) for rate in rates])["intervals"]["infer"]
    logs = np.log(rates)
    ends = stats.t.interval(0.95, 7, logs.mean(), stats.sem(logs))
    assert (low, high) == pytest.approx(tuple(np.exp(ends)))


def test_busy_processes_are_left_out_where_eight_quiet_ones_remain() -> None:
    quiet, busy = [record(10.0)] * 8, [record(1.0, busy=True)] * 3
    row = feeding_row([*busy, *quiet])
    assert (row["infer"], row["processes"], row["left_out"], row["contended"]) == (10.0, 8, 3, False)
    row = feeding_row([*busy, *quiet[:7]])
    assert (row["processes"], row["left_out"], row["contended"]) == (10, 0, True)


def test_one_failed_process_shows_and_leaves_no_number() -> None:
    failure = Failure(reason="memory", stage="profile", message="out of memory")
    row = feeding_row([record(10.0), record(1.0, status="oom", error=failure)])
    assert (row["status"], row["problem"]) == ("oom", "out of memory")
    assert all(row[name] is None for name in MEASURED)


def test_rounds_alternate_and_what_does_not_fit_is_asked_once(tmp_path, monkeypatch) -> None:
    asked = []

    def run(runner):
        chosen = runner.selection
        asked.append((chosen.frontend, chosen.feeding, chosen.seeds))
        if chosen.frontend == "kaldi":
            raise NoCellError("it takes no kaldi")
        found = record(10.0, feeding=chosen.feeding, seed=chosen.seeds[0])
        return SimpleNamespace(records=[found], reused=frozenset(), plan=SimpleNamespace(cells=["planned"]))

    monkeypatch.setattr(common, "Runner", lambda selection, *_: SimpleNamespace(selection=selection))
    monkeypatch.setattr(common, "run_cells", run)
    pairs = [("nnaudio", "fly"), ("kaldi", "fly"), ("nnaudio", "precomputed")]
    variants = {pair: Selection(frontend=pair[0], feeding=pair[1], seeds=(5, 6)) for pair in pairs}
    found = profile_in_turns(variants, Settings(out=tmp_path), Progress(), processes=3)
    assert asked == [
        ("nnaudio", "fly", (5,)), ("kaldi", "fly", (5,)), ("nnaudio", "precomputed", (5,)),
        ("nnaudio", "precomputed", (6,)), ("nnaudio", "fly", (6,)),
        ("nnaudio", "fly", (7,)), ("nnaudio", "precomputed", (7,)),
    ]  # fmt: skip
    rows = [feeding_row(one.records, one.refused) for one in found.values()]
    assert (rows[1]["status"], rows[1]["problem"]) == ("incompatible", "it takes no kaldi")
    assert [row["processes"] for row in rows] == [3, 0, 3]
    assert [row["augmentable"] for row in rows] == [True, None, False]
    assert [one.planned for one in found.values()] == ["planned", None, "planned"]
