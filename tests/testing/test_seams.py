"""The conformance checks of launchers, reporters, observers, protocols, measurements: each finds its fault."""

from __future__ import annotations

import contextlib
import itertools
import types

import numpy as np
import pytest

import bench.builtin
from bench import LauncherSpec, MeasurementSpec, ObserverSpec, ProtocolSpec, ReporterSpec
from bench.plugins.discovery import load_modules
from bench.plugins.interfaces import Answered, Lost
from bench.reports import exchange
from bench.results.records import Failure
from bench.testing import check_launcher, check_measurement, check_observer, check_protocol, check_reporter
from bench.testing.fakes import fake_plugin

HOST = load_modules(bench.builtin).registry
COUNTER = itertools.count()


def problems(results) -> dict[str, str]:
    return {result.name: result.message for result in results if result.status == "failed"}


def registry_of(spec):
    return load_modules(fake_plugin("fakes", [spec]), bench.builtin).registry


@pytest.mark.parametrize("name", list(HOST.launchers))
def test_the_hosts_launchers_keep_their_contract(name) -> None:
    results = check_launcher(name, HOST)
    assert problems(results) == {}
    if name == "ray":  # no cluster is running; tests/running/test_ray.py starts one
        assert {result.status for result in results} == {"skipped"}
    else:
        assert results[0].message == "2 jobs ended each with its record"


@pytest.mark.parametrize("name", list(HOST.reporters))
def test_the_hosts_reporters_keep_their_contract(name, monkeypatch) -> None:
    monkeypatch.setattr(exchange, "time", types.SimpleNamespace(time=itertools.count(1_800_000_000, 60).__next__))
    assert problems(check_reporter(name, HOST)) == {}


@pytest.mark.parametrize("name", list(HOST.protocols))
def test_the_hosts_protocols_keep_their_contract(name) -> None:
    assert problems(check_protocol(name, HOST)) == {}


class Careless:
    """Loses every job."""

    def run(self, jobs, on_event, resources) -> None:
        for job in jobs:
            on_event(Lost(job=job, status="crashed", failure=Failure(reason="exit", stage="train", message="gone")))


class Forgetful(Careless):
    def run(self, jobs, on_event, resources) -> None:
        super().run(jobs[:1], on_event, resources)


class Twice(Careless):
    def run(self, jobs, on_event, resources) -> None:
        super().run([*jobs, jobs[0]], on_event, resources)


class Vague:
    def run(self, jobs, on_event, resources) -> None:
        for job in jobs:
            on_event(Answered(job=job, values={}))


class Deaf(Careless):
    def run(self, jobs, on_event, resources) -> None:
        with contextlib.suppress(Exception):
            super().run(jobs, on_event, resources)


@pytest.mark.parametrize(
    ("launcher", "found"),
    [("Careless", set()), ("Forgetful", {"ends"}), ("Twice", {"ends"}), ("Vague", {"ends"}), ("Deaf", {"stops"})],
)
def test_faults_of_launchers_are_found(launcher, found) -> None:
    registry = registry_of(LauncherSpec(name="fake", factory=f"{__name__}:{launcher}"))
    assert set(problems(check_launcher("fake", registry))) == found


def names(board) -> str:
    return ",".join(row.key.model for section in board.sections for row in section.rows)


def number(board) -> int:
    return 3


def restless(board) -> str:
    return f"{next(COUNTER)}"


def first_row(board) -> str:
    return board.sections[0].rows[0].key.model


@pytest.mark.parametrize(
    ("render", "found"),
    [("names", set()), ("number", {"renders"}), ("restless", {"repeats"}), ("first_row", {"empty"})],
)
def test_faults_of_reporters_are_found(render, found) -> None:
    registry = registry_of(ReporterSpec(name="fake", render=f"{__name__}:{render}", suffix=".txt"))
    assert set(problems(check_reporter("fake", registry))) == found


class Strict:
    """An observer that knows only the cells that began, and takes one at a time."""

    def cell_start(self, cell, recipe) -> None:
        self.cell = cell

    def epoch_end(self, cell, epoch, scores) -> None:
        if cell != self.cell:
            raise ValueError(f"{cell.id} is not open")


class Indifferent:
    """One that wants to know nothing."""


@pytest.mark.parametrize(("build", "found"), [("Indifferent", set()), ("Strict", {"observes"})])
def test_faults_of_observers_are_found(build, found) -> None:
    registry = registry_of(ObserverSpec(name="fake", factory=f"{__name__}:{build}"))
    assert set(problems(check_observer("fake", registry))) == found


def _halves(clips, fold, tested):
    return np.flatnonzero(~tested), tested[:0].nonzero()[0], np.flatnonzero(tested)


def by_fold(clips, fold):
    return _halves(clips, fold, np.asarray(clips.folds) == fold)


def overlapping(clips, fold):
    train, validation, test = by_fold(clips, fold)
    return np.append(train, test[0]), validation, test


def moody(clips, fold):
    train, validation, test = by_fold(clips, fold)
    return np.delete(train, next(COUNTER)), validation, test


def seeded_test_part(clips, fold, seed):
    return _halves(clips, fold, np.arange(len(clips)) % 5 == seed % 5)


def deaf_to_seeds(clips, fold, seed):
    return by_fold(clips, fold)


def drawn(clips, fold, seed):
    train, validation, test = by_fold(clips, fold)
    return np.delete(train, seed), validation, test


def mixed(clips, fold):
    return _halves(clips, fold, np.arange(len(clips)) % 5 == fold - 1)


@pytest.mark.parametrize(
    ("divide", "fields", "found"),
    [
        ("by_fold", {}, set()),
        ("drawn", {}, set()),
        ("mixed", {}, set()),
        ("overlapping", {}, {"parts", "repeatable", "groups"}),
        ("moody", {}, {"repeatable"}),
        ("seeded_test_part", {}, {"seeds"}),
        ("deaf_to_seeds", {}, {"seeds"}),
        ("mixed", {"leaks": "reported", "ranked": False}, set()),
    ],
)
def test_faults_of_protocols_are_found(divide, fields, found) -> None:
    registry = registry_of(ProtocolSpec(name="fake", divide=f"{__name__}:{divide}", **fields))
    assert set(problems(check_protocol("fake", registry))) == found


def calls(call, clips):
    return float(call(0).sum()) / clips


def nowhere(call, clips):
    return None


def endless(call, clips):
    return float("inf")


@pytest.mark.parametrize(("measure", "status"), [("calls", "passed"), ("nowhere", "skipped"), ("endless", "failed")])
def test_measurements_are_finite_or_none(measure, status) -> None:
    registry = registry_of(MeasurementSpec(name="fake", measure=f"{__name__}:{measure}", unit="things"))
    (result,) = check_measurement("fake", registry)
    assert result.status == status
