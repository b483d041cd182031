"""Rounds of base, candidate and base again: judged as they come, stopped and gone on with, and what fails in them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bench.gate.policy import AGAINST
from bench.gate.verdict import Verdict
from bench.running.progress import Progress
from bench.studies.gate import run as turns
from bench.studies.gate.rounds import FILE, Rounds

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def clock(monkeypatch):
    """A clock that only processes of sides move."""
    now = [0.0]
    monkeypatch.setattr(turns.time, "monotonic", lambda: now[0])
    return now


class FakeSide:
    """Measures what it is told, ``factor`` times as slow, and fails from some process on."""

    def __init__(self, name, clock, factor=1.0, rows=("a", "b"), fails=None, parameters=100, lacks=(), takes=1.0):
        self.name, self.clock, self.factor, self.fails, self.lacks = name, clock, factor, fails or {}, lacks
        self.jobs = dict.fromkeys(rows)
        self.parameters, self.takes, self.measured, self.started, self.closed = parameters, takes, [], 0, 0

    def measure(self, row, action="block"):
        self.clock[0] += self.takes
        self.measured.append((row, action))
        if len(self.measured) > self.fails.get(row, 10**9):
            return "RuntimeError in stage build: gone"
        scatter = 1 + 0.004 * ((7 * len(self.measured)) % 5 - 2)
        values = {"latency": ("s", False, 0.01 * self.factor * scatter), "host_memory": ("MiB", False, 400.0)}
        if action == "count":
            values = {"parameters": ("", False, self.parameters)}
        return {
            name: {"value": value, "unit": unit, "higher_is_better": better}
            for name, (unit, better, value) in values.items()
            if name not in self.lacks
        }

    def start(self):
        self.started += 1

    def close(self):
        self.closed += 1


def gate(clock, folder, minutes=5, policy=AGAINST, base=None, **candidate):
    sides = {
        "base": FakeSide("base", clock, **(base or {})),
        "candidate": FakeSide("candidate", clock, **candidate),
        "again": FakeSide("again", clock, **(base or {})),
    }
    rounds = Rounds.open(folder, {"base": "x"})
    return turns.Gate(sides, rounds, policy, minutes, Progress()), sides, rounds


def statuses(found):
    return {(one.row, one.quantity): one.status for one in found.findings()}


def test_what_is_clear_at_the_first_look_is_measured_no_further(clock, tmp_path):
    found, sides, _ = gate(clock, tmp_path, factor=1.5)
    found.run()
    assert statuses(found) == {
        (row, quantity): status
        for row in "ab"
        for quantity, status in (("latency", "regression"), ("host_memory", "ok"), ("parameters", "ok"))
    }
    assert found.done < 20
    assert Verdict(findings=tuple(found.findings())).outcome == "regression"
    assert len(sides["base"].measured) == len(sides["candidate"].measured) == 2 + found.done * (1 + 2 * 1)


def test_equal_sides_pass_and_take_turns(clock, tmp_path):
    found, sides, rounds = gate(clock, tmp_path)
    found.run()
    assert set(statuses(found).values()) == {"ok"}
    assert all(set(block) == {"base", "candidate", "again"} for block in rounds.blocks["a"])
    assert sides["base"].measured[-2:] == [("a", "block"), ("b", "block")]


@pytest.mark.parametrize(("rows", "forks"), [(("a",), 3), (("a", "b"), 1), (("a", "b", "c"), 1)])
def test_each_round_has_images_of_its_own_and_its_first_process_is_not_kept(clock, tmp_path, rows, forks):
    found, sides, rounds = gate(clock, tmp_path, rows=rows, base={"rows": rows})
    found.run()
    for name, side in sides.items():
        counted = name in turns.COUNTED
        assert side.started == found.done + counted
        assert side.closed >= found.done
        assert len(side.measured) == len(rows) * counted + found.done * (1 + len(rows) * forks)
    assert {len(rounds.blocks[row]) for row in rows} == {found.done}


class FakeImages(FakeSide):
    """Every process of an image is as fast as the image, which scatters by 3 %, and 1 % of its own."""

    def __init__(self, name, clock, rng):
        super().__init__(name, clock, rows=("a",), takes=0.3)
        self.rng = rng

    def start(self):
        super().start()
        self.image = self.rng.normal(0, 0.03)

    def measure(self, row, action="block"):
        found = super().measure(row, action)
        if action == "block":
            found["latency"]["value"] = 0.01 * math.exp(self.image + self.rng.normal(0, 0.01))
        return found


def test_what_images_differ_by_blames_nobody(clock, tmp_path):
    rng = np.random.default_rng(0)
    said = []
    for number in range(60):
        sides = {name: FakeImages(name, clock, rng) for name in turns.SIDES}
        one = turns.Gate(sides, Rounds.open(tmp_path / str(number), {}), AGAINST, 3, Progress())
        one.run()
        said.append(statuses(one)["a", "latency"])
    assert said.count("regression") + said.count("improved") == 0  # 5 % over all quantities, a quarter for this one
    assert set(said) <= {"ok", "not_resolvable"}


def test_too_little_time_says_how_much_it_takes(clock, tmp_path):
    found, _, _ = gate(clock, tmp_path, minutes=0.1)
    found.run()
    assert "a round takes 9 s and an interval 8 of them: give --minutes 2" in found.short
    assert statuses(found)["a", "latency"] == "not_resolvable"
    assert statuses(found)["a", "parameters"] == "ok"
    assert found.done <= 2


def test_the_time_given_is_not_exceeded(clock, tmp_path):
    found, _, _ = gate(clock, tmp_path, minutes=1.2, factor=1.02)
    found.run()
    assert found.spent <= 72
    assert found.done <= 11


def test_a_machine_that_slows_down_ends_the_gate_in_time(clock, tmp_path):
    found, sides, _ = gate(clock, tmp_path, minutes=2, factor=1.02)
    for side in sides.values():
        side.measure = lambda row, action="block", own=side: (
            setattr(own, "takes", own.takes * 1.1), FakeSide.measure(own, row, action)
        )[1]  # fmt: skip
    found.run()
    assert found.done < 20
    assert {one.status for one in found.decided.values()} <= {"ok", "not_resolvable", "regression"}


def test_a_stopped_gate_goes_on_and_says_the_same(clock, tmp_path):
    whole, _, _ = gate(clock, tmp_path / "whole", factor=1.02)
    whole.run()
    first, stopped, _ = gate(clock, tmp_path / "parts", factor=1.02)
    measure, count = stopped["again"].measure, []

    def interrupted(row, action="block"):
        count.append(row)
        if len(count) == 21:
            raise KeyboardInterrupt
        return measure(row, action)

    stopped["again"].measure = interrupted
    with pytest.raises(KeyboardInterrupt):
        first.run()
    with (tmp_path / "parts" / "blocks.partial.jsonl").open("a") as file:
        file.write('{"what": "block", "row": "a", "si')  # torn
    second, _, rounds = gate(clock, tmp_path / "parts", factor=1.02)
    before = len(rounds.blocks["a"])
    assert before == 6
    second.run()
    assert statuses(second) == statuses(whole)
    assert second.done == pytest.approx(whole.done, abs=1)
    rounds.finish()
    assert json.loads((tmp_path / "parts" / FILE).read_text().splitlines()[0]) == {"base": "x"}
    assert gate(clock, tmp_path / "parts")[2].blocks == {}  # a finished gate is measured afresh


def test_what_was_measured_of_other_revisions_is_not_taken(clock, tmp_path):
    _, _, rounds = gate(clock, tmp_path)
    rounds.add("most", rounds=7)
    assert Rounds.open(tmp_path, {"base": "x"}).most == 7
    assert Rounds.open(tmp_path, {"base": "y"}).most == 0


@pytest.mark.parametrize(
    ("sides", "expected", "outcome"),
    [
        ({"fails": {"b": 0}}, ("vanished", "candidate: RuntimeError"), "vanished"),
        ({"fails": {"b": 9}}, ("vanished", "candidate: RuntimeError"), "vanished"),
        ({"base": {"fails": {"b": 0}}}, ("not_compared", "base: RuntimeError"), "passed"),
        ({"rows": ("a",)}, ("vanished", "the candidate has no such cell"), "vanished"),
        ({"base": {"rows": ("a",)}}, ("new", "the base has no such cell"), "passed"),
    ],
)
def test_what_only_one_side_measures(clock, tmp_path, sides, expected, outcome):
    found, _, _ = gate(clock, tmp_path, **sides)
    found.run()
    (one,) = (one for one in found.findings() if one.row == "b")
    assert (one.quantity, one.status) == ("all", expected[0])
    assert expected[1] in one.reason
    assert statuses(found)["a", "latency"] == "ok"
    assert Verdict(findings=tuple(found.findings())).outcome == outcome


def test_a_quantity_that_the_candidate_lacks_has_vanished(clock, tmp_path):
    found, _, _ = gate(clock, tmp_path, lacks=("host_memory", "parameters"))
    found.run()
    assert statuses(found)["a", "host_memory"] == statuses(found)["b", "parameters"] == "vanished"


def test_what_a_policy_skips_is_not_judged(clock, tmp_path):
    skipped = dict.fromkeys(("latency", "parameters"), replace(AGAINST["latency"], skip=True))
    found, _, _ = gate(clock, tmp_path, policy={**AGAINST, **skipped}, factor=9, parameters=5)
    found.run()
    assert set(statuses(found)) == {("a", "host_memory"), ("b", "host_memory")}


def test_counts_are_exact(clock, tmp_path):
    found, _, _ = gate(clock, tmp_path, parameters=101)
    found.run()
    assert statuses(found)["a", "parameters"] == "regression"
