"""The shared loss terms against plain float64 evaluations of their formulas, values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from methods.losses import capped, kl


def test_kl_mean_is_cross_entropy_over_classes() -> None:
    """Loss scale oracle of baselines.md F: what torch's KLDivLoss gave by default against one-hot labels."""
    logits, labels = torch.randn(6, 10), torch.arange(6)
    divergence = F.kl_div(F.log_softmax(logits, 1), F.one_hot(labels, 10).float(), reduction="sum")
    assert float(kl(logits, labels, "mean").mean()) == pytest.approx(float(divergence) / 60, rel=1e-6)
    assert float(kl(logits, labels).mean()) == pytest.approx(float(divergence) / 6, rel=1e-6)


def test_batch_cap_gives_its_bound_and_no_gradient() -> None:
    terms = torch.tensor([1.0, 30.0], requires_grad=True)
    value = capped(terms, 0.1, 1.0)
    value.backward()
    assert float(value.detach()) == 1
    assert terms.grad.tolist() == [0, 0]


def test_sample_cap_leaves_the_samples_below_it_their_gradient() -> None:
    terms = torch.tensor([1.0, 30.0], requires_grad=True)
    value = capped(terms, 0.1, 1.0, "sample")
    value.backward()
    assert float(value.detach()) == pytest.approx((0.1 + 1) / 2)
    assert terms.grad.tolist() == pytest.approx([0.05, 0])
