"""Jobs of every run mode on generated tones."""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
import torch

from bench.cell import Cell
from bench.execution.evaluate import CellResult
from bench.job import Job
from bench.recipe import Recipe
from bench.results.provenance import weights_label

PLUGIN = Path(__file__).with_name("modes_plugin.py")
PLAIN = Recipe(
    name="plain", epochs=2, batch=8, ema=None, mixup_alpha=0.0, trim_db=None, roll=False, gain_db=0.0, shift=0.0,
    pretrain_steps=12, pretrain_batch=8,
)  # fmt: skip
TRAIN, TEST, UNKNOWN = 32, 12, 4


def job(mode, weights, model, *, dataset="tones", recipe=PLAIN, file=None, **changes) -> Job:
    cell = Cell(
        kind="evaluate", dataset=dataset, protocol="official@1", fold=0, model=model, mode=mode, weights=weights,
        frontend="torchaudio", recipe="plain", batch=recipe.batch, clip_samples=1600,
    )  # fmt: skip
    return Job(cell=cell, recipe=recipe, fingerprint="f", weights=file, **changes)


def from_file(run, mode: str, file: Path, **changes) -> CellResult:
    return run(mode, weights_label(file), file=file, **changes)


def checkpoint(found: CellResult) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(found.files["checkpoint.safetensors"])
