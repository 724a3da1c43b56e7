"""CIFAR-10 and its nine classes from pickled batches, as Python 2 wrote them."""

from __future__ import annotations

import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from suites import domains
from tests.suites.published import absence, cached, count, md5, read, refusal, served, whole

HOME = "cifar-10-batches-py"
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 3, 32, 32), np.uint8)
LABELS = [[(7 * batch + 3 * i) % 10 for i in range(6)] for batch in range(5)]
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
IDS = [f"data_batch_{batch}-{i:05}" for batch in range(1, 6) for i in range(6)]


def batch(number: int) -> dict:
    return {"batch_label": f"training batch {number + 1} of 5", "labels": LABELS[number],
            "data": IMAGES[number].reshape(6, 3072), "filenames": [f"{i}.png" for i in range(6)]}  # fmt: skip


def expect(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let torchvision state the md5 of the files that are there."""
    stated = [[name, md5(folder / name) if (folder / name).exists() else held] for name, held in CIFAR10.train_list]
    monkeypatch.setattr(CIFAR10, "train_list", stated)
    if (folder / "batches.meta").exists():
        monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5(folder / "batches.meta")})


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    assert [domains.known()[name].raw.count for name in ("cifar10", "cifar9")] == [50_000, 45_000]
    count(monkeypatch, "cifar10", None)
    count(monkeypatch, "cifar9", None)
    folder = tmp_path / HOME
    folder.mkdir()
    for number in range(5):
        (folder / f"data_batch_{number + 1}").write_bytes(pickle.dumps(batch(number), 2))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES, "num_vis": 3072}, 2))
    return folder


@pytest.fixture
def data(folder, monkeypatch) -> Path:
    expect(monkeypatch, folder)
    return folder.parent


def test_pixels_and_labels_are_the_files(data):
    images = read("cifar10", data)
    assert images.ids == IDS and images.labels == [label for held in LABELS for label in held]
    assert (whole(images, 32) == IMAGES.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)).all()
    assert domains.find("cifar10").classes == tuple(NAMES)


def test_nine_are_the_same_without_frogs(data):
    ten, nine = read("cifar10", data), read("cifar9", data)
    classes = domains.find("cifar9").classes
    kept = [i for i, label in enumerate(ten.labels) if label != 6]
    assert len(kept) < 30 and nine.ids == [ten.ids[i] for i in kept]
    assert [classes[label] for label in nine.labels] == [NAMES[ten.labels[i]] for i in kept]
    assert all((nine.pixels(row, 32) == ten.pixels(i, 32)).all() for row, i in enumerate(kept))


def test_in_the_cache(data, suite):
    held = cached(suite, data, "cifar10")
    assert sorted(held) == sorted(IDS)
    for name, (label, image) in held.items():
        place = IDS.index(name)
        assert label == LABELS[place // 6][place % 6] and (image == IMAGES[place // 6, place % 6]).all()


@pytest.mark.parametrize("name", ["data_batch_1", "data_batch_5", "batches.meta"])
def test_what_is_not_there_is_named(data, name):
    (data / HOME / name).unlink()
    for domain in ("cifar10", "cifar9"):
        assert f"no {data / HOME / name};" in absence(domain, data)


def test_other_files_than_the_published_are_refused_by_their_md5(folder):
    wanted = dict(CIFAR10.train_list)["data_batch_1"]
    found = md5(folder / "data_batch_1")
    assert f"data_batch_1 is damaged: its md5 is {found}, not {wanted}" in refusal("cifar10", folder.parent)


@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_a_changed_file_is_not_opened(data, name, monkeypatch):
    from suites.domains import cifar

    path = data / HOME / name
    path.write_bytes(path.read_bytes() + b".")
    monkeypatch.setattr(cifar, "load", lambda *_: pytest.fail("opened before all md5 were checked"))
    assert f"{path} is damaged" in refusal("cifar9", data)


def test_nothing_in_a_batch_is_run(data, tmp_path, monkeypatch):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    (data / HOME / "data_batch_2").write_bytes(pickle.dumps({**batch(1), "x": Harm()}, 2))
    expect(monkeypatch, data / HOME)
    assert "it names posix.mkdir, which is no array and is not run" in refusal("cifar10", data)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_4", {"labels": LABELS[3]}, "has no `data` of uint8 (images, 3072)"),
        ("data_batch_4", {**batch(3), "data": batch(3)["data"][:, :1024]}, "has no `data`"),
        ("data_batch_4", {**batch(3), "data": batch(3)["data"].astype(np.int16)}, "has no `data`"),
        ("data_batch_4", {"data": batch(3)["data"]}, "has no `labels`, a number per image"),
        ("data_batch_4", {**batch(3), "labels": ["a"] * 6}, "has no `labels`"),
        ("data_batch_4", {**batch(3), "labels": [1] * 5}, "has 5 labels for 6 images"),
        ("data_batch_4", {**batch(3), "labels": [1] * 5 + [10]}, "none of the ten classes: 10, of image 5"),
        ("batches.meta", {"label_names": NAMES[::-1]}, "has other label_names than airplane"),
        ("batches.meta", {}, "has other label_names"),
    ],
)
def test_what_holds_something_else_is_refused_in_one_line(data, monkeypatch, name, content, message):
    (data / HOME / name).write_bytes(pickle.dumps(content, 2))
    expect(monkeypatch, data / HOME)
    text = refusal("cifar10", data)
    assert message in text and str(data / HOME / name) in text


def test_fewer_than_there_are_is_noticed(data, monkeypatch):
    count(monkeypatch, "cifar9", 45_000)
    assert "of 45,000 images" in refusal("cifar9", data)


def test_it_is_fetched_as_an_archive_and_once(folder, tmp_path, monkeypatch):
    expect(monkeypatch, folder)
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        archive.add(folder, HOME)
    data = tmp_path / "data"
    with served(tmp_path) as url:
        monkeypatch.setattr(CIFAR10, "url", f"{url}cifar.tar.gz")
        monkeypatch.setattr(CIFAR10, "tgz_md5", md5(tmp_path / "cifar.tar.gz"))
        domains.find("cifar9").raw.download(data)
    assert len(read("cifar10", data).ids) == 30
    (data / CIFAR10.filename).unlink()
    domains.find("cifar10").raw.download(data)  # without a server: all is there
