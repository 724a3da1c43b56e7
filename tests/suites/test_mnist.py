"""MNIST and rotated MNIST from idx files, gzipped and unpacked, and fetched from a server."""

from __future__ import annotations

import gc
import gzip
import math
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST
from torchvision.datasets.mnist import read_image_file

from suites import SuiteError, cache, domains
from suites.domains._arrays import fetch
from suites.domains._digits import enlarged
from tests.suites.published import absence, cached, count, md5, read, refusal, served, whole

RNG = np.random.default_rng(0)
IMAGES = {"train": RNG.integers(0, 256, (20, 28, 28), np.uint8), "t10k": RNG.integers(0, 256, (7, 28, 28), np.uint8)}
LABELS = {part: (np.arange(len(held)) * 7 % 10).astype(np.uint8) for part, held in IMAGES.items()}
ROTATED = [f"rmnist-{angle}" for angle in (0, 15, 30, 45, 60, 75)]


def idx(array: np.ndarray) -> bytes:
    return b"".join(n.to_bytes(4, "big") for n in (0x800 + array.ndim, *array.shape)) + array.tobytes()


def files(part: str) -> dict[str, bytes]:
    return {f"{part}-images-idx3-ubyte": idx(IMAGES[part]), f"{part}-labels-idx1-ubyte": idx(LABELS[part])}


def write(data: Path, *parts: str, packed: bool) -> Path:
    folder = data / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        for name, content in files(part).items():
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def expect(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let torchvision state the md5 of the files that are there."""
    stated = [(name, md5(folder / name) if (folder / name).exists() else held) for name, held in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", stated)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mnist", *ROTATED):
        count(monkeypatch, name, None)


@pytest.fixture
def plain(few: None, tmp_path: Path) -> Path:
    """Unpacked files of both parts; nobody states their md5."""
    return write(tmp_path, "train", "t10k", packed=False)


@pytest.mark.parametrize("packed", [True, False])
def test_pixels_and_labels_are_the_files(few, tmp_path, monkeypatch, packed):
    expect(monkeypatch, write(tmp_path, "train", packed=packed))
    images = read("mnist", tmp_path)
    assert images.ids == [f"train-{i:05}" for i in range(20)] and images.labels == LABELS["train"].tolist()
    made = whole(images, 32)
    assert made.dtype == np.uint8
    assert all((made[i, ..., c] == enlarged(IMAGES["train"][i])).all() for i in range(20) for c in range(3))


def test_as_torchvision_reads_it(plain):
    theirs = read_image_file(str(plain / "train-images-idx3-ubyte"))
    assert torch.equal(torch.from_numpy(np.stack(read("mnist", plain.parents[1]).stored)), theirs)


def test_in_the_cache(suite, plain):
    held = cached(suite, plain.parents[1], "mnist")
    assert len(held) == 20
    for name, (label, image) in held.items():
        place = int(name[-5:])
        assert label == LABELS["train"][place]
        assert (image == enlarged(IMAGES["train"][place])).all()


def test_at_another_size_it_is_enlarged_first(plain):
    """The published chain: 28, cubic to 32, bilinear to the suite's size; twice the size is a plain average."""
    small = enlarged(IMAGES["train"][3]).astype(float)
    made = read("mnist", plain.parents[1]).pixels(3, 64)[1]
    expected = 0.75 * (0.75 * small[5, 9] + 0.25 * small[5, 10]) + 0.25 * (0.75 * small[6, 9] + 0.25 * small[6, 10])
    assert abs(made[11, 19] - expected) <= 1


def test_of_both_the_gzipped_one_is_read(plain, monkeypatch):
    """Its md5 is known; a damaged one is not passed over in silence."""
    packed = plain / "train-images-idx3-ubyte.gz"
    packed.write_bytes(gzip.compress(files("train")["train-images-idx3-ubyte"])[:-300])
    assert f"{packed} is damaged: its md5 is" in refusal("mnist", plain.parents[1])
    expect(monkeypatch, plain)
    assert f"{packed} cannot be read (Compressed file ended" in refusal("mnist", plain.parents[1])


def test_other_files_than_the_published_are_refused_by_their_md5(few, tmp_path):
    write(tmp_path, "train", packed=True)
    assert f"not {dict(MNIST.resources)['train-images-idx3-ubyte.gz']}" in refusal("mnist", tmp_path)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("gone", ["images-idx3", "labels-idx1"])
def test_what_is_not_there_is_named(few, tmp_path, packed, gone):
    folder = write(tmp_path, "train", packed=packed)
    (folder / f"train-{gone}-ubyte{'.gz' if packed else ''}").unlink()
    assert f"no {folder}/train-{gone}-ubyte.gz" in absence("mnist", tmp_path)


def test_rotated_needs_the_test_files_too(few, tmp_path):
    folder = write(tmp_path, "train", packed=False)
    assert all(f"no {folder}/t10k-images-idx3-ubyte.gz" in absence(name, tmp_path) for name in ROTATED)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("images-idx3", lambda b: b[:-1], "is cut short or too long: 15,679 bytes for 20 items"),
        ("images-idx3", lambda b: b + b"x", "is cut short or too long"),
        ("images-idx3", lambda b: b[:9], "is no idx file of uint8 in 3 dimensions: it does not begin with 2051"),
        ("images-idx3", lambda b: b"", "is no idx file"),
        ("images-idx3", lambda b: b"\0\0\x0d" + b[3:], "is no idx file"),
        ("images-idx3", lambda b: idx(np.zeros((20, 14, 56), np.uint8)), "has images of 14 x 56 pixels, not 28 x 28"),
        ("images-idx3", lambda b: idx(IMAGES["train"][:19]), "has 20 labels for 19 images"),
        ("labels-idx1", lambda b: b[:-1], "is cut short or too long: 19 bytes for 20 items"),
        ("labels-idx1", lambda b: idx(LABELS["train"][:19]), "has 19 labels for 20 images"),
        ("labels-idx1", lambda b: b[:-1] + b"\x0a", "none of the ten classes: 10, of image 19"),
        ("labels-idx1", lambda b: idx(IMAGES["train"]), "is no idx file of uint8 in 1 dimensions"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(plain, name, damage, message):
    path = plain / f"train-{name}-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    text = refusal("mnist", plain.parents[1])
    assert message in text and str(plain / "train-") in text


def test_a_folder_in_place_of_a_file(plain):
    path = plain / "train-labels-idx1-ubyte"
    path.unlink()
    path.mkdir()
    assert f"{path} cannot be read (Is a directory)" in refusal("mnist", plain.parents[1])


def test_fewer_than_there_are_is_noticed(plain, monkeypatch):
    count(monkeypatch, "mnist", 21)
    assert "has 20 of 21 images" in refusal("mnist", plain.parents[1])


def test_counts():
    counts = {name: domains.known()[name].raw.count for name in ("mnist", *ROTATED)}
    assert counts.pop("mnist") == 60_000
    assert list(counts.values()) == [11_667] * 4 + [11_666] * 2 and sum(counts.values()) == 70_000


def turned(image: np.ndarray, angle: int) -> np.ndarray:
    """Counter-clockwise about the middle, bilinear, black outside: from the definition."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    made = np.zeros((28, 28))
    for row in range(28):
        for column in range(28):
            x, y = column + 0.5 - 14, row + 0.5 - 14  # y grows downwards
            across, down = cos * x - sin * y + 14, sin * x + cos * y + 14
            if 0 <= across < 28 and 0 <= down < 28:
                left, top = math.floor(across - 0.5), math.floor(down - 0.5)
                u, v = across - 0.5 - left, down - 0.5 - top
                at = partial(np.clip, a_min=0, a_max=27)
                made[row, column] = sum(
                    across_weight * down_weight * image[at(top + i), at(left + j)]
                    for i, down_weight in enumerate((1 - v, v))
                    for j, across_weight in enumerate((1 - u, u))
                )
    return made


@pytest.mark.parametrize("number", range(6))
def test_every_sixth_image_is_turned(plain, number):
    images = read(ROTATED[number], plain.parents[1])
    both = np.concatenate([IMAGES["train"], IMAGES["t10k"]])
    ids = [f"train-{i:05}" for i in range(20)] + [f"test-{i:05}" for i in range(7)]
    labels = [*LABELS["train"].tolist(), *LABELS["t10k"].tolist()]
    assert images.ids == ids[number::6] and images.labels == labels[number::6]
    for place, image in enumerate(both[number::6]):
        made = images.pixels(place, 32)[0]
        if number == 0:
            assert (made == enlarged(image)).all()
        else:  # PIL cuts the fraction off or rounds it: a level before it is enlarged, two behind
            expected = enlarged(turned(image, int(ROTATED[number][7:])).astype(np.uint8))
            assert np.abs(made.astype(int) - expected).max() <= 2


def test_counter_clockwise_is_up_from_the_right():
    from suites.domains.rmnist import turned as ours

    image = np.zeros((28, 28), np.uint8)
    image[13:15, 22:26] = 255
    above, below = ours(image, 45)[:16], ours(image, 45)[16:]
    assert above[:, 16:].max() > 200 and not below.any()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    with served(folder) as url:
        yield url, folder


def serve(monkeypatch: pytest.MonkeyPatch, server: tuple[str, Path], *mirrors: str) -> None:
    url, folder = server
    for part in ("train", "t10k"):
        for name, content in files(part).items():
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    expect(monkeypatch, folder)
    monkeypatch.setattr(MNIST, "mirrors", [f"{url}{mirror}" for mirror in mirrors])


def test_it_is_fetched_from_the_first_mirror_that_has_it_and_once(few, suite, tmp_path, monkeypatch, server):
    serve(monkeypatch, server, "none/", "")
    data = tmp_path / "data"
    domains.find("mnist").raw.download(data)
    folder = data / "MNIST" / "raw"
    train = sorted(name for name, _ in MNIST.resources if name.startswith("train"))
    assert sorted(p.name for p in folder.iterdir()) == train  # what mnist is made of, and no more
    assert read("mnist", data).labels == LABELS["train"].tolist()
    assert cache.fingerprints(suite.model_copy(update={"domains": ["mnist"]}), data)
    domains.find("rmnist-45").raw.download(data)
    assert sorted(p.name for p in folder.iterdir()) == sorted(name for name, _ in MNIST.resources)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"half")
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    domains.find("rmnist-45").raw.download(data)  # mends what is damaged and leaves the rest
    assert {p.name for p, at in before.items() if p.stat().st_mtime_ns != at} == {"t10k-labels-idx1-ubyte.gz"}
    assert len(read("rmnist-45", data).ids) == 4


@pytest.mark.parametrize(("how", "message"), [("gone", "HTTP Error 404"), ("changed", "not found or corrupted")])
def test_what_cannot_be_fetched_is_one_line(tmp_path, monkeypatch, server, how, message):
    serve(monkeypatch, server, "")
    path = server[1] / "train-labels-idx1-ubyte.gz"
    path.unlink() if how == "gone" else path.write_bytes(b"other")
    with pytest.raises(SuiteError, match=message) as error:
        domains.find("mnist").raw.download(tmp_path / "data")
    assert "\n" not in str(error.value) and f"{server[0]}train-labels-idx1-ubyte.gz" in str(error.value)


def test_an_answer_that_there_is_no_such_file_leaves_no_connection_open(tmp_path, monkeypatch, server):
    """Closed by whoever collects garbage it would be a warning, in whatever runs then."""
    left = []
    monkeypatch.setattr(sys, "unraisablehook", left.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for _ in range(30):
            try:
                fetch("MNIST", tmp_path, "x.gz", "0" * 32, [f"{server[0]}none/x.gz"])
            except SuiteError as error:
                error.itself = error  # a circle, so that garbage is collected in no order
        gc.collect()
    assert left == []
