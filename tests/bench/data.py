"""Ratios of the data path: the cached input beside the published chain, and `mapbench data` beside ImageFolder.

    PYTHONPATH=. .venv/bin/python tests/bench/data.py                  100,000 JPEGs, some ten minutes on two cores
    PYTHONPATH=. .venv/bin/python tests/bench/data.py --jpegs 10000

Equality is asserted before anything is timed. Exits 1 where a floor is missed.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
import yaml
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

from harness.access import DataAccess
from methods.controls.continue_ import Continue
from methods.images import MEAN, STD
from suites.domains._raw import Arrays
from suites.schema import Recipe

COUNT, BATCH = 2048, 32
FLOOR = 6.0  # times less CPU time than the published chain; 10 to 18 were measured, and 14 to 29 of normalise() alone
SIZE = 224
SAMPLE = 4000  # images of the plain loop: it is timed per image
COMMAND = Path(sys.executable).with_name("mapbench")
Chain = Callable[[np.ndarray], torch.Tensor]


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """Least CPU seconds of this process over some runs."""
    took = []
    for _ in range(times):
        begun = time.process_time()
        work()
        took.append(time.process_time() - begun)
    return min(took)


def published(size: int) -> Chain:
    """What the released code puts each image through, each time."""
    return transforms.Compose([
        transforms.ToPILImage(), transforms.Resize((size, size)), transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])  # fmt: skip


def sides(native: int, size: int, transform: Chain) -> tuple[Callable[[], None], Callable[[], None]]:
    """An epoch of COUNT images from the cache, and one through a chain; first, that both give the same, bit for bit."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, native, native, 3), np.uint8)
    held = Arrays([str(i) for i in range(COUNT)], [0] * COUNT, list(images))
    cached = torch.from_numpy(np.stack([held.pixels(i, size) for i in range(COUNT)]))
    recipe = Recipe.model_validate(
        {"optimizer": "adam", "lr": 1e-4, "batch": BATCH, "epochs": 1, "schedule": "constant"}
    )
    labels = torch.zeros(COUNT, dtype=torch.int64)
    access = DataAccess(Continue(), {"source": (cached, labels)}, recipe, 10, size, seed=0)
    order = torch.randperm(COUNT)

    def ours() -> None:
        for _ in access.epoch():
            pass

    def theirs() -> None:
        for rows in order.split(BATCH):
            torch.stack([transform(images[i]) for i in rows.tolist()])

    for batch in access.epoch():
        wanted = torch.stack([transform(images[i]) for i in batch.rows_s.tolist()])
        assert torch.equal(batch.x_s, wanted), "not bit-identical"
    return ours, theirs


def chain() -> list[str]:
    """Names of the sizes whose floor is missed."""
    missed = []
    print("CPU time of an image on its way into a net, one thread, batches of 32\n")
    print(f"{'':<12}{'published chain':>18}{'from the cache':>18}{'ratio':>10}")
    for native, size in ((32, 32), (32, 64), (96, 64)):
        ours, theirs = sides(native, size, published(size))
        a, b = seconds(theirs, 3) / COUNT, seconds(ours) / COUNT
        print(f"{f'{native} -> {size}':<12}{a * 1e6:>15.1f} us{b * 1e6:>15.2f} us{a / b:>9.1f}x")
        if a / b < FLOOR:
            missed.append(f"{native} -> {size}")
    return missed


def write(root: Path, count: int) -> None:
    """`count` JPEGs of 10 classes in two folders: 500 different pictures of 256 px, each in many files."""
    random, blobs = np.random.default_rng(0), []
    for _ in range(500):
        rough = Image.fromarray(random.integers(0, 255, (16, 16, 3), np.uint8)).resize(
            (256, 256), Image.Resampling.BICUBIC
        )
        noise = np.asarray(rough, dtype=int) + random.integers(-12, 13, (256, 256, 3))
        buffer = io.BytesIO()
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        blobs.append(buffer.getvalue())
    for i in range(count):
        path = root / ("a", "b")[i % 2] / f"class{i // 2 % 10}" / f"{i:06d}.jpg"
        if i < 20:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blobs[i % 500])
    print(f"\n{count:,} JPEGs of 256 px, {sum(map(len, blobs)) / 500 / 1e3:.0f} kB each, to {SIZE} px")


def plain(root: Path, count: int) -> float:
    """Images a second of a loop over torchvision's ImageFolder, one thread."""
    published = transforms.Compose([
        transforms.Resize((SIZE, SIZE)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)
    ])  # fmt: skip
    folder = ImageFolder(str(root / "a"), published)
    step, begun = max(1, len(folder) // min(SAMPLE, count)), time.perf_counter()
    for i in range(0, len(folder), step):
        folder[i]
    return len(range(0, len(folder), step)) / (time.perf_counter() - begun)


def written(root: Path) -> float:
    """Microseconds that writing one image takes here, into memory that is the disk's: on a virtual machine that may be
    ten times what it is elsewhere."""
    block = np.random.default_rng(0).integers(0, 255, (64, 3, SIZE, SIZE), np.uint8)
    begun = time.process_time()
    with (root / "written").open("wb") as file:
        for _ in range(100):
            file.write(block.data)
        file.flush()
    took = time.process_time() - begun
    (root / "written").unlink()
    return took / 6400 * 1e6


def prepare(root: Path, jobs: int) -> tuple[float, list[float]]:
    """Wall seconds of `mapbench data`, and its resident memory in MB, sampled."""
    recipe = {"optimizer": "adam", "lr": 1e-3, "batch": 32, "epochs": 1, "schedule": "linear"}
    (root / "own.yaml").write_text(yaml.safe_dump({
        "suite": "own", "version": 1, "classes": 10, "image_size": SIZE, "domains": ["folder:a", "folder:b"],
        "backbones": ["resnet18"], "recipes": {"resnet18": {"train": recipe, "protect": recipe}},
        "grid": {"methods": ["ntl"], "backbones": ["resnet18"], "pairs": "all", "seeds": [0]},
    }, sort_keys=False))  # fmt: skip
    begun, sampled = time.perf_counter(), []
    with (root / "said").open("w") as said:
        typed: list[str | Path] = [COMMAND, "data", "own.yaml", "--data", str(root), "--jobs", str(jobs)]
        running = subprocess.Popen(typed, cwd=root, stdout=said, stderr=said)
        process = psutil.Process(running.pid)
        while running.poll() is None:
            try:
                info = process.memory_info()
                sampled.append((info.rss - info.shared) / 1e6)  # without pages of files, which are the kernel's to drop
            except psutil.Error:
                break
            time.sleep(0.25)
    assert running.wait() == 0, (root / "said").read_text()
    return time.perf_counter() - begun, sampled


def jpegs(count: int, folder: str | None) -> bool:
    """Whether memory stayed flat."""
    root, jobs = Path(tempfile.mkdtemp(dir=folder)), len(os.sched_getaffinity(0))
    try:
        write(root, count)
        before, disk = plain(root, count), written(root)
        wall, memory = prepare(root, jobs)
        after = plain(root, count)
        rate, loop = count / wall / jobs, (before + after) / 2
        print(f"{'ImageFolder in a loop':<34}{loop:>8.0f} images/s a core ({before:.0f} before, {after:.0f} after)")
        print(f"{'mapbench data, all of it':<34}{rate:>8.0f} images/s a core, {jobs} threads: {rate / loop:.2f}x")
        print(f"{'of that, to write an image':<34}{disk:>8.0f} us of {1e6 / rate:.0f}")
        print(f"{'wall time':<34}{wall:>8.1f} s, listing, splitting, writing, sums and manifest included")
        print(f"{'what an epoch of the loop costs':<34}{count / loop:>8.1f} core-seconds, each time")
        tenth = max(1, len(memory) // 10)
        first, last, most = max(memory[tenth : 3 * tenth]), max(memory[-3 * tenth :]), max(memory)
        print(f"{'resident memory':<34}{first:>8.0f} MB in the first third, {last:.0f} in the last, {most:.0f} at most")
        begun = time.perf_counter()
        subprocess.run([COMMAND, "data", "own.yaml", "--data", str(root)], cwd=root, check=True, capture_output=True)
        print(f"{'the same command again':<34}{time.perf_counter() - begun:>8.1f} s")
        return last < 1.25 * first + 50
    finally:
        shutil.rmtree(root)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jpegs", type=int, default=100_000)
    parser.add_argument("--folder", help="where the JPEGs are written for the time being; default: the system's own")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    missed = chain()
    if asked.jpegs and not jpegs(asked.jpegs, asked.folder):
        missed.append("flat memory")
    for name in missed:
        print(f"floor missed: {name}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
