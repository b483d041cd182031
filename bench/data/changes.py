"""What decoding did to the clips of a data set, in words: for the line under a board, for ``bench check``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PHRASES = {
    "resampled": "resampled",
    "mixed_down": "mixed down to mono",
    "cancelled": "cancelled by mixing down (channels out of phase)",
    "clipped": "cut at full scale (overshoot)",
    "overdriven": "more than 6 dB beyond full scale (kept at their level)",
    "cut": "cut short in the file",
    "silent": "silent",
    "quiet": "quieter than -60 dBFS",
    "trimmed": "trimmed at silent ends",
    "truncated": "truncated to the length of a clip",
    "padded": "padded with zeros",
    "tiled": "repeated to the length of a clip",
}
"""Change of a clip -> what is said of it."""

FAULTS = ("cancelled", "overdriven", "cut", "silent", "quiet")
"""Changes that nobody means to have in a data set."""

TOLERATED = 0.01
"""Share of clips with one fault above which a result is not publishable."""


def decoding_note(report: Mapping[str, Any]) -> str:
    """One sentence with the count of every change, such as ``What decoding changed in 9 clips: 2 resampled.``."""
    said = [f"{report[name]} {words}" for name, words in PHRASES.items() if report.get(name)]
    return f"What decoding changed in {_clips(report)} clips: {', '.join(said) or 'nothing'}."


def decoding_faults(report: Mapping[str, Any]) -> list[str]:
    """Each fault of more than one clip in a hundred, with the first clips that have it."""
    total = _clips(report)
    return [
        f"{report[name]} of {total} clips are {PHRASES[name]}: {', '.join(report['named'][name])}, ..."
        for name in FAULTS
        if report.get(name, 0) > TOLERATED * total
    ]


def _clips(report: Mapping[str, Any]) -> int:
    return int(report["decoded"]) + len(report["failed"])
