"""Labels where the scenario has none: what the frozen f_s says of the target's images, asked once before training.

    .venv/bin/pytest tests/methods/test_pseudo.py

f_t forgets the target while it is trained, so its own answers would drift; a wrong label of f_s's still asks f_t to
leave what f_s answers (map.md 5, U8).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from methods.base import Access, Batch, Needs

CHUNK = 512  # only how many images are in memory at once
NONE = -100  # no label: what F.cross_entropy ignores, so the image's loss and gradient are 0


@torch.no_grad()
def predicted(model: nn.Module, images: Tensor, confidence: float = 0.0) -> Tensor:
    """argmax of the model in eval mode, int64 (n,), for normalised images (n,3,S,S), NONE where its softmax is below
    `confidence`; the model's mode is put back."""
    mode = model.training
    model.eval()
    device = next((p.device for p in model.parameters()), images.device)  # many images may lie on the host
    logits = torch.cat([model(part.to(device)) for part in images.split(CHUNK)])
    model.train(mode)
    return logits.argmax(1).where(logits.softmax(1).amax(1) >= confidence, NONE)


class SourceFree:
    """Mixin: a method of the target-specified scenario without source data and without target labels.

    It is served generated source images, and the target's images with f_s's answers as their labels: the same for
    every method of the source-free table, so that they are compared on equal terms (map.md U14)."""

    needs: ClassVar[Needs] = Needs(source="generated", target="unlabelled")
    inputs: ClassVar[tuple[str, ...]] = ("source-generator",)

    def setup(self, model: nn.Module, access: Access) -> None:
        images, _ = access.target()
        self.pseudo = predicted(model, images, getattr(self.params, "confidence", 0.0))  # type: ignore[attr-defined]
        super().setup(model, access)  # type: ignore[misc]

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        outcome: tuple[Tensor, dict[str, Any]] = super().step(batch.replaced(y_t=self.pseudo[batch.rows_t]))  # type: ignore[misc]
        return outcome
