"""What a factory gives has no past, and a record says where its seed began."""

from __future__ import annotations

import functools
import gc
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from bench.errors import PluginError
from bench.execution.results import SharedStateError, classify
from bench.execution.seeding import seed_everything
from bench.execution.state import HandedOut, start_of


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


class Holding:
    """An estimator, or anything else, with attributes."""

    def __init__(self, **held):
        vars(self).update(held)

    def fit(self, x, y):
        """Nothing."""


@pytest.mark.parametrize(
    "kind", ["module", "backbone", "hidden", "memory", "buffer", "moved", "lazy", "estimator", "step", "array", "view"]
)
def test_what_was_handed_out_before_is_refused(kind: str) -> None:
    kept, forest, bank = net(), RandomForestClassifier(warm_start=True), np.zeros((3, 2))
    weight, lazy = torch.zeros(3, 4), nn.LazyLinear(3)

    def with_memory() -> nn.Linear:
        layer = nn.Linear(4, 3)
        layer.weight = nn.Parameter(weight)
        return layer

    def with_buffer() -> nn.Module:
        layer = nn.Linear(4, 3)
        layer.register_buffer("bank", weight)
        return layer

    def hidden() -> nn.Module:
        layer = nn.Linear(4, 3)
        layer.rest = [{"of": (kept,)}]
        return layer

    factories = {
        "module": lambda: kept, "backbone": lambda: nn.Sequential(kept, nn.Linear(3, 3)), "hidden": hidden,
        "memory": with_memory, "buffer": with_buffer, "moved": lambda: kept.requires_grad_(True),
        "lazy": lambda: nn.Sequential(lazy), "estimator": lambda: forest,
        "step": lambda: make_pipeline(StandardScaler(), forest), "array": lambda: Holding(bank=bank),
        "view": lambda: Holding(bank=bank[1:]),
    }  # fmt: skip
    memory = HandedOut()
    memory.refuse("plugin:build", factories[kind]())
    if kind == "moved":  # as a move to another device does: other memory, the same parameters
        for p in kept.parameters():
            p.data = p.data.clone()
    with pytest.raises(SharedStateError, match=r"plugin:build handed out for a second time: .*; what was trained") as e:
        memory.refuse("plugin:build", factories[kind]())
    assert classify(e.value) == ("failed", "state")
    assert isinstance(e.value, PluginError)


def test_what_is_built_anew_is_never_refused_even_where_memory_is_used_again() -> None:
    memory, constants = HandedOut(), np.arange(3.0)
    constants.flags.writeable = False
    for _ in range(50):
        for build in (net, RandomForestClassifier, functools.partial(Holding, bank=constants, options={"a": [1, "b"]})):
            memory.refuse("plugin:build", build())
        gc.collect()
    kept = net()
    memory.refuse("plugin:build", kept)
    with pytest.raises(SharedStateError):  # and it still sees what is not
        memory.refuse("plugin:build", kept)


@pytest.mark.parametrize(
    ("own", "same"),
    [
        (lambda: None, set()), (lambda: torch.manual_seed(42), {"tensors", "torch"}),
        (lambda: np.random.seed(42), {"numpy"}),  # noqa: NPY002
        (lambda: __import__("random").seed(42), {"python"}),
    ],
)  # fmt: skip
def test_a_factory_that_seeds_by_itself_gives_every_seed_the_same_start(own, same: set[str]) -> None:
    starts = []
    for seed in (0, 1):
        seed_everything(seed)
        own()
        starts.append(start_of(net()))
    assert {name for name in starts[0] if starts[0][name] == starts[1][name]} == same
    seed_everything(1)
    own()
    assert start_of(net()) == starts[1]
    assert "tensors" not in start_of(Holding())
    assert "tensors" not in start_of(nn.LazyLinear(3))


def test_the_end_of_the_interpreter_says_nothing_of_what_was_handed_out() -> None:
    """Where it ends by itself, torch is gone before what is remembered of storages."""
    code = (
        "import gc; from bench.plugins.discovery import discover; from bench.testing import check_model; "
        "from bench.testing.results import Effort; "
        "check_model('avmae.tiny', discover(), effort=Effort(only=('logits',))); gc.freeze()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
