"""The page of the data sets: what each is, how it is divided, and what is known to be wrong with its recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

INTRO = """# Data sets

How each comes is declared ([all names](reference.md#data-sets)); what its recordings are like was found by `bench check
NAME`, whose answer is kept for the sets that were at hand. Only names and counts are kept, no sound.

- **Copies**: clips that hold the same samples after decoding, whatever their file or format, are one group. Folds that
  bench draws never part them; folds and splits of others that do are refused, with the names of two of the clips.
- **Near copies** are listed to be listened to, never merged. Landmarks (pairs of spectral peaks) that agree on one
  shift propose a pair, and the waveforms must correlate by 0.8 at that shift.
- **Faults** above one clip in a hundred make a result not publishable: cancelled, overdriven, cut short, silent, quiet.

"""


def page(published: Path, specs: Iterable[Any], table: Callable[..., str]) -> str:
    """The whole page; ``published`` holds what ``bench check NAME --json`` said of a set as ``datasets/NAME.json``."""
    parts = [INTRO, power(json.loads((published / "near-copies.json").read_text(encoding="utf-8")), table)]
    for spec in specs:
        parts.append(f"\n## {spec.name}\n\n{described(spec)}\n")
        stored = published / "datasets" / f"{spec.name}.json"
        parts.append(faults(json.loads(stored.read_text(encoding="utf-8")), table) if stored.is_file() else "")
    return "".join(parts)


def power(measured: dict[str, Any], table: Callable[..., str]) -> str:
    """What the search for near copies finds of copies that were made."""
    header = ("what became of the copy", "found", "by landmarks alone", "by mel correlation")
    rows = [
        (way, *(f"{found[how]} of {measured['copies']}" for how in ("both", "landmarks", "mel")))
        for way, found in measured["ways"].items()
    ]
    pairs, seconds, clips = measured["pairs"], measured["seconds"], f"{measured['clips']} clips"
    rows.append((f"pairs listed of the {clips}", *(str(pairs[how]) for how in ("both", "landmarks", "mel"))))
    return (
        f"What the search finds, on {measured['copies']} clips of ESC-50 and copies made of them "
        f"(`python benchmarks/near_copies.py`; {seconds['both']} s of one core for {clips} of 5 s, mel correlation "
        f"{seconds['mel']} s):\n\n{table(header, rows)}\n"
        "Of the pairs of ESC-50 that it lists two are of one recording by the set's own table, and of four more both "
        "were published by one author; the other three, two of them in different folds, were published by two authors "
        "and agree in their waveforms all the same. Half of a clip is not found where the other half holds the sound. "
        "Short words of one speaker may be listed although they are two takes; a second of plain noise may be missed.\n"
    )


def described(spec: Any) -> str:
    """What is declared of a data set."""
    said = [
        f"{spec.description[0].upper()}{spec.description[1:]}.",
        f"Groups: {spec.groups}." if spec.groups else "",
        f"Protocols: {', '.join(f'`{name}`' for name in spec.protocols)}.",
        f"Documented to stand in two folds: {', '.join(spec.known_leaks[:5])}"
        f"{', ...' if len(spec.known_leaks) > 5 else ''}." if spec.known_leaks else "",
        f"Licence: {spec.license}." if spec.license else "",
        f"Source: <{spec.url}>." if spec.url else "",
    ]  # fmt: skip
    return " ".join(part for part in said if part)


def faults(results: list[dict[str, Any]], table: Callable[..., str]) -> str:
    """What ``bench check`` counted in its recordings, the first of each by name."""
    rows = [
        (one["what"], str(one["count"]), ", ".join(one["first"][:SHOWN]) + (", ..." if one["count"] > SHOWN else ""))
        for result in results
        for one in result["listed"]
    ]
    said = {result["name"]: result["message"].partition(" (")[0] for result in results}
    none = "" if "hold the samples" in said["copies"] else f" {said['copies'][0].upper()}{said['copies'][1:]}."
    return f"\nFound in the copy at hand, {said['decodes']}:{none}\n\n{table(('what', 'how many', 'first'), rows)}"


SHOWN = 10
