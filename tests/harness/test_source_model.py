"""A user's own f_s: in the keys of all that hangs on it, read as it is, and refused in one line where it cannot be.

.venv/bin/pytest tests/harness/test_source_model.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness import UsageError, expected, plan, source_model
from harness.cells import Cell
from harness.forest import expand, imagenet
from harness.grid import Filters, read
from harness.training import logits
from harness.worker import run_cell
from results import records, tables
from results.store import Store
from suites import SuiteError, backbones, cache, schema, strict
from suites.backbones import weights
from tests.harness.conftest import QUICK, Mapbench

PRINTS = {("quick", 0): {"uci": "a", "uci-m": "b"}}
A, B = "9a846be6" + "0" * 56, "b" * 64
State = dict[str, Tensor]


def cells(given: str | None, *methods: str) -> list[Cell]:
    return expand(read(QUICK, Filters(methods=methods, seeds=("0-1",))), PRINTS, None, given)


def state(backbone: str = "convnet") -> State:
    return backbones.build(backbone, 10, 32, 7).state_dict()


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A convnet that a user might have, as torch.save writes it."""
    torch.save(state(), tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


def test_the_sha256_stands_instead_of_what_had_no_part_in_it() -> None:
    train, *rest = cells(A, "constant", "sf-map", "untrained")
    own, *_ = cells(None, "constant", "sf-map", "untrained")
    assert own.spec.keys() - train.spec.keys() == {"seed", "recipe", "init"}
    assert train.spec.keys() - own.spec.keys() == {"source_model"}
    assert (train.spec["source_model"], train.spec["backbone"]) == (A, "convnet")
    assert len(rest) == 2 * 4 and all(c.meta["kind"] != "train" for c in rest)
    for cell in rest:
        assert (cell.spec["parent"], cell.spec["source_model"]) == (train.key, A)
        assert cell.spec["seed"] == cell.meta["seed"]
        assert ("init" in cell.spec) == (cell.meta["method"] == "untrained")  # it begins anew, the others with f_s
    assert sorted(c.meta["seed"] for c in rest) == [0] * 4 + [1] * 4
    assert {c.meta["backbone"] for c in (train, *rest)} == {"convnet@9a846be6"}


def test_another_file_makes_other_cells_and_none_is_one_of_ours() -> None:
    methods = ("constant", "sf-map", "untrained")
    keys = [{c.key for c in cells(given, *methods)} for given in (A, B, None)]
    assert [len(k) for k in keys] == [9, 9, 10]
    assert len(set.union(*keys)) == 28


def test_attacks_hang_on_it_by_its_name_and_what_looks_at_no_model_is_the_same_without_it() -> None:
    def attacked(given: str | None) -> list[Cell]:
        asked = Filters(methods=("constant",), seeds=("0-1",), attacks=("probe", "from-scratch"))
        return [c for c in expand(read(QUICK, asked), PRINTS, None, given) if c.meta["kind"] == "attack"]

    mine, ours = attacked(A), attacked(None)
    assert len(mine) == len(ours) == 2 * 3
    held = [c for c in mine if c.meta["parent"]]
    assert {(c.spec["source_model"], c.meta["backbone"]) for c in held} == {(A, "convnet@9a846be6")}
    assert sorted((c.meta["variant"], c.spec["seed"], c.meta["seed"]) for c in held) == [
        ("", 0, 0), ("", 1, 1), ("constant", 0, 0), ("constant", 1, 1),
    ]  # fmt: skip
    blind = [c for c in mine if not c.meta["parent"]]
    assert {c.key for c in blind} == {c.key for c in mine} & {c.key for c in ours}
    assert [(c.spec["backbone"], c.meta["backbone"], c.spec["init"]) for c in blind] == 2 * [
        ("convnet", "convnet", "random")
    ]


def test_imagenet_weights_are_wanted_only_by_what_begins_with_them(tmp_path: Path) -> None:
    path = tmp_path / "quick.yaml"
    text = Path(QUICK).read_text().replace("  vgg11:\n", "  vgg11:\n    init: imagenet\n")
    path.write_text(text)
    for method, attack, wanted in (
        ("constant", "probe", []),
        ("untrained", "none", ["vgg11"]),
        ("constant[start=init]", "none", ["vgg11"]),
        ("constant", "from-scratch", ["vgg11"]),
    ):
        grid = read(str(path), Filters(methods=(method,), backbones=("vgg11",), attacks=(attack,)))
        assert imagenet(grid) == ["vgg11"]
        assert imagenet(grid, given=True) == wanted


@pytest.mark.parametrize("backbone", ["convnet", "resnet18", "swin_t"])
@pytest.mark.parametrize("form", ["pt", "safetensors"])
def test_a_backbones_own_state_fits_it_in_either_form(backbone: str, form: str, tmp_path: Path) -> None:
    path, held = tmp_path / f"mine.{form}", state(backbone)
    torch.save(held, path) if form == "pt" else save_file({k: v.contiguous() for k, v in held.items()}, path)
    net = backbones.build(backbone, 10, 32, 0)
    spec = {"source_model": weights.digest(path), "backbone": backbone, "classes": 10, "image_size": 32}
    source_model.load(net, path, spec)
    assert all(torch.equal(v, held[k]) for k, v in net.state_dict().items())


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in state().items()}
    torch.save(half, tmp_path / "half.pt")
    net = backbones.build("convnet", 10, 32, 0)
    source_model.load(net, tmp_path / "half.pt", {
        "source_model": weights.digest(tmp_path / "half.pt"), "backbone": "convnet", "classes": 10, "image_size": 32,
    })  # fmt: skip
    assert net.classifier.weight.dtype == torch.float32
    assert torch.equal(net.classifier.weight, half["classifier.weight"].float())


def changed(**new: Any) -> Callable[[State], Any]:
    return lambda held: {**held, **{k.replace("__", "."): v for k, v in new.items()}}


NAN = torch.full((10, 128), float("nan"))
MISFITS: list[tuple[Callable[[State], Any], str]] = [
    (changed(classifier__weight=torch.zeros(12, 128)),
     "classifier.weight: expected reals [10, 128], found reals [12, 128]"),
    (changed(classifier__weight=torch.zeros(10, 128, dtype=torch.int8)), "found whole numbers [10, 128]"),
    (changed(extra=torch.zeros(1)), "extra: expected no such tensor, found reals [1]"),
    (lambda s: {k: v for k, v in s.items() if k != "stage2.0.weight"},
     "stage2.0.weight: expected reals [32, 16, 3, 3], found no such tensor"),
    (lambda s: {f"module.{k}": v for k, v in s.items()}, "stage1.0.weight: expected reals [16, 3, 3, 3], f"),
    (changed(classifier__weight=NAN), "classifier.weight has values that are no finite numbers"),
    (lambda s: {"state_dict": s, "epoch": 3}, "'state_dict' is no tensor; expected what torch.save(net.state_"),
    (lambda s: {"stage1.0.weight": subprocess.run}, "cannot be read as weights: expected what torch.save"),
    (lambda s: [*s.values()], "cannot be read as weights: expected what torch.save"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_a_file_that_does_not_fit_is_one_line(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    torch.save(change(state()), path)
    with pytest.raises((UsageError, SuiteError)) as error:
        source_model.check(read(QUICK, Filters()), path, ())
    assert message in str(error.value)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_net_of_another_size_is_told_which_was_expected(mine: Path, tmp_path: Path) -> None:
    grid = tmp_path / "quick.yaml"
    grid.write_text(Path(QUICK).read_text().replace("image_size: 32", "image_size: 64"))
    with pytest.raises(UsageError, match=r"mine.pt does not fit convnet with 10 classes at 64 px: hidden.0.weight: ex"):
        source_model.check(read(str(grid), Filters()), mine, ())


def test_one_file_is_a_model_of_one_backbone_and_one_source(mine: Path) -> None:
    grid = read(QUICK, Filters(backbones=("convnet", "vgg11"), pairs=("uci:uci-m", "uci-m:uci")))
    with pytest.raises(UsageError) as error:
        source_model.check(grid, mine, ())
    assert str(error.value).split("\n") == [
        "--source-model is a model of one backbone, this grid has convnet, vgg11: choose one by -b NAME",
        "--source-model is a model of one source, this grid has uci, uci-m: choose one by -p SOURCE:TARGET",
    ]


def test_a_file_that_is_not_there_is_one_line_and_nothing_is_written(mapbench: Mapbench, tmp_path: Path) -> None:
    fresh = tmp_path / "data"
    done = mapbench("run", QUICK, "--source-model", "nowhere.pt", MAPBENCH_DATA=str(fresh))
    assert done.returncode == 2
    assert done.stderr == f"mapbench: {tmp_path}/here/nowhere.pt: cannot be read (No such file or directory)\n"
    assert not fresh.exists() and list((tmp_path / "here").iterdir()) == []


def test_a_file_that_changes_after_the_plan_is_noticed_and_retry_asks_for_it(
    mapbench: Mapbench, mine: Path, data: Path, tmp_path: Path
) -> None:
    store, good = Store(tmp_path / "out"), mine.read_bytes()
    grid = read(QUICK, Filters(methods=("untrained",)))
    made = plan.make(grid, store, data, tmp_path, mine)
    store.write_plan(expected.as_json(grid, made.cells, None))
    torch.save(state() | {"classifier.bias": torch.ones(10)}, mine)
    context = {"out": str(store.out), "data": str(data), "weights": "", "source_model": str(mine)}
    *_, last = run_cell(context, made.tasks()[0].payload, 1)
    assert last["record"]["status"] == "failed"
    assert f"{mine} is not the file the run was planned with" in last["record"]["error"]

    name = f"f_s convnet@{weights.digest(mine)[:8]}"
    again = ("retry", str(store.out), "--executor", "inline", "--no-mlflow", "--quiet")
    planned = made.cells[0].meta["backbone"]
    for extra, message in (
        ((), f"f_s {planned} comes from a file that was given with --source-model: give it again"),
        (("--source-model", str(mine)), f"{mine} is {name[11:]}, not the file of f_s {planned}: give that one, or use"),
    ):
        done = mapbench(*again, *extra)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    mine.write_bytes(good)
    done = mapbench(*again, "--source-model", str(mine))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_given_model_is_scored_as_it_is_and_never_mixed_with_ours(
    mapbench: Mapbench, mine: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "here" / "runs" / "quick"
    attacks = ("-a", "bn-reestimate[n=20]", "-a", "from-scratch[n=20]")
    asked = (
        "run", QUICK, "-m", "constant", *attacks, "--executor", "inline", "--no-mlflow", "--source-model", str(mine),
    )  # fmt: skip
    first = mapbench(*asked, "-s", "0-1")
    assert first.returncode == 0, first.stdout + first.stderr
    name = f"convnet@{weights.digest(mine)[:8]}"
    assert name in first.stdout
    found = records.winners(records.read_all(out)[0]).values()
    (train,) = (r for r in found if r["cell"]["kind"] == "train")
    kept, held = load_file(out / train["checkpoint"]), state()
    assert kept.keys() == held.keys() and all(torch.equal(kept[k], v) for k, v in held.items())
    net = backbones.build("convnet", 10, 32, 0)
    net.load_state_dict(held)
    suite = strict.read_yaml(Path(QUICK), schema.Suite)
    assert {row["part"] for row in train["accuracy"]} == {"test", "val"}  # no pair is frozen as eligible here
    for row in train["accuracy"]:  # the source's own among them
        part = cache.read(suite, data, 0, row["domain"], row["part"])
        said = logits(net, torch.tensor(part.images)).argmax(1)
        assert row["correct"] == int((said == torch.tensor(part.labels)).sum())
    children = [r for r in found if r["cell"]["kind"] == "protect"]
    assert {r["parent_checkpoint"] for r in children} == {train["checkpoint_sha256"]}
    assert len({r["checkpoint_sha256"] for r in children}) == 2  # two seeds
    attacked = tables.read(out, "attacks").to_pandas()
    beside = attacked[attacked.attack == "bn-reestimate[n=20]"]
    assert set(beside.backbone) == {name} and beside.target_scratch.notna().sum() == len(beside) == 4

    heavy = "import sys; from harness.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: print(*sys.modules)"
    typed = [*asked, "-s", "0-1", "--out", str(out), "--data", str(data)]
    noop = subprocess.run([sys.executable, "-c", heavy, *typed], capture_output=True, text=True, check=True).stdout
    assert noop.startswith("nothing to do: 9 cells done\n") and "torch" not in noop.split()

    ours = mapbench(*asked[:-2])
    assert ours.returncode == 0, ours.stdout + ours.stderr
    assert set(tables.read(out, "pairs").to_pandas().backbone) == {"convnet", name}
    assert f"quick · {name} ·" in ours.stdout and "quick · convnet ·" in ours.stdout
