"""Adam and AdamW against torch's own: the same weights to the last bit, hooks and state included."""

import copy

import pytest
import torch
from torch import nn

from bench.execution.adam import Adam, AdamW


@pytest.mark.parametrize(("ours", "theirs"), [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)])
@pytest.mark.parametrize("options", [{}, {"fused": True}, {"foreach": True}, {"amsgrad": True, "weight_decay": 0.1}])
def test_steps_are_torch_s(ours, theirs, options):
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    nets, kinds = (first, copy.deepcopy(first)), (ours, theirs)
    optimizers = [
        kind([{"params": net[0].parameters(), "lr": 0.02}, {"params": net[2].parameters()}], lr=0.01, **options)
        for kind, net in zip(kinds, nets, strict=True)
    ]
    schedules = [torch.optim.lr_scheduler.LambdaLR(one, lambda step: 0.9**step) for one in optimizers]
    heard = []
    optimizers[0].register_step_post_hook(lambda *_: heard.append(1))
    for step in range(6):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        for net, optimizer, schedule in zip(nets, optimizers, schedules, strict=True):
            optimizer.zero_grad()
            assert all(p.grad is None for p in net.parameters())
            net(x).square().sum().backward()
            optimizer.step()
            schedule.step()
            assert not any(p.requires_grad is False for p in net.parameters())
        assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in nets), strict=True))
    assert len(heard) == 6
    states = [optimizer.state_dict() for optimizer in optimizers]
    assert str(states[0]) == str(states[1])
    optimizers[1].load_state_dict(states[0])


def test_a_closure_is_called_with_gradients():
    weight = nn.Parameter(torch.ones(3))
    optimizer = Adam([weight], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3
    assert weight.detach().tolist() == pytest.approx([0.9] * 3)
