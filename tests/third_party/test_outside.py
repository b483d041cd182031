"""Two outside distributions, installed by tox: ``pip install tests/third_party/hello tests/third_party/full``."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench import FrontendSpec, TaskInfo
from bench.plugins.discovery import discover
from bench.plugins.factories import load_factory
from bench.testing.fakes import fake_plugin

HERE = Path(__file__).parent


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def test_hello_world_is_as_short_as_promised() -> None:
    assert len(_lines(HERE / "hello" / "bench_hello.py")) <= 8
    assert len(_lines(HERE / "hello" / "pyproject.toml")) <= 6


@pytest.mark.parametrize("folder", ["hello", "full"])
def test_outside_distribution_uses_the_group_bench(folder: str) -> None:
    project = tomllib.loads((HERE / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"][0] == "bench-audio"
    assert list(project["entry-points"]) == ["bench"]


def test_hello_world_as_a_file_builds_a_network() -> None:
    import torch

    fake = fake_plugin("mel", [FrontendSpec(name="torchaudio", factory="m:f")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "mel", fake)
        point = importlib.metadata.EntryPoint("mel", "mel", "bench")
        models = discover([HERE / "hello" / "bench_hello.py"], entry_points=[point]).models
    task = TaskInfo(num_classes=7, feature_shape=(8, 10))
    network = load_factory(models["hello.linear"].factory)(task)
    assert network(torch.zeros(3, 8, 10)).shape == (3, 7)


@pytest.fixture(scope="module")
def installed() -> None:
    for name in ("hello", "full"):
        project = tomllib.loads((HERE / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        try:
            found = importlib.metadata.version(project["name"])
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != project["version"]:
            pytest.skip(f"{name}: {found} is installed: pip install . tests/third_party/hello tests/third_party/full")


@pytest.fixture
def listed(processes):
    """``listed(what, *more)``: what ``bench list`` gives in a process of its own."""

    def call(what: str, *more: str) -> list[dict[str, object]]:
        command = [sys.executable, "-P", "-m", "bench", "list", what, "--json", *more]
        done = processes.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found: list[dict[str, object]] = json.loads(done.stdout)
        return found

    return call


@pytest.mark.parametrize(
    ("what", "name", "distribution"),
    [
        ("models", "hello.linear", "bench-hello"),
        ("models", "full.bands", "bench-full"),
        ("datasets", "full.tones", "bench-full"),
        ("frontends", "full.bands", "bench-full"),
        ("metrics", "full.distance", "bench-full"),
        ("measurements", "full.niceness", "bench-full"),
        ("launchers", "full.niced", "bench-full"),
        ("reporters", "full.lines", "bench-full"),
        ("observers", "full.diary", "bench-full"),
        ("protocols", "full.halves", "bench-full"),
        ("plugins", "hello", "bench-hello"),
        ("plugins", "full", "bench-full"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_what_an_outside_distribution_gives_is_listed(listed, what: str, name: str, distribution: str) -> None:
    (found,) = [item for item in listed(what) if item["name"] == name]
    provider = found if what == "plugins" else found["provider"]
    assert isinstance(provider, dict)
    assert provider["distribution"] == distribution


@pytest.mark.usefixtures("installed")
def test_an_outside_distribution_can_be_left_out(listed) -> None:
    names = {item["name"] for item in listed("models", "--no-plugin", "full", "--no-plugin", "bench-hello")}
    assert names.isdisjoint({"hello.linear", "full.bands"})


@pytest.mark.usefixtures("installed")
def test_the_same_model_as_a_file_collides_with_the_installed_one(processes) -> None:
    command = [sys.executable, "-P", "-m", "bench", "list", "models", "--plugin", str(HERE / "hello/bench_hello.py")]
    done = processes.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "hello.linear" in done.stderr
    assert "bench-hello 1.0" in done.stderr


@pytest.mark.usefixtures("installed")
def test_the_same_model_works_as_a_file_instead(listed) -> None:
    file = HERE / "hello" / "bench_hello.py"
    (found,) = [
        item
        for item in listed("models", "--no-plugin", "hello", "--plugin", str(file))
        if item["name"] == "hello.linear"
    ]
    assert found["provider"] == {
        "plugin": "bench_hello.py",
        "module": found["provider"]["module"],  # type: ignore[index]
        "distribution": "",
        "version": "",
        "file": str(file),
    }


@pytest.fixture
def board_of(processes, tmp_path: Path):
    """``board_of(*words)``: the rows of a small run, and its Markdown board."""

    def call(*words: str, run=processes.run) -> tuple[list[dict[str, object]], str]:
        command = [sys.executable, "-P", "-m", "bench", "run", "--dataset", "full.tones", "--out", str(tmp_path)]
        done = run([*command, *words], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        records = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "records").rglob("*.json")]
        return records, (tmp_path / "leaderboard.md").read_text(encoding="utf-8")

    return call


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_outside_model_data_set_and_front_end_on_a_board(board_of) -> None:
    records, board = board_of("--models", "hello,full.bands", "--no-keep-checkpoints")
    assert "hello.linear" in board
    assert "full.bands" in board
    assert {r["status"] for r in records} == {"ok"}
    fronts = {(r["cell"]["model"], r["cell"]["frontend"]) for r in records}
    assert fronts == {("hello.linear", "torchaudio"), ("full.bands", "full.bands")}
    providers = {r["provenance"]["model"]["distribution"] for r in records}
    assert providers == {"bench-hello", "bench-full"}


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_every_seam_from_outside_on_one_board(board_of, tmp_path: Path) -> None:
    words = ["--protocol", "full.halves", "--launcher", "full.niced:nice=7", "--format", "md,full.lines"]
    words += ["--observer", "full.diary:mark=*"]
    records, board = board_of("--models", "hello,full.bands", "--no-keep-checkpoints", *words, run=subprocess.run)
    assert {r["status"] for r in records} == {"ok"}
    assert {r["cell"]["protocol"] for r in records} == {"full.halves@1", "profile@1"}
    evaluated = [r for r in records if r["cell"]["kind"] == "evaluate"]
    distances = {}
    for record in evaluated:
        (distance,) = [score for score in record["scores"] if score["name"] == "full.distance"]
        assert (distance["higher_is_better"], distance["unit"]) == (False, "registers")
        distances[record["cell"]["model"]] = distance["value"]
    profiled, own = [r for r in records if r["cell"]["kind"] == "profile"], os.getpriority(os.PRIO_PROCESS, 0)
    assert {r["timing"]["measurements"]["full.niceness"]["value"] for r in profiled} == {float(own + 7)}
    lines = [json.loads(line) for line in (tmp_path / "leaderboard.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["scores"]["full.distance"] for line in lines] == sorted(distances.values())  # least is best
    assert {line["model"]: line["scores"]["full.distance"] for line in lines} == distances
    assert "full.distance" in board
    diary = (tmp_path / "observers" / "full.diary" / "diary.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split()[:2] for line in diary].count(["*", "epoch"]) >= 2
    for kind, model in itertools.product(("evaluate", "profile"), ("hello.linear", "full.bands")):
        begin = next(place for place, line in enumerate(diary) if line.startswith(f"* start {kind} {model} "))
        assert begin < diary.index(f"* finish {kind} {model} ok")
    assert diary[-1] == "* close"


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_the_same_model_as_a_file_on_a_board(board_of) -> None:
    file = HERE / "hello" / "bench_hello.py"
    words = ["--models", "hello.linear", "--no-plugin", "hello", "--plugin", str(file), "--folds", "1", "--no-profile"]
    records, board = board_of(*words)
    assert "hello.linear" in board
    assert [r["status"] for r in records] == ["ok"]
    assert records[0]["provenance"]["model"]["distribution"] == ""
