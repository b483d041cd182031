"""Verdicts on the claims: which number wins, when none does, and that every reading names its baseline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.studies.frontends.claims import (
    BUSY,
    CLAIMS,
    EXACT,
    NOT_MEASURED,
    judge,
    judge_claims,
    judge_count,
    judge_interval,
)

FEATURES = {
    "storage": {"source": 80_000.0, "int16": 160_000, "float32": 256_512, "float16": 128_256},
    "baseline": {"sample_rate": 16_000, "codec": "OGG VORBIS, 44100 Hz", "frontend": "nnaudio", "shape": [128, 501]},
    "preparation": {"seconds": 8.0, "decode_s": 2.0},
}
NUMBERS = {
    "infer": 100.0, "train": 50.0, "latency_ms": 10.0, "cpu_ms": 20.0, "flops": 1000.0, "host_train_mib": 600.0,
    "host_infer_mib": 500.0,
}  # fmt: skip
ROW = {
    **NUMBERS, "status": "ok", "infer_spread": 0.01, "train_spread": 0.01, "device_peak_mib": None, "joule": None,
    "device_infer_peak_mib": None, "contended": False, "reasons": {"device_peak_mib": "no GPU"},
}  # fmt: skip
positive = st.floats(1e-3, 1e9)


def row(changed=None, processes=1):
    known = ROW | (changed or {})
    samples = {name: [known[name]] * processes for name in NUMBERS}
    return {"samples": samples, **known}


def cases(stored=None, fly=None, features=FEATURES, processes=1, delivery=None):
    rows = {"nnaudio fly": row(fly, processes), "nnaudio precomputed": row(stored, processes)}
    return judge_claims(rows, "nnaudio precomputed", features, delivery)


def only(found, claim, words):
    (case,) = [case for case in found if case.claim == claim and words in case.case]
    return case


@given(positive, positive, st.booleans(), st.floats(0.001, 0.5))
def test_swapping_the_sides_turns_the_verdict(fly, stored, lower, margin) -> None:
    other = {"confirmed": "refuted", "refuted": "confirmed", "not resolvable here": "not resolvable here"}
    verdict = judge(fly, stored, lower_is_better=lower, margin=margin)
    assert judge(stored, fly, lower_is_better=lower, margin=margin) == other[verdict]
    assert judge(fly, stored, lower_is_better=not lower, margin=margin) == other[verdict]


@pytest.mark.parametrize(("fly", "stored"), [(None, 1.0), (1.0, None), (0.0, 1.0), (None, None)])
def test_a_missing_number_resolves_nothing(fly, stored) -> None:
    assert judge(fly, stored, lower_is_better=True, margin=0.0) == "not resolvable here"


def test_exactly_equal_storage_is_not_less() -> None:
    assert judge(5, 5, lower_is_better=True, margin=0.0) == "refuted"


def test_every_claim_has_a_reading_meant_first() -> None:
    found = cases()
    assert {case.claim for case in found if case.main} == set(CLAIMS)
    assert [CLAIMS.index(case.claim) for case in found] == sorted(CLAIMS.index(case.claim) for case in found)


def test_storage_depends_on_the_baseline_and_each_is_named() -> None:
    found = [case for case in cases() if case.claim == "less storage"]
    verdicts = {case.case: (case.verdict, round(case.ratio, 2)) for case in found}
    waveforms, source = "int16 waveform cache (16000 Hz)", "source files (OGG VORBIS, 44100 Hz)"
    full, half = (f"float{bits} nnaudio features (128 x 501)" for bits in (32, 16))
    alone, both = "the waveforms deleted", "the waveforms kept beside them"
    assert verdicts == {
        f"{waveforms} against {full}, {alone}": ("confirmed", 0.62),
        f"{waveforms} against {full}, {both}": ("confirmed", 0.38),
        f"{waveforms} against {half}, {alone}": ("refuted", 1.25),
        f"{waveforms} against {half}, {both}": ("confirmed", 0.56),
        f"{source} against {full}, {alone}": ("confirmed", 0.31),
        f"{source} against {full}, {both}": ("confirmed", 0.24),
        f"{source} against {half}, {alone}": ("confirmed", 0.62),
        f"{source} against {half}, {both}": ("confirmed", 0.38),
    }
    assert {case.basis for case in found} == {EXACT}


def test_generated_clips_have_no_source_size() -> None:
    storage = FEATURES["storage"] | {"source": None}
    found = [case for case in cases(features=FEATURES | {"storage": storage}) if "source files" in case.case]
    assert {case.verdict for case in found} == {"not resolvable here"}
    assert {case.note for case in found} == {NOT_MEASURED}


def test_clear_differences_are_called_and_small_ones_are_not() -> None:
    found = cases(stored={"train": 80.0, "infer": 103.0, "flops": 999.0, "latency_ms": 20.0})
    assert only(found, "faster training", "throughput").verdict == "refuted"
    assert only(found, "faster inference", "throughput").verdict == "not resolvable here"
    assert only(found, "faster inference", "latency").verdict == "confirmed"
    assert only(found, "less compute", "FLOPs").verdict == "refuted"


def test_a_wide_spread_hides_a_difference() -> None:
    found = cases(stored={"train": 80.0, "train_spread": 0.4})
    assert only(found, "faster training", "throughput").verdict == "not resolvable here"


def test_busy_neighbours_spoil_times_but_neither_bytes_nor_flops() -> None:
    found = cases(stored={"train": 80.0, "contended": True, "flops": 1.0, "host_train_mib": 300.0})
    assert only(found, "faster training", "throughput").note == BUSY
    assert only(found, "less compute", "FLOPs").verdict == "refuted"
    assert only(found, "less memory", "host memory while training").verdict == "refuted"


def test_unknown_device_memory_says_so() -> None:
    case = only(cases(), "less memory", "device memory while training")
    assert (case.verdict, case.note, case.ratio) == ("not resolvable here", "no GPU", None)


def test_a_feeding_without_a_result_gives_no_verdict() -> None:
    found = cases(fly={"status": "failed"})
    assert not [case for case in found if case.claim == "faster training"]


@pytest.mark.parametrize(
    ("fly", "stored", "lower", "verdict"),
    [(1, 2, True, "confirmed"), (2, 2, True, "refuted"), (1, 0, False, "confirmed"), (0, 0, False, "refuted"),
     (None, 1, True, "not resolvable here")],
)  # fmt: skip
def test_counts_may_be_zero_and_a_draw_is_no_advantage(fly, stored, lower, verdict) -> None:
    assert judge_count(fly, stored, lower_is_better=lower) == verdict


@given(positive, positive, st.booleans())
def test_an_interval_that_holds_one_resolves_nothing(one, other, lower) -> None:
    low, high = sorted((one, other))
    verdict = judge_interval(low, high, lower_is_better=lower)
    assert (verdict == "not resolvable here") == (low <= 1 <= high)
    if high < 1:
        assert verdict == ("confirmed" if lower else "refuted")


def test_few_processes_are_counted_and_the_margin_is_named() -> None:
    case = only(cases(stored={"train": 80.0}, processes=7), "faster training", "throughput")
    assert (case.verdict, case.interval, case.processes) == ("refuted", None, (7, 7))
    assert case.basis == "7 processes a side, too few for an interval; a factor of 1.05 or less is within the margin"
    assert "1 process a side" in only(cases(), "faster training", "throughput").basis


def test_eight_processes_give_the_verdict_by_the_interval_of_the_ratio() -> None:
    close = [100.0 + 0.1 * i for i in range(8)]
    wide = [60.0, 150.0, 80.0, 160.0, 70.0, 140.0, 90.0, 130.0]

    def verdict(fly, stored):
        rows = {"nnaudio fly": row(processes=8), "nnaudio precomputed": row(processes=8)}
        rows["nnaudio fly"]["samples"]["infer"] = fly
        rows["nnaudio precomputed"]["samples"]["infer"] = stored
        return only(judge_claims(rows, "nnaudio precomputed", FEATURES), "faster inference", "throughput")

    # 3 % apart: under the margin for single processes, yet eight steady ones tell it.
    told = verdict([1.03 * rate for rate in close], close)
    assert told.verdict == "confirmed"
    assert told.interval[0] < 1.03 < told.interval[1]
    assert told.basis == "95 % interval of the ratio, 8 processes a side"
    hidden = verdict([1.2 * rate for rate in wide], wide)
    assert hidden.verdict == "not resolvable here"
    assert hidden.interval[0] < 1 < hidden.interval[1]


def test_ease_is_counted_fact_by_fact() -> None:
    facts = [case for case in cases() if case.claim == "easier use"]
    assert [(case.fly, case.stored) for case in facts] == [(1, 2), (2.0, 10.0), (1, 0), (1, 2)]
    assert {case.verdict for case in facts} == {"confirmed"}
    assert all("float32 nnaudio features stored" in case.case for case in facts)


def delivery(fly, stored, *, contended=False):
    def rate(ends):
        return None if ends is None else {"clips_per_s": sum(ends) / 2, "interval": list(ends)}

    rows = [
        {"name": "waveforms", "frontend": "nnaudio", "rates": {"16": None, "32": rate(fly)}, "reasons": {}},
        {"name": "other", "frontend": "kaldi", "rates": {"16": None, "32": rate(fly)}, "reasons": {}},
        {"name": "kept", "frontend": None, "rates": {"16": None, "32": rate(stored)}, "reasons": {"rates": "no disk"}},
    ]
    return {"batches": [16, 32], "rows": rows, "contended": contended}


@pytest.mark.parametrize(
    ("fly", "stored", "verdict"),
    [((100, 120), (50, 90), "confirmed"), ((100, 120), (110, 130), "not resolvable here"),
     ((10, 20), (50, 90), "refuted"), ((10, 20), None, "not resolvable here")],
)  # fmt: skip
def test_delivery_is_judged_where_the_intervals_do_not_overlap(fly, stored, verdict) -> None:
    case = only(cases(delivery=delivery(fly, stored)), "faster training", "data until the forward")
    assert case.case == "data until the forward, batch 32: waveforms against kept"
    assert case.verdict == verdict
    assert case.note == ("no disk" if stored is None else "")


def test_delivery_beside_busy_neighbours_is_not_judged() -> None:
    found = cases(delivery=delivery((100, 120), (50, 90), contended=True))
    case = only(found, "faster training", "data until the forward")
    assert (case.verdict, case.note) == ("not resolvable here", BUSY)
