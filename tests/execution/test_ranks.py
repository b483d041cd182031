"""Several processes that train one network: what one process gives, and one end whatever one of them does."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.cell import Cell
from bench.cli.values import device
from bench.errors import SelectionError
from bench.job import Job
from bench.measurement import nvml
from bench.planning.axes import Axes, division_problem
from bench.planning.plan import expand
from bench.plugins.discovery import load
from bench.plugins.interfaces import EpochEnded, Event, Finished, Lost, Resources
from bench.plugins.specs import ModelSpec
from bench.recipe import Recipe
from bench.running.launching import Launching
from bench.running.preparation import load_all
from bench.running.ray import RayLauncher
from bench.running.supervise import supervise

PLUGIN = Path(__file__).with_name("ranks_plugin.py")
RECIPE = Recipe(
    name="plain", epochs=2, batch=13, eval_batch=5, lr=1e-3, trim_db=None, mixup_alpha=0.3, spec_masks=1, time_mask=3,
    freq_mask=2, gain_db=3.0, roll=True, noise_snr_db=30.0,
)  # fmt: skip


def cell(kind: str, nproc: int = 1, batch: int = RECIPE.batch) -> Cell:
    return Cell(
        kind="evaluate", dataset="tones", protocol="official-val@1", fold=0, model=f"ranked.{kind}",
        frontend="torchaudio", recipe="plain", batch=batch, clip_samples=1600, nproc=nproc,
    )  # fmt: skip


def job(kind: str, nproc: int, **recipe) -> Job:
    settings = RECIPE.model_copy(update=recipe)
    return Job(
        cell=cell(kind, nproc, settings.batch), recipe=settings, fingerprint="f", plugins=(PLUGIN,), timeout_s=300.0,
        keep_checkpoint=False,
    )  # fmt: skip


def run(*jobs: Job) -> tuple[list[Finished | Lost], list[Event]]:
    events: list[Event] = []
    supervise(jobs, events.append, Resources(slots=1, threads=1))
    return [event for event in events if isinstance(event, (Finished, Lost))], events


def arrays(end: Finished | Lost) -> dict[str, np.ndarray]:
    assert isinstance(end, Finished), end.failure
    assert end.record.status == "ok", end.record.error
    with np.load(io.BytesIO(end.files["predictions.npz"])) as found:
        return dict(found)


def test_losses_and_predictions_are_those_of_one_process() -> None:
    """Augmented, mixed, averaged and validated; the last batch has one clip more, or two clips for three processes."""
    asked = [("random", 2, 13), ("batch_norm", 3, 17)]
    pairs = [job(kind, count, batch=batch) for kind, nproc, batch in asked for count in (1, nproc)]
    ends, events = run(*pairs)
    for alone, divided in zip(ends[::2], ends[1::2], strict=True):
        one, several = arrays(alone), arrays(divided)
        assert several["ids"].tolist() == one["ids"].tolist()
        assert several["logits"] == pytest.approx(one["logits"], abs=1e-5)
        for name in ("curve_train_loss", "curve_val_accuracy", "curve_lr"):
            assert several[name] == pytest.approx(one[name], abs=1e-5)
        assert isinstance(divided, Finished)
        assert divided.log == ""
        said = divided.record.provenance["processes"]
        assert said == {"count": divided.job.cell.nproc, "backend": "gloo", "draws": "for the whole batch"}
        assert "processes" not in alone.record.provenance
    told = [event.job for event in events if isinstance(event, EpochEnded)]
    assert [told.count(one) for one in pairs] == [RECIPE.epochs] * len(pairs)


@pytest.mark.slow
def test_one_process_ends_the_cell_as_if_it_were_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    kinds = ("raises", "killed", "leaves", "keeps", "starts")
    ends, _ = run(*(job(kind, 2) for kind in kinds))
    found = {}
    for end in ends:
        status, why = (end.status, end.failure) if isinstance(end, Lost) else (end.record.status, end.record.error)
        found[end.job.cell.model.partition(".")[2]] = (status, why and why.reason, why and why.message)
    assert found.pop("keeps")[:2] == ("failed", "raised")
    assert found == {
        "raises": ("failed", "raised", "ValueError: one of two broke"),
        "killed": ("crashed", "signal", "killed by signal 9 (SIGKILL)"),
        "leaves": ("crashed", "exit", "the process ended with status 0"),
        "starts": ("ok", None, None),
    }
    (started,) = [end for end in ends if end.job.cell.model == "ranked.starts"]
    assert "[bench] ended what the cell had left running: " in started.log
    assert "(sleep 600)" in started.log
    mine = [one.info for one in psutil.process_iter(["cmdline", "environ"])]
    assert [one["cmdline"] for one in mine if (one["environ"] or {}).get("BENCH_CACHE") == str(tmp_path)] == []


def test_a_cell_names_its_processes_only_where_there_are_several() -> None:
    assert "nproc" not in cell("good").to_json()
    assert cell("good", 2).id == f"{cell('good').id}-p2"
    for one in (cell("good"), cell("good", 2)):
        assert Cell.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    ("spec", "axes", "recipe", "why"),
    [
        ({"estimator": True}, {}, {}, "is an estimator"),
        ({}, {"mode": "probe"}, {}, "mode probe trains no network"),
        ({}, {"mode": "finetune", "weights": "masked"}, {}, "masked pre-training"),
        ({}, {}, {"compile": True}, "recipe.compile"),
        ({}, {}, {"cuda_graphs": True}, "recipe.compile"),
    ],
)
def test_what_cannot_be_divided_says_so(spec: dict, axes: dict, recipe: dict, why: str) -> None:
    named = {"mode": "scratch", "weights": "random", "inputs": "audio", "frontend": "logmel", "feeding": "fly"}
    asked = Axes(**named | axes), ModelSpec(name="x", factory=":build", **spec), Recipe(**recipe)
    assert division_problem(1, *asked) == ""
    assert division_problem(2, *asked).startswith(why)


def test_processes_share_cores_and_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load(()).registry
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2**40}))
    offered = Launching("", registry, nproc=4).side_by_side
    assert (offered.slots, offered.threads) == (2, 1)
    monkeypatch.setattr(nvml, "look_at_gpus", lambda: [{}, {}, {}])
    assert device("auto") == "cuda"
    assert Launching("", registry, device="cuda", nproc=3).side_by_side.slots == 1
    assert RayLauncher(memory=100, gpus=0.5)._need(2, "cuda", 3) == {"CPU": 6, "memory": 300 * 2**20, "GPU": 1.5}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    with pytest.raises(SelectionError, match="--nproc 3 takes 3 GPUs, one for each process; here are 2"):
        Launching("", registry, device="cuda", nproc=3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(nvml.NvmlMissingError, match="hides all 3"):
        nvml.gpu_count()
    assert device("auto") == "cpu"


def test_a_run_says_it_in_its_plan_and_command(make_runner) -> None:
    runner = make_runner("ranked.good", "ranked.forest", settings={"plugins": (PLUGIN,)}, folds=None, nproc=2)
    plan = expand(runner.selection, runner.host.registry, load_all(runner.selection, runner.host.registry))
    decided = {one.cell.model: (one.cell.nproc, one.decision, one.reason) for one in plan.cells}
    assert decided["ranked.good"] == (2, "run", "")
    assert decided["ranked.forest"][:2] == (2, "incompatible")
    with pytest.raises(SelectionError, match="nproc is 0"):
        make_runner("ranked.good", settings={"plugins": (PLUGIN,)}, nproc=0)
