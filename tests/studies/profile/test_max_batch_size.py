"""The search for the largest batch, with a runner that only pretends."""

from __future__ import annotations

import types

import pytest

from bench.cell import Cell
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import BenchError
from bench.results.records import Failure, Record
from bench.running.progress import Progress
from bench.studies.profile import max_batch_size
from bench.studies.profile.max_batch_size import search_largest
from bench.studies.profile.run import NOT_ASKED, ON_CPU, Sweep, SweepRow


def row(batch: int, status: str) -> SweepRow:
    return SweepRow(
        batch=batch, statuses=(status,), problem=None, infer=None, train=None, host_peak_mib=None,
        device_peak_mib=None, infer_interval=None, reasons={},
    )  # fmt: skip


def sweep(*rows: SweepRow) -> Sweep:
    return Sweep(rows=rows, knees={}, records={}, planned={}, reused=0, largest=NOT_ASKED)


@pytest.fixture
def tried(monkeypatch):
    """Batches that were tried; 100 clips fit, and 77 breaks in another way where asked to."""
    seen = types.SimpleNamespace(batches=[], breaks=None)

    class Pretender:
        def __init__(self, selection, settings, progress):
            self.batch = int(selection.overrides[-1].partition("=")[2])
            assert "recipe.publishable=false" in selection.overrides

        def run(self):
            seen.batches.append(self.batch)
            status = "failed" if self.batch == seen.breaks else "ok" if self.batch <= 100 else "oom"
            cell = Cell(kind="profile", dataset="d", protocol="profile@1", fold=0, model="m", batch=self.batch)
            error = None if status == "ok" else Failure(reason="x", stage="profile", message="it broke")
            record = Record(
                cell=cell, status=status, recipe={}, environment={}, provenance={}, started_at="", error=error
            )
            return types.SimpleNamespace(records=[record])

    monkeypatch.setattr(max_batch_size, "Runner", Pretender)
    return seen


def search(found: Sweep, tmp_path, device="cuda") -> Sweep:
    return search_largest(Selection(device=device), found, Settings(out=tmp_path), Progress())


def test_it_begins_with_what_the_sweep_found(tried, tmp_path) -> None:
    assert search(sweep(row(64, "ok"), row(128, "oom")), tmp_path).largest == 100
    assert all(64 < batch < 128 for batch in tried.batches)


def test_it_doubles_until_something_does_not_fit(tried, tmp_path) -> None:
    assert search(sweep(row(1, "ok")), tmp_path).largest == 100
    assert tried.batches[:7] == [2, 4, 8, 16, 32, 64, 128]


def test_another_failure_stops_the_search(tried, tmp_path) -> None:
    tried.breaks = 96
    with pytest.raises(BenchError, match="stopped at 96: failed: it broke"):
        search(sweep(row(64, "ok"), row(128, "oom")), tmp_path)


def test_on_a_cpu_nothing_is_tried(tried, tmp_path) -> None:
    assert search(sweep(row(1, "ok")), tmp_path, device="cpu").largest == ON_CPU
    assert tried.batches == []
