"""Shards of a run, into one folder or several, give what one run gives."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from bench.cell import Cell
from bench.cli.app import execute
from bench.cli.formats import write_board
from bench.cli.report import load_board
from bench.cli.run import shard_of
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.errors import SelectionError, StoreError
from bench.planning.shards import divide, nominal_seconds
from bench.results.merge import merge
from bench.results.sharing import shard_held
from bench.results.store import Store
from bench.running.runner import Runner

PLUGIN = Path(__file__).with_name("farm_plugin.py")
SELECTION = Selection(models=("farm",), datasets=("toy",), seeds=(0, 1, 2, 3), device="cpu", profile=False)
SHARDS = 16


def runner(out: Path, shard: tuple[int, int] | None = None, selection: Selection = SELECTION) -> Runner:
    return Runner(selection, Settings(out=out, plugins=(PLUGIN,), launcher="made", jobs=1, shard=shard))


def cells_of(asked: tuple[Path, tuple[int, int], Selection]) -> list[Cell]:
    return [record.cell for record in runner(*asked).run().records]


def board(out: Path, registry, to: Path) -> list[bytes]:
    names = ("md", "csv", "json", "latex", "html")
    return [path.read_bytes() for path in write_board(load_board(Store(out), registry), registry, names, to)]


@pytest.fixture(scope="module")
def farm(samples, tmp_path_factory):
    """One run of 320 cells, and the same as 16 shards in folders of their own."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("farm")
        patch.setenv("BENCH_CACHE", str(root / "cache"))
        patch.setattr("os.fsync", lambda _: None)  # thousands of small files
        whole = runner(root / "whole").run()
        parts = [root / f"part{index}" for index in range(1, SHARDS + 1)]
        for index, part in enumerate(parts, 1):
            runner(part, (index, SHARDS)).run()
        yield root, whole, parts


def test_merged_shards_give_the_board_of_one_run_byte_for_byte(farm, tmp_path: Path) -> None:
    root, whole, parts = farm
    registry = runner(root / "x").host.registry
    sizes = [len(Store(part).records()[0]) for part in parts]
    assert sum(sizes) == len(whole.records) == 320
    to = root / "merged"
    assert merge(parts[:5], to).copied == sum(sizes[:5])
    again = merge(parts, to)
    assert (again.copied, again.present, again.planned) == (320 - sum(sizes[:5]), sum(sizes[:5]), 320)
    once = {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert merge(parts, to).present == 320
    assert once == {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert board(to, registry, tmp_path / "a") == board(root / "whole", registry, tmp_path / "b")
    assert {r.cell: r.artifacts for r in Store(to).records()[0]} == {r.cell: r.artifacts for r in whole.records}
    first = Store(to).records()[0][0]
    assert Store(to).log_path(first.cell).read_text() == f"{first.cell.id}\n"
    assert len(runner(to).run().reused) == 320
    written = write_board(whole.folder_board, registry, ("md", "csv", "json"), tmp_path / "c")
    assert [path.read_bytes() for path in written] == board(to, registry, tmp_path / "d")[:3]


def test_shards_write_one_folder_at_the_same_time(farm, tmp_path: Path) -> None:
    root, _, _ = farm
    selection = replace(SELECTION, seeds=(0,), folds=(1, 2))
    with ProcessPoolExecutor(4, get_context("fork")) as pool:  # as shards are; CPython 3.11 parses in one thread alone
        done = list(pool.map(cells_of, [(tmp_path, (index, 4), selection) for index in (1, 2, 3, 4)]))
    assert sorted(itertools.chain.from_iterable(done)) == sorted(Store(tmp_path).planned())
    assert len(Store(tmp_path).planned()) == 32
    registry = runner(root / "x").host.registry
    one = runner(root / "one", None, selection).run()
    assert board(tmp_path, registry, root / "a") == board(one.store.root, registry, root / "b")
    assert len(runner(tmp_path, None, selection).run().reused) == 32


def test_a_shard_is_held_against_itself_other_divisions_and_whole_runs(tmp_path: Path) -> None:
    with shard_held(tmp_path, 1, 4), shard_held(tmp_path, 2, 4):
        with pytest.raises(StoreError, match=r"shard 2/4 of .* runs already"), shard_held(tmp_path, 2, 4):
            pass
        with pytest.raises(StoreError, match=r"shard [12]/4 of .* another division"), shard_held(tmp_path, 3, 5):
            pass
        with pytest.raises(StoreError, match="another bench run"), Store(tmp_path).exclusive():
            pass
    with Store(tmp_path).exclusive(), pytest.raises(StoreError, match="another bench run"), shard_held(tmp_path, 1, 4):
        pass
    with shard_held(tmp_path, 3, 5):
        pass


def test_a_plan_divides_by_nominal_cost_and_keeps_profile_cells_together(farm) -> None:
    root, _, _ = farm
    made = runner(root / "x", None, replace(SELECTION, profile=True, processes=2))
    plan, registry = made.plan(measure=False), made.host.registry
    costs = {p.cell: nominal_seconds(p, registry.models[p.cell.model].spec) for p in plan.cells}
    block = sum(cost for cell, cost in costs.items() if cell.kind == "profile")
    for count in (1, 2, 3, 7):
        parts = divide(plan, registry, count)
        assert sorted(p.cell for part in parts for p in part.cells) == [p.cell for p in plan.cells]
        loads = [sum(costs[p.cell] for p in part.cells) for part in parts]
        assert max(loads) <= sum(loads) / count + max(block, *costs.values())
        assert len([part for part in parts if any(p.cell.kind == "profile" for p in part.cells)]) == 1
        unpriced = replace(plan, cells=tuple(replace(p, cost_s=None, reused=True) for p in plan.cells))
        other = divide(unpriced, registry, count)
        assert [[p.cell for p in part.cells] for part in other] == [[p.cell for p in part.cells] for part in parts]
    with pytest.raises(SelectionError, match="400 shards of 321 cells; give at most 321"):
        divide(plan, registry, 400)


def test_a_cell_that_another_shard_decides_about_is_decided_anew(farm, tmp_path: Path) -> None:
    selection = replace(SELECTION, models=("farm.m14", "farm.m15"), seeds=(0,), folds=(1,))
    runner(tmp_path, (1, 2), selection).run()
    decided = json.loads((tmp_path / "plan.json").read_text())["decisions"]
    assert [entry["cost_source"] for entry in decided].count("priced by its own shard") == 1
    tight = replace(selection, overrides=("recipe.budget_seconds=0.001",))
    assert {p.decision for p in runner(tmp_path, (2, 2), tight).plan(measure=False).cells} == {"over_budget"}


def test_merge_names_what_is_damaged_takes_the_better_and_refuses_what_differs(farm, tmp_path: Path, capsys) -> None:
    _, _, parts = farm
    a, b, to = tmp_path / "a", tmp_path / "b", tmp_path / "to"
    shutil.copytree(parts[0], a)
    records = Store(a).records()[0]
    torn, changed, twice = (Store(a).path(record.cell) for record in records[:3])
    shutil.copytree(a, b)
    torn.write_text("{")
    changed.with_suffix(".npz").write_bytes(b"other")
    twice.write_text(twice.read_text().replace('"wall_s": 1.0', '"wall_s": 2.0'))
    alone = merge([a], to)
    assert (alone.copied, len(alone.damaged)) == (len(records) - 2, 2)
    assert any(str(torn) in why for why in alone.damaged)
    assert any(changed.with_suffix(".npz").name in why and "changed after" in why for why in alone.damaged)
    assert execute(["merge", str(a), "--to", str(tmp_path / "cli")]) == 1
    told = capsys.readouterr()
    assert f"{len(records) - 2} records copied" in told.out
    assert "run its shard again" in told.err
    both = merge([a, b], to)
    assert (both.copied, both.present) == (2, len(records) - 2)
    assert len(both.twice) == 1
    assert "the first is kept, scores are equal" in both.twice[0]
    assert '"wall_s": 2.0' in Store(to).path(records[2].cell).read_text()
    Store(to).path(records[0].cell).write_text("{")
    assert merge([b], to).damaged == []
    plan = json.loads((b / "plan.json").read_text())
    plan["decisions"][0]["fingerprint"] = "other"
    (b / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(StoreError, match=f"1 cells differ .*{re.escape(plan['decisions'][0]['id'])}"):
        merge([b], to)
    for wrong, says in ((to, "the folder of --to itself"), (tmp_path / "none", "no run folder")):
        with pytest.raises(SelectionError, match=says):
            merge([wrong], to)


@pytest.mark.parametrize(
    "text", ["", "3", "0/4", "5/4", "a/4", "1/0", "-1/4", "1/4/2", "\u0661/\u0664", "1/" + "9" * 5000]
)
def test_a_shard_is_a_part_of_so_many(text: str) -> None:
    with pytest.raises(SelectionError, match="is no part I/N"):
        shard_of(text)
