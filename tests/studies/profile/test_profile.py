"""The saturation batch size, the search for the largest batch, the rows, and the page made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import SelectionError
from bench.results.records import Failure, Record
from bench.running.progress import Progress
from bench.studies.common import pipe_table
from bench.studies.profile.render import header, markdown, notes, stage_rows, table_rows
from bench.studies.profile.run import LARGEST_TRIED, batch_row, bisect_largest, run_batches, saturation


@given(st.dictionaries(st.integers(1, 4096), st.floats(0.1, 1e6), min_size=2))
def test_saturation_reaches_nine_tenths_and_no_smaller_batch_does(rates) -> None:
    found = saturation(rates)
    assert found["clips_per_s"] == rates[found["batch"]] >= 0.9 * found["best"] == 0.9 * max(rates.values())
    assert all(rates[batch] < 0.9 * found["best"] for batch in rates if batch < found["batch"])


@pytest.mark.parametrize("rates", [{}, {4: 3.0}, {1: None, 2: 5.0}])
def test_no_saturation_without_two_results(rates) -> None:
    assert "two batch sizes" in str(saturation(rates))


@given(limit=st.integers(1, LARGEST_TRIED), low=st.integers(0, 300), high=st.one_of(st.none(), st.integers(1, 100_000)))
def test_bisection_finds_the_very_clip_in_few_tries(limit, low, high) -> None:
    low = min(low, limit)
    high = None if high is None or high <= limit else high
    tried = []

    def fits(batch):
        tried.append(batch)
        return batch <= limit

    found = bisect_largest(fits, low=low, high=high)
    assert found == limit or (isinstance(found, str) and 2 * max(tried, default=low) > LARGEST_TRIED)
    assert len(tried) <= 36
    assert len(set(tried)) == len(tried)


def test_nothing_fits_and_everything_fits_are_said() -> None:
    assert bisect_largest(lambda _: False, low=0, high=None) == "not even one clip fits"
    assert "still fits" in str(bisect_largest(lambda _: True, low=0, high=None))


def record(batch, rate, status="ok", device_peak=None, error=None) -> Record:
    timing = {"infer": {"clips_per_s": rate}, "train": None, "reasons": {"train": "fitted as a whole"}}
    memory = {"host_peak_mib": 100.0 + rate, "device_peak_mib": device_peak, "reasons": {"device_peak_mib": "no GPU"}}
    return Record(
        cell=Cell(kind="profile", dataset="d", protocol="profile@1", fold=0, model="m", batch=batch),
        status=status, timing=timing if status == "ok" else {}, memory=memory if status == "ok" else {}, recipe={},
        environment={}, provenance={}, started_at="", error=error,
    )  # fmt: skip


def test_row_takes_the_median_and_the_highest_peak() -> None:
    row = batch_row(4, [record(4, rate) for rate in (10.0, 30.0, 11.0)])
    assert (row["infer"], row["train"], row["host_peak_mib"], row["device_peak_mib"]) == (11.0, None, 130.0, None)
    assert row["reasons"]["train"] == "fitted as a whole"
    assert row["reasons"]["device_peak_mib"] == "no GPU"
    assert "needs at least 8" in row["reasons"]["infer_interval"]


def test_eight_processes_give_an_interval_around_the_rate() -> None:
    row = batch_row(4, [record(4, 10.0 + 0.1 * i) for i in range(8)])
    low, high = row["infer_interval"]
    assert low < row["infer"] < high


def test_what_a_plugin_measured_is_a_column() -> None:
    records = [record(4, 10.0), record(4, 11.0), record(4, 12.0)]
    for one, value in zip(records, (1.0, 3.0, 2.0), strict=True):
        entry = {"value": value, "unit": "g", "higher_is_better": False, "title": "gCO2/clip"}
        one.timing["measurements"] = {"carbon_g": entry}
    study = {"rows": [batch_row(4, records), batch_row(8, [record(8, 9.0)])], "saturation": {}}
    column = header(study).index("gCO2/clip")
    assert [row[column] for row in table_rows(study)] == ["2", "-"]


def test_out_of_memory_is_a_row() -> None:
    failure = Failure(reason="memory", stage="profile", message="CUDA out of memory")
    row = batch_row(64, [record(64, 0.0, "oom", error=failure)])
    assert row["problem"] == "oom: CUDA out of memory"
    assert row["infer"] is None
    assert row["reasons"] == {"infer": "oom: CUDA out of memory"}


@pytest.mark.parametrize(("batches", "processes"), [([], 1), ([0, 2], 1), ([1], 0)])
def test_senseless_sizes_are_refused(tmp_path, batches, processes) -> None:
    with pytest.raises(SelectionError, match="batches are"):
        run_batches(Selection(), batches, Settings(out=tmp_path), Progress(), processes=processes)


@pytest.fixture
def found() -> dict:
    stages = {"forward": 3.0, "load": 1.0}
    part = {"stages_ms": stages, "end_to_end_ms": 4.1, "gap": -0.024, "adds_up": True, "passes": 9}
    row = {"batch": 2, "infer": 20.0, "train": None, "host_peak_mib": 99.6, "device_peak_mib": None, "problem": None,
           "reasons": {"train": "no steps"}}  # fmt: skip
    return {
        "what": {"model": "fam.one", "dataset": "demo", "device": "cpu"},
        "rows": [row | {"batch": 1, "infer": 10.0}, row],
        "saturation": {"infer": {"batch": 2, "clips_per_s": 20.0, "best": 20.0}, "train": None},
        "largest_batch": None,
        "details": {"2": {"stages": {"infer": part, "train": None}, "guards": {"findings": [
            {"kind": "leak", "message": "memory grows by 2.00 MiB a step, step after step"}]}}},
        "environment": {"cpu": {"model": "Some CPU"}, "torch": {"threads": 2}, "contended": True},
        "reasons": {"saturation.train": "none", "largest_batch": "CUDA only"},
    }  # fmt: skip


def test_page_marks_saturation_and_says_what_is_unknown(found) -> None:
    assert table_rows(found)[1][:4] == ["2", "20 (saturated)", "-", "100"]
    page = markdown(found)
    assert "| 2 | 20 (saturated) |" in page
    assert "Unknown train: no steps." in page
    assert "Some CPU, 2 threads. Others were busy on the machine." in page
    assert any("grows by 2.00 MiB a step" in note for note in notes(found))
    assert "Largest batch: CUDA only." in notes(found)


def test_stages_stand_in_the_order_in_which_they_run(found) -> None:
    rows = stage_rows(found["details"]["2"])
    assert [row[1] for row in rows] == ["load", "forward", "end to end"]
    assert [row[3] for row in rows[:2]] == ["25%", "75%"]


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    assert pipe_table(("a",), [["x|y"]]).splitlines()[-1] == "| x\\|y |"
