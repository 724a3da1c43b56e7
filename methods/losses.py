"""The loss terms NTL, CUTI and MAP share: the KL and its cap. NTL's MMD is in mmd.py.

    .venv/bin/pytest tests/methods/test_losses.py
"""

from __future__ import annotations

from typing import Literal

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
