"""Which folders bench writes to, and what it takes away there: nothing that is not its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cell import Cell
from bench.errors import StoreError
from bench.results.folder import MARKER
from bench.results.records import SCHEMA_VERSION, Record
from bench.results.store import Store

CELL = Cell(kind="evaluate", dataset="demo", protocol="4+1@1", fold=1, model="a.b")
HEX = "0123456789abcdef" * 2


def record() -> Record:
    return Record(
        cell=CELL, status="ok", started_at="2026-01-01T00:00:00Z", provenance={"schema_version": SCHEMA_VERSION}
    )


def hold(root: Path, *, adopt: bool = False) -> list[str]:
    with Store(root).exclusive(adopt=adopt) as notes:
        return notes


def test_a_run_folder_is_marked_once(tmp_path: Path) -> None:
    assert hold(tmp_path / "new") == []
    first = (tmp_path / "new" / MARKER).read_text()
    assert json.loads(first)["schema_version"] == 1
    assert hold(tmp_path / "new") == []
    assert (tmp_path / "new" / MARKER).read_text() == first


def test_a_folder_of_other_things_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "songs.json").write_text("{}")
    with pytest.raises(StoreError, match=r"holds records, thesis\.tex and is no run folder.*--adopt"):
        hold(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex", "records"}
    hold(tmp_path, adopt=True)
    hold(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "words"


@pytest.mark.parametrize("what", ["record", "plan"])
def test_run_folders_made_before_are_known(what: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(record()) if what == "record" else store.write_plan({"cells": [], "decisions": []})
    (tmp_path / "leaderboard.md").touch()
    hold(tmp_path)
    assert (tmp_path / MARKER).is_file()


def test_a_damaged_marker_is_made_again(tmp_path: Path) -> None:
    hold(tmp_path)
    (tmp_path / MARKER).write_text("{")
    (note,) = hold(tmp_path)
    assert f"{MARKER}.damaged-1" in note
    assert hold(tmp_path) == []


def test_only_own_temporaries_go_and_only_where_runs_write(tmp_path: Path) -> None:
    inner = tmp_path / "records" / "inner"
    hold(inner)
    own = [".plan.json", "records/a/.x.json", "logs/a/.x.log", "trace/.t.json"]
    foreign = [".git/.x", ".git/objects/.y", "notes/.z", "src/a/.w", "records/inner/records/.x.json", "records/.git/.x"]
    users = [".notes.tmp", "records/.draft.tmp", f"records/x.{HEX}.tmp", f"records/.x.{HEX[:-1]}.tmp", ".emacs.tmp"]
    for name in [*(f"{one}.{HEX}.tmp" for one in (*own, *foreign)), *users]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept?")
    hold(tmp_path, adopt=True)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.tmp")}
    assert left == {*(f"{one}.{HEX}.tmp" for one in foreign), *users}


def test_another_schema_version_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    written: Record = store.write(record())
    newer = written.model_copy(update={"provenance": {**written.provenance, "schema_version": SCHEMA_VERSION + 1}})
    store.path(CELL).write_text(newer.to_json())
    assert "install the bench-audio that wrote it" in str(store.records()[1][0])
