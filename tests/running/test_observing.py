"""``--observer``: whoever is named is built of its options, told what runs, once, and switched off when it raises."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import ObserverSpec
from bench.__main__ import main
from bench.errors import PluginError, SelectionError, UnknownNameError
from bench.plugins.discovery import discover, load_modules
from bench.running.observing import Observing
from bench.testing.fakes import fake_plugin

TONES = Path(__file__).parents[1] / "execution" / "faulty_plugin.py"


class Told:
    def __init__(self, *, folder: Path, size: int = 1) -> None:
        if size < 0:
            raise ValueError(f"size={size}; give 0 or more")
        if size > 9:
            raise OSError("too large")
        self.folder, self.size, self.seen = folder, size, []

    def cell_start(self, *values) -> None:
        self.seen.append(values)
        if self.size == 0:
            raise SystemExit("no room\nat all")


@pytest.fixture
def registry(monkeypatch):
    module = fake_plugin("told", [ObserverSpec(name="told", factory=":Told")], Told=Told)
    monkeypatch.setitem(sys.modules, "told", module)
    return load_modules(module).registry


def observing(registry, *texts):
    notes: list[str] = []
    return Observing(texts, registry, Path("out"), notes.append), notes


def objects(found):
    return [observer for observer, _ in found._told.values()]


def test_options_and_a_folder_are_handed_over(registry) -> None:
    found, _ = observing(registry, "told", "told:size=3,folder=~/2024")
    one, other = objects(found)
    assert (one.folder, one.size) == (Path("out/observers/told"), 1)
    assert (other.folder, other.size) == (Path.home() / "2024", 3)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("tell", UnknownNameError, "no observer named 'tell'. Did you mean 'told'"),
        ("told:sice=3", SelectionError, "--observer told:sice=3: it has no option 'sice'; did you mean 'size'"),
        ("told:size", SelectionError, "--observer told:size: 'size' is not of the form key=value"),
        ("told:size=-1", SelectionError, "--observer told:size=-1: size=-1; give 0 or more"),
        ("told:size=10", PluginError, "observer 'told' of .* raised OSError: too large"),
    ],
)
def test_mistakes_are_one_clear_error(registry, text, kind, says) -> None:
    with pytest.raises(kind, match=says):
        observing(registry, text)


def test_one_that_raises_is_named_once_and_switched_off_and_the_others_are_told(registry) -> None:
    found, notes = observing(registry, "told:size=0", "told")
    bad, good = objects(found)
    for number in (1, 2):
        found.tell("cell_start", number, "recipe")
        found.tell("epoch_end", number, 1, {})  # a method that it lacks
    assert (bad.seen, good.seen) == ([(1, "recipe")], [(1, "recipe"), (2, "recipe")])
    (note,) = notes
    assert note.startswith(f"--observer told:size=0: cell_start raised SystemExit: no room at all ({__file__}, line ")
    assert note.endswith("; it is told no more")


@pytest.mark.parametrize(
    "name", [name for name, e in discover().observers.entries.items() if "bench.observers" in e.factory]
)
def test_a_package_that_is_missing_is_one_error_with_the_line_that_installs_it(name, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SelectionError, match=rf"{name} is not installed; `pip install 'bench-audio\[{name}\]'`"):
        observing(discover(), name)


DIARY = """
from bench import ObserverSpec, hookimpl

@hookimpl
def bench_add_observers():
    return [ObserverSpec(name="diary", factory=":Diary"), ObserverSpec(name="bad", factory=":Bad")]

class Diary:
    def __init__(self, *, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "diary.txt"

    def say(self, *words):
        with self.file.open("a") as file:
            print(*words, file=file)

    def cell_start(self, cell, recipe):
        self.say("start", cell.fold, cell.kind, recipe["epochs"])

    def epoch_end(self, cell, epoch, scores):
        self.say("epoch", cell.fold, epoch, *sorted(scores))

    def cell_finish(self, record):
        self.say("finish", record.cell.fold, record.status, len(record.scores) > 0)

    def close(self):
        self.say("close")

class Bad:
    def epoch_end(self, cell, epoch, scores):
        raise KeyError(epoch)
"""


@pytest.mark.usefixtures("warm_workers")
def test_cells_are_told_as_they_run_and_those_reused_are_not(tmp_path, capsys) -> None:
    plugin, out = tmp_path / "diary.py", tmp_path / "out"
    plugin.write_text(DIARY, encoding="utf-8")
    words = [
        "run", "--models", "tones.good", "--dataset", "tones", "--recipe", "smoke", "--no-profile", "--device", "cpu",
        "--plugin", str(TONES), "--plugin", str(plugin), "--out", str(out), "--observer", "diary", "--observer", "bad",
    ]  # fmt: skip
    for folds, told in (("1", "1"), ("1,2", "2")):
        assert main([*words, "--folds", folds]) == 0
        assert capsys.readouterr().err.count("--observer bad: epoch_end raised KeyError: 1") == 1
        file = out / "observers" / "diary" / "diary.txt"
        (kind, fold, *start), *epochs, finish, close = [line.split() for line in file.read_text().splitlines()]
        assert (kind, fold, start[0]) == ("start", told, "evaluate")
        assert len(epochs) == int(start[1]) >= 1
        assert {line[0] for line in epochs} == {"epoch"}
        assert {"train_loss", "lr", "seconds"} <= set(epochs[-1])
        assert (finish, close) == (["finish", told, "ok", "True"], ["close"])
        file.unlink()
