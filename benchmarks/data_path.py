"""How much the waveform cache saves: epochs over it against decoding the files in every epoch.

Both sides give the same batches, ``(batch, samples)`` float32 in a shuffled order. They run in turns, so that a busy
neighbour slows both; the number is the median of the ratios, with the smallest and the largest beside it.

    python -P benchmarks/data_path.py [--data DIR] [--clips 400] [--rounds 5] [--json]

``DIR`` holds ``esc10`` (also through ``BENCH_DATA``). Without it, FLAC files are generated. Exit status 1 when the
median ratio is below ``--at-least`` (10).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench.clips import Clips
from bench.data.batches import Batches, to_tensor
from bench.data.decode import decode
from bench.data.waveforms import fit, open_waveforms
from bench.errors import DataError

BATCH = 32
RULE = (60.0, "tile")


@dataclass(frozen=True)
class Timing:
    """Seconds of one epoch each way."""

    cached: float
    decoded: float
    by_hand: float


def real_clips(data: Path | None, count: int) -> Clips | None:
    """The first ``count`` clips of ESC-10, or ``None`` where its folder is not found."""
    from bench_datasets.esc50 import load_esc10

    place = data or (Path(os.environ["BENCH_DATA"]) if "BENCH_DATA" in os.environ else None)
    if place is None:
        return None
    try:
        clips = load_esc10(place)
    except DataError as error:
        if data is not None:
            raise
        print(f"generated files are used: {error}", file=sys.stderr)
        return None
    return replace(
        clips, ids=clips.ids[:count], targets=clips.targets[:count], audio=clips.audio[:count], folds=None, groups=None
    )


def generated_clips(folder: Path, count: int) -> Clips:
    """``count`` FLAC files of 5 s noise at 44.1 kHz."""
    rng = np.random.default_rng(0)
    paths = tuple(folder / f"{number}.flac" for number in range(count))
    for path in paths:
        soundfile.write(path, rng.normal(0, 0.1, 220_500), 44_100)
    return Clips(
        title="generated FLAC", ids=tuple(path.stem for path in paths), targets=np.arange(count) % 10,
        label_names=tuple("abcdefghij"), audio=paths, sample_rate=16_000, clip_samples=80_000, manifest_sha256="flac",
    )  # fmt: skip


def drain(batches: Batches, epoch: int) -> float:
    """Seconds that one epoch takes when nothing is done with its batches."""
    began = time.perf_counter()
    for batch in batches.epoch(epoch):
        assert batch.inputs["audio"].dtype == torch.float32
    return time.perf_counter() - began


def by_hand(samples: np.ndarray, order: np.ndarray) -> float:
    """Seconds of the loop one would write without any harness."""
    began = time.perf_counter()
    for start in range(0, len(order), BATCH):
        torch.from_numpy(samples[order[start : start + BATCH]]).to(torch.float32).mul_(1 / 32768)
    return time.perf_counter() - began


def measure(clips: Clips, cache: Path, rounds: int) -> list[Timing]:
    """Interleaved epochs: cache, decoding, hand-written slicing of the cache."""
    waveforms = open_waveforms(clips, trim_db=RULE[0], fill="tile", cache=cache)
    rows = np.arange(len(clips))

    def decode_now(index: np.ndarray) -> np.ndarray:
        decoded = (decode(clips.audio, int(i), clips.ids[i], clips.sample_rate).samples for i in index)
        return np.stack([fit(samples, clips.clip_samples, clips.sample_rate, RULE)[0] for samples in decoded])

    cached = Batches({"audio": waveforms.samples}, clips.targets, rows, BATCH, seed=0)
    decoding = Batches({"audio": decode_now}, clips.targets, rows, BATCH, seed=0)
    first, same = next(cached.epoch(0)), next(decoding.epoch(0))
    assert torch.equal(first.inputs["audio"], same.inputs["audio"])
    assert torch.equal(first.inputs["audio"], to_tensor(waveforms.samples[first.index]))
    drain(cached, 0)
    return [
        Timing(drain(cached, number), drain(decoding, number), by_hand(waveforms.samples, cached.order(number)))
        for number in range(1, rounds + 1)
    ]


def summary(clips: Clips, timings: list[Timing]) -> dict[str, object]:
    """The numbers as JSON values."""
    ratios = [timing.decoded / timing.cached for timing in timings]
    return {
        "data": clips.title,
        "clips": len(clips),
        "rounds": len(timings),
        "cached_clips_per_second": len(clips) / statistics.median(t.cached for t in timings),
        "decoded_clips_per_second": len(clips) / statistics.median(t.decoded for t in timings),
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "over_by_hand": statistics.median(t.cached / t.by_hand for t in timings),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-least", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clips = real_clips(options.data, options.clips) or generated_clips(Path(name), min(options.clips, 64))
        result = summary(clips, measure(clips, Path(name) / "cache", options.rounds))
    ratio = result["ratio"]
    assert isinstance(ratio, dict)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['data']}, {result['clips']} clips, {result['rounds']} rounds of interleaved epochs")
        print(f"  from the cache    {result['cached_clips_per_second']:10.0f} clips/s")
        print(f"  decoding files    {result['decoded_clips_per_second']:10.0f} clips/s")
        print(f"  ratio             {ratio['median']:10.1f} (from {ratio['min']:.1f} to {ratio['max']:.1f})")
        print(f"  cache / by hand   {result['over_by_hand']:10.2f} of the time")
    return 0 if ratio["median"] >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
