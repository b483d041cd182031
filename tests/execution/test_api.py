"""The two public functions, and the observers on both sides of the process border."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench

pytestmark = pytest.mark.usefixtures("warm_workers")

PLUGIN = Path(__file__).with_name("faulty_plugin.py")
OBSERVER = """
import json, os
from pathlib import Path
from bench import hookimpl
LOG = Path({log!r})
def note(**values):
    with LOG.open("a") as f:
        f.write(json.dumps({{"pid": os.getpid(), **values}}) + "\\n")
@hookimpl
def bench_run_start(plan):
    note(hook="run_start", cells=len(plan.cells))
@hookimpl
def bench_cell_start(cell):
    note(hook="cell_start", cell=cell.id)
@hookimpl
def bench_epoch_end(cell, epoch, scores):
    note(hook="epoch_end", epoch=epoch, finite=scores["train_loss"] > 0)
@hookimpl
def bench_cell_finish(record):
    note(hook="cell_finish", status=record.status)
"""


@pytest.mark.slow
def test_run_and_load_with_observers(tmp_path: Path) -> None:
    import os

    log = tmp_path / "log.jsonl"
    observer = tmp_path / "observer.py"
    observer.write_text(OBSERVER.format(log=str(log)))
    records = bench.run(
        "tones.good", "tones", out=tmp_path / "out", folds=(1,), recipe="smoke", overrides=("recipe.epochs=2",),
        profile=False, plugins=(PLUGIN, observer), jobs=1,
    )  # fmt: skip
    assert [r.status for r in records] == ["ok"]
    assert bench.load_records(tmp_path / "out") == records
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["hook"] for e in events] == ["run_start", "cell_start", "epoch_end", "epoch_end", "cell_finish"]
    here = os.getpid()
    assert [e["pid"] == here for e in events] == [True, False, False, False, True]
    assert [e["epoch"] for e in events[2:4]] == [1, 2]
    assert events[-1]["status"] == "ok"


def test_load_records_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(bench.BenchError, match="no records"):
        bench.load_records(tmp_path)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "torn.json").write_text("{")
    with pytest.raises(bench.BenchError, match=r"torn\.json"):
        bench.load_records(tmp_path)


def test_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no option 'fold'"):
        bench.run("classical", "demo", out=tmp_path, fold=3)


def test_public_names_exist() -> None:
    for name in bench.__all__:
        assert getattr(bench, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bench.nonsense  # noqa: B018
