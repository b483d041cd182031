"""Fixtures of the engine tests: the plugin file, and a cache of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.execution.results import CellResult
from bench.plugins.discovery import load
from bench.running.runner import Runner

from . import modes as of_modes

PLUGIN = Path(__file__).with_name("faulty_plugin.py")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path_factory.getbasetemp() / "engine-cache"
    monkeypatch.setenv("BENCH_CACHE", str(cache))


@pytest.fixture
def make_runner(tmp_path: Path):
    """``make_runner(models, **selection)``: a runner over the generated tones in a folder of the test."""

    def make(*models: str, out: Path | None = None, settings: dict | None = None, progress=None, **selection) -> Runner:
        chosen = {"datasets": ("tones",), "recipe": "smoke", "overrides": ("recipe.epochs=2",), "profile": False}
        what = Selection(models=models, **(chosen | selection))
        how = Settings(out=out or tmp_path / "run", **({"jobs": 2, "plugins": (PLUGIN,)} | (settings or {})))
        return Runner(what, how, progress)

    return make


@pytest.fixture(scope="module")
def modes():
    """Models for every run mode."""
    return load((of_modes.PLUGIN,)).registry


@pytest.fixture
def run(modes, evaluated) -> Callable[..., CellResult]:
    """``run(mode, weights, model, ...)`` one cell of them in this process."""

    def one(mode="scratch", weights="random", model="modes.good", **changes) -> CellResult:
        return evaluated(modes, of_modes.job(mode, weights, model, **changes))

    return one


@pytest.fixture
def stored(run, tmp_path: Path) -> Path:
    """The checkpoint of a cell trained from scratch."""
    path = tmp_path / "trained.safetensors"
    path.write_bytes(run().files["checkpoint.safetensors"])
    return path
