"""The power study on synthetic banks: what it promises holds on a good machine, and is named where it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gate_power"


@pytest.fixture(scope="module")
def judge():
    pytest.importorskip("scipy")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import judge

        yield judge
    for name in ("judge", "bank"):
        sys.modules.pop(name, None)


def bank(path: Path, *, noise: float = 0.01, slower: float = 1.05, rounds: int = 120) -> Path:
    """Rounds that drift together, with images, and processes in them, that scatter by ``noise``."""
    rng = np.random.default_rng(0)
    speeds = {"base": 1.0, "again": 1.0, "same": 1.0, "slow2": 1.02, "slow5": slower}
    lines = [json.dumps({"machine": {"cpu": {"model": "Synthetic 3000"}}})]
    for part in ("quiet", "loaded"):
        scatter = noise * (8 if part == "loaded" else 1)
        for number in range(rounds):
            drift = 1 + 0.2 * np.sin(number / 15)
            sides = {}
            for side, speed in speeds.items():
                image = 0.002 * speed * drift * np.exp(rng.normal(0, scatter))
                sides[side] = []
                for _ in range(3):
                    memory = 300 * np.exp(rng.normal(0, 0.0005))
                    blocks = (image * np.exp(rng.normal(0, scatter) + rng.normal(0, 0.01, 6))).tolist()
                    sides[side].append({"seconds": blocks, "memory_mib": memory, "fatter_mib": 1.01 * memory})
            lines.append(json.dumps({"part": part, "round": number, "sides": sides}))
    path.write_text("\n".join([*lines, '{"part": "quiet", "rou']), encoding="utf-8")
    return path


def test_a_steady_machine_keeps_every_promise_and_rivals_stand_beside(judge, tmp_path) -> None:
    read = judge.Bank(bank(tmp_path / "bank.jsonl"))
    found = judge.study(read, 12)
    assert judge.missed(found, 12) == []
    assert found["5 % slower"]["blamed"].get("fixed 10 %, pooled", 0) == 0
    assert found["unchanged"]["blamed"]["fixed 10 %"] > 0, "a stored process of another time"
    lived = [{"condition": "unchanged", "status": "ok", "minutes": 1.0}] * 3
    text = judge.page(read, found, 12, lived)
    assert "Synthetic 3000" in text
    assert "| unchanged | 3 ok | 1.0 |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| regression | bench gate --against")]
    assert line.split(" | ")[2:5] == ["0.0 %", line.split(" | ")[3], "100.0 %"]


def test_a_bank_goes_on_behind_its_last_complete_round(judge, tmp_path, monkeypatch) -> None:
    import bank as collector

    asked = []

    def stretch(part: str, rounds: range):
        asked.append((part, rounds))
        yield from ({"part": part, "round": number, "sides": {}} for number in rounds)

    monkeypatch.setattr(collector, "stretch", stretch)
    path = tmp_path / "bank.jsonl"
    assert not collector.collect(path, 30, minutes=0)
    path.write_text(path.read_text() + '{"part": "quiet", "ro')
    assert collector.collect(path, 30, minutes=1)
    kept = [(line["part"], line["round"]) for line in collector.read(path) if "part" in line]
    assert sorted(kept) == [(part, number) for part in ("loaded", "quiet") for number in range(30)]
    assert asked[:2] == [("quiet", range(10)), ("quiet", range(1, 11))]


def test_what_is_not_caught_is_named(judge, tmp_path) -> None:
    found = judge.study(judge.Bank(bank(tmp_path / "bank.jsonl", noise=0.2, rounds=60)), 4)
    assert "a slowdown of 5 % is caught in 95 of 100" in judge.missed(found, 4)


def test_rules_of_the_rivals(judge) -> None:
    base = np.full((2, 6), 1.0) + np.linspace(0, 0.01, 12).reshape(2, 6)
    assert [judge.compare_fail(base, base * factor) for factor in (1.04, 1.06)] == [False, True]
    assert [judge.asv(base, base * factor) for factor in (1.09, 1.12)] == [False, True]
    assert not judge.asv(base[:1, :3], base[:1, :3] * 2), "three samples a side can never be different at 0.002"
    assert [judge.fixed(base, base * factor) for factor in (1.09, 1.11)] == [False, True]


def test_a_gate_takes_rounds_that_stood_together(judge) -> None:
    at = judge.pick(25, 30, np.random.default_rng(0)).reshape(3, 10)
    assert (np.diff(at, axis=1) % 25 == 1).all()
