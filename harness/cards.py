"""Finds the methods, and reads what each declares without loading torch twice: a card per file, cached by its hash.

    mapbench list methods

Discovery is by folder: every class in `methods/**.py`, in `--methods PATH`, or behind an entry point
`mapbench.methods`, that subclasses `methods.base.Method` (synthesisers and attacks do) and has a name. A name taken
twice is refused. A wrong command line is a UsageError; what a method's file gets wrong is a MethodError, which
`mapbench check` shows as a failed check.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import re
import sys
import tempfile
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import cache
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType
from typing import Any, get_args, get_type_hints

from harness import UsageError
from harness.params import IMAGES, OURS, START, declared, typed
from methods import MethodError

NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"  # nothing that NAME[param=value,...], a shell or a file name would read otherwise
NOUNS = {"protect": "method", "synth": "synthesiser", "attack": "attack"}


@dataclass(frozen=True)
class Card:
    """A method as planning sees it; `params` are as harness/params.py has them."""

    name: str
    kind: str  # the kind of its cells: protect | synth | attack
    version: int
    scenario: str
    target: str
    source: str
    control: bool
    fidelity: str
    fidelities: dict[str, dict[str, Any]]  # beside its own: what NAME[fidelity=...] sets
    start: str
    smallest_tap: int
    inputs: tuple[str, ...]  # synthesisers it is served by
    beside: str  # the method whose cell it hangs on, or ""
    plain: bool
    blind: bool  # an attack that looks at no model
    share: float  # of the recipe's epochs; 1 but for synthesisers
    summary: str
    params: tuple[dict[str, Any], ...]
    file: str
    sha256: str
    qualname: str

    def check(self, given: dict[str, Any], where: str) -> dict[str, Any]:
        """All params, defaults filled in and `given` ones checked and typed. UsageError names the wrong one.

        `fidelity` is no param that a method sees: it stands for a set of them, and each can be given beside it."""
        ours = IMAGES if self.kind == "attack" else {**START, "default": self.start}
        known = {p["name"]: p for p in (*self.params, ours)}
        values = {name: p["default"] for name, p in known.items()}
        followed, choices = given.get("fidelity", self.fidelity), [self.fidelity, *self.fidelities]
        if followed not in choices:
            only = f"be one of {', '.join(choices)}" if self.fidelities else f"be {self.fidelity}: there is no other"
            raise UsageError(f"{where}: fidelity of {self.name} must {only}; got {followed!r}")
        values |= self.fidelities.get(followed, {})
        for name, raw in given.items():
            if name == "fidelity":
                continue
            if name not in known:
                close = get_close_matches(name, known, 1)
                hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
                raise UsageError(f"{where}: {self.name} has no param {name!r}: {hint}")
            values[name] = typed(known[name], raw, f"{where}: param {name} of {self.name}")
        served = self.inputs or self.beside or self.kind == "synth"
        if served and values.get("start") == "init":
            raise UsageError(f"{where}: {self.name} cannot start from init: f_s is all that it has of the source")
        return values

    def follows(self, params: dict[str, Any]) -> str:
        """The fidelity of a set of params: the one whose own params they all hold, else the method's."""
        held = (name for name, own in self.fidelities.items() if own.items() <= params.items())
        return next(held, self.fidelity)

    def keyed(self, params: dict[str, Any]) -> dict[str, Any]:
        """The params as they stand in a key: without those that came later (methods.base.param) and are as before."""
        later = {p["name"]: p["default"] for p in self.params if p.get("later")}
        return {name: value for name, value in params.items() if name not in later or value != later[name]}


def card_of(said: dict[str, Any]) -> Card:
    """A card out of its JSON, which knows no tuples."""
    return Card(**{**said, "params": tuple(said["params"]), "inputs": tuple(said["inputs"])})


def cards(extra: tuple[str, ...] = ()) -> dict[str, Card]:
    """Every method by name. `extra` are the files or folders of `--methods`."""
    found: dict[str, Card] = {}
    given = [Path(e).expanduser().resolve() for e in extra]
    for path in _files(extra):
        held = _read(path)
        if not held and path in given:
            raise MethodError(f"{path} has no method: subclass methods.base.Method there and give the class a `name`")
        for card in held:
            other = found.get(card.name)
            if other and (other.file, other.qualname) != (card.file, card.qualname):
                raise MethodError(
                    f"method name {card.name!r} is taken twice: in {other.file} and {card.file}; choose another"
                )
            found[card.name] = card
    return found


def find(name: str, known: dict[str, Card], where: str, noun: str = "method") -> Card:
    """The card of a method (or whatever `noun` calls it), or UsageError with a did-you-mean."""
    if name in known:
        return known[name]
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(known))}"
    raise UsageError(f"{where}: unknown {noun} {name!r}: {hint}")


def load(card: Card, params: dict[str, Any]) -> Any:
    """The method itself, ready for setup, without the harness's own params; imports torch."""
    if hashlib.sha256(Path(card.file).read_bytes()).hexdigest() != card.sha256:
        raise UsageError(f"{card.file} changed since the run was planned: run the same command again")
    cls = next(c for c in _classes(card.file, card.sha256) if c.__qualname__ == card.qualname)
    return cls(cls.Params(**{k: v for k, v in params.items() if k not in OURS}))


def _files(extra: tuple[str, ...]) -> list[Path]:
    home = Path(importlib.import_module("methods").__file__ or "").parent
    files = [p for p in sorted(home.rglob("*.py")) if p.name != "__init__.py" and "__pycache__" not in p.parts]
    for given in extra:
        path = Path(given).expanduser().resolve()
        if not path.exists():
            raise UsageError(f"--methods {given}: no such file or folder")
        files += sorted(path.glob("*.py")) if path.is_dir() else [path]
    for point in entry_points(group="mapbench.methods"):
        try:
            spec = importlib.util.find_spec(point.module)
        except ImportError:  # its parent package is not there
            spec = None
        if not spec or not spec.origin:
            raise MethodError(f"entry point {point.name} = {point.value}: no such module; mend its package")
        files.append(Path(spec.origin))
    return files


def _read(path: Path) -> list[Card]:
    """The cards of one file, from the cache beside its byte code (or in the temporary directory), else by importing."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"{path.stem}.{hashlib.sha256((digest + _house()).encode()).hexdigest()[:16]}.card.json"
    private = Path(tempfile.gettempdir()) / f"mapbench-cards-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    places = [path.parent / "__pycache__" / name, private / hashlib.sha256(str(path).encode()).hexdigest()[:16] / name]
    for place in places:
        try:
            cached = json.loads(place.read_text())
            if all(c["sha256"] == digest and c["file"] == str(path) for c in cached):
                return [card_of(c) for c in cached]
        except (OSError, ValueError, TypeError, KeyError):
            continue
    made = [_card(cls, path, digest) for cls in _classes(str(path), digest)]
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = place.with_name(f".{os.getpid()}.{name}")
            temporary.write_text(json.dumps([asdict(c) for c in made]))
            temporary.replace(place)
            break
        except OSError:
            continue
    return made


@cache
def _house() -> str:
    """Hash of all our method files and this one: a card also depends on what its class inherits."""
    home = Path(importlib.import_module("methods").__file__ or "").parent
    files = [*sorted(home.rglob("*.py")), Path(__file__)]
    return hashlib.sha256(b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files)).hexdigest()


class _Fresh(SourceFileLoader):
    """Reads the source, never the byte code beside it: that knows a file by its second and its size."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


@cache
def _classes(file: str, digest: str) -> list[Any]:
    """Method classes defined in this very file. Our own are imported by their package name, a user's by file and its
    content: in a session that goes on, an edited file is another one."""
    home = Path(importlib.import_module("methods").__file__ or "").parent
    path = Path(file)
    if path.is_relative_to(home):
        name = ".".join(["methods", *path.relative_to(home).with_suffix("").parts])
        module = importlib.import_module(name)
    else:
        mark = hashlib.sha256(f"{file} {digest}".encode()).hexdigest()[:8]
        name = f"mapbench_user_{path.stem}_{mark}"
        spec = importlib.util.spec_from_file_location(name, path, loader=_Fresh(name, file))
        if path.suffix != ".py" or not spec or not spec.loader:
            raise MethodError(f"{file} is no Python file: its name must end in .py")
        module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            sys.modules.pop(name, None)
            raise MethodError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    from methods.base import Method

    own = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Method) and "name" in vars(c)]
    return [c for c in own if c.__module__ == name]


def _card(cls: Any, path: Path, digest: str) -> Card:
    _declared(cls, str(path))
    hints = get_type_hints(cls.Params)
    params = tuple(
        declared(f, hints[f.name], f"{path}: {cls.__qualname__}.Params.{f.name}") for f in fields(cls.Params)
    )
    return Card(
        name=cls.name, kind=_cells(cls), version=cls.version,
        scenario=cls.needs.scenario, target=cls.needs.target, source=cls.needs.source, control=cls.control,
        fidelity=cls.fidelity, fidelities={name: dict(own) for name, own in cls.fidelities.items()}, start=cls.start,
        smallest_tap=cls.smallest_tap, inputs=cls.inputs, beside=cls.beside, plain=cls.plain,
        blind=getattr(cls, "blind", False), share=getattr(cls, "share", 1.0), params=params, file=str(path),
        sha256=digest, qualname=cls.__qualname__,
        summary=(sys.modules[cls.__module__].__doc__ or "").strip().split("\n")[0],
    )  # fmt: skip


def _cells(cls: Any) -> str:
    """The kind of a class's cells."""
    from methods.attacks import Attack
    from methods.synthesis import Synthesiser

    return "attack" if issubclass(cls, Attack) else "synth" if issubclass(cls, Synthesiser) else "protect"


def _declared(cls: Any, where: str) -> None:
    """MethodError for the first thing a class declares that the contract (methods/base.py) does not allow."""
    from methods.attacks import AttackNeeds
    from methods.base import Needs, Supply

    kind = _cells(cls)

    def must(holds: Any, what: str) -> None:
        if not holds:
            raise MethodError(f"{where}: {cls.__qualname__}.{what}")

    must(isinstance(cls.name, str) and re.fullmatch(rf"{NAME}(\+{NAME})*" if kind == "attack" else NAME, cls.name),
         f"name must be small letters and digits, joined by hyphens, got {cls.name!r}")  # fmt: skip
    must(type(cls.version) is int and cls.version > 0, f"version must be a whole number from 1, got {cls.version!r}")
    must(isinstance(cls.needs, Needs) and {cls.needs.source, cls.needs.target} <= set(get_args(Supply)),
         f"needs must be Needs(source=..., target=...), each one of {', '.join(get_args(Supply))}, got {cls.needs!r}",
    )  # fmt: skip
    allowed = [AttackNeeds(target="labelled"), AttackNeeds(target="unlabelled")]  # the rest is the owner's
    must(kind != "attack" or cls.needs in allowed,
         f"needs must be {' or '.join(map(repr, allowed))}, an attack has nothing else; got {cls.needs!r}")  # fmt: skip
    must(cls.start in START["choices"], f"start must be one of source, init, got {cls.start!r}")
    must(cls.plain or cls.control or kind == "synth",
         "plain = False is for controls only: protect the net as it is")  # fmt: skip
    must(isinstance(cls.inputs, tuple) and all(isinstance(name, str) for name in cls.inputs),
         f"inputs must be a tuple of synthesisers' names, got {cls.inputs!r}")  # fmt: skip
    share = getattr(cls, "share", 1.0)
    must(isinstance(share, (int, float)) and 0 < share <= 1,
         f"share must be a number above 0 and up to 1, a part of the recipe's epochs, got {share!r}")  # fmt: skip
    must(isinstance(cls.beside, str), f"beside must be a method's name, got {cls.beside!r}")
    made = vars(cls.Params).get("__dataclass_params__")  # of this very class: one that lost its decorator has none
    must(made is not None and made.frozen, "Params must be a dataclass(frozen=True)")
    for name, own in cls.fidelities.items():
        unknown = ", ".join(own.keys() - {f.name for f in fields(cls.Params)})
        must(name != cls.fidelity and own and not unknown,
             f"fidelities[{name!r}] must be another name than {cls.fidelity!r} and set params of the method; "
             f"unknown: {unknown or 'none'}",
        )  # fmt: skip
