"""Results follow what files hold: nothing is reused, shared or replaced because a name is the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.cli.report import load_board
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.data.cache import cache_root
from bench.data.contents import _sealed
from bench.errors import DataError
from bench.planning.plan import expand
from bench.plugins.discovery import load
from bench.results.store import Store
from bench.running.preparation import load_all
from bench.running.result import Result
from bench.running.runner import Runner

pytestmark = pytest.mark.usefixtures("warm_workers")

RATE = 8_000
FRONTENDS = Path(__file__).parents[1] / "execution" / "frontend_plugin.py"


def recordings(folder: Path, *, seed: int = 0, clips: int = 30, images: bool = False) -> Path:
    """Short clips of three pitches in five folds, and their table."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,label,fold" + (",image,text" if images else "")]
    for number in range(clips):
        seconds = np.arange(RATE // 8) / RATE
        tone = np.sin(2 * np.pi * (300 + 500 * (number % 3)) * seconds) + 0.1 * rng.standard_normal(len(seconds))
        soundfile.write(folder / f"{number}.wav", 0.3 * tone, RATE, subtype="PCM_16")
        extra = ""
        if images:
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / f"{number}.bmp")
            extra = f",{number}.bmp,words {number}"
        rows.append(f"{number}.wav,pitch {number % 3},{number % 5 + 1}{extra}")
    (folder / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder / "table.csv"


def runner(table: Path, out: Path, *plugins: Path, **what: object) -> Runner:
    chosen = {"models": ("classical.forest",), "recipe": "quick", "profile": False, "folds": (1,)} | what
    return Runner(Selection(datasets=("manifest",), data=table, **chosen), Settings(out=out, jobs=1, plugins=plugins))


def run(table: Path, out: Path, *plugins: Path) -> Result:
    result = runner(table, out, *plugins).run()
    assert [record.status for record in result.records] == ["ok"], result.records
    return result


@pytest.mark.slow
def test_tables_of_one_name_stand_side_by_side_in_one_folder(tmp_path: Path) -> None:
    tables = recordings(tmp_path / "a"), recordings(tmp_path / "b", seed=1)
    first = run(tables[0], tmp_path / "out")
    (record,) = first.records
    content = first.store.path(record.cell).read_bytes()
    (other,) = run(tables[1], tmp_path / "out").records
    assert record.cell.data_name == other.cell.data_name == "manifest"
    assert record.cell.dataset.startswith("manifest@table~")
    assert record.cell.id != other.cell.id
    assert first.store.path(record.cell).read_bytes() == content
    assert run(tables[0], tmp_path / "out").reused
    board = load_board(Store(tmp_path / "out"), load().registry)
    digits = sorted(one.cell.dataset.rpartition("~")[2] for one in (record, other))
    assert sorted(section.dataset.title for section in board.sections) == [f"table ({found})" for found in digits]
    assert all(row.value is not None for section in board.sections for row in section.rows)


@pytest.mark.slow
def test_stored_features_are_never_those_of_files_of_the_same_names_and_sizes(tmp_path: Path) -> None:
    tables = recordings(tmp_path / "a" / "same"), recordings(tmp_path / "b" / "same")
    for number in range(30):
        old, new = (table.parent / f"{number}.wav" for table in tables)
        noise = np.random.default_rng(number).standard_normal(RATE // 8)
        soundfile.write(new, 0.1 * noise, RATE, subtype="PCM_16")
        assert new.stat().st_size == old.stat().st_size
        os.utime(new, ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
    assert tables[0].read_bytes() == tables[1].read_bytes()
    found = []
    for table, feeding in ((tables[0], "precomputed"), (tables[1], "precomputed"), (tables[1], "fly")):
        at = runner(table, tmp_path / "out", FRONTENDS, models=("plain.drawn",), folds=None, feeding=feeding)
        result = at.run()
        assert [(r.status, r.cell.feeding) for r in result.records] == [("ok", feeding)] * 5, result.records
        found.append({r.cell.fold: at.store.predictions(r)["logits"] for r in result.records})
    tones, noise, fly = found
    for fold, logits in noise.items():
        np.testing.assert_allclose(logits, fly[fold], atol=1e-4)
        assert not np.allclose(logits, tones[fold], atol=0.01)


@pytest.mark.slow
def test_a_metric_that_is_edited_is_computed_again_and_a_new_one_is_not_a_new_training(tmp_path: Path) -> None:
    table, metric = recordings(tmp_path / "own"), tmp_path / "metric.py"
    source = (
        "from bench import MetricSpec, hookimpl\n"
        "@hookimpl\n"
        "def bench_add_metrics():\n"
        "    return [MetricSpec(name='own', compute=':value', unit='')]\n"
        "def value(logits, targets):\n"
        "    return {}\n"
    )
    run(table, tmp_path / "out")
    metric.write_text(source.format("0.25"))
    assert run(table, tmp_path / "out", metric).reused
    (tmp_path / "out" / "plan.json").unlink()
    shutil.rmtree(tmp_path / "out" / "records")
    assert run(table, tmp_path / "out", metric).records[0].score("own") == 0.25
    assert run(table, tmp_path / "out", metric).reused
    metric.write_text(source.format("0.5"))
    again = run(table, tmp_path / "out", metric)
    assert not again.reused
    assert again.records[0].score("own") == 0.5


def planned(table: Path, **selection: object) -> set[tuple[str, str]]:
    chosen = Selection(
        models=("calm.conv", "classical.forest"), datasets=("manifest",), data=table, profile=False, **selection
    )
    registry = load().registry
    return {(one.cell.dataset, one.fingerprint) for one in expand(chosen, registry, load_all(chosen, registry)).cells}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_changed_in_any_input_file_makes_other_cells(tmp_path_factory, data) -> None:
    table = recordings(tmp_path_factory.mktemp("own") / "data", clips=10, images=True)
    weights = table.with_name("start.bin")
    weights.write_bytes(b"any weights")
    plan = partial(planned, table, mode="probe", weights=weights)
    before = plan()
    path = data.draw(st.sampled_from(sorted(table.parent.iterdir())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with contextlib.suppress(DataError):  # a table or file that cannot be read any more is refused, which is as good
        after = plan()
        assert not {mark for _, mark in after} & {mark for _, mark in before}
        if path != weights:
            assert not {name for name, _ in after} & {name for name, _ in before}


def test_rehash_believes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("bench.data.contents._SETTLED_NS", -(10**12))
    table = recordings(tmp_path / "own", clips=10)
    chosen = Selection(datasets=("manifest",), data=table)
    registry = load().registry

    def contents(*, rehash: bool = False) -> str:
        return load_all(chosen, registry, rehash=rehash)["manifest"].clips.contents_sha256

    right = contents()
    with contextlib.closing(sqlite3.connect(cache_root() / "contents.sqlite")) as index, index:
        for path, state in index.execute("select path, state from files").fetchall():
            index.execute("update files set digest = ? where path = ?", (_sealed(path, state, "0" * 64), path))
    assert contents() != right
    assert contents(rehash=True) == right
    assert contents() == right
