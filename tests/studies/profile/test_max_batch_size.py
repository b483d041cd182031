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
from bench.studies import common
from bench.studies.profile.run import NOT_ASKED, ON_CPU, ProfileStudy, search_largest


def row(batch: int, status: str) -> dict:
    return {"batch": batch, "statuses": [status]}


def study(*rows: dict) -> ProfileStudy:
    return ProfileStudy(rows=rows, saturation={}, cells={}, largest=NOT_ASKED)


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
            return types.SimpleNamespace(records=[record], reused=(), plan=types.SimpleNamespace(cells=[None]))

    monkeypatch.setattr(common, "Runner", Pretender)
    return seen


def search(found: ProfileStudy, tmp_path, device="cuda") -> ProfileStudy:
    return search_largest(Selection(device=device), found, Settings(out=tmp_path), Progress())


def test_it_begins_with_what_the_study_found(tried, tmp_path) -> None:
    assert search(study(row(64, "ok"), row(128, "oom")), tmp_path).largest == 100
    assert all(64 < batch < 128 for batch in tried.batches)


def test_it_doubles_until_something_does_not_fit(tried, tmp_path) -> None:
    assert search(study(row(1, "ok")), tmp_path).largest == 100
    assert tried.batches[:7] == [2, 4, 8, 16, 32, 64, 128]


def test_another_failure_stops_the_search(tried, tmp_path) -> None:
    tried.breaks = 96
    with pytest.raises(BenchError, match="stopped at 96: failed: it broke"):
        search(study(row(64, "ok"), row(128, "oom")), tmp_path)


def test_on_a_cpu_nothing_is_tried(tried, tmp_path) -> None:
    assert search(study(row(1, "ok")), tmp_path, device="cpu").largest == ON_CPU
    assert tried.batches == []
