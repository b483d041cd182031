"""``--launcher NAME:key=value,...``: whoever runs the cells is held to what a launcher promises."""

from __future__ import annotations

import types
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.config import selection as selects
from bench.config.selection import Selection
from bench.errors import PluginError, SelectionError, StoreError, UnknownNameError
from bench.job import Job
from bench.plugins.discovery import discover, load_modules
from bench.plugins.interfaces import Answered, Finished, Lost, Resources
from bench.plugins.specs import LauncherSpec, ModelSpec
from bench.recipe import Recipe
from bench.results.store import Store
from bench.running.launching import Launching
from bench.running.local import LocalLauncher
from bench.running.prices import Prices
from bench.testing.fakes import fake_plugin

ONE = Resources(slots=1, threads=1)


class Recording:
    """Answers every job and remembers its options."""

    def __init__(self, *, host: str, nodes: int = 1, fast: bool = False) -> None:
        if host == "locked":
            raise PermissionError("no key for locked")
        if nodes > 8:
            raise ValueError(f"nodes={nodes}; there are 8")
        self.options = (host, nodes, fast)
        self.does = lambda jobs, on_event: [on_event(Answered(job=job, values={})) for job in jobs]

    def run(self, jobs, on_event, _resources) -> None:
        self.does(jobs, on_event)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch):
    module = fake_plugin(
        "far",
        [
            LauncherSpec(name="far", factory=":Recording"),
            LauncherSpec(name="broken", factory=":nothing"),
            LauncherSpec(name="near", factory="bench.running.local:LocalLauncher", default=True),
            ModelSpec(name="far.near", factory=":nothing", estimator=True),
            ModelSpec(name="far.tree", factory=":nothing", estimator=True),
            ModelSpec(name="far.net", factory=":nothing"),
        ],
        Recording=Recording,
        nothing=lambda: 5,
    )
    monkeypatch.setitem(__import__("sys").modules, "far", module)
    return load_modules(module).registry


@pytest.fixture
def jobs(samples) -> list[Job]:
    return [Job(cell=samples.cell(name), recipe=Recipe(name="x"), fingerprint="f") for name in ("a", "b")]


def launched(registry, does) -> Launching:
    launching = Launching("far:host=x", registry)
    launching._launcher.does = does
    return launching


def test_options_are_typed_and_handed_over(registry) -> None:
    assert Launching("far:host=gpu-1,nodes=4,fast=true", registry)._launcher.options == ("gpu-1", 4, True)
    assert isinstance(Launching("", registry)._launcher, LocalLauncher)


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("farr", UnknownNameError, "no launcher named 'farr'. Did you mean 'far'"),
        ("far:nodes=2", SelectionError, r"--launcher far:nodes=2: it needs host, given as NAME:host="),
        ("far:host=x,node=2", SelectionError, r"it has no option 'node'; did you mean 'nodes'"),
        ("far:host", SelectionError, r"'host' is not of the form key=value"),
        ("far:host=x,nodes=9", SelectionError, r"nodes=9; there are 8"),
        ("near:slots=0", SelectionError, r"slots=0; give 1 or more"),
        ("near:slots=many", SelectionError, r"slots=many; give 1 or more"),
        ("far:host=locked", PluginError, r"launcher 'far' raised PermissionError: no key for locked"),
        ("broken", PluginError, r"launcher 'broken' of .*gave a int without run\(\)"),
    ],
)
def test_mistakes_are_one_clear_error(registry, text, kind, says) -> None:
    with pytest.raises(kind, match=says):
        Launching(text, registry)


def test_a_job_that_the_launcher_forgets_is_lost_and_one_told_twice_counts_once(registry, jobs) -> None:
    def does(given, on_event) -> None:
        for _ in range(2):
            on_event(Answered(job=given[0], values={}))

    events: list = []
    launched(registry, does).run(jobs, events.append, ONE)
    answered, lost = events
    assert answered.job == jobs[0]
    assert isinstance(lost, Lost)
    assert (lost.job, lost.status) == (jobs[1], "crashed")
    assert "launcher 'far' ended without a result" in lost.failure.message


def test_what_a_launcher_raises_names_it(registry, jobs) -> None:
    def does(_jobs, _on_event) -> None:
        raise ConnectionError("no route")

    with pytest.raises(PluginError, match="launcher 'far' raised ConnectionError: no route"):
        launched(registry, does).run(jobs, lambda _: None, ONE)


def test_what_the_host_raises_is_not_the_launchers_fault_and_cannot_be_swallowed(registry, jobs) -> None:
    def full(_event) -> None:
        raise StoreError("the disk is full")

    def swallows(given, on_event) -> None:
        for job in given:
            try:
                on_event(Answered(job=job, values={}))
            except StoreError:
                continue

    with pytest.raises(StoreError, match="the disk is full"):
        launched(registry, swallows).run(jobs, full, ONE)

    def odd(_event) -> None:
        raise KeyError("a fault of the host")

    with pytest.raises(KeyError):
        Launching("far:host=x", registry).run(jobs, odd, ONE)


def test_prepare_and_close_are_optional(registry) -> None:
    calls: list = []
    launching = Launching("far:host=x", registry)
    launching.prepare()
    launching.close()
    launching._launcher.prepare = calls.append
    launching._launcher.close = types.MethodType(lambda _self: calls.append("close"), launching._launcher)
    launching.prepare()
    launching.close()
    assert calls == [replace(launching.side_by_side, imports=("bench.execution.network",)), "close"]


@pytest.mark.parametrize(
    ("models", "imports"),
    [
        ((), ("bench.execution.network",)),
        (("default",), ("bench.execution.network",)),
        (("far.near", "far.tree"), ("far",)),
        (("far.near", "far.net"), ("bench.execution.network", "far")),
    ],
)
def test_a_launcher_learns_what_the_first_job_will_import(registry, models, imports) -> None:
    told: list = []
    launching = Launching("far:host=x", registry)
    launching._launcher.prepare = told.append
    launching.prepare(models)
    assert [resources.imports for resources in told] == [imports]


@pytest.mark.parametrize(
    ("datasets", "recipe", "overrides", "publishes"),
    [
        (("demo",), None, (), False),
        (("demo", "esc10"), None, (), True),
        (("demo",), "quick", (), True),
        (("esc10",), "smoke", (), False),
        (("esc10",), None, ("recipe.publishable=false",), False),
        (("demo",), "mine.toml", (), False),
        (("demo",), "mine.toml", ("recipe.publishable=true",), True),
        (("no such set",), None, (), True),
    ],
)  # fmt: skip
def test_a_selection_publishes_what_its_recipes_say(
    datasets, recipe, overrides, publishes, tmp_path, monkeypatch
) -> None:
    (tmp_path / "mine.toml").write_text("publishable = false\n")
    monkeypatch.chdir(tmp_path)
    selection = Selection(datasets=datasets, recipe=recipe, overrides=overrides)
    assert selects.publishes(selection, discover()) is publishes


@pytest.mark.parametrize("order", [("tried", "kept"), ("kept", "tried")])
def test_each_data_set_says_by_its_own_settings_whether_a_recipe_publishes(order) -> None:
    settings = {"tried": {"publishable": False}, "kept": {}}
    entries = {name: SimpleNamespace(spec=SimpleNamespace(recipe=None, settings=settings[name])) for name in order}
    registry = SimpleNamespace(datasets=SimpleNamespace(entries=entries))
    assert selects.publishes(Selection(datasets=order, recipe="quick"), registry)
    assert not selects.publishes(Selection(datasets=("tried",), recipe="quick"), registry)


def test_cells_of_which_nothing_is_published_are_forked_from_what_all_of_them_import(registry) -> None:
    launching = Launching("far:host=x", registry)
    launching._launcher.prepare = lambda _: None
    launching.prepare()
    assert (launching.side_by_side.imports, launching.alone.imports) == ((), ())
    launching.prepare(brief=True)
    found = (launching.side_by_side.imports, launching.alone.imports)
    assert found == (("bench.execution.image",),) * 2


def test_a_profile_cell_of_an_estimator_imports_torch_once_for_all(registry) -> None:
    told: list = []
    launching = Launching("far:host=x", registry)
    launching._launcher.prepare = told.append
    launching.prepare(("far.tree",), brief=True)
    assert launching.alone.imports == ()
    launching.prepare(("far.tree",), brief=True, profile=True)
    assert launching.alone.imports == ("bench.execution.image",)
    launching.prepare(("far.tree",), profile=True)
    assert [told[0].imports, told[2].imports] == [("far",)] * 2
    assert told[1].imports == ("bench.execution.image", "far")


@pytest.mark.parametrize("method", ["prepare", "close"])
def test_what_prepare_and_close_raise_names_the_launcher(registry, method) -> None:
    def full(*_resources) -> None:
        raise OSError("the queue is full")

    launching = Launching("far:host=x", registry)
    setattr(launching._launcher, method, full)
    with pytest.raises(PluginError, match="launcher 'far' raised OSError: the queue is full"):
        getattr(launching, method)()


def test_the_record_of_another_cell_is_refused_even_if_swallowed(registry, jobs, samples, tmp_path) -> None:
    records = {job.cell: samples.evaluated(Store(tmp_path), job.cell, 0.5) for job in jobs}

    def swaps(given, on_event) -> None:
        for job, other in zip(given, reversed(given), strict=True):
            try:
                on_event(Finished(job=job, record=records[other.cell]))
            except PluginError:
                continue

    events: list = []
    with pytest.raises(PluginError, match=r"launcher 'far' gave the record of .*/b/.* for .*/a/"):
        launched(registry, swaps).run(jobs, events.append, ONE)
    assert events == []


def test_a_launcher_that_was_closed_keeps_no_worker(monkeypatch) -> None:
    given = []
    monkeypatch.setattr("bench.running.local.supervise", lambda *_, kept, **__: given.append(kept))
    launcher = LocalLauncher(slots=1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)  # none starts before its time
    launcher.prepare(Resources(slots=1, threads=1))
    launcher.run([], print, Resources(slots=1, threads=1))
    launcher.close()
    launcher.run([], print, Resources(slots=1, threads=1))
    assert given == [[], None]


def test_the_worker_of_what_follows_starts_once_a_core_is_idle(monkeypatch, jobs) -> None:
    started: list = []
    seen: list = []
    monkeypatch.setattr("bench.running.local.Worker", lambda *given, **named: started.append((*given, named)) or given)

    def supervise(jobs, on_event, *_args, **_options) -> None:
        for job in [None, *jobs]:
            if job is not None:
                on_event(Answered(job=job, values={}))
            seen.append(len(started))

    monkeypatch.setattr("bench.running.local.supervise", supervise)
    alone = Resources(slots=1, threads=2, imports=("bench.execution.image",))

    def run(slots: int, cores: int, after: Resources | None = alone) -> list[int]:
        started.clear()
        seen.clear()
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
        launcher = LocalLauncher()
        launcher._keeps = True
        launcher.run(jobs * 2, print, Resources(slots=slots, threads=1, after=after))
        return list(seen)

    assert run(2, 2) == [0, 0, 0, 1, 1]
    assert started == [(2, {"imports": ("bench.execution.image",)})]
    assert run(1, 2) == [1, 1, 1, 1, 1]
    assert run(1, 1) == [0, 0, 0, 0, 1]
    assert run(1, 2, after=None) == [0] * 5


@pytest.mark.parametrize(
    ("kinds", "slots", "follows"),
    [
        (("evaluate", "evaluate", "profile"), 2, "evaluate"),
        (("evaluate", "profile"), 2, None),
        (("evaluate", "evaluate"), 1, None),
        (("profile",), 2, "profile"),
    ],
)
def test_a_further_worker_is_started_for_what_follows_the_estimates(samples, kinds, slots, follows) -> None:
    prices = Prices.__new__(Prices)
    prices.keys = {samples.cell(f"m{i}", kind=kind): "" for i, kind in enumerate(kinds)}
    known = {
        "evaluate": Resources(slots=slots, threads=1, imports=("x",)),
        "profile": Resources(slots=1, threads=2, imports=("x",)),
    }
    prices.launching = types.SimpleNamespace(side_by_side=known["evaluate"], alone=known["profile"])
    assert prices._following() == known.get(follows)
    slow = {name: replace(one, imports=()) for name, one in known.items()}
    prices.launching = types.SimpleNamespace(side_by_side=slow["evaluate"], alone=slow["profile"])
    assert prices._following() is None
