"""Reads what a person asked for (a suite, a grid file, filters); harness/forest.py expands it into cells.

    mapbench plan digits-mini -m 'sa-map[cap=sample]' -p uci-m:uci -s 0-2

A suite file is a grid too: its `grid:` section. A grid file names suites and what to run on each. All mistakes are
collected and reported at once, each in one line, before any data is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from harness import UsageError, numerics
from harness.cards import NOUNS, Card, cards, find
from suites import SuiteError, backbones, schema, splits, strict
from suites import pairs as pairing
from suites.domains import watermarks


class GridPart(strict.Strict):
    """What to run on one suite; whatever is left out is the suite's own default grid."""

    suite: str
    methods: list[str] | None = None
    backbones: list[str] | None = None
    pairs: str | list[str] | None = None
    seeds: list[int] | None = None
    attacks: list[str] | None = None  # []: none
    split: splits.Rule | None = None  # other sizes of the parts: a suite of its own on the board
    split_seed: int | None = None
    score: Literal["test", "val"] = "test"  # val: choosing settings; test stays unread
    timeout: Annotated[float, Field(gt=0)] | None = None  # seconds a cell may take
    watermarks: list[Annotated[int, Field(ge=1, le=255)]] | None = None  # every domain also with a patch of each value
    precision: schema.Precision | None = None  # that training computes in (harness/numerics.py)


class GridFile(strict.Strict):
    """A grid file: a name and its parts."""

    grid: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    grids: list[GridPart] = Field(min_length=1)


@dataclass(frozen=True)
class Filters:
    """-m/-b/-p/-s/-a and --precision as typed; empty means the grid's own. What is named need not be in the grid."""

    methods: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    extra_methods: tuple[str, ...] = ()
    precision: str | None = None


@dataclass(frozen=True)
class Variant:
    """A method or an attack with all its params; `name` carries those that differ from the defaults."""

    card: Card
    params: dict[str, Any]
    tuned: bool
    beside: Variant | None = None  # the method that a control hangs on, at the settings the control names

    @property
    def name(self) -> str:
        follows = self.card.follows(self.params)
        defaults = self.card.check({"fidelity": follows}, "")
        changed = [f"fidelity={follows}"] if follows != self.card.fidelity else []
        changed += [f"{k}={_text(v)}" for k, v in self.params.items() if v != defaults[k]]
        return f"{self.card.name}[{','.join(changed)}]" if changed else self.card.name

    def unfit(self, backbone: str, suite: schema.Suite) -> str | None:
        """Why it, or what it stands beside, cannot run on a backbone, or None."""
        return unfit(self.card, backbone, suite) or (self.beside.unfit(backbone, suite) if self.beside else None)


@dataclass(frozen=True)
class Part:
    """One grid part with everything looked up and checked."""

    suite: schema.Suite
    variants: tuple[Variant, ...]
    backbones: tuple[str, ...]
    pairs: tuple[tuple[str, tuple[str, ...]], ...]
    seeds: tuple[int, ...]
    split_seed: int
    score: str
    timeout: float | None
    attacks: tuple[Variant, ...]
    synthesis: dict[str, tuple[Card, dict[str, Any]]]  # every synthesiser, with the suite's params
    precision: str


@dataclass(frozen=True)
class Grid:
    """A named list of parts, ready to be expanded once the data's fingerprints are known."""

    name: str
    parts: tuple[Part, ...]

    @cached_property
    def suites(self) -> dict[str, dict[str, Any]]:
        """The suites as they were asked for: kept in plan.json, for the tables, the board and `retry`."""
        found: dict[str, dict[str, Any]] = {}
        for suite in (p.suite for p in self.parts):
            before = found.get(suite.suite, {}).get("domains", ())  # parts may differ in their watermarks
            domains = list(dict.fromkeys([*before, *suite.domains]))
            found[suite.suite] = {**suite.model_dump(mode="json"), "domains": domains}
        return found


def _path(target: str) -> Path:
    if not target.endswith((".yaml", ".yml")):
        return schema.find(target)
    if not Path(target).is_file():
        raise UsageError(f"{target}: no such file")
    return Path(target)


def read(target: str, filters: Filters = Filters()) -> Grid:
    """The grid behind a suite's name or a YAML file, with filters applied. UsageError lists every mistake."""
    path = _path(target)
    if schema.is_suite(path):
        suite = strict.read_yaml(path, schema.Suite)
        return Grid(suite.suite, (_part(GridPart(suite=suite.suite), suite, filters, str(path.name)),))
    file = strict.read_yaml(path, GridFile)
    parts, errors = [], []
    for part in file.grids:
        try:
            parts.append(_part(part, schema.load_suite(part.suite), filters, path.name))
        except (UsageError, SuiteError) as error:
            errors += str(error).split("\n")
    if errors:
        raise UsageError("\n".join(dict.fromkeys(errors)))
    return Grid(file.grid, tuple(parts))


def suites(target: str) -> list[tuple[schema.Suite, int, tuple[str, ...]]]:
    """The suites of a suite's name or a YAML file, each once, with its split_seed and the backbones that run on it;
    methods are not looked at."""
    path = _path(target)
    if schema.is_suite(path):
        suite = strict.read_yaml(path, schema.Suite)
        return [(suite, suite.split_seed, tuple(suite.grid.backbones))]
    found: dict[tuple[str, int], tuple[schema.Suite, tuple[str, ...]]] = {}
    for part in strict.read_yaml(path, GridFile).grids:
        suite = _suite(part, schema.load_suite(part.suite))
        at = suite.suite, suite.split_seed if part.split_seed is None else part.split_seed
        before, nets = found.get(at, (suite, ()))  # parts may differ in their watermarks and backbones
        domains = list(dict.fromkeys([*before.domains, *suite.domains]))
        nets = tuple(dict.fromkeys([*nets, *(_backbone(suite, b) for b in part.backbones or suite.grid.backbones)]))
        found[at] = suite.model_copy(update={"domains": domains}), nets
    return [(suite, seed, nets) for (_, seed), (suite, nets) in found.items()]


def _suite(part: GridPart, suite: schema.Suite) -> schema.Suite:
    """The suite as a part of a grid has it: with watermark domains, and under a name of its own where its parts have
    other sizes, because such rows may not stand on one board; which pairs are eligible is not known there."""
    changes: dict[str, Any] = {"domains": [*suite.domains, *watermarks(suite.domains, part.watermarks or ())]}
    if part.split not in (None, suite.split):
        changes |= {"suite": f"{suite.suite}-{part.split}", "split": part.split, "eligible": []}
    return suite.model_copy(update=changes)


def _part(part: GridPart, suite: schema.Suite, filters: Filters, where: str) -> Part:
    errors: list[str] = []
    known = cards(filters.extra_methods)
    suite = _suite(part, suite)

    def collect(make: Any, items: Iterable[Any]) -> tuple[Any, ...]:
        made = []
        for item in items:
            try:
                made.append(make(item))
            except (UsageError, SuiteError) as error:
                errors.append(str(error))
        return tuple(made)

    said = "command line" if filters.methods else where
    variants = collect(
        lambda text: variant(text, known, suite, said), filters.methods or part.methods or suite.grid.methods
    )
    nets = collect(
        lambda name: _backbone(suite, name),
        filters.backbones or part.backbones or suite.grid.backbones,
    )
    listed = suite.grid.attacks if part.attacks is None else part.attacks
    said = "command line" if filters.attacks else where
    attacks = collect(
        lambda text: variant(text, known, suite, said, "attack"),
        () if filters.attacks == ("none",) else filters.attacks or listed,
    )
    asked = filters.pairs or part.pairs or suite.grid.pairs
    families = collect(
        lambda text: pairing.read(text, suite.domains, suite.suite), [asked] if isinstance(asked, str) else asked
    )
    seeds = collect(seeds_of, filters.seeds) if filters.seeds else (tuple(part.seeds or suite.grid.seeds),)
    (precision,) = collect(numerics.read, [filters.precision or part.precision or suite.grid.precision]) or ("",)
    if filters.methods and filters.backbones:
        for v in variants:
            errors += [reason for net in nets if (reason := v.unfit(net, suite))]
    synthesis = dict(collect(lambda c: _synthesiser(c, suite), (c for c in known.values() if c.kind == "synth")))
    makers = {name: known[name] for name in synthesis}
    collect(lambda name: find(name, makers, f"{suite.suite}.yaml, synthesis"), suite.synthesis)
    if errors:
        raise UsageError("\n".join(dict.fromkeys(errors)))
    pairs = dict.fromkeys(pair for family in families for pair in family)
    unique = {v.name: v for v in sorted(variants, key=lambda v: v.tuned)}  # tuned says more, so it names the cell
    return Part(
        suite, tuple(unique.values()), tuple(dict.fromkeys(nets)), tuple(pairs),
        tuple(dict.fromkeys(s for group in seeds for s in group)),
        suite.split_seed if part.split_seed is None else part.split_seed, part.score, part.timeout,
        tuple({a.name: a for a in attacks}.values()), synthesis, precision,
    )  # fmt: skip


def variant(text: str, known: dict[str, Card], suite: schema.Suite, where: str, kind: str = "protect") -> Variant:
    """`NAME`, `NAME[param=value,...]` or `NAME[tuned]` as a method, or as an attack, with all its params."""
    noun = NOUNS[kind]
    match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", text.strip())
    if not match:
        raise UsageError(f"{where}: cannot read {noun} {text!r}: write NAME or NAME[param=value,...]")
    name = match[1].strip()
    card = known.get(name) or find(name, {n: c for n, c in known.items() if c.kind == kind}, where, noun)
    if card.kind != kind:
        users = ", ".join(sorted(c.name for c in known.values() if card.name in c.inputs))
        use = {
            "protect": "ask for it with -m or under `methods:`",
            "synth": f"used by {users or 'no method here'}",
            "attack": "ask for it with -a or under `attacks:`",
        }
        raise UsageError(f"{where}: {name} is {_a(NOUNS[card.kind])}, not {_a(noun)}; {use[card.kind]}")
    if (match[2] or "").strip() == "tuned":
        if card.name not in suite.tuned:
            raise UsageError(f"{where}: {suite.suite} lists no tuned settings for {card.name}")
        return Variant(card, card.check(suite.tuned[card.name], f"{suite.suite}.yaml, tuned"), True)
    given = {}
    for item in filter(None, (match[2] or "").split(",")):
        name, equals, value = (s.strip() for s in item.partition("="))
        if not equals:
            raise UsageError(f"{where}: cannot read {item!r} in {text!r}: write NAME[param=value,...]")
        given[name] = value
    params = card.check(given, where)
    for name in (spec["name"] for spec in card.params if spec.get("of_class")):
        if params[name] is not None and params[name] >= suite.classes:
            raise UsageError(
                f"{where}: param {name} of {card.name} is one of {suite.suite}'s {suite.classes} classes, "
                f"0 to {suite.classes - 1}, got {params[name]}"
            )
    tuned = card.name in suite.tuned and params == card.check(suite.tuned[card.name], where)
    return Variant(card, params, tuned, _beside(card, params, known, suite, where))


def _beside(
    card: Card, params: dict[str, Any], known: dict[str, Card], suite: schema.Suite, where: str
) -> Variant | None:
    """What a control hangs on: its param `settings` says whether as described or tuned."""
    if not card.beside:
        return None
    other = variant(f"{card.beside}[tuned]" if params.get("settings") == "tuned" else card.beside, known, suite, where)
    if (card.source, card.target) != (other.card.source, other.card.target):
        raise UsageError(f"{where}: {card.name} stands beside {card.beside}, so its `needs` must be the same")
    return other


def unfit(card: Card, backbone: str, suite: schema.Suite) -> str | None:
    """Why a method cannot run on a backbone at this image size, or None."""
    recipes = suite.recipes.get(backbone)
    if card.inputs and recipes and recipes.synth is None:
        return f"{card.name} needs {', '.join(card.inputs)}, and {suite.suite} has no synth recipe for {backbone}"
    tap = backbones.card(backbone).last_tap(suite.image_size)
    if card.smallest_tap and not tap:
        return f"{card.name} is undefined on {backbone}: it works on maps, and {backbone} has none to tap"
    if tap < card.smallest_tap:
        return (
            f"{card.name} is undefined on {backbone} at {suite.image_size} px: its last tap is {tap}x{tap}, "
            f"it needs {card.smallest_tap}x{card.smallest_tap}; use a larger image size or another backbone"
        )
    return None


def _backbone(suite: schema.Suite, backbone: str) -> str:
    refusal = backbones.card(backbone).refusal(suite.image_size)
    if backbone not in suite.recipes:
        raise UsageError(f"{suite.suite} has no recipe for backbone {backbone}: it has {', '.join(suite.recipes)}")
    if refusal:
        raise UsageError(f"{suite.suite}: {backbone} {refusal}")
    return backbone


def seeds_of(text: str) -> tuple[int, ...]:
    seeds: list[int] = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", item)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise UsageError(f"cannot read seeds {text!r}: write 0, 0,1,2 or 0-4")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tuple(seeds)


def _synthesiser(card: Card, suite: schema.Suite) -> tuple[str, tuple[Card, dict[str, Any]]]:
    return card.name, (card, card.check(suite.synthesis.get(card.name, {}), f"{suite.suite}.yaml, synthesis"))


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _text(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
