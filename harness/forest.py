"""Expands a grid into its forest of cells: source models, what is synthesised from them, protected, and attacked.

    mapbench plan digits-mini

Every key follows from what stands here: the spec is written down once per kind, and holds all that defines a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache, partial
from typing import Any, TypeVar

from pydantic import BaseModel

from harness import UsageError, numerics, source_model
from harness.cards import Card, cards
from harness.cells import KEY_VERSION, PROTOCOL, Cell, Child, Layer, Root
from harness.grid import Grid, Part, Variant
from suites import backbones

# what every cell of one place has in its spec, whatever it hangs on
PLACE = (
    "key_version", "protocol", "suite", "split_seed", "domains", "classes", "image_size", "backbone", "precision",
    "score",
)  # fmt: skip
ATTACK_COST = 0.1  # of an attack that trains nothing, in trainings of f_s: mostly scoring, 1 s where f_s takes 10
NOMINAL = 1150  # images of a train part, where nobody says: the embedded domains have so many
SYNTH_COST = 3.0  # a synthesiser's step in f_s's steps of the same batch: its own net and f_s, forward and backward
TUNED = Layer({}, {"tuned": True})  # over a cell that a part of the grid names by its settings, and another as tuned
T = TypeVar("T")


def imagenet(grid: Grid, given: bool = False) -> list[str]:
    """The backbones of a grid that begin with ImageNet weights, sorted; where f_s is `given`, some methods and attacks
    still do."""

    def begins(part: Part) -> bool:
        return any(v.params["start"] == "init" for v in part.variants) or any(a.card.blind for a in part.attacks)

    begun = (part for part in grid.parts if not given or begins(part))
    return sorted({b for part in begun for b in part.backbones if part.suite.recipes[b].init == "imagenet"})


def expand(
    grid: Grid,
    fingerprints: dict[tuple[str, int], dict[str, str]],
    weights: dict[str, str] | None = None,
    given: str | None = None,
    counts: Mapping[tuple[str, int], Mapping[str, int]] | None = None,
) -> list[Cell]:
    """All cells of a grid, each key once, parents before children.

    `fingerprints` maps (suite, split_seed) to the sha256 of each domain's pixels, labels and split; `weights` each
    backbone of `imagenet(grid)` to the sha256 of its weights file; `given` is that of the user's own f_s; `counts` maps
    as `fingerprints` does, to how many images the train part of each domain has (only costs follow from it)."""
    forest = _Forest(fingerprints, weights or {}, given, counts or {})
    for part in grid.parts:
        forest.grow(part)
    return list(forest.cells.values())


@lru_cache(maxsize=1024)
def training_gflop(backbone: str, image_size: int, images: int) -> float:
    """What a training costs at least: forward, and backward at twice that, of so many images. An estimate, to order
    cells and to tell the time left; a method's own extra work shows in its past cells' seconds."""
    return 3 * backbones.card(backbone).gflop(image_size) * images


class _Forest:
    """The cells made so far, by key, and the layers that they share."""

    def __init__(
        self, fingerprints: dict[tuple[str, int], dict[str, str]], weights: dict[str, str], given: str | None,
        counts: Mapping[tuple[str, int], Mapping[str, int]],
    ) -> None:  # fmt: skip
        self.fingerprints, self.weights, self.given, self.counts = fingerprints, weights, given, counts
        self.cells: dict[str, Cell] = {}
        self._trainer = cards()["continue"]
        self._made: dict[tuple[Any, ...], Any] = {}

    def _once(self, what: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What was made for these words before. An id() among them is of something that `self` or the grid holds."""
        if what not in self._made:
            self._made[what] = make()
        made: T = self._made[what]
        return made

    def _said(self, thing: Card | BaseModel) -> dict[str, Any]:
        """A card, recipe or suite as JSON knows it."""

        def make() -> tuple[Any, dict[str, Any]]:  # with the thing itself, or its id() could become another's
            return thing, asdict(thing) if isinstance(thing, Card) else thing.model_dump(mode="json")

        return self._once(("said", id(thing)), make)[1]

    def _own(self, seed: int, parent: Cell, inputs: list[Cell]) -> Child:
        none: list[str] = self._once(("none",), list)
        return Child(seed, parent.key, [c.key for c in inputs] or none)

    def _over(self, layers: tuple[Layer, ...], *more: Layer) -> tuple[Layer, ...]:
        """`more` over `layers`, one tuple for all seeds."""
        return self._once(("over", *map(id, layers), *map(id, more)), lambda: (*layers, *more))

    def grow(self, part: Part) -> None:
        """Adds all cells of a part."""
        for backbone in part.backbones:
            for source in dict.fromkeys(source for source, _ in part.pairs):
                asked = tuple(dict.fromkeys(t for s, targets in part.pairs if s == source for t in targets))
                for seed in part.seeds:
                    train = self._train(part, backbone, source, seed)
                    self.cells.setdefault(train.key, train)
                    self._attacks(part, backbone, train, seed, asked)
                    for v in part.variants:
                        free = v.card.target not in ("labelled", "unlabelled")  # real data (methods.base.REAL)
                        wanted = [()] if free else [t for s, t in part.pairs if s == source]
                        for targets in wanted:
                            cell = self._protect(part, backbone, train, seed, v, targets)
                            self._attacks(part, backbone, cell, seed, targets or asked)

    def _gflop(self, part: Part, backbone: str, epochs: int, source: str, targets: Sequence[str] = ()) -> float:
        """What training on a source costs at least; with targets an epoch is as long as the smaller of the two is, a
        union as long as the smallest of its domains times their number (harness/access.py)."""
        held = self.counts.get((part.suite.suite, part.split_seed), {})
        images = held.get(source, NOMINAL)
        if targets:
            images = 2 * min(images, len(targets) * min(held.get(target, NOMINAL) for target in targets))
        return training_gflop(backbone, part.suite.image_size, epochs * images)

    def _init(self, part: Part, backbone: str) -> str:
        """Where a training from the beginning begins, as a key knows it."""
        init = str(part.suite.recipes[backbone].init)
        if init == "imagenet":
            assert backbone in self.weights, f"{backbone}: no sha256 of its ImageNet weights"  # else no key knows them
            init = f"imagenet:{self.weights[backbone]}"
        return init

    def _train(self, part: Part, backbone: str, source: str, seed: int) -> Cell:
        suite, given = part.suite, self.given
        recipe = suite.recipes[backbone].train

        def layer() -> Layer:
            held = self.fingerprints[suite.suite, part.split_seed]
            prints = self._once(("prints", id(part)), lambda: {domain: held[domain] for domain in suite.domains})
            how: dict[str, Any] = {"source_model": given}
            if not given:
                how = {"init": self._init(part, backbone), "recipe": self._said(recipe)}
            spec = {
                "key_version": KEY_VERSION, "protocol": PROTOCOL, "kind": "train", "suite": suite.suite,
                "split_seed": part.split_seed, "domains": prints, "classes": suite.classes,
                "image_size": suite.image_size, "backbone": backbone, "source": source, "precision": part.precision,
                "score": part.score, **how,
            }  # fmt: skip
            meta: dict[str, Any] = {
                "kind": "train", "parent": None, "inputs": [], "suite": suite.suite, "suite_version": suite.version,
                "backbone": numerics.called(source_model.called(backbone, given), part.precision), "method": None,
                "variant": "", "method_version": None, "fidelity": None, "control": False, "tuned": False,
                "start": None, "params": {}, "scenario": None, "source": source, "targets": [],
                "seed": 0,  # of a given f_s, which has none: a number, because tables know no other seed
                "classes": suite.classes, "domains": list(suite.domains), "score": part.score,
            }  # fmt: skip
            return Layer(spec, meta)

        shared = self._once(("train", id(part), backbone, source), layer)
        own = None if given else Root(seed)
        cost = self._gflop(part, backbone, 1 if given else recipe.epochs, source)  # at least: it is scored
        return Cell(self._over((), shared), own, self._said(self._trainer), self._said(suite), cost, part.timeout)

    def _inputs(self, part: Part, backbone: str, train: Cell, seed: int, card: Card) -> list[Cell]:
        """The synth cells that a method or synthesiser hangs on, added before it."""
        made = []
        for name in card.inputs:
            if name not in part.synthesis:
                raise UsageError(f"{card.name} names the input {name!r}, which no file defines")
            synthesiser, params = part.synthesis[name]
            what = ("synth", id(part), train.key, seed, name)
            make = partial(self._synth, part, backbone, train, seed, synthesiser, params)
            made.append(self._once(what, make))
        return made

    def _synth(
        self, part: Part, backbone: str, train: Cell, seed: int, card: Card, params: dict[str, Any]
    ) -> Cell:  # fmt: skip
        inputs = self._inputs(part, backbone, train, seed, card)
        recipe = part.suite.recipes[backbone].synth
        assert recipe is not None  # unfit() has asked
        epochs = max(1, round(recipe.epochs * card.share))
        said = {**self._said(recipe), "epochs": epochs}

        def layer() -> Layer:
            spec = {
                "kind": "synth", "recipe": said, "method": card.name, "method_version": card.version,
                "params": card.keyed(params), "targets": [],
            }  # fmt: skip
            meta = {
                "kind": "synth", "method": card.name, "variant": card.name, "method_version": card.version,
                "fidelity": card.fidelity, "start": "source", "params": params, "scenario": card.scenario,
            }  # fmt: skip
            return Layer(spec, meta)

        shared = self._once(("synth", id(part), backbone, card.name), layer)
        own = self._own(seed, train, inputs)
        cost = SYNTH_COST * self._gflop(part, backbone, epochs, train.meta["source"])
        above = tuple(c.method for c in inputs)
        cell = Cell(self._over(train.layers, shared), own, self._said(card), train.suite, cost, part.timeout, above)
        return self.cells.setdefault(cell.key, cell)

    def _protect(self, part: Part, backbone: str, train: Cell, seed: int, v: Variant, targets: tuple[str, ...]) -> Cell:
        """The cell of a method on one f_s and target, added after all that it hangs on."""
        suite, card = part.suite, v.card
        recipe = suite.recipes[backbone].protect
        skip = self._once(("unfit", id(suite), backbone, id(v)), lambda: v.unfit(backbone, suite))
        inputs = [] if skip else self._inputs(part, backbone, train, seed, card)
        if v.beside and not skip:
            inputs.append(self._protect(part, backbone, train, seed, v.beside, targets))

        def layer() -> Layer:
            spec = {
                "kind": "protect", "recipe": self._said(recipe), "method": card.name, "method_version": card.version,
                "params": card.keyed(v.params),
            }  # fmt: skip
            if v.params["start"] == "init":  # the user's own f_s says nothing of how it began
                spec["init"] = self._init(part, backbone)
            meta = {
                "kind": "protect", "method": card.name, "variant": v.name, "method_version": card.version,
                "fidelity": card.follows(v.params), "control": card.control, "tuned": v.tuned,
                "start": v.params["start"], "params": v.params, "scenario": card.scenario,
            }  # fmt: skip
            return Layer(spec, meta)

        shared = self._once(("protect", id(part), backbone, id(v)), layer)
        blocked = self._once(
            ("targets", targets), lambda: Layer({"targets": list(targets)}, {"targets": list(targets)})
        )
        own = self._own(seed, train, inputs)
        source = train.meta["source"]
        # a generated target has as many images as the source
        beside = targets or ((source,) if card.target != "none" else ())
        cost = self._gflop(part, backbone, recipe.epochs, source, beside)
        above = tuple(c.method for c in inputs)
        layers = self._over(train.layers, shared, blocked)
        cell = Cell(layers, own, self._said(card), train.suite, cost, part.timeout, above, skip)
        held = self.cells.setdefault(cell.key, cell)
        if v.tuned and not held.meta["tuned"]:
            self.cells[cell.key] = replace(held, layers=self._over(held.layers, TUNED))
        return self.cells[cell.key]

    def _attacks(self, part: Part, backbone: str, above: Cell, seed: int, targets: tuple[str, ...]) -> None:
        """Adds every attack on the model of `above`, one cell per target; below f_s also those that look at no
        model."""
        for attack in part.attacks if not above.skip else ():
            for target in targets:
                if not attack.card.blind:
                    cell = self._attack(part, backbone, above, seed, attack, target)
                elif not isinstance(above.own, Child):
                    cell = self._blind(part, backbone, above, seed, attack, target)
                else:
                    continue
                self.cells.setdefault(cell.key, cell)

    def _attack(self, part: Part, backbone: str, above: Cell, seed: int, attack: Variant, target: str) -> Cell:
        card, suite = attack.card, part.suite
        recipe = suite.recipes[backbone].train

        def layer() -> Layer:
            spec = {
                "kind": "attack", "recipe": self._said(recipe), "attack": card.name, "attack_version": card.version,
                "attack_params": card.keyed(attack.params), "target": target,
            }  # fmt: skip
            return Layer(spec, {"kind": "attack", "attack": attack.name, "n": attack.params["n"], "target": target})

        shared = self._once(("attack", id(part), backbone, id(attack), target), layer)
        cost = ATTACK_COST * self._gflop(part, backbone, recipe.epochs, target)
        skip = None
        if isinstance(above.own, Child) and not above.method["plain"]:
            skip = f"{above.method['name']} leaves no plain network, which is what attacks are written for"
        own = self._own(seed, above, [])
        return Cell(self._over(above.layers, shared), own, self._said(card), above.suite, cost, part.timeout, skip=skip)

    def _blind(self, part: Part, backbone: str, train: Cell, seed: int, attack: Variant, target: str) -> Cell:
        """An attack that hangs on no model, so that all sources and methods share it: its source is its target."""
        card, suite = attack.card, part.suite
        recipe = suite.recipes[backbone].train

        def layer() -> Layer:
            (place,) = train.layers
            spec = {
                **{name: place.spec[name] for name in PLACE}, "kind": "attack", "recipe": self._said(recipe),
                "init": self._init(part, backbone), "attack": card.name, "attack_version": card.version,
                "attack_params": card.keyed(attack.params), "target": target, "parent": None,
            }  # fmt: skip
            meta = {
                **place.meta, "kind": "attack", "backbone": numerics.called(backbone, part.precision), "source": target,
                "attack": attack.name, "n": attack.params["n"], "target": target,
            }  # fmt: skip
            return Layer(spec, meta)

        shared = self._once(("blind", id(part), backbone, id(attack), target), layer)
        cost = self._gflop(part, backbone, recipe.epochs, target)
        return Cell(self._over((), shared), Root(seed), self._said(card), train.suite, cost, part.timeout)
