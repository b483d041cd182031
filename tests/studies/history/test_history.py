"""An append-only history of runs: what is kept, what is refused, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bench.errors import StoreError
from bench.gate.baseline import PinnedRow, Scored
from bench.gate.collect import measured
from bench.statistics.results import Refusal
from bench.studies.history import read, render

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(latency: float, *, score: float = 0.8, hardware: str = "f00d", parameters: int = 10) -> list[PinnedRow]:
    cells = tuple(Scored(fold=fold, seed=0, value=score, clips=10) for fold in (1, 2))
    quantities = {"latency": measured("s", [latency]), "parameters": measured("", [parameters])}
    return [
        PinnedRow(name="a", kind="evaluate", identity="x", metric="accuracy", cells=cells),
        PinnedRow(name="b", kind="profile", hardware=hardware, quantities=quantities),
    ]


def entries(latencies, **kwargs):
    return [
        entry
        for number, latency in enumerate(latencies)
        for entry in read.entries_of(rows(latency, **kwargs), f"c{number:02d}", START + timedelta(days=number))
    ]


def only(found, quantity):
    (one,) = [one for one in found if one.last.quantity == quantity]
    return one


def test_a_file_a_commit_and_run_is_read_back_whatever_the_order_of_adding(tmp_path):
    every = entries([0.01, 0.02, 0.03])
    for commit in ("c02", "c00", "c01"):
        same = [entry for entry in every if entry.commit == commit]
        assert read.add(tmp_path, same) is not None
        assert read.add(tmp_path, same) is None
    assert len(list(tmp_path.iterdir())) == 3
    (latency,) = [one for one in read.timelines(read.read(tmp_path)) if one.last.quantity == "latency"]
    assert [entry.value for entry in latency.entries] == [0.01, 0.02, 0.03]
    assert isinstance(latency.changes, Refusal)


def test_a_commit_that_was_measured_twice_counts_once():
    every = [*entries([0.01]), *entries([0.03])]
    assert only(read.timelines(every), "latency").last.value == pytest.approx(0.02)
    assert only(read.timelines(every), "latency").last.measurements == 2


def test_machines_and_protocols_are_kept_apart():
    found = read.timelines([*entries([0.01]), *entries([0.01], hardware="beef")])
    assert sorted(one.last.hardware for one in found if one.last.quantity == "latency") == ["beef", "f00d"]
    other = [entry.model_copy(update={"identity": "y"}) for entry in entries([0.01]) if entry.quantity == "accuracy"]
    found = read.timelines([*entries([0.01]), *other])
    assert sum(one.last.quantity == "accuracy" for one in found) == 2


def test_steps_creep_and_last_runs_are_said_in_words():
    noise = np.exp(np.random.default_rng(0).normal(0, 0.01, 20))
    step = only(read.timelines(entries(np.where(np.arange(20) < 12, 0.010, 0.013) * noise)), "latency")
    (said,) = render.events(step)
    assert said.startswith("worse from 10 ms to 1")
    assert said.endswith("ms at c12")
    creep = only(read.timelines(entries(0.01 * 1.02 ** np.arange(20))), "latency")
    assert render.events(creep) == ["worse, creeping from 10 ms to 14.6 ms, c00 to c19"]
    late = only(read.timelines(entries([0.01] * 20 + [0.02] * 2)), "latency")
    assert render.events(late) == ["off since c20: not resolvable yet by these 2"]
    level = only(read.timelines(entries([0.01] * 20)), "latency")
    assert (render.events(level), level.eventful) == (["level"], False)
    better = only(read.timelines(entries([0.02] * 10 + [0.01] * 10)), "latency")
    assert render.events(better) == ["better from 20 ms to 10 ms at c10"]


def test_a_quantity_without_noise_changes_at_its_last_run():
    every = [*entries([0.01] * 9), *(e.model_copy(update={"commit": "z", "date": START + timedelta(days=99)})
             for e in entries([0.01], parameters=11))]  # fmt: skip
    assert render.events(only(read.timelines(every), "parameters")) == ["worse from 10 to 11 at z"]
    assert render.events(only(read.timelines(every), "latency")) == ["level"]


def test_how_far_the_last_commit_is_from_the_pin():
    found = read.timelines(entries([0.010, 0.012], score=0.7), rows(0.010))
    shown = {row[1]: row for row in render.table(found)}
    assert shown["latency"][6] == "+20.0 %"
    assert shown["accuracy"][6] == "-10.00 points"


def test_the_page_shows_each_quantity_and_escapes_what_comes_from_outside():
    every = [e.model_copy(update={"row": "<script>x</script>"}) for e in entries([0.01] * 10 + [0.02] * 10)]
    page = render.page(read.timelines(every, rows(0.01)), "t<b>")
    assert page.count("<svg") == 3
    assert "<script>" not in page
    assert "<b>" not in page
    assert "worse from 10 ms to 20 ms at c10" in page


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "x.jsonl"),
        (b"{}", "line 1: "),
        (b"[", "line 1: "),
        (b'{"schema_version":2}', "line 1: schema_version"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, said):
    read.add(tmp_path, entries([0.01]))
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(StoreError, match="the history is damaged") as caught:
        read.read(tmp_path)
    assert "x.jsonl" in str(caught.value)
    assert said in str(caught.value)


def test_breaks_of_lines_in_a_name_do_not_break_the_history(tmp_path):
    every = [entry.model_copy(update={"row": "a\u2028b\x85c"}) for entry in entries([0.01])]
    read.add(tmp_path, every)
    assert read.read(tmp_path) == every


@pytest.mark.parametrize("number", ["1e999", "1e308", "-1e308"])
def test_numbers_that_are_infinite_or_become_so_are_refused(tmp_path, number):
    path = read.add(tmp_path, entries([0.01]))
    path.write_text(path.read_text().replace(":0.01,", f":{number},"))
    with pytest.raises(StoreError, match="value"):
        read.read(tmp_path)
