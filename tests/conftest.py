"""Shared fixtures: where the real clips are, the synthetic records, and one thread per test process."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault of what is tested.
settings.register_profile(
    "bench", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="BENCH_THOROUGH" not in os.environ
)
settings.load_profile("bench")

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws depends neither on the tests before it nor on the day: torch seeds itself from the clock."""
    from bench.execution.seeding import seed_everything

    seed_everything(0)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real clips (``esc10/``, ``esc50/``, ``digits/``), or a skip that says where it looked."""
    places = [Path(p) for p in (os.environ.get("BENCH_DATA"),) if p]
    places.append(Path(__file__).resolve().parents[2] / "shared" / "data")
    for place in places:
        if (place / "esc10" / "meta").is_dir():
            return place
    pytest.skip(f"no real clips: looked in {', '.join(map(str, places))}; set BENCH_DATA to a folder with esc10/")


@pytest.fixture(scope="session")
def torchaudio() -> ModuleType:
    """torchaudio as a reference, or a skip that says why it does not load: it refuses torch of another build."""
    try:
        import torchaudio
        import torchaudio.compliance.kaldi
    except Exception as error:  # noqa: BLE001  an extension that does not load raises whatever it likes
        pytest.skip(f"no torchaudio to compare with: {type(error).__name__}: {error}")
    return torchaudio


@pytest.fixture(scope="session")
def evaluated():
    """``evaluated(registry, job, ...)``: one evaluate cell in this process, scored as the host scores it."""
    from bench.data.locate import open_clips
    from bench.execution.evaluate import run_evaluate
    from bench.execution.results import CellResult, Progress
    from bench.plugins.interfaces import Finished
    from bench.results.predictions import NpzArrays
    from bench.results.store import npz_bytes
    from bench.running.scoring import completed

    def evaluate(registry, job, progress=None, on_epoch=lambda *_: None) -> CellResult:
        found = run_evaluate(registry, job, progress or Progress(), on_epoch)
        entry = registry.datasets[job.cell.dataset]
        event = Finished(job=job, record=found.record, files={"predictions.npz": npz_bytes(found.arrays)})
        done = completed(registry, open_clips(entry.spec, job.data, load=entry.factory), event)
        return CellResult(record=done.record, arrays=dict(NpzArrays(done.files["predictions.npz"])), files=found.files)

    return evaluate


@pytest.fixture(scope="session")
def processes():
    """Stands for the module ``subprocess``: its `bench` processes are forks of an image; see ``tests/warm.py``."""
    warm = load_module("bench_test_warm", Path(__file__).with_name("warm.py"))
    image = warm.Image()
    yield warm.module(image)
    image.close()


@pytest.fixture(scope="module")
def warm_workers(processes):
    """Worker processes of runs in this process are forks of the image; for tests where their start is not the point."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.running.process.subprocess", processes)
        yield


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    """The tests of a file share a cache that nothing else writes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


def load_module(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def load_samples() -> ModuleType:
    return load_module("bench_test_samples", Path(__file__).resolve().parent / "golden" / "samples.py")


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    return load_samples()


@pytest.fixture(scope="session")
def golden_store(samples, tmp_path_factory):
    return samples.golden_run(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="session")
def golden_board(samples, golden_store):
    from bench.analysis.board import build_board
    from bench.reports.published import read_published

    published = read_published(Path(__file__).resolve().parent / "golden" / "published.toml")
    records, bad = golden_store.records()
    assert not bad
    return build_board(
        records,
        metrics=samples.STORED_METRICS,
        planned=[*samples.planned(golden_store)],
        predictions=golden_store.predictions,
        problems=["records/x.json: not a whole JSON file"],
        published=published,
    )
