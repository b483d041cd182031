"""The baseline file: its golden copy, and everything that may be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.gate.baseline import SCHEMA_VERSION, Baseline, Measured, PinnedRow, Scored, parse_baseline
from bench.gate.collect import measured

GOLDEN = Path(__file__).parent / "golden" / "baseline-v3.json"


def example() -> Baseline:
    return Baseline(
        pinned_at="2026-01-01T00:00:00+00:00",
        libraries={"numpy": "2.3.0", "timm": None},
        machines={"f00d/1 threads": "Test CPU, 2 logical cores"},
        rows=(
            PinnedRow(
                name="toy/4+1@1/alpha/evaluate-scratch",
                kind="evaluate",
                identity="0123456789abcdef",
                metric="accuracy",
                cells=(
                    Scored(fold=1, seed=0, value=0.8, clips=10, clips_sha256="aa", per_clip="bits:ff40", groups=("g",)),
                ),
                quantities={"parameters": measured("", [1000])},
                missing={"flops": "not counted"},
            ),
            PinnedRow(
                name="toy/profile@1/alpha/profile-scratch",
                kind="profile",
                hardware="f00d/1 threads",
                quantities={"latency": measured("s", [0.01, 0.02], [[0.01, 0.011, 0.009], [0.02]])},
            ),
        ),
    )


def test_golden_file_of_this_version():
    text = GOLDEN.read_text(encoding="utf-8")
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION
    assert example().to_json() == text


def test_every_version_so_far_can_be_read():
    for version in range(1, SCHEMA_VERSION + 1):
        path = GOLDEN.with_name(f"baseline-v{version}.json")
        read = parse_baseline(path.read_text(encoding="utf-8"), path.name)
        assert read.rows[1].quantities["latency"].processes == (0.01, 0.02)
        assert read.rows[0].cells[0].groups is None
        assert read == parse_baseline(GOLDEN.read_text(encoding="utf-8"), GOLDEN.name)


def changed(**values) -> str:
    return json.dumps({**json.loads(GOLDEN.read_text(encoding="utf-8")), **values})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{torn", "is not a whole JSON file"),
        ("[]", "no baseline of bench"),
        ('{"a": 1}', "no baseline of bench"),
        ('{"schema_version": true, "rows": []}', "no baseline of bench"),
        (changed(schema_version=999), "schema version 999.*reads up to 3.*pip install -U"),
        (changed(pinned_at="2027"), "changed after it was pinned"),
        (changed(sha256="0" * 64), "changed after it was pinned"),
        (changed(extra=1), "changed after it was pinned"),
    ],
)
def test_bad_files_are_refused_with_what_to_do(text, words):
    with pytest.raises(StoreError, match=f"base.json.*{words}"):
        parse_baseline(text, "base.json")


def test_one_edited_number_is_noticed():
    text = GOLDEN.read_text(encoding="utf-8").replace("0.011", "0.015")
    with pytest.raises(StoreError, match="changed after it was pinned"):
        parse_baseline(text, "base.json")


@pytest.mark.parametrize("values", [{"colour": 1}, {"rows": []}, {"schema_version": 0}])
def test_a_matching_checksum_does_not_excuse_foreign_content(values):
    from bench.gate import baseline

    raw = {**json.loads(GOLDEN.read_text(encoding="utf-8")), **values}
    del raw["sha256"]
    raw["sha256"] = baseline._checksum(raw)
    with pytest.raises(StoreError, match=r"no valid baseline|unknown schema version 0"):
        parse_baseline(json.dumps(raw), "base.json")


def test_numbers_that_are_not_finite_cannot_be_pinned():
    with pytest.raises(ValueError, match="finite"):
        Measured(unit="s", processes=(float("nan"),))
    with pytest.raises(ValueError, match="at least 1 item"):
        Measured(unit="s", processes=())


@pytest.mark.parametrize(("processes", "samples"), [((0.0,), ()), ((0.1,), ((0.1, -1.0),))])
def test_no_time_is_0_or_less_but_a_count_may_be(processes, samples):
    one = Measured(unit="s", processes=processes, samples=samples)
    with pytest.raises(ValueError, match=r"latency holds .* it must be above 0"):
        PinnedRow(name="a", kind="profile", quantities={"latency": one})
    assert PinnedRow(name="a", kind="profile", quantities={"storage": one}).quantities["storage"] == one


def test_a_process_without_samples_leaves_the_scatter_of_the_others():
    assert measured("s", [0.1, 0.2], [[], [0.1, 0.2, 0.4]]).mad == pytest.approx(0.1)


def test_samples_are_thinned_in_order_and_their_scatter_is_of_all():
    samples = [float(i) for i in range(1, 1002)]
    kept = measured("s", [501.0], [samples])
    assert len(kept.samples[0]) == 200
    assert list(kept.samples[0]) == sorted(kept.samples[0])
    assert (kept.samples[0][0], kept.samples[0][-1]) == (1.0, 1001.0)
    assert kept.mad == 250.0
