"""The claims made for features computed on the fly, each against stored features: pure judgements on measured rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.statistics.results import Interval
from bench.statistics.timing import compare_times

ClaimVerdict = Literal["confirmed", "refuted", "not resolvable here"]
CLAIMS = ("less storage", "less memory", "faster training", "faster inference", "less compute", "easier use")

MARGIN = 0.05
"""Measured numbers closer than this, or than twice the spread of both, count as equal."""
NOT_MEASURED = "one of the two numbers is missing"
UNRESOLVED: ClaimVerdict = "not resolvable here"
EXACT = "exact count"
ONE_PASS = "one timed pass of each kind; the second includes the first"
UNMEASURED = "not measured"
BUSY_SPOILS = ("infer", "train", "latency_ms", "cpu_ms")
"""Clips/s, clips/s, ms, ms per clip."""
BUSY = "others were busy on the machine while it was measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One claim under one reading of it: the numbers on the fly and stored, and the verdict.

    ``basis`` is what the verdict rests on: an exact count, a 95 % ``interval`` of the ratio, or a margin for want of
    one; ``main`` marks the reading meant first, frozen nnAudio against float32 features.
    """

    claim: str
    case: str
    fly: float | None
    stored: float | None
    unit: str
    verdict: ClaimVerdict = UNRESOLVED
    basis: str = UNMEASURED
    interval: tuple[float, float] | None = None
    processes: tuple[int, int] | None = None
    note: str = ""
    main: bool = False

    @property
    def ratio(self) -> float | None:
        """``fly / stored``."""
        return self.fly / self.stored if self.fly is not None and self.stored else None


def judge(fly: float | None, stored: float | None, *, lower_is_better: bool, margin: float) -> ClaimVerdict:
    """Whether ``fly`` is better than ``stored`` by more than ``margin`` (a fraction of the ratio's logarithm).

    >>> judge(160_000, 256_512, lower_is_better=True, margin=0.0)
    'confirmed'
    >>> judge(100.0, 101.0, lower_is_better=False, margin=0.05)
    'not resolvable here'
    """
    if not fly or not stored or fly < 0 or stored < 0:
        return UNRESOLVED
    gain = math.log(stored / fly) if lower_is_better else math.log(fly / stored)
    if abs(gain) <= margin:
        return "refuted" if margin == 0 else UNRESOLVED
    return "confirmed" if gain > 0 else "refuted"


def judge_count(fly: float | None, stored: float | None, *, lower_is_better: bool) -> ClaimVerdict:
    """The same for what is counted and may be 0: an equal count is no advantage.

    >>> judge_count(1, 0, lower_is_better=False), judge_count(1, 1, lower_is_better=True)
    ('confirmed', 'refuted')
    """
    if fly is None or stored is None:
        return UNRESOLVED
    return "confirmed" if (fly < stored if lower_is_better else fly > stored) else "refuted"


def judge_interval(low: float, high: float, *, lower_is_better: bool) -> ClaimVerdict:
    """From the interval of ``fly / stored``: a claim is open while the interval holds 1.

    >>> judge_interval(0.8, 0.9, lower_is_better=True), judge_interval(0.9, 1.1, lower_is_better=True)
    ('confirmed', 'not resolvable here')
    """
    if low <= 1 <= high:
        return UNRESOLVED
    return "confirmed" if (high < 1) == lower_is_better else "refuted"


def judge_claims(
    rows: Mapping[str, Mapping[str, Any]],
    stored: str,
    features: Mapping[str, Any],
    delivery: Mapping[str, Any] | None = None,
) -> list[Case]:
    """Every claim under every reading that the measurements allow."""
    cases = list(_storage(features["storage"], features["baseline"]))
    base = rows[stored]
    frontend = stored.partition(" ")[0]
    main = f"{frontend} fly"
    for name, row in rows.items():
        if name != stored and row["status"] == "ok" and base["status"] == "ok":
            cases += _measured(name, row, base, main=name == main)
    if delivery is not None:
        cases += _delivered(delivery, frontend)
    cases += _ease(features["preparation"], features["baseline"])
    return sorted(cases, key=lambda case: CLAIMS.index(case.claim))


def _storage(storage: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[Case]:
    shape = " x ".join(str(size) for size in baseline["shape"])
    labels = {
        "int16": f"int16 waveform cache ({baseline['sample_rate']} Hz)",
        "source": f"source files ({baseline['codec']})",
    }
    endings = {False: "the waveforms deleted", True: "the waveforms kept beside them"}
    for (kept, label), dtype, beside in itertools.product(labels.items(), ("float32", "float16"), endings):
        fly, features = storage.get(kept), storage.get(dtype)
        base = None if features is None or (beside and fly is None) else features + (fly if beside else 0)
        yield Case(
            claim="less storage",
            case=f"{label} against {dtype} {baseline['frontend']} features ({shape}), {endings[beside]}",
            fly=fly,
            stored=base,
            unit="bytes/clip",
            verdict=judge(fly, base, lower_is_better=True, margin=0.0),
            basis=EXACT,
            note=NOT_MEASURED if fly is None or base is None else "",
            main=(kept, dtype, beside) == ("int16", "float32", False),
        )


LOADED = "float32 features already in memory"
LOOKS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("less memory", "host_train_mib", "host memory while training", "MiB", True),
    ("less memory", "host_infer_mib", "host memory in inference", "MiB", True),
    ("less memory", "device_peak_mib", "device memory while training", "MiB", True),
    ("less memory", "device_infer_peak_mib", "device memory in inference", "MiB", True),
    ("faster training", "train", "training throughput", "clips/s", False),
    ("faster inference", "infer", "inference throughput", "clips/s", False),
    ("faster inference", "latency_ms", "latency of one clip", "ms", True),
    ("less compute", "flops", "counted FLOPs of inference", "FLOP/clip", True),
    ("less compute", "cpu_ms", "CPU time of inference, all threads", "ms/clip", True),
    ("less compute", "joule", "energy of inference", "J/clip", True),
)
"""Claim, column, words, unit, whether lower is better."""
FIRSTS = ("host_train_mib", "train", "infer", "flops")


def _measured(name: str, row: Mapping[str, Any], base: Mapping[str, Any], *, main: bool) -> Iterator[Case]:
    for claim, key, words, unit, lower in LOOKS:
        fly, stored = row.get(key), base.get(key)
        case = Case(
            claim=claim, case=f"{name}: {words}, against {LOADED}", fly=fly, stored=stored, unit=unit,
            main=main and key in FIRSTS,
        )  # fmt: skip
        if fly is None or stored is None:
            yield replace(case, note=(base if stored is None else row)["reasons"].get(key) or NOT_MEASURED)
        elif key == "flops":
            yield replace(case, verdict=judge(fly, stored, lower_is_better=lower, margin=0.0), basis=EXACT)
        else:
            yield _resolved(case, key, (row, base), lower=lower)


def _resolved(case: Case, key: str, sides: tuple[Mapping[str, Any], Mapping[str, Any]], *, lower: bool) -> Case:
    """The verdict from the interval over processes; for want of one from a margin, with the count of processes."""
    fly, stored = ([*side["samples"].get(key, ())] for side in sides)
    interval = compare_times(fly, stored)
    counts = (len(fly), len(stored))
    if isinstance(interval, Interval):
        basis = f"95 % interval of the ratio, {min(counts)} processes a side"
        verdict = judge_interval(interval.low, interval.high, lower_is_better=lower)
        found = replace(case, verdict=verdict, basis=basis, interval=(interval.low, interval.high), processes=counts)
    else:
        # Rates carry the spread over the blocks of their process.
        margin = max(MARGIN, 2 * math.hypot(*(side.get(f"{key}_spread") or 0.0 for side in sides)))
        few = f"{min(counts)} {'process' if min(counts) == 1 else 'processes'} a side, too few for an interval"
        basis = f"{few}; a factor of {math.exp(margin):.3g} or less is within the margin"
        verdict = judge(case.fly, case.stored, lower_is_better=lower, margin=margin)
        found = replace(case, verdict=verdict, basis=basis, processes=counts)
    busy = key in BUSY_SPOILS and any(side["contended"] for side in sides)
    return replace(found, verdict=UNRESOLVED, note=BUSY) if busy else found


def _delivered(delivery: Mapping[str, Any], frontend: str) -> Iterator[Case]:
    """Waveforms with the front end against every place of the features, at the largest batch."""
    batch = str(max(delivery["batches"]))
    flies = [row for row in delivery["rows"] if row["frontend"] == frontend]
    bases = [row for row in delivery["rows"] if row["frontend"] is None]
    for row, base in itertools.product(flies, bases):
        case = _delivered_case(row, base, batch)
        spoilt = delivery.get("contended") and case.fly is not None and case.stored is not None
        yield replace(case, verdict=UNRESOLVED, note=BUSY) if spoilt else case


def _delivered_case(row: Mapping[str, Any], base: Mapping[str, Any], batch: str) -> Case:
    sides = [one["rates"][batch] or {} for one in (row, base)]
    fly, stored = (side.get("clips_per_s") for side in sides)
    case = Case(
        claim="faster training", case=f"data until the forward, batch {batch}: {row['name']} against {base['name']}",
        fly=fly, stored=stored, unit="clips/s",
    )  # fmt: skip
    if fly is None or stored is None:
        return replace(case, note=(base if stored is None else row)["reasons"].get("rates") or NOT_MEASURED)
    ends = [side["interval"] for side in sides]
    if None in ends:
        return replace(case, basis="too few rounds for an interval", note="too few rounds")
    (low, high), (base_low, base_high) = ends
    apart = judge_interval(low / base_high, high / base_low, lower_is_better=False)
    return replace(case, verdict=apart, basis="intervals over rounds of one process; they may not overlap")


def _ease(preparation: Mapping[str, Any], baseline: Mapping[str, Any]) -> Iterator[Case]:
    """What can be counted of ease: each on its own, as no weighting of them is given."""
    decode, features = preparation["decode_s"], preparation["seconds"]
    against = f"float32 {baseline['frontend']} features stored beside the int16 waveform cache"
    facts: tuple[tuple[str, float, float, str, bool, str], ...] = (
        ("passes over the data before the first epoch", 1, 2, "passes", True, "decode; decode, then compute features"),
        ("seconds before the first epoch", decode, decode + features, "s", True, "decoded by one thread"),
        ("waveform augmentation stays possible (1 = yes)", 1, 0, "", False,
         "stored features were computed before it could be applied"),
        ("stored files to keep in step with the settings", 1, 2, "files", True,
         "the store of features also depends on every setting of the front end"),
    )  # fmt: skip
    for words, fly, stored, unit, lower, note in facts:
        yield Case(
            claim="easier use", case=f"{words}, against {against}", fly=fly, stored=stored, unit=unit,
            verdict=judge_count(fly, stored, lower_is_better=lower), basis=EXACT if unit != "s" else ONE_PASS,
            note=note, main=True,
        )  # fmt: skip
