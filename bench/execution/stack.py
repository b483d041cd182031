"""Several networks of one kind trained as one: weights are stacked, a step is taken by all, each on clips of its own.

What a member draws is what it would draw alone: its clips and augmentation come from its own generators, and whatever
its network draws (dropout, masks) from torch's generator as it would stand if the member were by itself. So losses are
those of one by one up to the order of sums; :mod:`bench.execution.stack_trial` believes that of no network before it
has seen it.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.data.batches import Batch, Batches
from bench.execution.autocast import autocast
from bench.execution.graphs import Tensors, is_cuda
from bench.execution.optimisation import Average
from bench.execution.pipeline import Pipeline
from bench.execution.results import OnEpoch
from bench.execution.step import TARGETS, StepSettings, TrainStep
from bench.execution.streams import Drawn, Draws, StackError, Streams
from bench.execution.train import Trained, Validation, training
from bench.measurement.clocks import synchronize


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the networks that are trained together, about to be trained."""

    pipeline: Pipeline
    settings: StepSettings
    batches: Batches
    validation: Validation | None = None
    on_epoch: OnEpoch = lambda _epoch, _scores: None

    def step(self) -> TrainStep:
        """Its own step: augmentation, settings of the optimiser, averaging."""
        return TrainStep(self.pipeline, self.settings, len(self.batches))

    def copy(self) -> Member:
        """The same with a network of its own."""
        return replace(self, pipeline=copy.deepcopy(self.pipeline))

    def some(self) -> Iterator[Batch]:
        """Its batches in their order, without an end."""
        return itertools.chain.from_iterable(map(self.batches.epoch, itertools.count(1)))


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _bound(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The tensors of modules alike, stacked, by name; those of each module are views of them from here on."""
    each, stacked = [_tensors(module) for module in modules], dict[str, Tensor]()
    for name, first in each[0].items():
        whole = torch.stack([tensors[name].detach() for tensors in each])
        for row, tensors in zip(whole, each, strict=True):
            tensors[name].data = row
        stacked[name] = nn.Parameter(whole) if first.requires_grad else whole
    return stacked


class StackedStep:
    """One optimiser step of all members, each on a batch of its own.

    ``members`` are new steps, ``draws`` what their networks draw. These and their averaged copies hold the weights all
    the time: as views.
    """

    def __init__(self, members: Sequence[TrainStep], draws: Drawn) -> None:
        self.members, self.draws, first = members, draws, members[0]
        self.first, device = first, first.settings.device
        self.streams = Streams([member.settings.seed for member in members], device)
        names = {id(x): name for name, x in _tensors(first.pipeline).items()}
        self.places: list[tuple[Any, str, str]] = [
            (store, name, names[id(x)]) for module in first.pipeline.modules()
            for store in (module._parameters, module._buffers) for name, x in store.items() if x is not None
        ]  # fmt: skip
        tensors = _bound([member.pipeline for member in members])
        self.trained = {name: x for name, x in tensors.items() if x.requires_grad}
        self.kept = {name: x for name, x in tensors.items() if name not in self.trained}
        self.optimizer = _moved(first.optimizer, {number: tensors[name] for number, name in names.items()})
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, first.schedule.lr_lambdas)
        averages = [member.average for member in members if member.average is not None]
        self.average = Average(_holding(tensors), averages[0].decay) if averages else None
        held = [] if self.average is None else list(self.average.module.buffers())
        for row, average in enumerate(averages):
            for mine, whole in zip(_tensors(average.module).values(), held, strict=True):
                mine.data = whole[row]
        for member in members:
            member.schedule, member.together = self.schedule, len(members)

    def __call__(self, batches: Sequence[Batch]) -> Tensor:
        """Learn from a batch for each member; returns their losses ``(members,)`` without graph."""
        received = []
        for number, (member, batch) in enumerate(zip(self.members, batches, strict=True)):
            with self.streams.of(number):
                inputs, targets = member.prepared(member.received(batch))
            if targets.ndim == 1 and member.settings.recipe.mixup_alpha > 0:  # those of another member may be mixed
                targets = nn.functional.one_hot(targets, member.pipeline.num_classes).float()
            received.append(inputs | {TARGETS: targets})
        stacked = {name: torch.stack([inputs[name] for inputs in received]) for name in received[0]}
        targets = stacked.pop(TARGETS)
        with contextlib.ExitStack() as modes:
            if self.draws:
                modes.enter_context(Draws(self.draws, self.streams, len(self.members)))
            if not is_cuda(self.first.settings.device):
                modes.enter_context(sdpa_kernel(SDPBackend.MATH))  # torch can stack no other there
            losses = self.losses(stacked, targets)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.clip()
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters()
            for member in self.members:
                if member.average is not None:
                    member.average.updates += 1
        return losses.detach()

    def losses(self, inputs: Tensors, targets: Tensor) -> Tensor:
        """``(members,)`` of inputs and targets ``(members, batch, ...)``."""
        network, settings = self.first.pipeline, self.first.settings

        def one(tensors: Tensors, inputs: Tensors, targets: Tensor) -> Tensor:
            with self._holding(tensors), autocast(settings.device, settings.precision):
                logits = network(inputs, prepared=True)
            return self.first.criterion(logits, targets)

        randomness = "different" if self.draws else "error"
        losses: Tensor = torch.func.vmap(one, randomness=randomness)({**self.trained, **self.kept}, inputs, targets)
        return losses

    @contextlib.contextmanager
    def _holding(self, tensors: Tensors) -> Iterator[None]:
        """The network with these tensors; torch's ``functional_call`` leaves some in a module that has two names."""
        own = [store[name] for store, name, _ in self.places]
        try:
            for store, name, key in self.places:
                store[name] = tensors[key]
            yield
            if moved := [key for store, name, key in self.places if store[name] is not tensors[key]]:
                raise StackError(f"its network sets {moved[0]} anew instead of changing it")
        finally:
            for (store, name, _), x in zip(self.places, own, strict=True):
                store[name] = x

    def clip(self) -> None:
        """Gradients of each member, clipped as the recipe says."""
        largest = self.first.settings.recipe.clip_norm
        grads = [x.grad for x in self.trained.values() if x.grad is not None]
        if largest is None or not grads:
            return
        count = len(self.members)
        norms = torch.stack([torch.linalg.vector_norm(grad.reshape(count, -1), dim=1) for grad in grads])
        factor = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.reshape(-1, *[1] * (grad.ndim - 1)))


def _moved(optimizer: torch.optim.Optimizer, places: Mapping[int, Tensor]) -> torch.optim.Optimizer:
    """A new optimiser with the settings of one, for the tensors that stand for its own."""
    groups = []
    for group in optimizer.param_groups:
        settings = {name: value for name, value in group.items() if name != "initial_lr"}
        moved = [places[id(x)] for x in group["params"]]
        groups.append(settings | {"lr": group["initial_lr"], "params": moved})
    kind: Any = type(optimizer)
    made: torch.optim.Optimizer = kind(groups)
    return made


def _holding(tensors: Mapping[str, Tensor]) -> nn.Module:
    """A module that has these as buffers, in their order."""
    holder = nn.Module()
    for number, x in enumerate(tensors.values()):
        holder.register_buffer(str(number), x.detach())
    return holder


def train_together(members: Sequence[Member], draws: Drawn) -> tuple[list[Trained | BaseException], float]:
    """Train all members at once; each as :func:`bench.execution.train.train` would.

    One that ends before the others (its loss is not finite, its epochs were enough) takes part to their end, unheard.
    A step that is not possible is raised: none has a result.

    Returns:
        What became of each, or what it raised; and the seconds of all steps.
    """
    device, count = members[0].settings.device, len(members)
    stack, spent = StackedStep([member.step() for member in members], draws), 0.0
    loops = [
        training(step, member.batches, member.validation, member.on_epoch, lambda: spent / count)
        for step, member in zip(stack.members, members, strict=True)
    ]
    ends: dict[int, Trained | BaseException] = {}
    batches, losses = dict[int, Batch](), None
    for number in itertools.count():
        start = time.perf_counter()
        for member, loop in enumerate(loops):
            if member not in ends:
                with stack.streams.of(member):
                    try:
                        batches[member] = next(loop) if losses is None else loop.send(losses[member])
                    except StopIteration as end:
                        ends[member] = end.value
                    except BaseException as error:  # noqa: BLE001  of this member alone, whatever it is
                        ends[member] = error
        if len(ends) == count:
            break
        if number % len(members[0].batches) == 0:
            start = time.perf_counter()  # what is done at the end of an epoch is no step
        heard = next(batches[member] for member in range(count) if member not in ends)
        losses = stack([heard if member in ends else batches[member] for member in range(count)])
        if (number + 1) % len(members[0].batches) == 0:
            synchronize(device)
        spent += time.perf_counter() - start
    return [ends[member] for member in range(count)], spent
