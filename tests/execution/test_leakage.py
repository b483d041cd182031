"""What a record and its board say of leakage where nobody knows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import main
from bench.results.store import Store

pytestmark = pytest.mark.usefixtures("warm_workers")

PLUGIN = Path(__file__).resolve().parents[1] / "studies" / "sweep" / "folds_plugin.py"


@pytest.mark.parametrize(("protocol", "publishable"), [("4+1", True), ("random-5fold", False)])
def test_a_random_split_without_groups_is_not_publishable(tmp_path, monkeypatch, protocol: str, publishable) -> None:
    """Its leakage was recorded as 0.0 and its rows were publishable."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    words = ["run", "--plugin", str(PLUGIN), "--models", "ear.forest", "--dataset", "threefold", "--folds", "1"]
    words += ["--protocol", protocol, "--no-profile", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    (record,), _ = Store(tmp_path / "out").records()
    assert record.provenance["publishable"] is publishable
    assert record.provenance["protocol"]["leak"]["rate"] is None
    said = "divided at random, and whether recordings leak is unknown: the data name no groups"
    assert any(reason.startswith(said) for reason in record.provenance["not_publishable"]) is not publishable
    page = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "Whether test clips share a group with training is unknown" in page
