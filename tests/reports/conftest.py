"""The synthetic records, as a fixture: test files are not importable from each other."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load_samples() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "golden" / "samples.py"
    spec = importlib.util.spec_from_file_location("bench_test_samples", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    return load_samples()


@pytest.fixture(scope="session")
def golden_store(samples, tmp_path_factory):
    return samples.golden_run(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="session")
def golden_board(samples, golden_store):
    from bench.reports.board import build_board
    from bench.reports.published import read_published

    published = read_published(Path(__file__).resolve().parents[1] / "golden" / "published.toml")
    records, bad = golden_store.records()
    assert not bad
    return build_board(
        records,
        planned=[*samples.planned(golden_store)],
        predictions=golden_store.predictions,
        problems=["records/x.json: not a whole JSON file"],
        published=published,
    )
