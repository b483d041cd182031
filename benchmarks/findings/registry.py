"""The findings by name, in the order of the page."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from findings import (
    batch_graph,
    batch_mean,
    best_epoch,
    digit_duplicates,
    gpu_clock,
    live_dropout,
    majority,
    one_key,
    own_statistics,
    shared_sources,
    validation_overlap,
    window,
)
from findings.entry import Study

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "results" / "published" / "findings.json"

STUDIES: dict[str, Study] = {
    module.__name__.rpartition(".")[2].replace("_", "-"): module.STUDY
    for module in (
        one_key,
        live_dropout,
        digit_duplicates,
        own_statistics,
        batch_graph,
        batch_mean,
        majority,
        window,
        validation_overlap,
        shared_sources,
        best_epoch,
        gpu_clock,
    )
}


def measure(name: str, data: Path | None) -> dict[str, Any]:
    """One finding as it stands in the JSON file, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return STUDIES[name].find(data).as_json()
    finally:
        torch.set_num_threads(before)


def data_folder(given: Path | None) -> Path | None:
    """The folder with the real clips: the given one, ``BENCH_DATA``, or ``../shared/data``."""
    places = [given, os.environ.get("BENCH_DATA"), ROOT.parent / "shared" / "data"]
    for place in places:
        if place and (Path(place) / "esc50" / "meta").is_dir() and (Path(place) / "digits").is_dir():
            return Path(place)
    return None


def versions() -> dict[str, str]:
    """What the stored numbers were made with."""
    names = ("torch", "torchaudio", "nnAudio", "timm", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
