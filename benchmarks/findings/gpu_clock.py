"""A published GPU time against arithmetic."""

from __future__ import annotations

from pathlib import Path

from findings.entry import Finding, Number, Study

CLAIMED = 0.001
CLIPS = 1770
N_FFT = 2048
BINS = N_FFT // 2 + 1
PEAK = 15.7e12
BANDWIDTH = 900e9
"""Cited: Tesla V100 SXM2, NVIDIA's data sheet: 15.7 TFLOP/s in float32, 900 GB/s."""
HOP = 512
RATE = 44_100


def find(data: Path | None) -> Finding:  # noqa: ARG001
    per_frame = 2 * 2 * N_FFT * BINS  # a multiplication and an addition, for cosine and sine
    frames = CLAIMED * PEAK / (CLIPS * per_frame)
    bytes_per_sample = 4 + 4 * BINS / HOP  # read the waveform once, write the magnitudes once
    longest = CLAIMED * BANDWIDTH / (CLIPS * bytes_per_sample) / RATE
    second = CLIPS * RATE / HOP * per_frame / PEAK
    return Finding(
        title="1 770 spectrograms in 1 ms leave time for one frame each",
        source="Cheuk et al., nnAudio, arXiv 1912.12055 (abstract); IEEE Access 8 (2020), table of speeds",
        practice="The STFT of 1 770 waveforms of the MAPS set is said to take 0.001 s on a Tesla V100, as a "
        "convolution with Fourier kernels.",
        method=f"Arithmetic only, nothing was run. {N_FFT} points and hop {HOP} are assumed (a frame costs the square "
        "of its points); peak rates from the data sheet (cited), which no kernel reaches. Kernels on a GPU are "
        "launched asynchronously: a clock that does not wait for them measures the launch, which would "
        "explain the claim; that it happened is not shown here.",
        numbers=(
            Number(what="frames per waveform that fit into the claimed time at peak arithmetic", value=frames,
                   origin="computed"),
            Number(what="time for 1 s of each waveform at peak arithmetic", value=1e3 * second, unit="ms",
                   origin="computed"),
            Number(what="longest waveform whose samples and magnitudes pass through memory in that time",
                   value=longest, unit="s", origin="computed", spread="for any algorithm, arithmetic free of cost"),
            Number(what="claimed time", value=1e3 * CLAIMED, unit="ms", origin="cited"),
        ),
        instead="A device clock (CUDA events) and a host clock around a synchronised call stand side by side under "
        "their own names, after warm-up, on rotating inputs; a self-test shows that an unsynchronised clock would "
        "differ.",
    )  # fmt: skip


STUDY = Study(find=find)
