"""`init: imagenet`: the publisher's weights below our heads, from a file that is there already; nothing is downloaded.

    recipes: {vgg11: {init: imagenet, train: ..., protect: ...}}        in a suite file
    mapbench run SUITE --weights DIR                                    else MAPBENCH_WEIGHTS, else torch hub's cache

Files are called as torchvision publishes them. The sha256 of the file is part of every cell's key, so a missing one is
said before anything is trained, and another file under the same name makes other cells.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from suites.backbones import card
from suites.errors import SuiteError

if TYPE_CHECKING:
    from torch import Tensor, nn


def hub_cache() -> Path:
    """Where torch.hub keeps checkpoints, found by its own rules, without loading it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser() / "hub" / "checkpoints"


def find(backbone: str, folder: Path) -> Path:
    """The weights file of a backbone. SuiteError says which file is expected, where, and what to do."""
    name = card(backbone).weights
    if name is None:
        raise SuiteError(f"{backbone} has no ImageNet weights: use init: random")
    path = folder / name
    if not path.is_file():
        raise SuiteError(
            f"{backbone} has init: imagenet, but {path} is not there: get it from {url(backbone)}, or name the folder "
            "that has it with --weights or MAPBENCH_WEIGHTS, or use init: random"
        )
    return path


def download(backbone: str, folder: Path) -> Path:
    """Fetch the publisher's file as torch.hub does, which checks what its name says of its sha256; its place.

    OSError or RuntimeError where it cannot."""
    from torch import hub

    name = str(card(backbone).weights)
    folder.mkdir(parents=True, exist_ok=True)
    hub.download_url_to_file(url(backbone), str(folder / name), name.removesuffix(".pth").rsplit("-")[-1])
    return folder / name


def url(backbone: str) -> str:
    """Where torchvision itself would fetch the file."""
    from torchvision import models

    return str(models.get_model_weights(backbone).IMAGENET1K_V1.url)


def fingerprint(backbone: str, folder: Path) -> str:
    """sha256 of the backbone's weights file, 64 hex digits; SuiteError where it is missing or cannot be read."""
    return digest(find(backbone, folder))


def digest(path: Path) -> str:
    """sha256 of any file, 64 hex digits; SuiteError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read ({error.strerror})") from None


def flags(backbone: str, init: str) -> list[str]:
    """`not-the-publishers`, for the board, when a cell's `init` is a file whose sha256 is not what its name says:
    torchvision's names end in the first 8 digits of it."""
    wanted = (card(backbone).weights or "").removesuffix(".pth").rsplit("-")[-1]
    kind, _, sha256 = init.partition(":")
    return ["not-the-publishers"] if kind == "imagenet" and not sha256.startswith(wanted) else []


def load(net: nn.Module, backbone: str, folder: Path, sha256: str) -> None:
    """Put the publisher's weights into `net`, all but the head's, which stay as the seed drew them.

    SuiteError when the file is not the one of that sha256, or does not fit the net exactly."""
    path = find(backbone, folder)
    state = dict(_body(path, sha256, card(backbone).head))
    try:
        if "encoder.pos_embedding" in state:  # of 14x14 patches: stretched to the net's own grid, as torchvision does
            from torchvision.models.vision_transformer import interpolate_embeddings

            state = interpolate_embeddings(net.image_size, net.patch_size, state)  # type: ignore[arg-type]
        result = net.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError, KeyError) as error:  # shapes
        raise SuiteError(f"{path} does not fit {backbone}: {' '.join(str(error).split())}") from None
    missing = [key for key in result.missing_keys if not key.startswith(card(backbone).head)]
    if missing or result.unexpected_keys:
        said = f"misses {missing[0]}" if missing else f"has {result.unexpected_keys[0]}, which the net has not"
        raise SuiteError(f"{path} does not fit {backbone}: it {said}")


@lru_cache(maxsize=1)  # a worker's cells mostly share a backbone; some hundred MB each, so no more than one
def _body(path: Path, sha256: str, head: str) -> dict[str, Tensor]:
    """The publisher's tensors, without its 1000-class head."""
    return {key: value for key, value in tensors(path, sha256).items() if not key.startswith(head)}


def tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """A file's tensors by name, on the CPU: safetensors, or a state_dict that torch.save wrote. Nothing in it is run.

    SuiteError when the file is not the one of that sha256, or holds anything else."""
    import torch
    from safetensors.torch import load_file

    if digest(path) != sha256:
        raise SuiteError(f"{path} is not the file the run was planned with: run the same command again")
    form = "safetensors" if path.suffix == ".safetensors" else "what torch.save(net.state_dict(), FILE) writes"
    try:
        state = load_file(path) if form == "safetensors" else torch.load(path, map_location="cpu", weights_only=True)
        foreign = [key for key, value in state.items() if not isinstance(value, torch.Tensor)]
    except Exception as error:  # what a broken file raises depends on where it is broken
        raise SuiteError(f"{path} cannot be read as weights: expected {form} ({type(error).__name__})") from None
    if foreign:
        raise SuiteError(f"{path} cannot be read as weights: {foreign[0]!r} is no tensor; expected {form}")
    return dict(state)
