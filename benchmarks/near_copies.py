"""What the search for near copies finds: copies made of a hundred clips of ESC-50 in ten ways, and pairs of the set.

``python benchmarks/near_copies.py --data DIR --out results/published/near-copies.json`` takes about five minutes; the
page ``docs/datasets.md`` shows its figures. Three ways are compared: mel spectrograms that correlate (24 bands, 50 ms,
every frame and every band centred, shifts up to 1 s), landmarks that agree, and landmarks whose shift the waveforms
confirm, which is what ``bench check`` does.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from bench.data import near_copies as search
from bench.data.locate import open_clips
from bench.data.waveforms import open_recordings
from bench.plugins.discovery import discover

COPIES, RATE, SECONDS = 100, 16_000, 5
BANDS, FRAME, SHIFTS, ALIKE = 24, 800, 20, 0.8

Floats = np.ndarray[Any, np.dtype[np.float32]]


def coded(samples: Floats, **how: Any) -> Floats:
    """Written and read again."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), RATE, **how)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def late(samples: Floats, seconds: float) -> Floats:
    """Silence before it."""
    return np.concatenate([np.zeros(round(seconds * RATE), np.float32), samples])


MP3 = {"format": "MP3", "bitrate_mode": "CONSTANT"}
WAYS: dict[str, Callable[[Floats], Floats]] = {
    "12 dB quieter": lambda x: x * np.float32(0.25),
    "37 ms later": lambda x: late(x, 0.037),
    "0.9 s later": lambda x: late(x, 0.9),
    "its first 0.31 s cut off": lambda x: x[round(0.31 * RATE) :],
    "its first half cut off": lambda x: x[len(x) // 2 :],
    "at 8 kHz and back": lambda x: soxr.resample(soxr.resample(x, RATE, 8_000), 8_000, RATE),
    "Vorbis, nearly the lowest quality": lambda x: coded(x, format="OGG", subtype="VORBIS", compression_level=0.95),
    "Opus": lambda x: coded(x, format="OGG", subtype="OPUS"),
    "MP3, nearly the lowest rate": lambda x: coded(x, **MP3, compression_level=0.95),
    "MP3, 0.24 s cut off, 6 dB quieter": lambda x: coded(x[round(0.237 * RATE) :] * 0.5, **MP3, compression_level=0.9),
}


def mel_prints(rows: list[Any]) -> Floats:
    """``(clips, BANDS * frames)``, of length 1; silent frames are 0."""
    import torch

    from bench.frontends.filters import mel_filters

    filters = mel_filters(1024, BANDS, RATE, (80, 7_000), scale="htk", equal_area=False)
    window = torch.hann_window(1024)

    def mel(row: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(row, 1024, FRAME, window=window, center=False, return_complex=True)
        return filters @ spectrum.abs().square()

    found = []
    for row in rows:
        level = 10 * np.log10(mel(torch.from_numpy(np.resize(row, RATE * SECONDS).astype(np.float32))).numpy() + 1e-9)
        heard = level.max(axis=0) > level.max() - 60
        level = np.maximum(level, level.max() - 60)
        level -= level.mean(axis=0)
        level[:, ~heard] = 0
        if heard.any():
            level[:, heard] -= level[:, heard].mean(axis=1, keepdims=True)
        found.append(level / max(float(np.linalg.norm(level)), 1e-9))
    return np.stack(found)


def mel_alike(one: Floats, other: Floats) -> Floats:
    """``(clips, others)``: the largest correlation over all shifts."""
    best = np.full((len(one), len(other)), -1, dtype=np.float32)
    flat, frames = other.reshape(len(other), -1), one.shape[2]
    for shift in range(-SHIFTS, SHIFTS + 1):
        moved = np.zeros_like(one)
        moved[:, :, max(shift, 0) : frames + min(shift, 0)] = one[:, :, max(-shift, 0) : frames - max(shift, 0)]
        np.maximum(best, moved.reshape(len(one), -1) @ flat.T, out=best)
    return best


def pairs_of(recordings: Any) -> tuple[int, int]:
    """Pairs that the landmarks propose, and those that the waveforms confirm."""
    marks = search._collect(recordings, RATE)
    proposed = sum(len(list(search._candidates(marks, start))) for start in range(0, len(marks.counts), search._BLOCK))
    return proposed, len(search.near_copies(recordings, RATE))


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/published/near-copies.json"))
    asked = parser.parse_args()
    entry = discover().datasets["esc50"]
    clips = open_clips(entry.spec, asked.data, load=entry.factory)
    recordings = open_recordings(clips)
    rows = list(recordings)
    start = time.process_time()
    proposed, confirmed = pairs_of(recordings)
    seconds = (time.process_time() - start) / 2  # the landmarks are made twice
    start = time.process_time()
    prints = mel_prints(rows)
    alike = mel_alike(prints, prints)
    mel_seconds = time.process_time() - start
    alike_pairs = int((alike[np.triu_indices(len(rows), 1)] >= ALIKE).sum())
    found: dict[str, Any] = {
        "clips": len(clips), "copies": COPIES,
        "pairs": {"mel": alike_pairs, "landmarks": proposed, "both": confirmed},
        "seconds": {"mel": round(mel_seconds), "both": round(seconds)},
        "ways": {},
    }  # fmt: skip
    chosen = np.random.default_rng(0).choice(len(rows), COPIES, replace=False)
    for way, change in WAYS.items():
        made = [change(rows[i].astype(np.float32) / 32_768) for i in chosen]
        made = [np.rint(np.clip(x, -1, 1) * 32_767).astype(np.int16) for x in made]
        own = mel_alike(mel_prints(made), prints[chosen]).diagonal()
        both = [pairs_of([rows[i], copy]) for i, copy in zip(chosen, made, strict=True)]
        found["ways"][way] = {
            "mel": int((own >= ALIKE).sum()),
            "landmarks": sum(p for p, _ in both),
            "both": sum(c for _, c in both),
        }
        print(way, found["ways"][way], flush=True)
    asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
