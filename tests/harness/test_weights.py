"""`init: imagenet`, from the suite file to the cell: in its key, in its first weights, refused before anything is done.

.venv/bin/pytest tests/harness/test_weights.py
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness import plan
from harness.cells import stable_seed
from harness.forest import expand, imagenet
from harness.grid import Filters, read
from results import records
from results.store import Store
from suites import SuiteError, backbones
from suites.backbones import weights
from tests.harness.conftest import QUICK, Mapbench

PRINTS = {("quick", 0): {"uci": "a", "uci-m": "b"}}
FILE = "resnet18-f37072fd.pth"


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """quick.yaml with a resnet18 that begins with ImageNet weights."""
    text = Path(QUICK).read_text().replace("[convnet, vgg11]", "[convnet, resnet18]")
    path = tmp_path / "quick.yaml"
    path.write_text(text.replace("  vgg11:\n", "  resnet18:\n    init: imagenet\n"))
    return str(path)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file in the publisher's layout: 1000 classes, random numbers."""
    from torchvision import models

    folder = tmp_path_factory.mktemp("weights")
    torch.save(models.resnet18(weights=None).state_dict(), folder / FILE)
    return folder


def test_keys_of_random_cells_are_pinned() -> None:
    """Golden: results that people have keep their keys, whatever other backbones and weights there are."""
    keys = [cell.key for cell in expand(read(QUICK, Filters()), PRINTS)]
    assert keys == [
        "352f278c2b731c269d135d60a8efa6355177802c18bafcfde538056b954145ae",
        "043fa86f3446b1f8dc92a20669a58677553e3d4a8a86ef4d63216dca39eca2c9",
        "565fb6929809d1ad3478bd0483a89bae6e2bb84db0cf0a3ed0a81b232746c1f7",
        "1b0384ad577265e3bd1dcead168839702713fb69ed78b7161f436bafdb32af69",
    ]


def test_the_file_is_in_the_key_of_every_cell_it_begins(suite: str) -> None:
    grid = read(suite, Filters(backbones=("convnet", "resnet18")))
    assert imagenet(grid) == ["resnet18"]
    a, b = (expand(grid, PRINTS, {"resnet18": sha}) for sha in ("a" * 64, "b" * 64))
    for one, other in zip(a, b, strict=True):
        pretrained = one.meta["backbone"] == "resnet18"
        assert one.spec["init"] == (f"imagenet:{'a' * 64}" if pretrained else "random")
        assert (one.key != other.key) == pretrained
    with pytest.raises(AssertionError):
        expand(grid, PRINTS)


def test_every_missing_file_is_named_before_data_is_built(suite: str, tmp_path: Path) -> None:
    path = Path(suite)
    text = path.read_text().replace("[convnet, resnet18]", "[convnet, resnet18, vgg11]")
    path.write_text(text.replace("tuned:", text[text.index("  resnet18:") : text.index("tuned:")] + "tuned:", 1)
                    .replace("  resnet18:", "  vgg11:", 1))  # fmt: skip
    grid = read(suite, Filters(backbones=("resnet18", "vgg11")))
    with pytest.raises(SuiteError) as error:
        plan.make(grid, Store(tmp_path / "out"), tmp_path / "data", tmp_path / "nowhere")
    assert [line.split()[0] for line in str(error.value).split("\n")] == ["resnet18", "vgg11"]
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("verb", ["run", "plan"])
def test_a_missing_file_is_one_line_and_exit_2(verb: str, mapbench: Mapbench, suite: str, tmp_path: Path) -> None:
    fresh = tmp_path / "data"
    done = mapbench(verb, suite, "-b", "resnet18", MAPBENCH_DATA=str(fresh), MAPBENCH_WEIGHTS=str(tmp_path / "mine"))
    assert done.returncode == 2
    assert f"resnet18 has init: imagenet, but {tmp_path}/mine/{FILE} is not there" in done.stderr
    assert len(done.stderr.strip().split("\n")) == 1
    assert not fresh.exists() and list((tmp_path / "here").iterdir()) == []


@pytest.mark.slow
def test_cells_begin_with_the_file_and_a_second_run_finds_them(
    mapbench: Mapbench, suite: str, published: Path, tmp_path: Path
) -> None:
    """`untrained` shows the first weights: the publisher's below, the seed's head. f_s has been trained from them."""
    from safetensors.torch import load_file

    typed = ("run", suite, "-b", "resnet18", "-m", "untrained", "--executor", "inline", "--no-mlflow", "--quiet")
    done = mapbench(*typed, "--weights", str(published))
    assert done.returncode == 0, done.stderr
    out = tmp_path / "here" / "runs" / "quick"
    found = {r["cell"]["kind"]: r for r in records.winners(records.read_all(out)[0]).values()}
    sha = weights.fingerprint("resnet18", published)
    assert {r["spec"]["init"] for r in found.values()} == {f"imagenet:{sha}"}
    assert all(r["flags"] == ["not-the-publishers"] for r in found.values())  # said, because this file is made up
    first = load_file(out / found["protect"]["checkpoint"])
    trained = load_file(out / found["train"]["checkpoint"])
    file = torch.load(published / FILE, weights_only=True)
    assert all(torch.equal(v, file[k]) for k, v in first.items() if not k.startswith("fc."))
    seeded = backbones.build("resnet18", 10, 32, stable_seed("init", "resnet18", 0)).state_dict()
    assert torch.equal(first["fc.weight"], seeded["fc.weight"])
    assert not torch.equal(trained["conv1.weight"], file["conv1.weight"])
    assert (trained["conv1.weight"] - file["conv1.weight"]).abs().max() < 0.1
    again = mapbench(*typed, MAPBENCH_WEIGHTS=str(published))
    assert again.returncode == 0 and "nothing to do: 2 cells done" in again.stdout
