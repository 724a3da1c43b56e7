"""A user's checkout of the authors' own code, in place of the plain published form, part by part.

    git clone https://github.com/conditionWang/NTL /tmp/NTL
    PYTHONPATH=. .venv/bin/python tests/bench/ratios.py --peer /tmp/NTL

Knows conditionWang/NTL, LyWang12/CUTI-Domain and tmllab/NTLBench by their files. None has a licence, so no line of
theirs is here: their functions and classes are compiled from the user's files, one by one, since the files themselves
want GPUs, data and packages that a benchmark has no use for. Their files are not changed; `.cuda()` is never reached
by what is used. What their scripts have inline, the step around net and loss, is ours (published.py).
"""

from __future__ import annotations

import ast
import contextlib
import io
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils import data
from torch.utils.data import Dataset
from torchvision import transforms

from tests.bench.published import Labelled, Published, Tally


class UnknownPeer(Exception):
    """A folder that is none of the three; says which they are."""


# what their files import under these names
NAMES: dict[str, Any] = {
    "torch": torch, "nn": nn, "F": F, "np": np, "data": data, "transforms": transforms, "Image": Image,
    "random": random, "device": torch.device("cpu"),
}  # fmt: skip


def taken(file: Path, *names: str, **given: Any) -> SimpleNamespace:
    """The top-level classes, functions and assignments of these names, and no other line of a file; `given` are further
    names that they look up."""
    tree = ast.parse(file.read_text(), str(file))
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {target.id: node for target in node.targets if isinstance(target, ast.Name)}
    if missing := [name for name in names if name not in found]:
        raise UnknownPeer(f"{file} has no {', '.join(missing)}: not the version that is known here")
    space = {**NAMES, **given, "__name__": f"peer:{file.name}"}
    exec(compile(ast.Module([found[name] for name in names], []), str(file), "exec"), space)
    return SimpleNamespace(**{name: space[name] for name in names})


class Peer(Published, ABC):
    """What the three have in common: a VGG class, and a data set class that holds lists."""

    files: tuple[str, ...]
    training = "combined_training"  # the mode in which their data set pairs source and target

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def _vgg(self) -> type[nn.Module]:
        """Their class of net."""

    @abstractmethod
    def _dataset(self, size: int) -> Callable[..., Any]:
        """Their data set for images of this size, and its own transform."""

    def net(self, features: nn.Sequential, head: nn.Module, method: str) -> nn.Module:
        """Their VGG over our layers; its own head is of one width only."""
        net = self._vgg()(features, num_classes=10, init_weights=False)
        net.classifier1 = head
        return net

    def transform(self, size: int) -> Callable[[np.ndarray], Tensor]:
        blank = (np.zeros((1, 1, 1, 3), np.uint8), np.zeros((1, 1), np.int64))
        return self.single(blank, size).transform  # type: ignore[attr-defined]

    def paired(self, source: Labelled, target: Labelled, size: int) -> Dataset:
        n = len(source[0])
        made = self._dataset(size)(mode=self.training, dataset_1=source, size1=n, dataset_2=target, size2=n)
        # it shuffles once as it is made; both sides are to have the same batches
        made.list_img1, made.list_label1, made.list_img2, made.list_label2 = *source, *target
        return made

    def single(self, part: Labelled, size: int) -> Dataset:
        return self._dataset(size)(mode="val", dataset_1=part, size1=len(part[0]))


class Scripted(Peer):
    """NTL and CUTI: a script with everything in it, and getdata.py, whose image size is a constant."""

    script: str
    getdata: str

    def _vgg(self) -> type[nn.Module]:
        return taken(self.root / self.script, "CUTI", "VGG", "calc_ins_mean_std").VGG

    def _dataset(self, size: int) -> Callable[..., Any]:
        return taken(self.root / self.getdata, "dataTransform", "Cus_Dataset", IMAGE_SIZE=size).Cus_Dataset

    def validate(self, batches: Iterable[tuple[Tensor, Tensor]], net: nn.Module, classes: int) -> Tally:
        """Theirs keeps its counts by class to itself and prints the accuracy."""
        held = Sized(batches)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self._validate_class()(held, net, 0, num_class=classes)
        accuracy = re.search(r"Ave_Accuracy: ([\d.]+)%", printed.getvalue())
        assert accuracy, printed.getvalue()
        return Tally(round(float(accuracy[1]) / 100 * held.total), held.total)

    def _validate_class(self) -> Callable[..., Any]:
        if not hasattr(self, "_counted"):
            self._counted = taken(self.root / self.script, "validate_class").validate_class
        return self._counted


class Sized:
    """Batches that remember how many images they had."""

    def __init__(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        self.batches, self.total = batches, 0

    def __iter__(self) -> Any:
        for images, labels in self.batches:
            self.total += len(labels)
            yield images, labels


class NTL(Scripted):
    name = "conditionWang/NTL"
    files = ("src/ntl/ntl_digit.py", "src/ntl/getdata.py")
    script, getdata = files
    covers = frozenset({"R1", "R2", "R3", "R4", "R6"})

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.mmd_loss = taken(root / self.script, "MMD_loss").MMD_loss

    def _vgg(self) -> type[nn.Module]:
        return taken(self.root / self.script, "VGG").VGG

    def mmd(self, x: Tensor, y: Tensor) -> Tensor:
        return self.mmd_loss()(x, y)  # made anew at each step, as theirs is

    def both(self, net: nn.Module, x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return net(x_s, x_t)


class CUTI(Scripted):
    name = "LyWang12/CUTI-Domain"
    files = ("train_ts_digit.py", "utils/getdata.py")
    script, getdata = files
    training = "train"
    covers = frozenset({"R3", "R5", "R6"})

    def even(self, net: nn.Module, x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
        return net(x_s, x_t, 0)


class NTLBench(Peer):
    """Its accuracy is counted by vector operations and not by class, so there is no R6 to compare. Its trainer zips two
    loaders; here source and target come from the paired mode of its data set, which does the same to each image."""

    name = "tmllab/NTLBench"
    files = ("pretrain/trainer_NTL.py", "pretrain/trainer_CUTI.py", "models/ntl_vggnet.py")
    covers = frozenset({"R1", "R2", "R3", "R4", "R5"})

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.mmd_loss = taken(root / self.files[0], "MMD_loss").MMD_loss
        self.forward_even = taken(root / self.files[1], "forward_CUTI").forward_CUTI
        # only the part of its package that an evaluator is made of
        metric = taken(root / "utils/metrics/stream_metrics.py", "Metric", "MetricCompose", ABC=object,
                       abstractmethod=lambda f: f, Mapping=dict)  # fmt: skip
        parts = {"MetricCompose": metric.MetricCompose}
        for file, name in (("accuracy", "TopkAccuracy"), ("running_average", "RunningLoss")):
            parts |= vars(taken(root / f"utils/metrics/{file}.py", name, Metric=metric.Metric))
        self.evaluator = taken(
            root / "utils/evaluators.py", "Evaluator", "classification_evaluator",
            metrics=SimpleNamespace(**parts), tqdm=lambda rows, disable: rows,
        ).classification_evaluator  # fmt: skip

    def _vgg(self) -> type[nn.Module]:
        return taken(self.root / self.files[2], "VGG").VGG

    def _dataset(self, size: int) -> Callable[..., Any]:
        kind = taken(self.root / "utils/ntl_utils/getdata.py", "Cus_Dataset").Cus_Dataset
        return lambda **given: kind(config=SimpleNamespace(image_size=size), **given)

    def mmd(self, x: Tensor, y: Tensor) -> Tensor:
        return self.mmd_loss()(x, y)

    def both(self, net: nn.Module, x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return net(x_s, x_t)

    def even(self, net: nn.Module, x_s: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_even(net, x_s, x_t, 0)

    def validate(self, batches: Iterable[tuple[Tensor, Tensor]], net: nn.Module, classes: int) -> Tally:
        net.eval()
        held = Sized(batches)
        (top1, _), _loss = self.evaluator(held, (1, 5))(net, device=torch.device("cpu")).values()
        net.train()
        return Tally(round(top1 / 100 * held.total), held.total)


KNOWN: tuple[type[Peer], ...] = (NTLBench, NTL, CUTI)


def recognised(root: Path) -> Peer:
    """The peer whose files a folder has."""
    for kind in KNOWN:
        if all((root / file).is_file() for file in kind.files):
            return kind(root)
    told = "; ".join(f"{kind.name} has {', '.join(kind.files)}" for kind in KNOWN)
    raise UnknownPeer(f"{root} is no checkout of a peer that is known here: {told}")
