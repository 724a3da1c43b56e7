"""The suites of the literature from outside: what is said without their data, what is planned with it, and a run.

What the loaders read is tests/suites'; here the files are a handful, so the counts that their publishers state are
taken away.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from harness import cli
from harness.grid import read
from harness.plan import make
from results.store import Store
from suites import backbones, domains
from suites.domains._raw import Arrays, Raw
from suites.domains.office_home import CLASSES
from tests.harness.conftest import Mapbench

WEIGHTS = ("vgg11", "vgg13", "vgg19")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Files that are called as the publisher's: a plan hashes them and reads no more."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in WEIGHTS:
        (folder / str(backbones.card(name).weights)).write_bytes(name.encode())
    return folder


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple]:
    """A command within this process, where counts can be taken away: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(list(arguments))
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


def test_without_any_data_every_missing_data_set_is_listed_at_once(
    mapbench: Mapbench, tmp_path: Path, weights: Path
) -> None:
    empty = ("--data", str(tmp_path / "nothing"))
    sets = ("MNIST ", "USPS ", "SVHN ", "MNIST-M ", "CIFAR-10 ", "STL-10 ", "VisDA-2017 ")
    said = mapbench("plan", "map-paper", *empty, "--weights", str(weights))
    assert said.returncode == 0 and not (tmp_path / "nothing").exists()
    lines = [line for line in said.stdout.split("\n") if line.startswith("blocked: ") and " is not there: no " in line]
    for name in sets:
        assert sum(line.startswith(f"blocked: {name}") for line in lines) == 1, (name, said.stdout)
    assert len(lines) == len(sets) and all("expected" in line for line in lines)
    assert "to do: 0 cells" in said.stdout and "waiting for data: 264 cells" in said.stdout
    bare = mapbench("plan", "map-paper", *empty, "--weights", str(tmp_path / "none"))
    assert bare.returncode == 2
    found = bare.stderr.strip().split("\n")
    assert len(found) == len(sets) + len(WEIGHTS) and all(line.startswith("mapbench: ") for line in found)
    run = mapbench("run", "map-paper", *empty, "--weights", str(weights))
    assert run.returncode == 2 and len(run.stderr.strip().split("\n")) == len(sets)
    assert not (tmp_path / "here" / "runs").exists()
    told = mapbench("data", "map-paper", *empty, "--weights", str(weights))
    assert told.returncode == 2 and told.stdout.count(" missing ") == 8 and told.stderr == ""
    assert "md5" in told.stdout and "train-images-idx3-ubyte.gz" in told.stdout and "--download" in told.stdout


@pytest.fixture
def handful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred images in each of map-paper's domains, in the place of what is on no disk here."""
    random = np.random.default_rng(0)
    for name in ("mnist", "usps", "svhn", "mnist-m", "cifar10", "stl10", "visda-train", "visda-val"):
        held = domains.known()[name]
        labels = [i % len(held.classes) for i in range(240)]
        arrays = Arrays([f"{i:03d}" for i in range(240)], labels, random.integers(0, 255, (240, 8, 8, 3), np.uint8))
        raw = Raw(name, (name,), "", lambda data, raw, arrays=arrays: arrays)
        monkeypatch.setitem(domains.known(), name, replace(held, raw=raw))


def test_map_paper_is_180_cells_with_a_target_and_21_without_on_21_source_models(
    handful: None, typed: Callable[..., tuple], tmp_path: Path, weights: Path
) -> None:
    where = ("--data", str(tmp_path / "data"), "--weights", str(weights), "--out", str(tmp_path / "run"))
    code, said, _ = typed("plan", "map-paper", *where)
    rows = {line.split()[0]: line for line in said.split("\n") if line.strip()}
    assert code == 0
    assert rows["train"].split() == ["train", "21"] and rows["synth"].split() == ["synth", "42"]
    assert rows["protect"].split() == ["protect", "201", *["180", "with", "a", "target,", "21", "with", "none"]]
    assert "to do: 264 cells" in said and "GFLOP of training at least" in said
    assert "time: not known before some cells have run here" in said

    made = make(read("map-paper"), store := Store(tmp_path / "run"), tmp_path / "data", weights)
    free = [cell for cell in made.cells if cell.meta["kind"] == "protect" and not cell.meta["targets"]]
    assert {cell.meta["method"] for cell in free} == {"df-map"}
    assert len({(cell.meta["source"], cell.meta["seed"]) for cell in free}) == 21
    pairs = Counter((c.meta["suite"], c.meta["backbone"]) for c in made.cells if c.meta["kind"] == "protect")
    assert pairs == {("digits", "vgg11"): 156, ("cifar-stl", "vgg13"): 30, ("visda", "vgg19"): 15}
    for number, cell in enumerate(made.cells[:30]):
        store.commit({
            "schema": 1, "key": cell.key, "attempt": 1, "uuid": f"{number:08x}", "status": "ok", "spec": cell.spec,
            "cell": cell.meta, "finished": 1.0, "seconds": 3.0 * cell.cost, "accuracy": [], "peak_memory_mb": 1.0,
            "environment": {"device": "NVIDIA H100 80GB HBM3", "method_sha256": None},
        })  # fmt: skip
    left = sum(cell.cost for cell in made.cells[30:])
    code, said, _ = typed("plan", "map-paper", *where)
    hours = f"{int(3 * left // 3600)}:"
    assert "to do: 234 cells" in said and f"time: about {hours}" in said, said
    assert "of one slot of NVIDIA H100 80GB HBM3, from the cells done so far" in said


def test_an_office_home_like_tree_runs_end_to_end(
    typed: Callable[..., tuple], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """65 classes of four styles in the publisher's folders, by its own loader, through f_s, a method and the board."""
    random, styles = np.random.default_rng(0), {"Art": 1.0, "Clipart": 0.7, "Product": -1.0, "Real World": 0.4}
    shapes = random.uniform(-1, 1, (len(CLASSES), 6, 6, 3))
    for style, strength in styles.items():
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "data" / "office_home" / style / name
            folder.mkdir(parents=True)
            for i in range(12):
                noisy = shapes[label] * strength + random.normal(0, 0.15, (6, 6, 3))
                picture = Image.fromarray((128 + 100 * noisy).clip(0, 255).astype(np.uint8))
                picture.resize((48, 36), Image.Resampling.BICUBIC).save(folder / f"{i:05d}.jpg", quality=95)
    recipe = {"optimizer": "adam", "lr": 3e-3, "batch": 32, "epochs": 12, "schedule": "linear"}
    (tmp_path / "office.yaml").write_text(yaml.safe_dump({
        "suite": "office", "version": 1, "classes": 65, "image_size": 24,
        "domains": ["art", "clipart", "product", "real-world"],
        "backbones": ["convnet"], "recipes": {"convnet": {"train": recipe, "protect": recipe}},
        "grid": {"methods": ["cuti"], "backbones": ["convnet"], "pairs": ["art:clipart"], "seeds": [0]},
    }, sort_keys=False))  # fmt: skip
    run = ("run", "office.yaml", "--data", str(tmp_path / "data"), "--executor", "inline", "--no-mlflow")
    code, _, err = typed(*run)
    assert code == 2 and "has 780 of 2,427 images: half extracted, or not all fetched" in err  # not the real thing
    for name in ("art", "clipart", "product", "real-world"):
        held = domains.known()[name]
        monkeypatch.setitem(domains.known(), name, replace(held, raw=replace(held.raw, count=None)))  # type: ignore[type-var]
    code, out, err = typed(*run)
    assert code == 0, out + err
    code, out, _ = typed("leaderboard", "runs/office", "--by-pair", "--json")
    (row,) = [row for row in json.loads(out) if (row["source"], row["target"]) == ("art", "clipart")]
    assert row["source_before"] > 0.5 and row["target_before_balanced"] > 0.3  # where knowing nothing is 1/65
