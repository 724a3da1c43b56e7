"""`--source-model FILE`: a model of the user's own stands where f_s would be trained.

    mapbench run digits-mini --source-model mine.safetensors -p uci:print -m sf-map -m df-map

FILE holds the state_dict of one of `mapbench list backbones`, as safetensors or as torch.save wrote it. In the train
cell's spec its sha256 stands instead of seed, recipe and init, which had no part in it: so its seeds share one f_s, and
what hangs on it is drawn from their own. Where people read, the backbone is called `convnet@` and the first digits of
the sha256, so that no board mixes it with models that were trained here. What it was trained on cannot be known: test
images that it has seen speak for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import UsageError
from harness.grid import Grid
from suites import backbones
from suites.backbones import weights

if TYPE_CHECKING:
    from torch import Tensor, nn

FIELDS = ("source_model", "backbone", "classes", "image_size")  # of a spec: what decides whether a file fits
HEX = 8  # digits of the sha256 that people read


def called(backbone: str, sha256: str | None) -> str:
    """The backbone as tables and boards call it."""
    return f"{backbone}@{sha256[:HEX]}" if sha256 else backbone


def check(grid: Grid, path: Path, known: Iterable[Mapping[str, Any]]) -> str:
    """The sha256 of the grid's f_s. UsageError or SuiteError unless it is the one model that the grid can stand on.

    `known` are the specs of ok cells: a file that has been loaded once is not loaded again, and so neither is torch."""
    nets = {backbone for part in grid.parts for backbone in part.backbones}
    sources = {source for part in grid.parts for source, _ in part.pairs}
    mistakes = [
        f"--source-model is a model of one {what}, this grid has {', '.join(sorted(names))}: choose one by {how}"
        for what, names, how in (("backbone", nets, "-b NAME"), ("source", sources, "-p SOURCE:TARGET"))
        if len(names) > 1
    ]
    if mistakes:
        raise UsageError("\n".join(mistakes))
    (backbone,), sha256 = nets, weights.digest(path)
    fitted = {tuple(spec.get(name) for name in FIELDS) for spec in known}
    for suite in {(part.suite.classes, part.suite.image_size) for part in grid.parts}:
        if (sha256, backbone, *suite) not in fitted:
            _fitting(path, sha256, backbone, *suite)
    return sha256


def load(net: nn.Module, path: Path, spec: Mapping[str, Any]) -> None:
    """Put the user's f_s into `net`, which is of the backbone that the train cell's spec names.

    UsageError or SuiteError as `check`, and where the file is no longer the one that was planned with."""
    net.load_state_dict(_fitting(path, *(spec[name] for name in FIELDS)))


def check_again(path: Path | None, spec: Mapping[str, Any]) -> None:
    """UsageError unless `path` is the file of this train cell, which is read once more."""
    who = f"f_s {called(spec['backbone'], spec['source_model'])}"
    if path is None:
        raise UsageError(f"{who} comes from a file that was given with --source-model: give it again")
    if (found := weights.digest(path)) != spec["source_model"]:
        raise UsageError(f"{path} is @{found[:HEX]}, not the file of {who}: give that one, or use run")


def _fitting(path: Path, sha256: str, backbone: str, classes: int, image_size: int) -> dict[str, Tensor]:
    """The file's tensors, which have the names and shapes of the net's; UsageError names the first that has not."""
    import torch

    with torch.device("meta"):  # shapes alone
        wanted = backbones.build(backbone, classes, image_size, 0).state_dict()
    state = weights.tensors(path, sha256)
    for name in (*wanted, *state):
        mine, given = wanted.get(name), state.get(name)
        if _form(mine) != _form(given):
            raise UsageError(
                f"{path} does not fit {backbone} with {classes} classes at {image_size} px: {name}: "
                f"expected {_form(mine)}, found {_form(given)}; save the state_dict of a net made by "
                f"suites.backbones.build({backbone!r}, {classes}, {image_size}, seed)"
            )
        if not torch.isfinite(state[name]).all():
            raise UsageError(f"{path}: {name} has values that are no finite numbers: f_s would answer nothing")
    return state


def _form(tensor: Tensor | None) -> str:
    """What has to agree: the shape, and whether it is of real numbers (of any precision, read as float32) or whole."""
    if tensor is None:
        return "no such tensor"
    return f"{'reals' if tensor.is_floating_point() else 'whole numbers'} {list(tensor.shape)}"
