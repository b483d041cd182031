"""Seconds that ``bench report`` takes over many records with predictions, and how they grow.

``python benchmarks/report_speed.py [--counts N,...] [--models 20] [--format md,csv,json,latex,html] [--json]``;
``--against FOLDER`` runs the bench of another source tree in turns with this one over the largest count, and gives the
ratio of their times (median of ``--pairs``, with the smallest and largest). Two clocks are read: processor time (user
and system) of the command and its forks, and the wall's, which means something on an idle machine only.
The promise: 10 000 records within 10 s, growing linearly. Records are synthetic: boards of ``--models`` models on five
folds and five seeds of 80 clips in 10 classes; more records are more boards.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.cell import Cell
from bench.results.records import Record, Score
from bench.results.store import Store

FOLDS, SEEDS, CLIPS, CLASSES, EPOCHS = 5, 5, 80, 10, 20
SCORES = (
    "accuracy", "top5_accuracy", "balanced_accuracy", "macro_f1", "micro_f1", "map", "auroc", "d_prime", "log_loss",
    "ece",
)  # fmt: skip
FEW = 25
"""Records of one row: what starting the program takes."""
CLOCKS = ("processor", "wall")
COUNTS = "2500,5000,10000"
FORMATS = "md,csv,json,latex,html"


def fill(root: Path, count: int, models: int) -> None:
    """Write ``count`` records with predictions below ``root``."""
    store, rng = Store(root), np.random.default_rng(0)
    board = models * FOLDS * SEEDS
    for index in range(count):
        place, rest = divmod(index, board)
        model, rest = divmod(rest, FOLDS * SEEDS)
        fold, seed = divmod(rest, SEEDS)
        cell = Cell(
            kind="evaluate", dataset=f"toy{place:02d}", protocol="4+1@1", fold=fold + 1, model=f"family.m{model:03d}",
            frontend="logmel", recipe="quick", seed=seed,
        )  # fmt: skip
        write(store, cell, arrays(fold, 0.5 + 0.4 * model / models, rng))


def arrays(fold: int, accuracy: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Predictions and curves of one cell."""
    targets = np.arange(CLIPS, dtype=np.int64) % CLASSES
    guess = np.where(rng.random(CLIPS) < accuracy, targets, rng.integers(0, CLASSES, CLIPS))
    logits = rng.normal(size=(CLIPS, CLASSES)).astype(np.float32)
    logits[np.arange(CLIPS), guess] += 6
    epochs = np.arange(1, EPOCHS + 1)
    return {
        "ids": np.array([f"{fold}-{clip:03d}" for clip in range(CLIPS)]),
        "groups": np.array([f"{fold}-{clip // 2}" for clip in range(CLIPS)]),
        "targets": targets,
        "logits": logits,
        "curve_epoch": epochs,
        "curve_train_loss": 2.0 / epochs,
        "curve_val_accuracy": np.full(EPOCHS, np.nan),
        "curve_lr": np.full(EPOCHS, 1e-3),
        "curve_seconds": epochs.astype(float),
    }


def packed_npz(values: dict[str, np.ndarray]) -> bytes:
    """The file of a cell's arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **values)
    return buffer.getvalue()


def provenance(dataset: str, model: str, fingerprint: str) -> dict[str, Any]:
    """What a record says of data and model."""
    return {
        "fingerprint": fingerprint,
        "protocol": {"name": "4+1", "version": 1, "hash": "0123456789abcdef", "ranked": True},
        "dataset": {
            "name": dataset, "title": dataset, "label_names": [f"class{i}" for i in range(CLASSES)],
            "train": 4 * CLIPS, "validation": 0, "test": CLIPS, "manifest_sha256": "m" * 64,
            "groups": "source recording", "primary_metric": "accuracy",
        },
        "model": {"name": model, "family": "family", "parameters": 1_000_000, "inputs": {"audio": "given"}},
        "publishable": True,
        "not_publishable": [],
    }  # fmt: skip


def write(store: Store, cell: Cell, values: dict[str, np.ndarray]) -> None:
    """A record as the store lays it out, without waiting for the disk."""
    content, path = packed_npz(values), store.path(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    npz = path.with_suffix(".npz")
    npz.write_bytes(content)
    accuracy = float((values["logits"].argmax(1) == values["targets"]).mean())
    record = Record(
        cell=cell,
        status="ok",
        scores=tuple(Score(name=name, value=accuracy) for name in SCORES),
        timing={"wall_s": 10.0, "train_s": 9.0},
        environment={
            "hardware_fingerprint": "f00d", "cpu": {"model": "CPU", "logical_cores": 2}, "torch": {"threads": 1},
            "libraries": {"torch": "2.11.0", "numpy": "2.4.6"}, "os": "OS", "python": "CPython 3.11",
        },
        provenance={"schema_version": 1, **provenance(cell.dataset, cell.model, f"{abs(hash(cell.id)):016x}")},
        artifacts={
            "predictions": {
                "file": npz.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)
            }
        },
        started_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    values = json.loads(record.to_json())
    del values["cell"]["weights"]  # as version 1 wrote it, so that every tree reads it
    path.write_text(json.dumps(values), encoding="utf-8")


def spent(root: Path, formats: str, tree: Path | None = None, without: tuple[str, ...] = ()) -> npt.NDArray[np.float64]:
    """Processor and wall time of one ``bench report`` in a process of its own, of the bench in ``tree`` if given."""
    env = dict(os.environ)
    if tree is not None:
        env["PYTHONPATH"] = os.pathsep.join(str(tree / part) for part in ("", "plugins", "datasets"))
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-P", "-m", "bench", "report", str(root), "--to", str(root / "out"), "--format", formats]
    command += [word for name in without for word in ("--no-plugin", name)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter() - start
    return np.array([after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall])


def exponent(counts: list[int], seconds: list[float]) -> float:
    """Slope of log seconds, less those of the program's start, over log records: 1 = linear."""
    return float(np.polyfit(np.log(counts), np.log(seconds), 1)[0])


def compare(options: argparse.Namespace) -> None:
    """This bench and that of another source tree, in turns over the same records."""
    with tempfile.TemporaryDirectory() as folder:
        root, count = Path(folder), max(int(word) for word in options.counts.split(","))
        fill(root, count, options.models)
        ratios = []
        for _ in range(options.pairs):
            other = spent(root, options.format, options.against.resolve(), tuple(options.without))
            ratios.append(spent(root, options.format) / other)
    for name, ratio in zip(CLOCKS, np.transpose(ratios), strict=True):
        print(f"{count} records, {name} time: ratio {np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}]")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default=COUNTS)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--format", default=FORMATS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    parser.add_argument("--without", nargs="*", default=[], metavar="PLUGIN", help="what the other tree lacks")
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    if options.against:
        compare(options)
        return
    counts = [int(word) for word in options.counts.split(",")]
    times: list[list[float]] = []
    for count in (FEW, *counts):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder), count, options.models)
            times.append(spent(Path(folder), options.format).tolist())
            if not options.json:
                print(f"{count:6d} records: {times[-1][0]:6.2f} s of processors, {times[-1][1]:6.2f} s", flush=True)
    seconds = [one[0] for one in times]
    slope = exponent(counts, [value - seconds[0] for value in seconds[1:]]) if len(counts) > 1 else None
    if options.json:
        print(
            json.dumps(
                {"counts": [FEW, *counts], "seconds": seconds, "wall": [one[1] for one in times], "exponent": slope}
            )
        )
    elif slope is not None:
        print(f"processor seconds beyond those of {FEW} records grow as records ** {slope:.2f}")


if __name__ == "__main__":
    main()
