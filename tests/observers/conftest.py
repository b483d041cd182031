"""A run as observers are told it: two evaluate cells and a profile cell side by side, and a cell that never began."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest

from bench.config.recipes import resolve
from bench.plugins.discovery import discover
from bench.plugins.factories import load_factory

EPOCHS = (
    {"train_loss": 1.5, "lr": 1e-3, "seconds": 2.0, "val_accuracy": 0.25},
    {"train_loss": 0.75, "lr": 5e-4, "seconds": 4.0, "val_accuracy": 0.5},
)


@pytest.fixture(scope="session")
def story(samples, golden_store):
    """``story.tell(observer)`` tells it; the records of its cells are ``ok``, ``failed``, ``profile`` and ``lost``."""
    records = golden_store.records()[0]
    ok = next(record for record in records if record.cell.kind == "evaluate" and record.status == "ok")
    profile = next(record for record in records if record.cell.kind == "profile" and record.status == "ok")
    failed = next(record for record in records if record.status not in ("ok", "incompatible", "over_budget"))
    lost = failed.model_copy(update={"cell": samples.cell("lost.model", fold=2), "status": "crashed"})
    failed = failed.model_copy(update={"cell": samples.cell("failed.model", fold=3), "status": "failed"})
    recipe = resolve("smoke").model_dump(mode="json")

    def tell(observer) -> None:
        for record in (ok, failed, profile):
            observer.cell_start(record.cell, recipe)
        for epoch, scores in enumerate(EPOCHS, 1):
            for cell in (ok.cell, failed.cell):
                observer.epoch_end(cell, epoch, scores)
        for record in (failed, ok, profile, lost):
            observer.cell_finish(record)
        observer.close()

    return SimpleNamespace(tell=tell, ok=ok, failed=failed, profile=profile, lost=lost, recipe=recipe, epochs=EPOCHS)


def built(name, folder):
    """The observer of that name, or a skip that says what to install."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'bench-audio[{name}]', or tox -e observers")
    return load_factory(discover().observers[name].factory)(folder=folder)


@pytest.fixture
def observer(request, tmp_path):
    """The observer that the module's ``NAME`` says."""
    return built(request.module.NAME, tmp_path / "new")


@pytest.fixture(scope="module")
def told(request, story, tmp_path_factory):
    """The folder of the observer that the module's ``NAME`` says, which was told the story."""
    folder = tmp_path_factory.mktemp("observers") / "new"
    story.tell(built(request.module.NAME, folder))
    return folder
