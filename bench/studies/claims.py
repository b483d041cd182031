"""The claims made for features computed on the fly, each against stored features: pure judgements on measured rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["confirmed", "refuted", "not resolvable here"]
CLAIMS = ("less storage", "less memory", "faster training", "faster inference", "less compute", "easier use")

MARGIN = 0.05
"""Measured numbers closer than this, or than twice the spread of both, are not told apart."""
NOT_MEASURED = "one of the two numbers is missing"
BUSY = "others were busy on the machine while it was measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One claim under one reading of it.

    Attributes:
        claim: One of :data:`CLAIMS`.
        case: What is compared, and the baseline, in words.
        fly: The number for features computed on the fly, ``None`` where it is missing.
        stored: The number for the baseline.
        unit: Of both.
        verdict: On the claim under this reading.
        note: Why it is not resolvable, or what must be known.
        main: Whether this is the reading meant first: frozen nnAudio against float32 features.
    """

    claim: str
    case: str
    fly: float | None
    stored: float | None
    unit: str
    verdict: Verdict
    note: str = ""
    main: bool = False

    @property
    def ratio(self) -> float | None:
        """``fly / stored``."""
        return self.fly / self.stored if self.fly is not None and self.stored else None


def judge(fly: float | None, stored: float | None, *, lower_is_better: bool, margin: float) -> Verdict:
    """Whether ``fly`` is better than ``stored`` by more than ``margin`` (a fraction of the ratio's logarithm).

    >>> judge(160_000, 256_512, lower_is_better=True, margin=0.0)
    'confirmed'
    >>> judge(100.0, 101.0, lower_is_better=False, margin=0.05)
    'not resolvable here'
    """
    if not fly or not stored or fly < 0 or stored < 0:
        return "not resolvable here"
    gain = math.log(stored / fly) if lower_is_better else math.log(fly / stored)
    if abs(gain) <= margin:
        return "refuted" if margin == 0 else "not resolvable here"
    return "confirmed" if gain > 0 else "refuted"


def judge_claims(rows: Mapping[str, Mapping[str, Any]], stored: str, storage: Mapping[str, Any]) -> list[Case]:
    """Every claim under every reading that the measurements allow.

    Args:
        rows: By feeding (``"nnaudio fly"``), the study's rows.
        stored: Name of the row whose features are read from disk.
        storage: Bytes per clip: ``source``, ``int16``, ``float32``, ``float16``.
    """
    cases = list(_storage(storage))
    base = rows[stored]
    main = f"{stored.partition(' ')[0]} fly"
    for name, row in rows.items():
        if name != stored and row["status"] == "ok" and base["status"] == "ok":
            cases += _measured(name, row, base, main=name == main)
    cases.append(
        Case(
            claim="easier use", case="steps a user takes", fly=None, stored=None, unit="", main=True,
            verdict="not resolvable here",
            note="ease is not measured; storing takes one pass over the data before training, fixes the front end, "
            "and rules out augmentation of the waveform",
        )
    )  # fmt: skip
    return sorted(cases, key=lambda case: CLAIMS.index(case.claim))


def _storage(storage: Mapping[str, Any]) -> Iterator[Case]:
    for kept, label in (("int16", "int16 waveform cache"), ("source", "source files")):
        for dtype in ("float32", "float16"):
            for originals in (False, True):
                fly, features = storage.get(kept), storage.get(dtype)
                kept_too = fly if originals else 0
                base = None if features is None or kept_too is None else features + kept_too
                yield Case(
                    claim="less storage",
                    case=f"{label} against {dtype} features, originals {'kept' if originals else 'deleted'}",
                    fly=fly,
                    stored=base,
                    unit="bytes/clip",
                    verdict=judge(fly, base, lower_is_better=True, margin=0.0),
                    note=NOT_MEASURED if fly is None or base is None else "",
                    main=kept == "int16" and dtype == "float32" and not originals,
                )


def _measured(name: str, row: Mapping[str, Any], base: Mapping[str, Any], *, main: bool) -> Iterator[Case]:
    looks: tuple[tuple[str, str, str, str, bool], ...] = (
        ("less memory", "host_train_mib", "host memory while training", "MiB", True),
        ("less memory", "host_infer_mib", "host memory in inference", "MiB", True),
        ("less memory", "device_peak_mib", "device memory", "MiB", True),
        ("faster training", "train", "training throughput", "clips/s", False),
        ("faster inference", "infer", "inference throughput", "clips/s", False),
        ("faster inference", "latency_ms", "latency of one clip, stored features already loaded", "ms", True),
        ("less compute", "flops", "counted FLOPs of inference", "FLOP/clip", True),
        ("less compute", "cpu_ms", "CPU time of inference, all threads", "ms/clip", True),
    )
    firsts = {"host_train_mib", "train", "infer", "flops"}
    for claim, key, words, unit, lower in looks:
        fly, stored = row[key], base[key]
        margin = _margin(key, row, base)
        verdict = judge(fly, stored, lower_is_better=lower, margin=margin)
        note = NOT_MEASURED if fly is None or stored is None else ""
        if key in ("train", "infer", "latency_ms", "cpu_ms") and not note and (row["contended"] or base["contended"]):
            verdict, note = "not resolvable here", BUSY
        yield Case(
            claim=claim, case=f"{name}: {words}", fly=fly, stored=stored, unit=unit, verdict=verdict, note=note,
            main=main and key in firsts,
        )  # fmt: skip


def _margin(key: str, row: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """FLOPs are exact; rates carry the spread over their blocks."""
    if key == "flops":
        return 0.0
    spreads = [part.get(f"{key}_spread") or 0.0 for part in (row, base)]
    return max(MARGIN, 2 * math.hypot(*spreads))
