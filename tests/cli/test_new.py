"""``bench new``: what it writes is sound as it stands, whatever its kind and name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.__main__ import main
from bench.allowed import is_name
from bench.plugins.discovery import discover
from bench.testing.fakes import FakeDistribution, write_distribution
from bench.testing.scaffold import RUN, scaffold

REGISTRY = discover()
FILES = {"README.md", "pyproject.toml", "tests/test_plugin.py", ".github/workflows/bench.yml"}


def written(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize("kind", RUN)
def test_what_is_written_keeps_its_contract_at_once(kind, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", kind, f"mine.{kind}"]) == 0
    folder, module = tmp_path / f"bench-mine-{kind}", f"bench_mine_{kind}"
    assert written(folder) == FILES | {f"{module}.py"}
    out = capsys.readouterr().out
    assert f"next: bench check bench-mine-{kind}/{module}.py" in out
    assert main(["check", f"bench-mine-{kind}/{module}.py"]) == 0
    out = capsys.readouterr().out
    assert f"{kind} mine.{kind}: " in out
    assert "failed" not in out
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["bench"] == {module: module}
    assert project["tool"]["pytest"]["ini_options"]["bench_plugin"] == [module]
    workflow = (folder / ".github" / "workflows" / "bench.yml").read_text(encoding="utf-8")
    assert f"mine.{kind}" in workflow
    assert "hashFiles('baseline.json')" in workflow
    assert len((folder / "README.md").read_text(encoding="utf-8").splitlines()) == 5
    if ruff := shutil.which("ruff"):
        rules = ["--isolated", "--no-cache", "--select", "E,F,W,I", "--line-length", "120"]
        subprocess.run([ruff, "check", *rules, str(folder)], check=True)


@pytest.mark.usefixtures("warm_workers")
def test_the_path_of_a_plugin_of_each_kind(tmp_path, capsys, monkeypatch, processes) -> None:
    """As the pages tell it: written, checked (above), its own tests once installed, and all used by one run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for kind in RUN:
        assert main(["new", kind, f"mine.{kind}"]) == 0
        module = f"bench_mine_{kind}"
        write_distribution(tmp_path, FakeDistribution(f"bench-mine-{kind}", entry_points={module: module}))
    places = f"pythonpath={' '.join(map(str, [tmp_path, *tmp_path.glob('bench-mine-*')]))}"
    own = [sys.executable, "-P", "-m", "pytest", "-p", "bench.testing.pytest_plugin", "-v", "-o", places]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for kind in RUN:
        folder = tmp_path / f"bench-mine-{kind}"
        done = processes.run(own, cwd=folder, env=alone, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"test_conformance[{kind}-mine.{kind}] PASSED" in done.stdout
    capsys.readouterr()
    files = [word for kind in RUN for word in ("--plugin", f"bench-mine-{kind}/bench_mine_{kind}.py")]
    options = {"launcher": "--launcher", "observer": "--observer", "metric": "--metric", "reporter": "--format"}
    used = [word for kind, option in options.items() for word in (option, f"mine.{kind}")]
    cells = ["--models", "mine.model,mine.frontend.linear", "--dataset", "mine.dataset", "--folds", "1", "--no-profile"]
    assert main(["run", *files, *used, *cells, "--recipe", "smoke", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    for model in ("mine.model", "mine.frontend.linear"):
        assert re.search(rf"^-  .*{re.escape(model)} .* ok$", shown, re.MULTILINE), shown
    (written_by_reporter,) = (tmp_path / "results" / "runs").glob("leaderboard*.txt")
    text = written_by_reporter.read_text(encoding="utf-8")
    assert text.startswith("2 rows\n")
    assert "mine.dataset" in text
    assert "mine.metric" in text
    assert list((tmp_path / "results" / "runs").rglob("lines.txt"))


def test_one_file_is_enough_for_plugin(tmp_path, capsys) -> None:
    assert main(["new", "reporter", "lines", "--single-file", "--to", str(tmp_path)]) == 0
    assert written(tmp_path) == {"bench_lines.py"}
    assert "pip" not in capsys.readouterr().out
    assert "lines" in discover([tmp_path / "bench_lines.py"]).reporters


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["modl", "mine"], "makes no 'modl'; did you mean 'model'?"),
        (
            ["protocol", "mine"],
            "makes no 'protocol'; known: dataset, frontend, launcher, metric, model, observer, reporter",
        ),
        (["model", "Mine"], "'Mine' cannot be the name of a model: it must be 1 to 64 of a-z"),
        (["model", "calm"], "there is a model 'calm' already"),
        (["model", "hf"], "there is a model 'hf' already"),
        (["model", "default"], "there is a model 'default' already"),
        (["metric", "accuracy"], "there is a metric 'accuracy' already; `bench list metrics` shows all"),
        (["reporter", "csv"], "there is a reporter 'csv' already"),
    ],
)
def test_what_cannot_be_written_is_one_error(words, says, tmp_path, capsys) -> None:
    assert main(["new", *words, "--to", str(tmp_path / "here")]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "here").exists()


def test_nothing_is_written_over(tmp_path, capsys) -> None:
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    assert main(["new", "model", "mine", "--to", str(tmp_path)]) == 2
    assert "README.md is there already" in capsys.readouterr().err
    assert written(tmp_path) == {"README.md"}
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "mine"


@settings(max_examples=10, deadline=None)
@given(name=st.from_regex(r"[a-z0-9]([a-z0-9_.+-]{0,20}[a-z0-9])?", fullmatch=True), kind=st.sampled_from(sorted(RUN)))
def test_every_allowed_name_gives_a_plugin_that_is_found(name, kind, tmp_path_factory) -> None:
    assert is_name(name)
    folder = tmp_path_factory.mktemp("named")
    plugin, *_ = scaffold(kind, name, REGISTRY, to=folder / "one")
    assert re.fullmatch(r"bench_[a-z0-9_]+\.py", plugin.name)
    assert name in getattr(discover([plugin]), f"{kind}s")
    tomllib.loads((folder / "one" / "pyproject.toml").read_text(encoding="utf-8"))
