"""Does a network learn the same in bf16 as in fp32? Accuracy, losses and logits of a run that holds both.

    bench run --models default --dataset esc10 --folds 1 --seeds 0,1,2 --recipe quick --out DIR --no-profile
    bench run ... --precision bf16          (the same, into the same folder)
    python benchmarks/parity.py DIR [--out benchmarks/results/parity.md]

Each difference is bf16 minus fp32, on the same clips, folds and seeds. Accuracy and the loss of test clips
(cross-entropy of the stored logits) come with the 95 % interval of ``bench compare``, over groups of clips and seeds.
The loss of the last epoch has no clips: the smallest and largest difference of a cell stand in brackets.
Two trainings part by rounding alone, so logits are held against those of another seed: how far two cells are apart is
the root mean square of the difference of their centred logits over that of the logits themselves, and the share of
test clips that both call by one class. Where bf16 is as far from fp32 as a seed is from the next, it is another draw
of the same training.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from bench import builtin
from bench.analysis.comparison import Choice, Source, compare
from bench.analysis.phrases import labelled
from bench.cell import Cell
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.results.folder import write_atomic
from bench.results.predictions import clip_groups
from bench.results.store import Store
from bench.statistics.paired import paired_cluster_bootstrap
from bench.statistics.results import Refusal

Floats = npt.NDArray[np.float64]
AXES = ("mode", "weights", "inputs", "frontend", "feeding", "recipe", "clip_samples")


@dataclass(frozen=True, slots=True)
class Scored:
    """What a finished cell left: centred logits of its test clips in order of their names, and its last loss."""

    ids: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    logits: Floats
    last_loss: float

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Scored:
        order = np.argsort(arrays["ids"])
        ids, targets, logits = (arrays[name][order] for name in ("ids", "targets", "logits"))
        groups = arrays["groups"][order] if "groups" in arrays else np.full(len(ids), "")
        logits = logits.astype(np.float64)
        curve = arrays.get("curve_train_loss", np.array([np.nan]))
        return cls(ids, targets, groups, logits - logits.mean(axis=1, keepdims=True), float(curve[-1]))

    @property
    def losses(self) -> Floats:
        """Cross-entropy of each clip, one class a clip."""
        own = np.take_along_axis(self.logits, self.targets[:, None], axis=1)[:, 0]
        return np.logaddexp.reduce(self.logits, axis=1) - own


@dataclass(frozen=True, slots=True)
class Row:
    """One model in both precisions: cells by fold and seed."""

    cell: Cell
    pairs: Mapping[tuple[int, int], tuple[Scored, Scored]]

    def of_seeds(self, precision: int, what: str) -> Floats:
        """A value of each clip ``(seeds, clips)``, the folds in order."""
        seeds = sorted({seed for _, seed in self.pairs})
        folds = sorted({fold for fold, _ in self.pairs})
        own = [[getattr(self.pairs[fold, seed][precision], what) for fold in folds] for seed in seeds]
        return np.stack([np.concatenate(one) for one in own])


def read_rows(store: Store) -> list[Row]:
    """Models that ended well in both precisions; only folds whose cells all seeds have."""
    found: dict[Cell, dict[str, dict[tuple[int, int], Scored]]] = {}
    for record in store.records()[0]:
        cell = record.cell
        if cell.kind == "evaluate" and record.status == "ok":
            row = replace(cell, fold=0, seed=0, precision="fp32")
            scored = found.setdefault(row, {"fp32": {}, "bf16": {}})
            scored[cell.precision][cell.fold, cell.seed] = Scored.of(store.predictions(record))
    rows = []
    for cell, by in sorted(found.items()):
        shared = sorted(by["fp32"].keys() & by["bf16"].keys())
        seeds = {seed for _, seed in shared}
        whole = [(fold, seed) for fold, seed in shared if {(fold, other) for other in seeds} <= {*shared}]
        if whole:
            rows.append(Row(cell, {key: (by["fp32"][key], by["bf16"][key]) for key in whole}))
    return rows


def apart(pairs: Iterator[tuple[Scored, Scored]]) -> tuple[float, float] | None:
    """How far logits of two cells are apart, and the share of clips they call the same; means over pairs."""
    found = [
        (
            float(np.sqrt(np.mean((b.logits - a.logits) ** 2) / np.mean(a.logits**2))),
            float(np.mean(a.logits.argmax(axis=1) == b.logits.argmax(axis=1))),
        )
        for a, b in pairs
    ]
    return tuple(np.mean(found, axis=0).tolist()) if found else None


def seeds_apart(row: Row) -> Iterator[tuple[Scored, Scored]]:
    """Pairs of fp32 cells of one fold and two seeds."""
    for (one, first), (other, second) in itertools.combinations(row.pairs.items(), 2):
        if one[0] == other[0]:
            yield first[0], second[0]


def accuracy(row: Row, store: Store, source: Source) -> tuple[str, str]:
    """The score in both precisions and its difference, as ``bench compare`` computes them, in points."""
    axes = tuple((name, str(getattr(row.cell, name))) for name in AXES)
    both = [
        Choice(model=row.cell.model, axes=(*axes, ("precision", name)), label=f"{row.cell.model} {name}")
        for name in ("bf16", "fp32")
    ]
    (verdict, *_), _ = compare(store.records()[0], *both, source, dataset=row.cell.dataset)
    values = f"{100 * verdict.value_b:.1f}, {100 * verdict.value_a:.1f}"
    if isinstance(verdict.paired, Refusal):
        return values, verdict.paired.reason
    low, high = verdict.paired.interval.low, verdict.paired.interval.high
    return values, f"{100 * verdict.paired.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def test_loss(row: Row) -> tuple[str, str]:
    """The mean loss of test clips in both precisions and its difference."""
    fp32, bf16 = (row.of_seeds(precision, "losses") for precision in (0, 1))
    ids, names = row.of_seeds(0, "ids")[0], row.of_seeds(0, "groups")[0]
    found = paired_cluster_bootstrap(bf16, fp32, clip_groups(ids, names))
    values = f"{fp32.mean():.3f}, {bf16.mean():.3f}"
    if isinstance(found, Refusal):
        return values, found.reason
    return values, f"{found.difference:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}]"


def last_loss(row: Row) -> tuple[str, str]:
    """The training loss of the last epoch in both precisions and its difference."""
    both = np.array([[one.last_loss for one in pair] for pair in row.pairs.values()])
    differences = both[:, 1] - both[:, 0]
    spread = f"{differences.mean():+.4f} ({differences.min():+.4f} to {differences.max():+.4f})"
    return f"{both[:, 0].mean():.4f}, {both[:, 1].mean():.4f}", spread


def shown(found: tuple[float, float] | None) -> str:
    return "one seed" if found is None else f"{found[0]:.2f}, {100 * found[1]:.0f} %"


def render(store: Store, source: Source) -> str:
    """The table of a run folder."""
    rows: list[Sequence[str]] = []
    for row in read_rows(store):
        seeds, folds = (sorted({key[at] for key in row.pairs}) for at in (1, 0))
        what = f"{row.cell.data_name}, {labelled('fold', folds)}, {labelled('seed', seeds)}"
        measured = (accuracy(row, store, source), test_loss(row), last_loss(row))
        logits = (shown(apart(iter(row.pairs.values()))), shown(apart(seeds_apart(row))))
        rows.append([f"`{row.cell.model}`", what, *(text for pair in measured for text in pair), *logits])
    if not rows:
        raise SystemExit(f"{store.root} holds no model in both precisions; see --help for the two commands")
    header = [
        "model", "cells", "accuracy fp32, bf16 (%)", "difference, points", "test loss fp32, bf16", "difference",
        "last training loss fp32, bf16", "difference", "logits of bf16 from fp32, same answer",
        "of one fp32 seed from another",
    ]  # fmt: skip
    return tabulate(rows, header, tablefmt="github", disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="run folder with both precisions")
    parser.add_argument("--out", type=Path, help="also write the page there")
    options = parser.parse_args(argv)
    store = Store(options.folder)
    source = Source(
        predictions=store.predictions, metrics=catalog(load_modules(builtin).registry), planned=store.planned()
    )
    text = render(store, source)
    print(text)
    if options.out is not None:
        what = __doc__.partition("\n\nEach ")[2]
        write_atomic(options.out, f"# bf16 against fp32\n\n{text}\n\nEach {what}".encode())


if __name__ == "__main__":
    main()
