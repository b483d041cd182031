"""The engine against the published AST program (github.com/YuanGongND/ast): training clips a second, in turns.

    python benchmarks/ast_program.py --program DIR [--rounds 10] [--steps 1] [--strides 16,10] [--fused]

``DIR`` is a checkout of that repository; nothing of it is kept here. Its own training loop, data loader and model run
(``src/traintest.py``, ``src/dataloader.py``, ``src/models/ast_models.py``) with settings of ``egs/esc50/run_esc.sh``:
batches of 48, Adam, SpecAugment, no mixup, 512 frames; ``tiny224`` without loaded weights, decoding and Kaldi features
of every clip in two loader workers, float32 (its autocast is CUDA's). Ours is ``meamtm.tiny`` behind the ``kaldi``
front end with the same augmentation, every patch kept, in float32 and in bf16, from clips that are decoded once, as
``bench run`` does; its last block computes the two tokens alone that are read of it. Clips are those of ESC-50
(``BENCH_DATA``) at 16 kHz. Each side has a process with two threads, warmed up before the first round; a side that
waits for its turn does nothing, but keeps its memory (18 GB together at stride 10). ``--fused`` gives the program the
fused attention of today's timm instead of that of timm 0.4.5, which it asks for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tabulate import tabulate

from bench.measurement.machine import cpu_model
from bench.statistics.results import Refusal
from bench.statistics.rounds import effect_of_rounds

CLIPS, BATCH, FRAMES, RATE, CLASSES, WARM, THREADS = 480, 48, 512, 16_000, 50, 6, 2
MEAN, DEVIATION = -6.6268077, 5.358466
SIDES = ("program", "fp32", "bf16")
PAGE = Path(__file__).parent / "results" / "ast_program.md"
SHIMS = (
    "torchaudio.load reads by soundfile (torchaudio's own asks for torchcodec)",
    "timm says 0.4.5, knows deit_tiny under its old name and makes the program's PatchEmbed",
    "its attention is that of 0.4.5 unless --fused",
    "wget, which is for downloading weights, is an empty module",
)


def write_clips(folder: Path, program: Path, steps: int) -> float:
    """The first clips of ESC-50 without fold 1 as the program's preparation leaves them; seconds of decoding them.

    They are listed so often that no epoch ends before ``steps`` steps.
    """
    from bench_datasets.esc50 import load_esc50

    clips = load_esc50(Path(os.environ["BENCH_DATA"]) / "esc50")
    rows, took = np.flatnonzero(clips.folds != 1)[:CLIPS], 0.0
    data = []
    for row in rows:
        start = time.perf_counter()
        samples, rate = soundfile.read(clips.audio[row], dtype="int16")
        took += time.perf_counter() - start
        if rate != RATE or samples.ndim != 1:
            raise SystemExit(f"{clips.audio[row]}: {rate} Hz, {samples.shape}; this script wants mono at {RATE} Hz")
        path = folder / f"{clips.ids[row]}.wav"
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        data.append({"wav": str(path), "labels": f"/m/07rwj{clips.targets[row]:02d}"})
    (folder / "train.json").write_text(json.dumps({"data": data * (2 + steps * BATCH // CLIPS)}))
    labels = program / "egs" / "esc50" / "data" / "esc_class_labels_indices.csv"
    (folder / "labels.csv").write_bytes(labels.read_bytes())
    return took


def shim(*, fused: bool) -> None:
    """What newer timm and torchaudio no longer have; see :data:`SHIMS`."""
    import timm
    import timm.models.vision_transformer as transformers
    import torch
    import torchaudio

    make = timm.create_model

    def load(path: str) -> tuple[Any, int]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T), rate

    def create_model(name: str, **options: Any) -> Any:
        def embed(img_size: int, patch_size: int, in_chans: int, embed_dim: int, **_: Any) -> Any:
            return transformers.PatchEmbed(img_size, patch_size, in_chans, embed_dim)

        model = make(name.removeprefix("vit_"), embed_layer=embed, **options)
        for block in model.blocks:
            block.attn.fused_attn = fused
        return model

    torchaudio.load, timm.create_model, timm.__version__ = load, create_model, "0.4.5"
    sys.modules["wget"] = types.ModuleType("wget")


class Turns:
    """Answers ``go`` on standard input with the seconds of ``steps`` steps; leaves when nothing more is asked."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.start = steps, 0, 0.0
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what the program prints goes elsewhere

    def next(self, **facts: Any) -> None:
        """To be called before each step; ``facts`` are told once the warm-up is over."""
        self.done += 1
        since = self.done - 1 - WARM
        if since < 0 or since % self.steps:
            return
        answer = facts if since == 0 else {"seconds": time.perf_counter() - self.start}
        print(json.dumps(answer), file=self.out, flush=True)
        if not sys.stdin.readline():
            os._exit(0)
        self.start = time.perf_counter()


def facts_of(model: Any, tokens: int) -> dict[str, int]:
    """Parameters that a step has moved, and tokens."""
    return {"parameters": sum(p.numel() for p in model.parameters() if p.grad is not None), "tokens": tokens}


def run_program(folder: Path, program: Path, stride: int, turns: Turns, *, fused: bool) -> None:
    """The program's own loop over its own loader, held up between rounds."""
    sys.path.insert(0, str(program / "src"))
    warnings.simplefilter("ignore")
    import torch

    shim(fused=fused)
    import dataloader
    import traintest
    from models.ast_models import ASTModel

    conf = {
        "num_mel_bins": 128, "target_length": FRAMES, "freqm": 24, "timem": 96, "mixup": 0, "dataset": "esc50",
        "mode": "train", "mean": MEAN, "std": DEVIATION, "noise": False,
    }  # fmt: skip
    data = dataloader.AudiosetDataset(str(folder / "train.json"), label_csv=str(folder / "labels.csv"), audio_conf=conf)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=2, pin_memory=True)
    model = ASTModel(
        label_dim=CLASSES, fstride=stride, tstride=stride, input_fdim=128, input_tdim=FRAMES, imagenet_pretrain=False,
        audioset_pretrain=False, model_size="tiny224",
    )  # fmt: skip

    class Held:
        def __iter__(self) -> Iterator[Any]:
            batches = iter(loader)
            while True:
                turns.next(**facts_of(model, model.v.pos_embed.shape[1]))
                yield next(batches)

    args = argparse.Namespace(
        exp_dir=str(folder), lr=1e-4, n_epochs=1, metrics="acc", loss="CE", warmup=False, dataset="esc50",
        lrscheduler_start=5, lrscheduler_step=1, lrscheduler_decay=0.85, n_print_steps=100,
    )  # fmt: skip
    traintest.train(model, Held(), None, args)


def run_ours(folder: Path, stride: int, precision: str, turns: Turns) -> None:
    """The engine's step over its own batches."""
    import torch

    from bench.clips import TaskInfo
    from bench.data.batches import Batches
    from bench.execution.pipeline import Normaliser, Pipeline
    from bench.execution.step import StepSettings, TrainStep
    from bench.frontends import kaldi
    from bench.recipe import Recipe
    from bench_plugins.meamtm.network import build

    samples = 400 + 160 * (FRAMES - 1)
    task = TaskInfo(
        num_classes=CLASSES, task_type="single_label", modalities=("audio",), sample_rate=RATE, clip_samples=samples,
        feature_shape=(128, FRAMES),
    )  # fmt: skip
    listed = json.loads((folder / "train.json").read_text())["data"][:CLIPS]
    waves = np.zeros((CLIPS, samples), dtype=np.int16)
    for row, one in enumerate(listed):
        wave = soundfile.read(one["wav"], dtype="int16")[0]
        waves[row, : len(wave)] = wave
    targets = np.array([int(one["labels"][-2:]) for one in listed])
    model = build(task, size="tiny", stride=stride)
    frontend = kaldi.build(task, n_fft=512, window=400, hop=160, n_mels=128, fmin=20.0, fmax=8000.0)
    normaliser = Normaliser()
    normaliser.mean, normaliser.scale = torch.full((1, 1), MEAN), torch.full((1, 1), 2 * DEVIATION)
    pipeline = Pipeline(model, frontend=frontend, normaliser=normaliser, modalities=("audio",), num_classes=CLASSES)
    recipe = Recipe(
        epochs=1000, batch=BATCH, optimizer="adam", lr=1e-4, betas=(0.95, 0.999), weight_decay=5e-7, decay_all=True,
        schedule="step", warmup=0.0, step_from=6, clip_norm=None, label_smoothing=0.0, ema=None, spec_masks=1,
        freq_mask=24, time_mask=96, normalise="half",
    )  # fmt: skip
    batches = Batches({"audio": waves}, targets, np.arange(CLIPS), BATCH, seed=0)
    step = TrainStep(pipeline, StepSettings(recipe=recipe, seed=0, precision=precision), len(batches))
    for epoch in range(1, recipe.epochs):
        for batch in batches.epoch(epoch):
            turns.next(**facts_of(model, model.pos_embed.shape[1]))
            step(batch)


class Side:
    """A process that trains when it is told to."""

    def __init__(self, name: str, stride: int, folder: Path, options: argparse.Namespace) -> None:
        from bench.running.process import worker_environment

        command = [sys.executable, __file__, "--program", str(options.program), "--serve", name]
        command += ["--strides", str(stride), "--folder", str(folder), "--steps", str(options.steps)]
        command += ["--fused"] * options.fused
        own = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=own if name == "program" else worker_environment(THREADS),
        )  # fmt: skip
        self.facts = self.answer()

    def answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a side ended with status {self.process.wait()}; what it said stands above")
        return json.loads(line)

    def round(self) -> float:
        """Seconds of a round."""
        print("go", file=self.process.stdin, flush=True)
        return float(self.answer()["seconds"])

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(stride: int, folder: Path, options: argparse.Namespace) -> list[list[str]]:
    """Rows of the table of one stride."""
    sides = [Side(name, stride, folder, options) for name in SIDES]
    if any(side.facts != sides[0].facts for side in sides):
        raise SystemExit(f"not the same network: {[side.facts for side in sides]}")
    seconds = np.array([[side.round() for side in sides] for _ in range(options.rounds)]).T
    for side in sides:
        side.close()
    rows = []
    for name, own in zip(SIDES, seconds, strict=True):
        rates = options.steps * BATCH / own
        effect = effect_of_rounds(seconds[0], own)
        ratio = f"{np.exp(np.mean(np.log(seconds[0] / own))):.2f}"
        if not isinstance(effect, Refusal):
            interval = effect.interval(0.05)
            ratio += f" [{interval.low:.2f}, {interval.high:.2f}]"
        said = "the program" if name == "program" else f"ours, {name}"
        shown = f"{np.median(rates):.1f} ({rates.min():.1f} to {rates.max():.1f})"
        values = sides[0].facts
        rows.append([
            str(stride), said, f"{values['parameters']:,}".replace(",", " "), str(values["tokens"]), shown,
            "1" if name == "program" else ratio,
        ])  # fmt: skip
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int, default=10, help="an interval takes eight")
    parser.add_argument("--steps", type=int, default=1, help="of each side in a round")
    parser.add_argument("--strides", default="16,10")
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        turns, stride = Turns(options.steps), int(options.strides)
        if options.serve == "program":
            run_program(options.folder, options.program.resolve(), stride, turns, fused=options.fused)
        run_ours(options.folder, stride, options.serve, turns)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        decoding = write_clips(folder, options.program, WARM + options.rounds * options.steps)
        rows = [row for stride in options.strides.split(",") for row in measure(int(stride), folder, options)]
    header = ["stride", "side", "parameters", "tokens", "clips/s (lowest to highest)", "times the program's"]
    what = __doc__.partition("\n\n    ")[2].partition("\n\n")[2]
    page = (
        f"# The published AST program\n\n{tabulate(rows, header, tablefmt='github', disable_numparse=True)}\n\n"
        f"{options.rounds} rounds of {options.steps} steps a side on {cpu_model()}, {os.cpu_count()} cores; median "
        f"clips a second; ratio of geometric means with its 95 % interval over rounds. Decoding {CLIPS} clips once "
        f"takes {decoding:.1f} s and is left out of ours.\n\n{what}\n"
        f"Shims of the program's side: {'; '.join(SHIMS)}.{' This table was made with --fused.' * options.fused}\n"
    )
    print(page)
    options.out.write_text(page)


if __name__ == "__main__":
    main()
