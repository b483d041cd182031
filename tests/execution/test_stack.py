"""Networks trained as one: the losses and predictions of each alone, and an honest way back."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bench.cell import Cell
from bench.cli.values import stacked
from bench.config.recipes import resolve
from bench.data.batches import Batches
from bench.errors import SelectionError
from bench.execution.build import build_model
from bench.execution.pipeline import Pipeline
from bench.execution.results import DivergedError, OverBudgetError
from bench.execution.stack import Member, train_together
from bench.execution.stack_trial import tried
from bench.execution.step import Inference, StepSettings, predict
from bench.execution.streams import StackError
from bench.execution.train import FIRST_STEPS, Trained, train
from bench.job import Job
from bench.planning.plan import PlannedCell
from bench.plugins.discovery import discover
from bench.plugins.interfaces import EpochEnded, Event, Finished, Resources
from bench.recipe import Recipe
from bench.running.stacks import MOST, in_stacks
from bench.running.supervise import supervise
from bench.testing.inputs import as_inputs, synthetic_clips
from bench.testing.networks import pipeline_of

PLUGIN = Path(__file__).with_name("ranks_plugin.py")
REGISTRY = discover()
DEFAULT = [s.name for s in REGISTRY.models.specs() if "default" in s.sets and not s.estimator]
FOLDS = (np.arange(0, 14), np.arange(7, 21))


def recipe_of(name: str, **changed) -> Recipe:
    """Augmented, mixed, averaged and clipped."""
    overrides = {"batch": 8, "epochs": 3, "mixup_alpha": 0.4, "spec_masks": 1, "gain_db": 6.0, "roll": True, **changed}
    return resolve("smoke", overrides=overrides)


def members_of(name: str, recipe: Recipe, count: int = 2) -> list[Member]:
    spec, found = REGISTRY.models[name].spec, []
    data = as_inputs(REGISTRY, spec, synthetic_clips(clips=24, samples=8000), optional=False)
    for seed in range(count):
        model = build_model(REGISTRY.models[name], data.task, seed)
        pipeline = pipeline_of(model, data, recipe)
        settings = StepSettings(
            recipe=recipe, seed=seed, sample_rate=data.task.sample_rate, waveforms=True,
            derived_picture="derived" in data.given.get("image", ""),
        )  # fmt: skip
        batches = data.batches(FOLDS[seed], recipe.batch, seed=seed)
        found.append(Member(pipeline=pipeline, settings=settings, batches=batches))
    return found


def logits(trained: Trained, batches: Batches) -> np.ndarray:
    return predict(Inference(trained.pipeline), replace(batches, seed=None)).logits


@pytest.mark.parametrize("name", DEFAULT)
def test_a_default_network_trains_in_a_stack_as_alone(name: str) -> None:
    """With all that it draws: dropout, dropped patches and paths, augmentation and mixing."""
    members = members_of(name, recipe_of(name))
    copies = [member.copy() for member in members]
    draws, notes = tried(members, choose=False)
    together, seconds = train_together(members, draws)
    assert notes["difference"] < 1e-4
    assert seconds > 0
    for member, copied, found in zip(members, copies, together, strict=True):
        assert isinstance(found, Trained)
        alone = train(copied.step(), copied.batches)
        assert found.curves["train_loss"] == pytest.approx(alone.curves["train_loss"], abs=1e-4)
        assert found.curves["lr"] == alone.curves["lr"]
        assert logits(found, member.batches) == pytest.approx(logits(alone, member.batches), abs=5e-3)
        for mine, theirs in zip(found.pipeline.buffers(), alone.pipeline.buffers(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=5e-4)


CLASSES, SAMPLES = 3, 12
SMALL = Recipe(epochs=3, lr=1e-2, batch=4, ema=0.9, gain_db=6.0, mixup_alpha=0.4, mixup_prob=0.5, schedule="constant")


class Small(nn.Module):
    """A network that draws, and has one habit more."""

    def __init__(self, habit: str = "") -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(SAMPLES, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, CLASSES)
        self.habit, self.calls = habit, 0
        if habit == "recurs":
            self.unused = nn.GRU(2, 2)
        if habit == "twice":
            self.again, self.head.weight = self.first, nn.Parameter(self.head.weight.data)
            self.same, self.same.weight = nn.Linear(8, CLASSES), self.head.weight
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.habit == "counts":
            self.calls += 1
        if self.habit == "host":
            x = x + np.random.random()  # noqa: NPY002
        if self.habit == "asks" and x.sum() > 0:
            x = 2 * x
        if self.habit == "anew":
            self.mean = x.mean().detach()
        if self.habit == "permutes":
            x = x[torch.randperm(len(x))]
        if self.habit == "remembers":
            self.kept = x.detach()
        x = self.norm(self.first(x))
        if self.habit == "fused" and self.training and not torch._C._functorch.is_batchedtensor(x):
            x = torch.native_dropout(x, 0.2, train=True)[0]  # what dropout is on a GPU
        else:
            x = nn.functional.dropout(x, 0.2, self.training)
        return self.head(x.relu())


def small(count: int = 3, habit: str = "", clips: int = 9, **changed) -> list[Member]:
    recipe, rng, found = SMALL.model_copy(update=changed), np.random.default_rng(5), []
    waves = rng.standard_normal((40, SAMPLES)).astype(np.float32)
    targets = rng.integers(CLASSES, size=40)
    for seed in range(count):
        torch.manual_seed(seed)
        pipeline = Pipeline(
            Small(habit), frontend=None, normaliser=None, modalities=("audio",), num_classes=CLASSES
        )  # fmt: skip
        batches = Batches({"audio": waves}, targets, np.arange(seed, seed + clips), recipe.batch, seed=seed)
        found.append(Member(pipeline=pipeline, settings=StepSettings(recipe=recipe, seed=seed), batches=batches))
    return found


def alone(members: list[Member]) -> list[Trained]:
    copies = [member.copy() for member in members]
    return [train(member.step(), member.batches) for member in copies]


@pytest.mark.parametrize(
    ("habit", "why"),
    [
        ("counts", "changes model.calls on the host"), ("host", "numpy's global generator on the host"),
        ("asks", "data-dependent"), ("anew", "sets model.mean anew"), ("permutes", "draws otherwise"),
        ("remembers", "model.kept keeps what"), ("recurs", "recurrent"),
    ],
)  # fmt: skip
def test_what_cannot_be_stacked_says_why(habit: str, why: str) -> None:
    with pytest.raises((StackError, RuntimeError), match=why):
        tried(small(habit=habit), choose=False)


def test_layers_and_weights_with_two_names_are_one_and_stay_in_place() -> None:
    members = small(habit="twice")
    expected = alone(members)
    ends, _ = train_together(members, tried(members, choose=False)[0])
    for end, one in zip(ends, expected, strict=True):
        assert isinstance(end, Trained)
        assert logits(end, members[0].batches) == pytest.approx(logits(one, members[0].batches), abs=1e-4)
        assert all(type(x) is nn.Parameter for x in end.pipeline.parameters())


def test_dropout_is_drawn_as_a_gpu_draws_it_alone() -> None:
    assert tried(small(habit="fused"), choose=False)[1]["difference"] < 1e-5


def test_training_parts_of_two_sizes_are_no_stack() -> None:
    with pytest.raises(StackError, match="different sizes"):
        tried([*small(1), *small(1, clips=8)], choose=False)


def test_the_faster_way_is_told_by_times(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.cycle([1.0, 3.5])
    monkeypatch.setattr("bench.execution.stack_trial._timed", lambda *_: next(seconds))
    with pytest.raises(StackError, match=r"a step takes 3.5e\+03 ms for all 3, 1e\+03 ms for one"):
        tried(small(3), choose=True)
    assert tried(small(4), choose=True)[1] == {"difference": pytest.approx(0, abs=1e-5), "one_s": 1, "stack_s": 3.5}


def test_one_that_diverges_or_raises_ends_by_itself() -> None:
    members = small()
    expected = alone(members)

    def spoil(epoch: int, _scores: object) -> None:
        if epoch == 1:
            nn.init.constant_(members[0].pipeline.model.head.weight.data, float("nan"))

    def fail(epoch: int, _scores: object) -> None:
        if epoch == 2:
            raise KeyError("a plugin")

    members[0], members[2] = replace(members[0], on_epoch=spoil), replace(members[2], on_epoch=fail)
    ends, _ = train_together(members, tried(members, choose=False)[0])
    assert isinstance(ends[0], DivergedError)
    assert isinstance(ends[2], KeyError)
    assert isinstance(ends[1], Trained)
    assert ends[1].curves["train_loss"] == pytest.approx(expected[1].curves["train_loss"], abs=1e-5)
    assert logits(ends[1], members[1].batches) == pytest.approx(logits(expected[1], members[1].batches), abs=1e-4)


def test_a_budget_is_that_of_the_share() -> None:
    members = small(budget_seconds=1e-6, clips=32)
    assert len(members[0].batches) > FIRST_STEPS
    ends, spent = train_together(members, tried(members, choose=False)[0])
    assert all(isinstance(end, OverBudgetError) for end in ends)
    assert 0 < ends[0].cost["step_s"] < 2 * spent / (FIRST_STEPS - 1)


def job(kind: str, seed: int, batch: int = 13) -> Job:
    recipe = Recipe(
        name="plain", epochs=2, batch=batch, eval_batch=5, lr=1e-3, trim_db=None, mixup_alpha=0.3, spec_masks=1,
        time_mask=3, freq_mask=2, gain_db=3.0, roll=True, noise_snr_db=30.0,
    )  # fmt: skip
    cell = Cell(
        kind="evaluate", dataset="tones", protocol="official-val@1", fold=0, model=f"ranked.{kind}",
        frontend="torchaudio", recipe="plain", batch=batch, clip_samples=1600, seed=seed,
    )  # fmt: skip
    return Job(cell=cell, recipe=recipe, fingerprint=f"f{seed}", plugins=(PLUGIN,), timeout_s=300.0)


def grouped(jobs: list[Job], size: int | None, *, estimator: bool = False, stacks: bool = True) -> list[Job]:
    pairs = [
        (PlannedCell(cell=j.cell, recipe=j.recipe, fingerprint="f", train_clips=50 + 3 * (j.cell.seed == 9),
                     test_clips=9), j) for j in jobs
    ]  # fmt: skip
    entry = SimpleNamespace(spec=SimpleNamespace(estimator=estimator))
    models = dict.fromkeys((j.cell.model for j in jobs), entry)
    launching = SimpleNamespace(stacks=stacks, name="far")
    return in_stacks(pairs, size, SimpleNamespace(models=models), launching)


def test_cells_of_a_worker_trained_as_one_say_what_each_says_alone(tmp_path: Path) -> None:
    """All that a network may draw, validation, checkpoints; two workers, and a model that runs one by one."""
    jobs = [job("random", seed) for seed in (0, 1, 2)]
    apart = [job("keeps", seed) for seed in (0, 9)]
    events: list[Event] = []
    dear = [
        replace(one, recipe=one.recipe.model_copy(update={"budget_seconds": 1e-6, "epochs": 9})) for one in jobs[:2]
    ]
    started = [*grouped(jobs, 3), *grouped(apart, 2), jobs[2], *grouped(dear, 2)]
    supervise(started, events.append, Resources(slots=2, threads=1))
    ends = [event for event in events if isinstance(event, Finished)]
    lost = [end for end in ends if end.job.recipe.epochs == 9]
    ends = [end for end in ends if end not in lost]
    assert {end.record.status for end in lost} == {"over_budget"}
    assert [end.record.provenance["stack"] for end in lost] == [{"cells": 2, "reason": None}] * 2
    assert {end.record.status for end in ends} == {"ok"}, [end.record.error for end in ends]
    both = [end for end in ends if end.record.cell == jobs[2].cell]
    together, single = sorted(both, key=lambda end: end.record.timing.get("stacked", 0), reverse=True)
    for end in ends:
        said, timing = end.record.provenance.get("stack"), end.record.timing
        if end.job.stack:
            assert said["cells"] == timing["stacked"] == 3
            assert said["reason"] is timing["train_s"] is end.record.memory["host_peak_mib"] is None
            assert timing["wall_s"] < said["seconds"] + 60
        elif end is not single:
            assert said["cells"] == 1
            assert said["reason"].startswith("no other cell of this model is left that trains on 5")
    of_second = [e for e in events if isinstance(e, EpochEnded) and e.job.cell == jobs[1].cell and e.job.stack]
    told = [event.epoch for event in of_second if event.job.recipe.epochs == 2]
    assert told == [1, 2]
    assert single.record.provenance.get("stack") is None
    mine, its = (np.load(io.BytesIO(end.files["predictions.npz"])) for end in (together, single))
    assert mine["ids"].tolist() == its["ids"].tolist()
    for name, near in (("logits", 1e-3), ("curve_train_loss", 1e-4), ("curve_val_accuracy", 1e-6), ("curve_lr", 0)):
        assert mine[name] == pytest.approx(its[name], abs=near), name
    assert together.files.keys() == single.files.keys() == {"predictions.npz", "checkpoint.safetensors"}
    assert together.record.fingerprint == single.record.fingerprint


def test_who_is_trained_with_whom() -> None:
    jobs = [job("random", seed) for seed in (0, 1, 2, 9)]
    assert grouped(jobs, None) == grouped(jobs, 1) == jobs
    first, second, third, odd = grouped(jobs, 2)
    assert [mate.cell.seed for mate in first.mates] == [1]
    assert (first.timeout_s, second.timeout_s, second.stack, second.mates) == (600, 300, first.cell.id, ())
    assert first.key == second.key != third.key
    assert third.apart == "no other cell of this model is left that trains on 50 clips"
    assert odd.apart == "no other cell of this model is left that trains on 53 clips"
    on_gpu = [replace(one, cell=replace(one.cell, device="cuda")) for one in jobs]
    assert [len(one.mates) for one in grouped(on_gpu, None)] == [2, 0, 0, 0]
    assert grouped(on_gpu, None)[0].if_faster
    folds = [replace(one, cell=replace(one.cell, fold=fold)) for fold in (1, 2) for one in on_gpu[:2]]
    mates = [{mate.cell.fold for mate in first.mates} for first in grouped(folds, None)]
    assert mates == [{1}, set(), {2}, set()]  # nobody else's test clips
    assert [len(one.mates) for one in grouped(folds, 4)] == [3, 0, 0, 0]
    assert grouped(on_gpu, None, stacks=False) == on_gpu
    assert {one.apart for one in grouped(jobs, MOST, estimator=True)} == {"an estimator is no network"}
    compiled = [replace(one, recipe=one.recipe.model_copy(update={"compile": True})) for one in jobs]
    assert {one.apart for one in grouped(compiled, MOST)} == {"recipe.compile"}
    assert Job.from_json(first.to_json()) == first


def test_a_stack_that_nobody_can_hold_is_refused() -> None:
    with pytest.raises(SelectionError, match="launcher 'far' runs cells apart; leave out --stack 2"):
        grouped([job("random", 0)], 2, stacks=False)
    with pytest.raises(SelectionError, match="stack is 0"):
        grouped([job("random", 0)], 0)
    assert (stacked("auto"), stacked("off"), stacked("15")) == (None, 1, 15)
    for text in ("0", "-1", "all", "99999", "²"):
        with pytest.raises(SelectionError, match="is not auto, off or a number"):
            stacked(text)
