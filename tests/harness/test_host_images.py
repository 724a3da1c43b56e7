"""Images that would take too much of a GPU lie on the host, and every step, probe and generator finds its own there.

torch's `meta` device stands for the GPU: it computes nothing, but refuses tensors of other devices as a GPU does.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harness import scoring
from harness.access import DataAccess
from harness.training import logits
from methods.base import Method, Needs
from methods.pseudo import predicted
from methods.synthesis.neighbours import Neighbourhood
from suites import backbones
from suites.schema import Recipe

RECIPE = Recipe(optimizer="adam", lr=1e-3, batch=4, epochs=1, schedule="linear", shift=1)
META = torch.device("meta")


def part(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images on the host, labels where the net is."""
    return torch.zeros(n, 3, 32, 32, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64, device=META)


class Probe(Method):
    name = "probe"
    needs = Needs(source="labelled", target="labelled")


def test_a_batch_is_where_the_net_is() -> None:
    served = DataAccess(Probe(), {"source": part(12), "target": part(8)}, RECIPE, 10, 32, 0)
    batch = next(served.epoch())
    for name in ("x_s", "y_s", "rows_s", "x_t", "y_t", "rows_t"):
        assert getattr(batch, name).device == META, name
    images, _ = served.target()
    assert images.device.type == "cpu" and len(images) == 8  # all of them at once would not fit


def test_a_net_on_the_gpu_answers_images_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    net = backbones.build("convnet", 10, 32, 0).to(META)
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: seen.append(self) or torch.zeros(self.shape))
    assert logits(net, torch.zeros(600, 3, 32, 32, dtype=torch.uint8)).shape == (600, 10)
    assert [one.device for one in seen] == [META, META]  # two batches
    assert predicted(net, torch.zeros(5, 3, 32, 32)).device == META


def test_neighbours_of_images_on_the_host_are_made_where_their_net_is(monkeypatch: pytest.MonkeyPatch) -> None:
    near = Neighbourhood(2, 32, 0.6).to(META)
    monkeypatch.setattr(near, "styled", lambda level, images, generator: images + near.mix[level])
    made, _ = near.neighbours(*part(6), generator=torch.Generator().manual_seed(0))
    assert made.device == META and made.shape == (6, 3, 32, 32)


def test_a_gpu_takes_images_until_they_are_half_of_what_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four parts of 100 kB each, a process that may have half of 500 kB, of which images may take half."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=500_000))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 0.5)
    moved: list[int] = []

    class OnGPU:
        is_cuda, nbytes = True, 98_304

    def to(self: torch.Tensor, device: Any) -> Any:
        moved.append(self.nbytes)
        return OnGPU()

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(scoring, "RESIDENT", {})
    for number in range(4):
        images = scoring._placed(np.zeros((32, 3, 32, 32), np.uint8), torch.device("cuda"))
        scoring.RESIDENT[str(number),] = images, torch.zeros(32)
    assert moved == [98_304]


def test_on_a_cpu_the_file_itself_is_the_images(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", np.arange(3 * 4 * 4, dtype=np.uint8).reshape(1, 3, 4, 4))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    placed = scoring._placed(mapped, torch.device("cpu"))
    assert placed.data_ptr() == mapped.ctypes.data
