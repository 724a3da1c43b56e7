"""The ratio benchmarks' own rules, without their times: equality first, floors with names, somebody's checkout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from methods.mmd import mmd as ours
from tests.bench import clock, mmd, peers, ratios, trainings
from tests.bench.clock import Benchmark, Counts, Sides, Unequal, measure
from tests.bench.published import Published, Tally

GETDATA = """
import a_package_that_nobody_has

IMAGE_SIZE = 64
dataTransform = transforms.Compose([transforms.ToPILImage(), transforms.Resize(IMAGE_SIZE), transforms.ToTensor()])


class Cus_Dataset(data.Dataset):
    def __init__(self, mode, dataset_1, size1, dataset_2=None, size2=0):
        self.mode, self.transform = mode, dataTransform
        order = np.random.permutation(size1)
        (self.list_img1, self.list_label1), (self.list_img2, self.list_label2) = (
            [part[order] for part in held] for held in (dataset_1, dataset_2 or dataset_1)
        )
        self.list_img, self.list_label = dataset_1

    def __getitem__(self, i):
        if self.mode == "val":
            return self.transform(self.list_img[i]), torch.LongTensor(self.list_label[i][None])
        return self.transform(self.list_img1[i]), self.list_label1[i], self.transform(self.list_img2[i])

    def __len__(self):
        return len(self.list_img)
"""
SCRIPT = """
import another_that_nobody_has

train_at_once("on import")


class MMD_loss(nn.Module):
    def forward(self, x, y):
        z, half = torch.cat([x, y]), len(x)
        d = torch.cdist(z, z) ** 2
        width = d.detach().sum() / (len(z) ** 2 - len(z)) / 4
        k = sum(torch.exp(-d / width / 2**i) for i in range(5))
        return k[:half, :half].mean() + k[half:, half:].mean() - 2 * k[:half, half:].mean()


class VGG(nn.Module):
    def __init__(self, features, num_classes, init_weights):
        super().__init__()
        self.features, self.classifier1 = features, nn.Linear(512, num_classes)

    def forward(self, x, y=None):
        if y is None:
            return self.classifier1(self.features(x).flatten(1))
        return self(x), self(y), self.features(x), self.features(y)


def validate_class(val_loader, model, epoch, num_class=10):
    right = total = 0
    for images, labels in val_loader:
        right += int((model(images.to(device)).argmax(1) == labels[:, 0].argmax(1)).sum())
        total += len(images)
    print(f"Ave_Accuracy: {100 * right / total:.3f}%")
"""


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The command holds torch to one thread; other tests of this process have their own number."""
    held = torch.get_num_threads()
    yield
    torch.set_num_threads(held)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What NTL's repository looks like from outside, in our own words."""
    folder = tmp_path / "theirs" / "src" / "ntl"
    folder.mkdir(parents=True)
    (folder / "ntl_digit.py").write_text(SCRIPT)
    (folder / "getdata.py").write_text(GETDATA)
    return tmp_path / "theirs"


def only(monkeypatch: pytest.MonkeyPatch, *benchmarks: Benchmark) -> None:
    monkeypatch.setattr(ratios, "known", lambda: list(benchmarks))


def spin(times: int) -> None:
    sum(range(times))


def quick(name: str, floor: float, at_most: bool = False) -> Benchmark:
    """Theirs does ten times the work."""
    return Benchmark(
        name, "sums", floor, lambda form: Sides(lambda: spin(10_000), lambda: spin(100_000)), at_most, rounds=3
    )


def test_a_missed_floor_exits_1_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, quick("R1", 2), quick("R2", 1e6), quick("R3", 0.5, at_most=True), quick("R4", 1e-6, at_most=True))
    assert ratios.main(["--json", str(tmp_path / "b.json")]) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("floor missed")]
    assert [line.split()[2] for line in said] == ["R2,", "R4,"]
    written = json.loads((tmp_path / "b.json").read_text())
    assert [b["passes"] for b in written["benchmarks"]] == [True, False, True, False]
    assert set(written["machine"]) == {"cpu", "torch", "threads", "date"}
    first = written["benchmarks"][0]
    assert first["floor"] == 2 and first["bound"] == "at least" and first["rounds"] == 3
    assert all(first[k]["min"] <= first[k]["median"] <= first[k]["max"] for k in ("ours", "theirs", "ratio"))
    assert ratios.main(["--json", str(tmp_path / "b.json"), "--only", "R1", "R3"]) == 0


def test_the_table_goes_between_the_two_marks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only(monkeypatch, Benchmark("R9", "counts", 2, lambda form: Counts(222, 450, "21 of one kind")))
    monkeypatch.setattr(ratios, "README", readme := tmp_path / "README.md")
    readme.write_text(f"before\n{ratios.MARKS[0]}\nold\n{ratios.MARKS[1]}\nafter\n")
    told = ["--json", str(tmp_path / "b.json"), "--readme"]
    for _ in range(2):
        assert ratios.main(told) == 0
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert text.count("| R9 | counts | published form | 222 | 450 | 2.03 | exact |") == 1
    readme.write_text("no marks")
    with pytest.raises(SystemExit, match="has no"):
        ratios.main(told)


def test_unequal_results_raise_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(Published):
        def mmd(self, x: Tensor, y: Tensor) -> Tensor:
            return super().mmd(x, y) * 1.00001

    monkeypatch.setattr(clock, "seconds", lambda *given: pytest.fail("timed"))
    with pytest.raises(Unequal, match="MMD, ordinary"):
        measure(mmd.BENCHMARKS[0], Off())
    with pytest.raises(Unequal):
        clock.agree("a loss that is none", float("nan"), 1.0, 1e-6)


def test_every_benchmark_is_there_once() -> None:
    assert [b.id for b in ratios.known()] == [f"R{i}" for i in range(1, 11)]


def test_the_trainings_of_the_papers_grid_are_222_of_450() -> None:
    measured = measure(trainings.BENCHMARKS[0], Published())
    assert (measured.ours, measured.theirs, measured.passes) == ([222], [450], True)
    assert measured.of.startswith("21 source models, 180 protected against a target, 21 against none")


@pytest.mark.parametrize("what", ["nothing", "half", "older", "wrong id"])
def test_what_is_not_there_is_one_line_and_exit_2(
    what: str, checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["--json", str(tmp_path / "b.json"), "--peer", str(checkout)]
    if what == "nothing":
        typed[-1] = str(tmp_path)
    elif what == "half":
        (checkout / "src/ntl/getdata.py").unlink()
    elif what == "older":
        (checkout / "src/ntl/ntl_digit.py").write_text("class VGG: ...\n")
    else:
        typed += ["--only", "R5"]  # CUTI's
    with pytest.raises(SystemExit) as end:
        ratios.main(typed)
    said = capsys.readouterr()
    assert end.value.code == 2 and said.out == "" and len(said.err.strip().splitlines()) == 1
    named = {"nothing": "no checkout of a peer", "half": "no checkout of a peer", "older": "has no MMD_loss"}
    assert named.get(what, "has no R5") in said.err
    assert not (tmp_path / "b.json").exists()


def test_a_checkouts_own_code_is_what_is_called(checkout: Path) -> None:
    """Though their files cannot be imported, and their data set shuffles as it is made."""
    form = peers.recognised(checkout)
    assert form.name == "conditionWang/NTL" and form.covers == {"R1", "R2", "R3", "R4", "R6"}
    x, y = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    assert float(form.mmd(x, y)) == pytest.approx(float(ours(x, y)), rel=1e-5)

    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), np.uint8)
    onehot = np.eye(10, dtype=np.int64)[np.arange(12) % 10]
    paired = form.paired((images, onehot), (images[::-1], onehot[::-1]), 8)
    for i in range(12):
        x_s, label, x_t = paired[i]
        assert torch.equal(x_s, form.transform(8)(images[i])) and x_s.shape == (3, 8, 8)
        assert torch.equal(x_t, form.transform(8)(images[11 - i])) and int(label.argmax()) == i % 10

    net = form.net(nn.Sequential(nn.AvgPool2d(8)), nn.Linear(3, 10), "ntl")
    single = [form.single((images, onehot), 8)[i] for i in range(12)]
    batch = torch.stack([row[0] for row in single]), torch.stack([row[1] for row in single])
    right = int((net(batch[0]).argmax(1) == batch[1][:, 0].argmax(1)).sum())
    assert form.validate([batch], net, 10) == Tally(right, 12)
