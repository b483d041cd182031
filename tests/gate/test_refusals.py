"""What a gate refuses: each with its own message and exit status, on the screen and in JUnit, never green."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.__main__ import main


class Bench:
    """What the cases are made of: run folders, files of pytest-benchmark, and a repository with a history."""

    def __init__(self, runs, root: Path, monkeypatch) -> None:
        self.runs, self.root, self.monkeypatch = runs, root, monkeypatch

    def run(self, **changes) -> str:
        return str(self.runs(1, **changes).root)

    def pinned(self, results: str | None = None) -> Path:
        path = self.root / "base.json"
        assert main(["baseline", "pin", results or self.run(), "--to", str(path)]) == 0
        return path

    def against(self, path: Path) -> list[str]:
        return ["--baseline", str(path)]

    def timed(self, name: str, *tests: str) -> str:
        stats = {"median": 0.001, "rounds": 30, "data": [0.001] * 30}
        machine = {"cpu": {"brand_raw": "Test CPU", "count": 2}, "machine": "x86_64", "system": "Linux"}
        entries = [{"fullname": test, "name": test, "stats": stats} for test in tests]
        (self.root / name).write_text(json.dumps({"machine_info": machine, "benchmarks": entries}))
        return str(self.root / name)

    def repository(self, **files: str) -> Path:
        folder = self.root / "repository"
        folder.mkdir()
        self.git("init", "-q", "-b", "main", str(folder))
        for number in range(3):
            for name, text in {"README": str(number), **files}.items():
                (folder / name).write_text(text)
            self.git("-C", str(folder), "add", "-A")
            self.git("-C", str(folder), "commit", "-q", "-m", str(number))
        self.enter(folder)
        return folder

    def enter(self, folder: Path) -> None:
        self.monkeypatch.chdir(folder)
        self.monkeypatch.setenv("BENCH_CACHE", str(self.root / "cache"))

    def git(self, *words: str) -> None:
        who = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        subprocess.run(["git", *words], env=os.environ | who, check=True, capture_output=True)

    def installer(self, script: str) -> None:
        tools = self.root / "bin"
        tools.mkdir()
        (tools / "uv").write_text(f"#!/bin/sh\n{script}\n")
        (tools / "uv").chmod(0o755)
        self.monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")


def vanished_row(bench: Bench) -> list[str]:
    return [bench.run(), bench.run(processes=0)]


def vanished_fold(bench: Bench) -> list[str]:
    return [bench.run(), bench.run(folds=(1,))]


def renamed_test(bench: Bench) -> list[str]:
    old, new = ("t.py::test_a", "t.py::test_b"), ("t.py::test_a", "t.py::test_renamed")
    return [bench.timed("a.json", *old), bench.timed("b.json", *new)]


def empty_run(bench: Bench) -> list[str]:
    (bench.root / "empty").mkdir()
    return [str(bench.root / "empty"), *bench.against(bench.pinned())]


def no_test(bench: Bench) -> list[str]:
    return [bench.timed("a.json", "t.py::test_a"), bench.timed("b.json")]


def other_protocol(bench: Bench) -> list[str]:
    before, store = bench.run(), bench.runs(1)
    for record in store.records()[0]:
        if record.cell.kind == "evaluate":
            protocol = {**record.provenance["protocol"], "hash": "feedfeedfeedfeed"}
            bench.runs.rewrite(store, "evaluate", provenance={**record.provenance, "protocol": protocol})
            break
    return [before, str(store.root)]


def other_machine(bench: Bench) -> list[str]:
    return [bench.run(), bench.run(hardware="beef")]


def edited_baseline(bench: Bench) -> list[str]:
    path = bench.pinned()
    path.write_text(path.read_text().replace('"unit": "s"', '"unit": "h"', 1))
    return [bench.run(), *bench.against(path)]


def torn_baseline(bench: Bench) -> list[str]:
    path = bench.pinned()
    path.write_text(path.read_text()[:-200])
    return [bench.run(), *bench.against(path)]


def not_installable(bench: Bench) -> list[str]:
    bench.installer('echo "error: no matching torch==0.1" >&2; exit 1')
    bench.repository(**{"pyproject.toml": '[project]\nname = "mine"\nversion = "1"\n'})
    return ["--against", "HEAD~1"]


def shallow_clone(bench: Bench) -> list[str]:
    folder = bench.repository()
    bench.git("clone", "-q", "--depth", "1", f"file://{folder}", str(bench.root / "clone"))
    bench.enter(bench.root / "clone")
    return ["--against", "HEAD~1"]


def no_repository(bench: Bench) -> list[str]:
    (bench.root / "plain").mkdir()
    bench.enter(bench.root / "plain")
    return ["--against", "main"]


Case = tuple[Callable[[Bench], list[str]], int, str]
CASES: list[Case] = [
    (vanished_row, 4, "not in the results"),
    (vanished_fold, 4, "no result for fold 2 seed 0"),
    (renamed_test, 4, "test_b"),
    (empty_run, 4, "nothing measured"),
    (no_test, 4, "nothing measured"),
    (other_protocol, 4, "other data or protocol (hash feedfeedfeed"),
    (other_machine, 2, "--cross-hardware"),
    (edited_baseline, 2, "changed after it was pinned"),
    (torn_baseline, 2, "pin it again"),
    (not_installable, 5, "no matching torch==0.1"),
    (shallow_clone, 2, "git fetch --unshallow"),
    (no_repository, 2, "no git repository"),
]


@pytest.mark.parametrize(("arrange", "status", "words"), CASES, ids=[case[0].__name__ for case in CASES])
def test_what_is_refused_is_said_on_the_screen_and_in_junit(
    runs, tmp_path, monkeypatch, capsys, arrange, status, words
) -> None:
    given = arrange(Bench(runs, tmp_path, monkeypatch))
    capsys.readouterr()
    report = tmp_path / "junit.xml"
    assert main(["gate", *given, "--junit", str(report)]) == status
    said = capsys.readouterr()
    assert words in said.out + said.err
    assert "Traceback" not in said.err
    suite = ET.parse(report).getroot()[0]
    errors = [child for case in suite for child in case if child.tag == "error"]
    assert int(suite.get("errors")) == len(errors) > 0
    assert any(words in f"{child.get('message')} {case.get('classname')}" for case in suite for child in case)
