"""Adam with its lists kept is torch's fused Adam, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from methods.adam import Adam


def nets() -> tuple[nn.Module, nn.Module]:
    made = []
    for _ in range(2):
        torch.manual_seed(0)
        made.append(nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)))
    return made[0], made[1]


def trained(
    net: nn.Module, optimizer: torch.optim.Optimizer, part: Callable[[int], slice] = lambda k: slice(None)
) -> None:
    """Some steps, with another rate each; `part` says which columns of the answer the k-th loss looks at."""
    draws = torch.Generator().manual_seed(1)
    for k in range(6):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (k + 1)
        optimizer.zero_grad()
        assert all(p.grad is None for p in net.parameters())
        net(torch.randn(4, 5, generator=draws))[:, part(k)].square().sum().backward()
        optimizer.step()


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.99)}, {"weight_decay": 0.1}])
def test_the_same_weights_as_torchs_own(options: dict[str, object]) -> None:
    ours, theirs = nets()
    trained(ours, Adam(ours.parameters(), lr=1.0, **options))  # type: ignore[arg-type]
    trained(theirs, torch.optim.Adam(theirs.parameters(), lr=1.0, fused=True, **options))  # type: ignore[arg-type]
    assert equal(ours, theirs)
    assert not equal(ours, nets()[0])


def test_a_parameter_that_has_no_gradient_for_a_step_is_left_as_torch_leaves_it() -> None:
    ours, theirs = nets()
    for net, kind in ((ours, Adam), (theirs, torch.optim.Adam)):
        optimizer = kind(net.parameters(), lr=1e-2, **({} if kind is Adam else {"fused": True}))  # type: ignore[arg-type]
        for frozen in (False, True, False):
            for p in net[2].parameters():  # type: ignore[index]
                p.requires_grad_(not frozen)
            trained(net, optimizer)
    assert equal(ours, theirs)


def test_groups_of_their_own_rates_and_a_state_that_is_read_back() -> None:
    ours, theirs = nets()
    for net, make in ((ours, Adam), (theirs, lambda g, lr: torch.optim.Adam(g, lr=lr, fused=True))):
        groups = [{"params": net[0].parameters(), "lr": 1e-3}, {"params": net[2].parameters()}]  # type: ignore[index]
        optimizer = make(groups, lr=1e-2)  # type: ignore[operator]
        trained(net, optimizer)
        again = make([{"params": net[0].parameters()}, {"params": net[2].parameters()}], lr=5.0)  # type: ignore
        again.load_state_dict(optimizer.state_dict())
        trained(net, again)
    assert equal(ours, theirs)
