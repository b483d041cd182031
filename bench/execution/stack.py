"""Several networks of one kind trained as one: weights are stacked, a step is taken by all, each on clips of its own.

What a member draws is what it would draw alone: its clips and augmentation come from its own generators, and whatever
its network draws (dropout, masks) from torch's generator as it would stand if the member were by itself. So losses are
those of one by one up to the order of sums; :func:`tried` believes that of no network before it has seen it.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from bench.data.batches import Batch, Batches
from bench.execution.graphs import TORCH_CPU, Tensors, host_state, is_cuda
from bench.execution.optimisation import Average
from bench.execution.pipeline import Pipeline
from bench.execution.ranks import drops_nothing
from bench.execution.results import OnEpoch
from bench.execution.state import parts_of
from bench.execution.step import StepSettings, TrainStep, autocast
from bench.execution.train import Trained, Validation, training
from bench.measurement.clocks import synchronize

COMPARED = 2
"""Steps whose losses must be those of the members alone: the second shows what the first learnt."""
TIMED, WARM = 4, 2
"""Steps that are timed where the faster way is chosen, and those before them."""
TOLERANCE, COARSE = 1e-4, 2e-2
"""Largest difference of a loss, beside its size where that is above 1: in float32, and with fewer bits or on a GPU."""


class StackError(Exception):
    """These networks cannot be trained as one, or need not be; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One of the networks that are trained together, about to be trained."""

    pipeline: Pipeline
    settings: StepSettings
    batches: Batches
    validation: Validation | None = None
    on_epoch: OnEpoch = lambda _epoch, _scores: None

    def step(self) -> TrainStep:
        """Its own step: augmentation, optimiser settings and averaging."""
        return TrainStep(self.pipeline, self.settings, len(self.batches))

    def copy(self) -> Member:
        """The same with a network of its own."""
        return replace(self, pipeline=copy.deepcopy(self.pipeline))

    def some(self) -> Iterator[Batch]:
        """Its batches in their order, without an end."""
        for epoch in itertools.count(1):
            yield from self.batches.epoch(epoch)


class Streams:
    """Where torch's generators stand for each member."""

    def __init__(self, seeds: Sequence[int], device: str) -> None:
        self.device = device if is_cuda(device) else None
        self._states: list[tuple[Tensor, Tensor | None]] = []
        for seed in seeds:
            torch.manual_seed(seed)
            self._states.append(self._now())

    @contextlib.contextmanager
    def of(self, member: int) -> Iterator[None]:
        """What is drawn meanwhile is drawn for a member."""
        host, device = self._states[member]
        torch.set_rng_state(host)
        if self.device is not None and device is not None:
            torch.cuda.set_rng_state(device, self.device)
        yield
        self._states[member] = self._now()

    def _now(self) -> tuple[Tensor, Tensor | None]:
        return torch.get_rng_state(), None if self.device is None else torch.cuda.get_rng_state(self.device)


Orders = Sequence[tuple[int, ...]]
"""Of each tensor that a network draws in a step, its dimensions from the outermost in memory to the innermost."""


class _Draws(TorchDispatchMode):
    """Random numbers of all members, drawn member by member from the stream of each.

    Numbers are drawn in the order in which a tensor lies in memory, which is another one in a stack: ``orders`` says
    how each lay alone. Without streams nothing is changed and the orders are taken down.
    """

    def __init__(self, orders: Orders = (), streams: Streams | None = None, count: int = 1) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.streams, self.count, self.orders, self.seen = streams, count, orders, list[tuple[int, ...]]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any operator on the tensors of all members; those that draw are ours."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or drops_nothing(func, args, kwargs):
            return func(*args, **kwargs)
        given = args[0]
        shape = tuple(given.shape) if isinstance(given, Tensor) else tuple(given) if isinstance(given, Sequence) else ()
        if self.streams is None:
            output = func(*args, **kwargs)
            strides = (output[0] if isinstance(output, tuple) else output).stride()
            self.seen.append(tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis])))
            return output
        number = len(self.seen)
        order = self.orders[number] if number < len(self.orders) else ()
        self.seen.append(order)
        if shape[:1] != (self.count,) or len(shape) != 1 + len(order) or any(isinstance(x, Tensor) for x in args[1:]):
            raise StackError(f"{func} draws otherwise than for each clip")
        rows = [self._row(self.streams, member, order, func, args, kwargs) for member in range(self.count)]
        if func.overloadpacket.__name__.endswith("_"):
            return given.copy_(torch.stack(rows))
        return tuple(map(torch.stack, zip(*rows, strict=True))) if isinstance(rows[0], tuple) else torch.stack(rows)

    @staticmethod
    def _row(streams: Streams, member: int, order: tuple[int, ...], func: Any, args: Any, kwargs: Any) -> Any:
        """What is drawn for a member."""
        given = args[0]
        with streams.of(member):
            if not isinstance(given, Tensor):
                return func(given[1:], *args[1:], **kwargs)
            row = given[member]
            laid = row.new_empty([row.shape[axis] for axis in order])
            laid = laid.permute([order.index(axis) for axis in range(len(order))]).copy_(row)
            if func is torch.ops.aten.bernoulli.p:  # what dropout becomes in a stack, laid out anew by torch
                func = torch.ops.aten.bernoulli_.float
            return func(laid, *args[1:], **kwargs)


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

    The networks of the ``members``, and their averaged copies, hold the weights all the time: as views.

    Args:
        members: New steps, one for each network.
        draws: What the networks draw in a step.
    """

    def __init__(self, members: Sequence[TrainStep], draws: Orders) -> None:
        self.members, self.draws, first = members, draws, members[0]
        self.first, device = first, first.settings.device
        self.streams = Streams([member.settings.seed for member in members], device)
        tensors = _bound([member.pipeline for member in members])
        self.trained = {name: x for name, x in tensors.items() if x.requires_grad}
        self.kept = {name: x for name, x in tensors.items() if name not in self.trained}
        places = {id(x): tensors[name] for name, x in first.pipeline.named_parameters()}
        self.optimizer = _moved(first.optimizer, places)
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
            received.append(inputs | {"targets": self._whole(targets)})
        stacked = {name: torch.stack([inputs[name] for inputs in received]) for name in received[0]}
        targets = stacked.pop("targets")
        draws = _Draws(self.draws, self.streams, len(self.members)) if self.draws else contextlib.nullcontext()
        with draws, self._attention():
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
            held = dict(tensors)
            with autocast(settings.device, settings.precision):
                logits = torch.func.functional_call(network, held, (inputs,), {"prepared": True})
            if moved := [name for name, x in held.items() if x is not tensors[name]]:
                raise StackError(f"its network sets {moved[0]} anew instead of changing it")
            return self.first.criterion(logits, targets)

        randomness = "different" if self.draws else "error"
        losses: Tensor = torch.func.vmap(one, randomness=randomness)({**self.trained, **self.kept}, inputs, targets)
        return losses

    def _attention(self) -> contextlib.AbstractContextManager[Any]:
        """On a CPU attention as products of matrices: torch has no other that it could stack."""
        return contextlib.nullcontext() if is_cuda(self.first.settings.device) else sdpa_kernel(SDPBackend.MATH)

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

    def _whole(self, targets: Tensor) -> Tensor:
        """Where batches may be mixed, targets as those of a mixed one."""
        if targets.ndim == 2 or self.first.settings.recipe.mixup_alpha <= 0:
            return targets
        return nn.functional.one_hot(targets, self.first.pipeline.num_classes).float()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a few steps have shown: what networks draw, and ``notes`` for the record.

    These are the largest ``difference`` of a loss and, where the faster way was chosen, ``one_s`` and ``stack_s``:
    seconds of a step.
    """

    draws: Orders
    notes: dict[str, float]


def tried(members: Sequence[Member], *, choose: bool) -> Trial:
    """Take a few steps with copies of the members, alone and together: their losses must be the same.

    Args:
        members: As they will be trained.
        choose: Whether the stack must be faster than one by one, too.

    Raises:
        StackError: They cannot be trained as one, or are faster one by one.
    """
    _alike(members)
    try:
        return _tried(members, choose=choose)
    except StackError:
        raise
    except Exception as error:  # torch and plugins may raise anything at what they do not know
        raise StackError(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}") from error


def _alike(members: Sequence[Member]) -> None:
    first = members[0]
    if len({len(member.batches.indices) for member in members}) > 1:
        raise StackError("training parts of different sizes")
    if first.pipeline.frontend_trains:
        raise StackError("its front end is trained")


def _tried(members: Sequence[Member], *, choose: bool) -> Trial:
    settings = members[0].settings
    one_s, expected, log = 0.0, [], _Draws()
    for number, member in enumerate(members):
        step, batches = member.copy().step(), member.some()
        first = next(batches)
        torch.manual_seed(member.settings.seed)
        before = host_state(step.pipeline.train())
        with log if not number else contextlib.nullcontext():
            losses = [step(first)]
        losses += [step(batch) for batch in itertools.islice(batches, COMPARED - 1)]
        expected.append(torch.stack(losses))
        after = host_state(step.pipeline)
        if changed := sorted(name for name in before if before[name] != after.get(name) and name != TORCH_CPU):
            raise StackError(f"each step changes {changed[0]} on the host")
        if choose and not number:
            one_s = _timed(step, batches, settings.device)
    stack = StackedStep([member.copy().step() for member in members], log.seen)
    each = zip(*(member.some() for member in members), strict=True)
    found = torch.stack([stack(given) for given in itertools.islice(each, COMPARED)], dim=1)
    for path, part in parts_of(stack.first.pipeline):
        if isinstance(part, Tensor) and torch._C._functorch.is_batchedtensor(part):
            raise StackError(f"{path} keeps what the network saw")
    wanted = torch.stack(expected)
    apart = ((found - wanted).abs() / wanted.abs().clamp(min=1.0)).max().item()
    allowed = TOLERANCE if settings.precision == "fp32" and not is_cuda(settings.device) else COARSE
    if not apart <= allowed:
        raise StackError(f"losses differ by {apart:.2g} from those of one by one, more than {allowed:g}")
    notes = {"difference": apart}
    if choose:
        notes |= {"one_s": one_s, "stack_s": _timed(stack, each, settings.device)}
        if notes["stack_s"] >= len(members) * one_s:
            times = f"{1000 * notes['stack_s']:.3g} ms for all {len(members)}, {1000 * one_s:.3g} ms for one"
            raise StackError(f"one by one is faster here: a step takes {times}")
    return Trial(draws=log.seen, notes=notes)


def _timed(step: Callable[[Any], Tensor], batches: Iterator[Any], device: str) -> float:
    """Seconds of a step, the median of a few."""
    found = []
    for number, batch in enumerate(itertools.islice(batches, WARM + TIMED)):
        synchronize(device)
        start = time.perf_counter()
        step(batch)
        synchronize(device)
        if number >= WARM:
            found.append(time.perf_counter() - start)
    return sorted(found)[len(found) // 2]


@dataclass(slots=True)
class Clock:
    """Seconds of steps so far, and the share of one member in them."""

    members: int
    spent: float = 0.0

    def share(self) -> float:
        """Of one member."""
        return self.spent / self.members


def train_together(members: Sequence[Member], draws: Orders) -> tuple[list[Trained | BaseException], float]:
    """Train all members at once; each as :func:`bench.execution.train.train` would.

    One that ends before the others (its loss is not finite, its epochs were enough) takes part to their end, unheard.

    Args:
        members: Whose networks are fitted in place.
        draws: What their networks draw in a step.

    Returns:
        What became of each, or what it raised; and the seconds of all steps.

    Raises:
        Exception: The step of all was not possible, so that none has a result.
    """
    device, count = members[0].settings.device, len(members)
    steps, clock = [member.step() for member in members], Clock(count)
    stack = StackedStep(steps, draws)
    loops = [
        training(step, member.batches, member.validation, member.on_epoch, clock.share)
        for step, member in zip(steps, members, strict=True)
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
        clock.spent += time.perf_counter() - start
    return [ends[member] for member in range(count)], clock.spent
