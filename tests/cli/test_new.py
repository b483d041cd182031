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
def test_the_path_of_a_plugin(tmp_path, capsys, monkeypatch) -> None:
    """As the pages tell it: written, checked (above, as each kind is), on a board, and its own tests once installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder, module = tmp_path / "bench-mine-net", "bench_mine_net"
    assert main(["new", "model", "mine.net"]) == 0
    words = ["--models", "mine.net", "--dataset", "demo", "--limit", "8", "--no-profile", "--device", "cpu"]
    assert main(["run", "--plugin", f"bench-mine-net/{module}.py", *words]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^-  .*mine\.net .* ok$", out, re.MULTILINE), out
    fake = FakeDistribution("bench-mine-net", entry_points={module: module})
    write_distribution(tmp_path / "site", fake)
    path = os.pathsep.join([str(tmp_path / "site"), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-p", "bench.testing.pytest_plugin", "-v"], cwd=folder, check=False,
        env=os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_conformance[model-mine.net] PASSED" in done.stdout


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
