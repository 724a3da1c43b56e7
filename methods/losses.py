"""The loss terms NTL, CUTI and MAP share: the capped KL, and the multi-kernel MMD in its cheap exact form.

    .venv/bin/pytest tests/methods/test_losses.py
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["mean", "batchmean"]
Cap = Literal["batch", "sample"]


def kl(logits: Tensor, labels: Tensor, reduction: Reduction = "batchmean") -> Tensor:
    """KL(onehot || softmax) per sample, (B,), in nats and fp32; `mean` divides by the number of classes K.

    KL against a one-hot label is the cross entropy. The released NTL and CUTI code averages over batch x classes
    (torch's old KLDivLoss default), hence the K: baselines.md, notation of B."""
    ce = F.cross_entropy(logits.float(), labels, reduction="none")
    return ce / logits.shape[1] if reduction == "mean" else ce


def capped(terms: Tensor, scale: float, upper: float, cap: Cap = "batch", among: Tensor | None = None) -> Tensor:
    """min(scale * mean(terms), upper), the published cap on the batch mean; or, with cap="sample", the mean of
    min(scale * term, upper): cross entropy is unbounded, so a few very wrong samples fill a batch-mean cap while
    the rest of the target stays right (trials.md, what went wrong 1). Scalar; no gradient beyond the cap. `among` as in
    `mean`."""
    if cap == "sample":
        return mean((scale * terms).clamp_max(upper), among)
    return (scale * mean(terms, among)).clamp_max(upper)


def mean(terms: Tensor, among: Tensor | None = None) -> Tensor:
    """The mean of (B,) over those that are `among`, bool (B,); 0 where none is, and nothing waits to know."""
    return terms.mean() if among is None else (terms * among).sum() / among.sum().clamp_min(1)


def mmd(x: Tensor, y: Tensor) -> Tensor:
    """Biased MMD^2 of x and y, both (B, D), under NTL's mixture of five RBF kernels; scalar, fp32.

    With z = [x; y], n = 2B, d_ij = |z_i - z_j|^2 and w = sum(d) / (n^2 - n) / 4 (no gradient), the kernel is
    sum_{i=0..4} exp(-d / (2^i w)) and MMD = mean(K_xx + K_yy - K_xy - K_yx) (baselines.md B1). The released code
    materialises n x n x D differences: 1 GB at VGG11, 64 px, B = 32. The Gram form needs n x n only, but cancels
    when the domains lie far apart, which is what NTL makes them do. So each domain is centred on its own mean and the
    distance between the means is added on the cross block: exact to 1e-6 there too (performance.md 5).
    """
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(f"mmd takes two (B, D) tensors of one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    with torch.autocast(x.device.type, enabled=False):
        x, y = x.float(), y.float()
        mean_x, mean_y = x.detach().mean(0), y.detach().mean(0)
        u, v, delta = x - mean_x, y - mean_y, mean_x - mean_y
        uu, vv = (u * u).sum(1), (v * v).sum(1)
        off_diagonal = 1 - torch.eye(len(x), device=x.device, dtype=x.dtype)  # d_ii is 0, not rounding noise
        d_xx = (uu[:, None] + uu[None, :] - 2 * u @ u.T).clamp_min(0) * off_diagonal
        d_yy = (vv[:, None] + vv[None, :] - 2 * v @ v.T).clamp_min(0) * off_diagonal
        d_xy = uu[:, None] + vv[None, :] - 2 * u @ v.T + delta @ delta
        d_xy = (d_xy + 2 * ((u @ delta)[:, None] - (v @ delta)[None, :])).clamp_min(0)
        n = len(x) + len(y)
        with torch.no_grad():
            total = d_xx.sum() + d_yy.sum() + 2 * d_xy.sum()
            width = (total / (n * n - n) / 4).clamp_min(torch.finfo(torch.float32).tiny)
        # The three means nearly cancel when the domains are close: summed in fp64, which costs little on n x n numbers.
        k_xx, k_yy, k_xy = (_mixture(d.double(), width.double()).mean() for d in (d_xx, d_yy, d_xy))
        return (k_xx + k_yy - 2 * k_xy).float()


def _mixture(d: Tensor, width: Tensor) -> Tensor:
    """Five kernels from one exp: the widest, then four squarings."""
    e1 = torch.exp(-d / (16 * width))
    e2 = e1 * e1
    e4 = e2 * e2
    e8 = e4 * e4
    return e1 + e2 + e4 + e8 + e8 * e8
