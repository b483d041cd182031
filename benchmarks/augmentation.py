"""Whether the augmentation that a data set gets by default hurts any default network: six sets, with and without.

``python benchmarks/augmentation.py --data DIR [--sets words,...] [--arms default,...] [--models ...] [--seeds ...]``.
``DIR`` holds ESC-10 and the spoken digits. Three tables are made here as a user would bring them: spoken words of 1 s,
split by speaker; recordings of 15 s; notes of ten synthetic instruments. One cell of the recipe ``quick`` for each set,
network and arm, on one thread; finished cells are kept in ``--out`` and not run again. The difference is taken clip by
clip.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from bench.results.store import Store

ALLOWED = 0.03
MODELS = (
    "calm.conv", "convnext_attention.tiny", "digit_fusion.transformer_attention", "avmae.tiny", "meamtm.micro",
)  # fmt: skip
OFF = {"roll": "false", "spec_masks": "0", "mixup_alpha": "0", "gain_db": "0", "shift": "0"}
ARMS = {
    "default": {},
    "off": OFF,
    "before": {"roll": "true", "spec_masks": "2", "mask_share": "1.0", "mixup_alpha": "0.4", "gain_db": "6"},
    "roll": {**OFF, "roll": "true"},
    "masks": {**OFF, "spec_masks": "2"},
    "mixup": {**OFF, "mixup_alpha": "0.4"},
    "gain": {**OFF, "gain_db": "6"},
    "shift": {**OFF, "shift": "0.1"},
}
SETS = {
    "esc10": ("--dataset", "esc10", "--folds", "1"),
    "fsdd": ("--dataset", "fsdd-speaker", "--folds", "1", "--limit", "500"),
    "digits": ("--dataset", "digits", "--limit", "500"),
    "words": (),
    "recordings": (),
    "instruments": (),
}
WORD_RATE, RATE = 8_000, 16_000


def words(data: Path, folder: Path) -> Iterator[tuple[str, str, str]]:
    """600 spoken digits of exactly 1 s; two of six speakers are tested."""
    takes = sorted((data / "digits" / "fsdd" / "recordings").glob("*.wav"))
    for take in takes:
        digit, speaker, number = take.stem.split("_")
        if int(number) < 10:
            samples, _ = soundfile.read(take, dtype="float32")
            fixed = np.zeros(WORD_RATE, dtype=np.float32)
            fixed[: len(samples)] = samples[:WORD_RATE]
            soundfile.write(folder / take.name, fixed, WORD_RATE)
            yield take.name, f"word {digit}", "test" if speaker in ("george", "theo") else "train"


def recordings(data: Path, folder: Path) -> Iterator[tuple[str, str, str]]:
    """280 recordings of 15 s, each of three clips of one class and one fold of ESC-10; fold 5 is tested."""
    rng = np.random.default_rng(0)
    (table,) = (data / "esc10").rglob("esc10.csv")
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    found = {path.stem: path for path in (data / "esc10").rglob("*.ogg")}
    for label in sorted({row["category"] for row in rows}):
        for fold in range(1, 6):
            chosen_rows = [row for row in rows if (row["category"], row["fold"]) == (label, str(fold))]
            clips = [found[Path(row["filename"]).stem] for row in chosen_rows]
            for number in range(8 if fold == 5 else 5):
                chosen = rng.choice(len(clips), 3, replace=False)
                parts = [soundfile.read(clips[i], dtype="float32") for i in chosen]
                rate = parts[0][1]
                name = f"{label}-{fold}-{number}.wav"
                whole = np.concatenate([np.resize(samples, 5 * rate) for samples, _ in parts])
                soundfile.write(folder / name, whole, rate)
                yield name, label, "test" if fold == 5 else "train"


def instruments(_: Path, folder: Path) -> Iterator[tuple[str, str, str]]:
    """500 notes of 2 s of ten instruments: five spectra, each plucked or blown; 200 are tested."""
    rng = np.random.default_rng(0)
    time = np.arange(2 * RATE) / RATE
    partials = np.arange(1, 13)
    formant = 1 / (1 + (partials - 4.0) ** 2)
    spectra = (partials**-1.0, partials**-2.0, (partials % 2) / partials, formant, np.exp(-partials / 6))
    for number in range(500):
        kind = number % 10
        pitch = 110 * 2 ** rng.uniform(0, 3)
        levels = spectra[kind // 2] * rng.uniform(0.5, 1.5, len(partials)) * (pitch * partials < RATE / 2)
        bend = 0.003 * rng.uniform() * np.sin(2 * np.pi * 5 * time)
        phases = 2 * np.pi * pitch * np.outer(partials, time + bend / 5) + rng.uniform(0, 2 * np.pi, (len(partials), 1))
        tone = levels @ np.sin(phases)
        length = rng.uniform(0.8, 1.6)
        rise, fall = (0.01, length / 2) if kind % 2 == 0 else (length / 2, 0.05)
        envelope = np.minimum(1, time / rise) * np.exp(-np.maximum(0, time - rise) / fall)
        note = tone * envelope
        note = note / note.std() + rng.standard_normal(len(time)) * 10 ** (-rng.uniform(0, 20) / 20)
        name = f"note-{number}.wav"
        soundfile.write(folder / name, 0.1 * note / note.std(), RATE)
        yield name, f"instrument {kind}", "test" if number >= 300 else "train"


TABLES = {"words": words, "recordings": recordings, "instruments": instruments}


def table_of(name: str, data: Path, out: Path) -> Path:
    """The table of a set that is made here, written once."""
    table = out / "sets" / name / f"{name}.csv"
    if not table.is_file():
        table.parent.mkdir(parents=True, exist_ok=True)
        rows = list(TABLES[name](data, table.parent))
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split"), *rows])
    return table


def run(name: str, arm: str, models: Sequence[str], data: Path, out: Path, seeds: str = "0") -> None:
    """The cells of one set and arm; those that are there are kept."""
    if name in TABLES:
        source = ("--dataset", "manifest", "--protocol", "official", "--data", str(table_of(name, data, out)))
    else:
        source = (*SETS[name], "--data", str(data))
    settings = [part for key, value in ARMS[arm].items() for part in ("--set", f"recipe.{key}={value}")]
    command = [
        sys.executable, "-P", "-m", "bench", "run", *source, "--models", ",".join(models), "--recipe", "quick",
        "--seeds", seeds, *settings, "--set", "recipe.budget_seconds=none", "--no-profile", "--jobs", "1",
        "--device", "cpu", "--no-keep-checkpoints", "--out", str(out / name / arm),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    trouble = done.stderr[-500:] if done.returncode else ""
    print(f"{name}, {arm}: exit {done.returncode}", trouble, file=sys.stderr, flush=True)


def correct(name: str, arm: str, out: Path) -> dict[str, np.ndarray]:
    """Model -> over seeds, how often each test clip, in the order of their names, was named right."""
    store = Store(out / name / arm)
    found: dict[str, list[np.ndarray]] = {}
    for record in store.records()[0]:
        if record.status == "ok" and record.cell.kind == "evaluate":
            arrays = store.predictions(record)
            order = np.argsort(arrays["ids"])
            right = (arrays["logits"].argmax(axis=1) == arrays["targets"])[order]
            found.setdefault(record.cell.model, []).append(right)
    return {model: np.mean(rows, axis=0) for model, rows in found.items()}


def compare(name: str, arms: Sequence[str], out: Path) -> Iterator[tuple[str, ...]]:
    """Rows of set, network, arm, accuracies, the difference to ``off`` with its interval, and what it says."""
    plain = correct(name, "off", out)
    for arm in arms:
        for model, right in correct(name, arm, out).items() if arm != "off" else ():
            if model in plain:
                difference = right - plain[model]
                drawn = np.random.default_rng(0).choice(difference, (5000, len(difference))).mean(axis=1)
                low, high = np.percentile(drawn, (2.5, 97.5))
                verdict = "hurts" if high < -ALLOWED else "no worse" if low > -ALLOWED else "not resolved"
                scores = (f"{100 * x.mean():.1f}" for x in (plain[model], right))
                change = f"{100 * difference.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
                yield name, model, arm, str(len(right)), *scores, change, verdict


def main() -> int:
    """Run, print a table; 1 where some network is more than three points below itself without augmentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("results/runs/augmentation"))
    for what, known in (("sets", tuple(SETS)), ("arms", ("default", "off")), ("models", MODELS)):
        parser.add_argument(f"--{what}", default=",".join(known))
    parser.add_argument("--seeds", default="0", metavar="0,1,...")
    options = parser.parse_args()
    sets, arms, models = (getattr(options, what).split(",") for what in ("sets", "arms", "models"))
    rows = []
    for name in sets:
        for arm in arms:
            run(name, arm, models, options.data.resolve(), options.out.resolve(), options.seeds)
        rows += list(compare(name, arms, options.out))
    title = ("set", "network", "arm", "clips", "without", "with", "difference, points", "")
    for row in (title, ("---",) * len(title), *rows):
        print("| " + " | ".join(row) + " |")
    return int(any(float(row[6].split()[0]) < -100 * ALLOWED for row in rows))


if __name__ == "__main__":
    sys.exit(main())
