"""The model of a suite file, and a strict YAML reader that names file and line of every mistake.

    mapbench plan my.yaml     # my.yaml:41: unknown key 'epoch' in recipes.convnet.train; did you mean 'epochs'?

`read_yaml` serves any pydantic model, so grid files are read the same way. YAML is loaded safely and as YAML 1.2 reads
it: 1e-3 is a number, `on` and `no` are words. A key given twice is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from suites import backbones, domains, pairs
from suites.domains import Domain
from suites.errors import SuiteError

Loc = tuple[str | int, ...]
Scalar = bool | int | float | str | None
FOLDER = Path(__file__).parent
FOLDER_PREFIX = "folder:"


class MisplacedError(ValueError):
    """A cross check's finding: raise it in a model validator, and `read_yaml` reports it at the line of `loc`."""

    def __init__(self, loc: Loc, message: str):
        super().__init__(message)
        self.loc = loc


class Strict(BaseModel):
    """Frozen, no unknown keys, no silent conversion (the text "32" is not a number), no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Recipe(Strict):
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


class Recipes(Strict):
    """The trainings of one backbone, and where they begin."""

    init: Literal["random", "imagenet"] = Field(
        "random", description="initial weights: drawn from the seed, or the publisher's below a head from the seed"
    )
    train: Recipe
    protect: Recipe
    synth: Recipe | None = Field(None, description="of synthesisers; without it, no method that needs one can run")


class Grid(Strict):
    """What `mapbench run SUITE` runs; the command line narrows it."""

    methods: list[str] = Field(min_length=1, description="NAME, NAME[param=value,...] or NAME[tuned]")
    backbones: list[str] = Field(min_length=1)
    pairs: str | list[str] = Field(description="pairs or words for families of them, as suites/pairs.py reads them")
    seeds: list[int] = Field(min_length=1)
    attacks: list[str] = Field([], description="NAME or NAME[param=value,...], on every model that is protected")


class Suite(Strict):
    """Domains that share their classes, with the recipes and the default grid."""

    suite: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="its name, which is also the file's")
    version: int = Field(ge=1)
    classes: int = Field(ge=2)
    image_size: int = Field(ge=8, description="pixels, height and width")
    domains: list[str] = Field(min_length=2, description="names, folder:PATH, or {name: folder:PATH}")
    folders: dict[str, str] = Field({}, description="where a user's own domains lie: filled in from `domains`")
    split: Literal["ntlbench", "legacy5k"] = Field("ntlbench", description="sizes of the parts, suites/splits.py")
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
        if not isinstance(given, dict) or not isinstance(given.get("domains"), list):
            return given
        names, folders = [], dict(given.get("folders") or {})
        for i, entry in enumerate(given["domains"]):
            name, path = _named(entry, ("domains", i))
            if path is not None:
                if folders.get(name, path) != path:
                    raise MisplacedError(
                        ("domains", i), f"two folders are called {name!r}: write {{a-name: folder:{path}}}"
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
        raise SuiteError(f"unknown suite {name!r}{_mean(name, builtin())}; there are {', '.join(builtin())}")
    return FOLDER / f"{name}.yaml"


def is_suite(path: Path) -> bool:
    """True for a suite file (it begins with `suite:`), False for a grid file (`grid:`); SuiteError for all else."""
    node = _compose(path)
    first = node.value[0][0].value if isinstance(node, yaml.MappingNode) and node.value else None
    if first not in ("suite", "grid"):
        raise SuiteError(f"{path}:{node.start_mark.line + 1 if node else 1}: the first key must be `suite:` or `grid:`")
    return bool(first == "suite")


def load_suite(name: str) -> Suite:
    """A suite that ships with mapbench. SuiteError for unknown names, grid files, and every mistake in the file."""
    path = find(name)
    if not is_suite(path):
        raise SuiteError(f"{name!r} is a grid file, not a suite; run it with `mapbench run {name}`")
    return read_yaml(path, Suite)


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path, model: type[Model]) -> Model:
    """The file as an instance of `model`. SuiteError names file, line and key of all mistakes, one line each."""
    node = _compose(path)
    if not isinstance(node, yaml.MappingNode):
        raise SuiteError(f"{path}:1: expected keys and values, found {'nothing' if node is None else 'something else'}")
    lines: dict[Loc, int] = {}
    twice = list(_walk(node, (), lines))
    if twice:
        raise SuiteError("\n".join(f"{path}:{line}: {message}" for line, message in twice))
    loader = _Loader("")
    try:
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:  # a tag such as !!python/object
        raise _broken(path, error) from None
    finally:
        loader.dispose()
    try:
        return model.model_validate_json(json.dumps(value, default=str))
    except ValidationError as errors:
        schema = model.model_json_schema()
        found = {_explain(error, schema, lines): None for error in errors.errors(include_url=False)}  # type: ignore[arg-type]
    raise SuiteError("\n".join(f"{path}:{line}: {message}" for line, message in sorted(found)))


class _Loader(yaml.SafeLoader):
    """Safe, with YAML 1.2's idea of what a plain word is; PyYAML follows 1.1, where 1e-3 is text and `no` is False."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own attribute)


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _compose(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _broken(path, error) from None
    except yaml.YAMLError as error:
        raise SuiteError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _broken(path: Path, error: yaml.MarkedYAMLError) -> SuiteError:
    mark = error.problem_mark or error.context_mark
    return SuiteError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}")


def _walk(node: yaml.Node, loc: Loc, lines: dict[Loc, int]) -> Iterator[tuple[int, str]]:
    """Fill in the line of every value, keyed by its place; yield keys that are no text or given twice."""
    lines.setdefault(loc, node.start_mark.line + 1)
    if len(loc) > 20:  # an alias may contain itself
        yield lines[loc], "nested more than 20 deep"
    elif isinstance(node, yaml.SequenceNode):
        for i, child in enumerate(node.value):
            yield from _walk(child, (*loc, i), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            line, place = key.start_mark.line + 1, (*loc, str(key.value))
            if key.tag != "tag:yaml.org,2002:str":
                yield line, f"key {_text(key)} must be a word"
            elif place in lines:
                yield line, f"key {key.value!r} is given twice, first in line {lines[place]}"
            else:
                lines[place] = line
                yield from _walk(child, place, lines)


def _text(node: yaml.Node) -> str:
    return repr(node.value) if isinstance(node, yaml.ScalarNode) else "of this kind"


def _explain(error: dict[str, Any], schema: dict[str, Any], lines: dict[Loc, int]) -> tuple[int, str]:
    """Line and message of one pydantic error."""
    loc: Loc = error["loc"]
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, MisplacedError):
        return lines[_place((*loc, *cause.loc), lines)], str(cause)
    if error["type"] == "extra_forbidden":
        close = _mean(str(loc[-1]), _keys(schema, loc[:-1]))
        return lines[_place(loc, lines)], f"unknown key {str(loc[-1])!r}{_where(loc[:-1])}{close}"
    if error["type"] == "missing":
        return lines[_place(loc[:-1], lines)], f"key {str(loc[-1])!r} is missing{_where(loc[:-1])}"
    loc = _place(loc, lines)
    said = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = f", not {given!r}" if given is None or isinstance(given, bool | int | float | str) else ""
    return lines[loc], f"{'.'.join(map(str, loc)) or 'the file'}: {said[:1].lower()}{said[1:]}{shown}"


def _place(loc: Loc, lines: dict[Loc, int]) -> Loc:
    """`loc` without the steps that are not in the file: a union adds one for each branch (`pairs`, `list[str]`, 0)."""
    place: Loc = ()
    for step in loc:
        place = (*place, step) if (*place, step) in lines else place
    return place


def _where(loc: Loc) -> str:
    return f" in {'.'.join(map(str, loc))}" if loc else ""


def _mean(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _keys(schema: dict[str, Any], loc: Loc) -> list[str]:
    """The keys that the model's JSON schema allows at a place."""
    at = schema
    for step in (*loc, None):
        if "$ref" in at:
            at = schema["$defs"][at["$ref"].rsplit("/", 1)[-1]]
        if step is not None:
            other = at.get("additionalProperties") or at.get("items") or {}
            at = at.get("properties", {}).get(step, other)
    return sorted(at.get("properties", {}))
