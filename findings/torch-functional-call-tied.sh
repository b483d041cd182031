#!/usr/bin/env bash
# torch.func.functional_call leaves the tensors it was given in a module that knows one of its layers by two names.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.14.1 numpy==2.3.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch import nn


class Net(nn.Module):
    """An encoder that two streams share, each under a name of its own."""

    def __init__(self, *, shared):
        super().__init__()
        self.audio = nn.Linear(2, 2)
        if shared:
            self.text = self.audio

    def forward(self, x):
        return self.audio(x)


def after(*, shared):
    """What kind of tensor the weight is after a call with others, and whether its values are still its own."""
    torch.manual_seed(0)
    net = Net(shared=shared)
    before = net.audio.weight.detach().clone()
    other = {name: torch.zeros_like(x) for name, x in net.named_parameters()}
    torch.func.functional_call(net, other, (torch.ones(1, 2),))
    return type(net.audio.weight).__name__, bool(torch.equal(net.audio.weight, before))


def broken_by_vmap():
    """Whether the network still answers by itself after one call for each of three members."""
    net = Net(shared=True)
    stacked = {name: torch.stack([x.detach()] * 3) for name, x in net.named_parameters()}
    torch.func.vmap(lambda weights: torch.func.functional_call(net, weights, (torch.ones(1, 2),)))(stacked)
    try:
        return f"{tuple(net(torch.ones(1, 2)).shape)}"
    except Exception as error:
        return f"{type(error).__name__}"


plain, shared, vmapped = after(shared=False), after(shared=True), broken_by_vmap()
print(f"torch {torch.__version__}, a module called with zeros in place of its weights, and what it holds afterwards:")
print(f"each layer under one name: {plain[0]}, its own values: {plain[1]}")
print(f"one layer under two names: {shared[0]}, its own values: {shared[1]}")
print(f"the latter after vmap over three sets of weights, called by itself: {vmapped} instead of (1, 2)")
sys.exit(0 if plain == ("Parameter", True) and shared == ("Tensor", False) and vmapped != "(1, 2)" else 1)
PYTHON
