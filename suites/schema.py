"""The model of a suite file: which keys it has, and what must agree among them. Grid files are harness/grid.py's.

mapbench plan my.yaml     # my.yaml:9: backbone 'vgg12' has no recipe
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from suites import backbones, domains, pairs, splits, strict
from suites.domains import Domain
from suites.errors import SuiteError
from suites.strict import Loc, MisplacedError

Scalar = bool | int | float | str | None
Precision = Literal["fp32", "tf32", "bf16"]  # what each is: harness/numerics.py
FOLDER = Path(__file__).parent
FOLDER_PREFIX = "folder:"


class Recipe(strict.Strict):
    """How one training runs: the unprotected model (`train`) or a protection (`protect`)."""

    optimizer: Literal["adam", "sgd"] = Field(description="adam: betas .9, .999")
    lr: float = Field(gt=0, description="learning rate at the first step")
    momentum: float = Field(0.0, ge=0, lt=1, description="of sgd; adam ignores it")
    weight_decay: float = Field(0.0, ge=0, description="L2 term added to the gradient, in both optimisers")
    batch: int = Field(ge=1, description="images per step and domain")
    epochs: int = Field(ge=1, description="passes over the train part")
    schedule: Literal["linear", "constant", "exponential"] = Field(
        description="per step: linear to 0, constant, or exponential by 0.999 as the published code of NTL and CUTI"
    )
    shift: int = Field(0, ge=0, description="pixels each train image is moved by at most, anew every time it is served")


class Recipes(strict.Strict):
    """The trainings of one backbone, and where they begin."""

    init: Literal["random", "imagenet"] = Field(
        "random", description="initial weights: drawn from the seed, or the publisher's below a head from the seed"
    )
    train: Recipe
    protect: Recipe
    synth: Recipe | None = Field(None, description="of synthesisers; without it, no method that needs one can run")


class Grid(strict.Strict):
    """What `mapbench run SUITE` runs; the command line narrows it."""

    methods: list[str] = Field(min_length=1, description="NAME, NAME[param=value,...] or NAME[tuned]")
    backbones: list[str] = Field(min_length=1)
    pairs: str | list[str] = Field(description="pairs or words for families of them, as suites/pairs.py reads them")
    seeds: list[int] = Field(min_length=1)
    attacks: list[str] = Field([], description="NAME or NAME[param=value,...], on every model that is protected")
    precision: Precision = Field("fp32", description="that training computes in; all that is scored is in fp32")


class Suite(strict.Strict):
    """Domains that share their classes, with the recipes and the default grid."""

    suite: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="its name, which is also the file's")
    version: int = Field(ge=1)
    classes: int = Field(ge=2)
    image_size: int = Field(ge=8, description="pixels, height and width")
    domains: list[str] = Field(min_length=2, description="names, folder:PATH, or {name: folder:PATH}")
    folders: dict[str, str] = Field({}, description="where a user's own domains lie: filled in from `domains`")
    split: splits.Rule = Field("ntlbench", description="sizes of the parts, suites/splits.py")
    split_seed: int = Field(0, ge=0, description="which of the possible splits")
    eligible: list[str] = Field([], description="pairs with (A_t - 1/K)/(1 - 1/K) >= 1/3 on f_s's val accuracy, frozen")
    twins: list[str] = Field([], description="pairs whose images are two renderings of the same originals")
    backbones: list[str] = Field(min_length=1)
    recipes: dict[str, Recipes]
    tuned: dict[str, dict[str, Scalar]] = Field({}, description="what NAME[tuned] stands for, found on val")
    synthesis: dict[str, dict[str, Scalar]] = Field({}, description="params of synthesisers, where not their defaults")
    grid: Grid

    @model_validator(mode="before")
    @classmethod
    def _own_folders(cls, given: Any) -> Any:
        """`folder:PATH` among the domains, as the name of a domain and where it lies."""
        listed, held = (given.get("domains"), given.get("folders") or {}) if isinstance(given, dict) else (None, {})
        if not isinstance(listed, list) or not isinstance(held, dict):
            return given  # which has a mistake that is found later
        names, folders = [], dict(held)
        for i, entry in enumerate(listed):
            name, path = _named(entry, ("domains", i))
            if path is not None:
                if folders.get(name, path) != path:
                    raise MisplacedError(
                        ("domains", i), f"two folders are called {name!r}: write {{a-name: folder:{path}}}"
                    )
                if path in [held for other, held in folders.items() if other != name]:
                    raise MisplacedError(
                        ("domains", i), f"{path!r} is two domains: one's train images are the other's test"
                    )
                folders[name] = path
            names.append(name)
        return {**given, "domains": names, "folders": folders}

    @model_validator(mode="after")
    def _names_agree(self) -> Suite:
        for name in self.folders:
            if name in domains.known():
                i = self.domains.index(name) if name in self.domains else 0
                raise MisplacedError(("domains", i), f"{name!r} is a domain of mapbench: give your folder another name")
        for i, name in enumerate(self.domains):
            try:
                self.domain(name)
            except SuiteError as error:
                raise MisplacedError(("domains", i), str(error)) from None
            if name in self.domains[:i]:
                raise MisplacedError(("domains", i), f"domain {name!r} is listed twice")
        for key, listed in (("eligible", self.eligible), ("twins", self.twins)):
            for i, pair in enumerate(listed):
                if len(self._pairs((key, i), pair)) > 1 or "+" in pair or "*" in pair:
                    raise MisplacedError((key, i), f"cannot read pair {pair!r}; write source:target")
        asked = self.grid.pairs
        for i, pair in enumerate([asked] if isinstance(asked, str) else asked):
            self._pairs(("grid", "pairs") if isinstance(asked, str) else ("grid", "pairs", i), pair)
        for i, name in enumerate(self.backbones):
            if name not in self.recipes:
                raise MisplacedError(("backbones", i), f"backbone {name!r} has no recipe")
        for name, recipes in self.recipes.items():
            if recipes.init == "imagenet" and name in backbones.CARDS and not backbones.CARDS[name].weights:
                raise MisplacedError(("recipes", name, "init"), f"{name} has no ImageNet weights: use random")
            for stage, recipe in (("train", recipes.train), ("protect", recipes.protect), ("synth", recipes.synth)):
                if recipe and recipe.shift >= self.image_size:
                    raise MisplacedError(
                        ("recipes", name, stage, "shift"),
                        f"a shift of {recipe.shift} moves an image of {self.image_size} pixels out of its own frame",
                    )
        for i, name in enumerate(self.grid.backbones):
            if name not in self.backbones:
                raise MisplacedError(("grid", "backbones", i), f"backbone {name!r} is not among the suite's backbones")
        return self

    def domain(self, name: str) -> Domain:
        """A domain by its name: one of ours, or a folder of the user's own."""
        return domains.find(name, self.folders)

    def _pairs(self, loc: Loc, text: str) -> list[pairs.Pair]:
        try:
            return pairs.read(text, self.domains, "the suite")
        except SuiteError as error:
            raise MisplacedError(loc, str(error)) from None


def _named(entry: Any, loc: Loc) -> tuple[Any, str | None]:
    """An entry of `domains` as (name, path of the user's folder or None)."""
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, entry),) = entry.items()
        if not isinstance(entry, str) or not entry.startswith(FOLDER_PREFIX):
            raise MisplacedError(loc, f"domain {name!r} must be `{name}: folder:PATH`, not {entry!r}")
    elif isinstance(entry, str) and entry.startswith(FOLDER_PREFIX):
        name = Path(entry.removeprefix(FOLDER_PREFIX)).name.lower()
    else:
        return entry, None
    path = entry.removeprefix(FOLDER_PREFIX)
    if not path.strip() or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", str(name)):
        raise MisplacedError(loc, f"cannot name the domain of {entry!r}: write {{a-name: folder:PATH}}, a-z 0-9 . _ -")
    return name, path


def builtin() -> list[str]:
    """Names of the suite and grid files that ship with mapbench, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(name: str) -> Path:
    """The file behind a name of `builtin()`, or SuiteError with a did-you-mean."""
    if name not in builtin():
        raise SuiteError(f"unknown suite {name!r}{strict.mean(name, builtin())}; there are {', '.join(builtin())}")
    return FOLDER / f"{name}.yaml"


def is_suite(path: Path) -> bool:
    """True for a suite file (it begins with `suite:`), False for a grid file (`grid:`); SuiteError for all else."""
    node = strict.compose(path)
    first = node.value[0][0].value if isinstance(node, yaml.MappingNode) and node.value else None
    if first not in ("suite", "grid"):
        raise SuiteError(f"{path}:{node.start_mark.line + 1 if node else 1}: the first key must be `suite:` or `grid:`")
    return bool(first == "suite")


def load_suite(name: str) -> Suite:
    """A suite that ships with mapbench. SuiteError for unknown names, grid files, and every mistake in the file."""
    path = find(name)
    if not is_suite(path):
        raise SuiteError(f"{name!r} is a grid file, not a suite; run it with `mapbench run {name}`")
    return strict.read_yaml(path, Suite)
