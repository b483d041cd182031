"""Verdicts on the claims: which number wins, when none does, and that every reading names its baseline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.studies.claims import BUSY, CLAIMS, NOT_MEASURED, judge, judge_claims

STORAGE = {"source": 80_000.0, "int16": 160_000, "float32": 256_512, "float16": 128_256}
ROW = {
    "status": "ok", "infer": 100.0, "train": 50.0, "infer_spread": 0.01, "train_spread": 0.01, "latency_ms": 10.0,
    "cpu_ms": 20.0, "flops": 1000.0, "host_train_mib": 600.0, "host_infer_mib": 500.0, "device_peak_mib": None,
    "contended": False,
}  # fmt: skip
positive = st.floats(1e-3, 1e9)


def cases(stored=None, fly=None, storage=STORAGE):
    rows = {"nnaudio fly": ROW | (fly or {}), "nnaudio precomputed": ROW | (stored or {})}
    return judge_claims(rows, "nnaudio precomputed", storage)


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
    assert verdicts == {
        "int16 waveform cache against float32 features, originals deleted": ("confirmed", 0.62),
        "int16 waveform cache against float32 features, originals kept": ("confirmed", 0.38),
        "int16 waveform cache against float16 features, originals deleted": ("refuted", 1.25),
        "int16 waveform cache against float16 features, originals kept": ("confirmed", 0.56),
        "source files against float32 features, originals deleted": ("confirmed", 0.31),
        "source files against float32 features, originals kept": ("confirmed", 0.24),
        "source files against float16 features, originals deleted": ("confirmed", 0.62),
        "source files against float16 features, originals kept": ("confirmed", 0.38),
    }


def test_generated_clips_have_no_source_size() -> None:
    found = [case for case in cases(storage=STORAGE | {"source": None}) if "source files" in case.case]
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
    assert only(found, "less memory", "training").verdict == "refuted"


def test_unknown_device_memory_says_so() -> None:
    case = only(cases(), "less memory", "device")
    assert (case.verdict, case.note, case.ratio) == ("not resolvable here", NOT_MEASURED, None)


def test_a_feeding_without_a_result_gives_no_verdict() -> None:
    found = cases(fly={"status": "failed"})
    assert not [case for case in found if case.claim == "faster training"]
