"""What ``docs/architecture.md`` says of adding something is tried, row by row; its rows of rooms are the contract."""

from __future__ import annotations

import ast
import configparser
import csv
import io
import re
import sys
import types
from pathlib import Path

from bench.__main__ import main
from bench.analysis import speed
from bench.analysis.board import build_board
from bench.cli import app
from bench.cli.common import print_note
from bench.reports import columns, formats
from bench.results.quantities import OF_SPEED, QUANTITIES, Quantity

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
OUTSIDE = "tests/third_party/test_outside.py::test_every_seam_from_outside_on_one_board"
TRIED = {
    "a metric": OUTSIDE,
    "a measurement of a model": OUTSIDE,
    "a quantity that records hold already": "tests/test_rooms.py::test_a_quantity_is_one_line",
    "a launcher": OUTSIDE,
    "a report format": OUTSIDE,
    "a protocol": OUTSIDE,
    "a front end": OUTSIDE,
    "a data set, or a new kind of layout": OUTSIDE,
    "a model": OUTSIDE,
    "an observing hook": "tests/running/test_observers.py::test_a_run_whose_every_observer_raises_is_a_good_run",
    "an observer": OUTSIDE,
    "a verb": "tests/test_rooms.py::test_a_verb_is_one_file_and_one_line",
}
"""Each row of "To add something", and the test that does it."""


def _section(title: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_row_of_the_page_is_tried() -> None:
    rows = [line.split("|")[1].strip() for line in _section("To add something").splitlines() if line.startswith("| ")]
    assert rows[1:] == list(TRIED)
    for file, name in (place.split("::") for place in TRIED.values()):
        body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        assert name in {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_the_page_has_the_rows_of_the_contract() -> None:
    parser = configparser.ConfigParser()
    parser.read_string((ROOT / ".importlinter").read_text(encoding="utf-8"))
    lines = parser["importlinter:contract:layers"]["layers"].split("\n")
    contract = [re.findall(r"\w+", line) for line in lines if line.strip()]
    numbered = [line for line in _section("Who may import whom").splitlines() if re.match(r"\d+\. ", line)]
    assert [re.findall(r"`(\w+)`", line) for line in numbered] == contract
    rooms = {
        path.stem for path in (ROOT / "bench").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms - {"__init__"} == {room for row in contract for room in row}
    assert len(contract) <= 12


def test_a_quantity_is_one_line(golden_store, monkeypatch) -> None:
    line = Quantity(
        name="latency_samples", paths=("timing.latency.samples",), shown="always", title="timed calls", form="whole"
    )
    for module in (columns, formats):
        monkeypatch.setattr(module, "QUANTITIES", (*QUANTITIES, line))
    monkeypatch.setattr(speed, "OF_SPEED", (*OF_SPEED, line))
    board = build_board(golden_store.records()[0], metrics={})
    assert "timed calls" in formats.markdown(board)
    rows = csv.DictReader(io.StringIO(formats.csv(board)))
    assert {float(row["latency_samples"]) for row in rows if row["latency_samples"]} == {100.0}


def test_a_verb_is_one_file_and_one_line(monkeypatch, capsys) -> None:
    module = types.ModuleType("bench.cli.greet")

    def greet(*, name: str = "you") -> int:
        """Greet someone."""
        print_note(f"hello {name}")
        return 3

    module.main = greet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bench.cli.greet", module)
    monkeypatch.setattr(app, "VERBS", {**app.VERBS, "greet": "Greet someone."})
    assert main(["greet", "--name", "world"]) == 3
    assert capsys.readouterr().err == "note: hello world\n"
    assert main(["--help"]) == 0
    assert "greet" in capsys.readouterr().out
