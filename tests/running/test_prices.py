"""What a plan knows without asking a model: operators that came with the plugin or are remembered, at one pace."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.cell import FROZEN
from bench.config.selection import Selection
from bench.config.settings import Settings
from bench.data.locate import open_clips
from bench.measurement.pace import Pace, Work, estimate
from bench.measurement.readings import Reading
from bench.planning.costs import count_key
from bench.planning.fingerprints import Loaded
from bench.planning.plan import expand
from bench.plugins.discovery import load
from bench.plugins.interfaces import Answered, Lost
from bench.results.provenance import source_hash
from bench.results.records import Failure
from bench.running import prices
from bench.running.prices import shipped_with
from bench.running.runner import Runner

PACE = Pace(flops_s=1.5e10, bytes_s=2e10, operator_s=4e-6, transform_flops_s=8e10)
WORK = Work(front=((100, 200, 3),), forward=((10**9, 10**6, 10),), step=((3 * 10**9, 10**7, 30),), parameters=1000)
NET = """
from bench import ModelSpec, hookimpl

@hookimpl
def bench_add_models():
    recipes = {"*": {"batch": 4}}
    return [ModelSpec(name=f"own.{n}", factory="own_nets.net:build", options={"width": n}, frontends=("kaldi",),
                      frontend="torchaudio", recipes=recipes) for n in (8, 9)]
"""


@pytest.fixture(scope="module")
def demo():
    registry = load(()).registry
    entry = registry.datasets["demo"]
    return registry, open_clips(entry.spec, None), entry


def planned(demo, *models: str, registry=None, **selection):
    known, clips, entry = demo
    chosen = Selection(models=models, datasets=("demo",), evaluate=False, **selection)
    return expand(chosen, registry or known, {"demo": Loaded(entry=entry, clips=clips)})


def test_every_network_of_a_first_board_comes_counted(demo) -> None:
    registry, clips, _ = demo
    shipped = shipped_with("bench_plugins", print)
    cells = [one for one in planned(demo, "default").runnable if not registry.models[one.cell.model].spec.estimator]
    assert len(cells) == 5
    stale = [one.cell.model for one in cells if count_key(one, registry, clips) not in shipped]
    assert not stale, "their code has changed: python docs/generate.py counts their operators again"


def test_operators_that_travel_give_the_costs_of_counting_afresh(demo) -> None:
    from bench.execution.counting import Known, count_work
    from bench.execution.opening import noise_of
    from bench.execution.results import Progress
    from bench.job import Job

    registry, clips, _ = demo
    shipped, known = shipped_with("bench_plugins", print), Known()
    plan = planned(demo, "digit_fusion.transformer_attention", "convnext_attention.tiny", "avmae.tiny_probe")
    costs = []
    for of in (
        lambda one, _: shipped[count_key(one, registry, clips)],
        lambda _, job: count_work(registry, job, Progress(), known, noise_of(clips)),
    ):
        found = {}
        for one in plan.cells:
            work = of(one, Job(cell=one.cell, recipe=one.recipe, fingerprint=""))
            masked = one.recipe.pretrain_batch if one.cell.weights == "masked" else 0
            frozen = one.cell.mode in FROZEN
            found[one.cell] = estimate(work, PACE, batch=one.cell.batch, frozen=frozen, pretrain_batch=masked)
        costs.append(found)
    assert len(costs[0]) == 3
    for cell, cost in costs[0].items():
        for name, value in cost.items():
            assert costs[1][cell][name] == (
                value if value is None or name == "source" else pytest.approx(value, rel=0.02)
            )


def test_a_key_follows_all_that_is_counted(demo, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "own_nets"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "net.py").write_text("from own_nets.part import layer\nbuild = layer\n")
    (folder / "part.py").write_text("layer = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = tmp_path / "plugin.py"
    plugin.write_text(NET)
    registry, clips = load((plugin,)).registry, demo[1]
    source_hash.cache_clear()

    def key(model: str = "own.8", clips=clips, **selection) -> str:
        (one,) = planned(demo, model, registry=registry, **selection).cells
        return count_key(one, registry, clips)

    first = key()
    assert key(overrides=("recipe.lr=0.5",)) == first, "no shape follows it"
    renamed = replace(clips, label_names=tuple(f"{name}s" for name in clips.label_names))
    others = [
        key("own.9"), key(frontend="kaldi"), key(overrides=("recipe.batch=8",)), key(mode="probe"),
        key(clips=renamed),
    ]  # fmt: skip
    monkeypatch.setattr("bench.planning.costs.COUNTERS", ("measurement/work.py",))
    others.append(key())
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path))
    (folder / "part.py").write_text("layer = 2\n")
    source_hash.cache_clear()
    others.append(key())
    assert len({first, *others}) == 1 + len(others)


@pytest.fixture
def run(tmp_path: Path, monkeypatch):
    """``run(cores)``: the plan of a network and an estimator, and what was asked of workers while others use cores."""
    monkeypatch.setattr(prices, "cache_root", lambda: tmp_path / "cache")
    monkeypatch.setattr(prices, "shipped_with", lambda package, note: {})

    def one(cores: float = 0.0, *, lost: str = ""):
        monkeypatch.setattr(prices, "watch_foreign_cpu", lambda: lambda: Reading.of(cores))
        selection = Selection(models=("meamtm.micro", "classical.knn"), datasets=("demo",), evaluate=False)
        runner, asked = Runner(selection, Settings(out=tmp_path / "out")), []

        def answer(jobs, on_event, _resources) -> None:
            for job in jobs:
                asked.append((job.action, job.cell.model))
                failure = Failure(reason="exit", stage="worker", message="gone")
                values = json.loads(json.dumps(asdict(PACE if job.action == "pace" else WORK)))
                event = Lost(job=job, status="crashed", failure=failure) if job.action == lost else None
                on_event(event or Answered(job=job, values=values))

        monkeypatch.setattr(runner.launching, "run", answer)
        monkeypatch.setattr(runner.launching, "expect", lambda _: asked.append("expected"))
        return {p.cell.model: (p.cost_s, p.cost_source) for p in runner.plan().cells}, asked

    return one


def test_what_was_counted_is_remembered_whoever_uses_the_machine_and_its_pace_once_it_is_quiet(run) -> None:
    first, asked = run(1.5)
    assert asked == ["expected", ("estimate", "meamtm.micro"), ("pace", "meamtm.micro")]
    assert first["meamtm.micro"][1] == "estimated beside others"
    assert first["classical.knn"][1] == "estimated"
    second, asked = run()
    assert asked == ["expected", ("pace", "meamtm.micro")]
    third, asked = run()
    assert asked == []
    assert {cost for cost, _ in (first["meamtm.micro"], second["meamtm.micro"], third["meamtm.micro"])} == {
        third["meamtm.micro"][0]
    }
    assert third["meamtm.micro"][1] == "estimated"


@pytest.mark.parametrize("lost", ["estimate", "pace"])
def test_a_lost_worker_costs_its_answer_alone(run, lost: str) -> None:
    plan, _ = run(lost=lost)
    assert plan["meamtm.micro"] == (None, "unknown: gone")
    assert plan["classical.knn"][0] > 0


def test_a_damaged_file_of_operators_is_said_and_counts_as_none(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "holed"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = {"k": {"of": "x", "work": asdict(WORK)}}
    for text, found in (
        ("", {}), ("[]", {}), ('{"work": {"k": {"work": {"step": [[-1, 0, 0]]}}}}', {}), ('{"work": [1]}', {}),
        (json.dumps({"work": kept}), {"k": WORK}),
    ):  # fmt: skip
        (folder / "operators.json").write_text(text)
        said = list[str]()
        assert shipped_with("holed", said.append) == found
        assert [one.endswith("they are counted here") for one in said] == ([] if found else [True])
    assert shipped_with("no_such_package", pytest.fail) == shipped_with("json", pytest.fail) == {}
