"""Expands a grid into its forest of cells: source models, what is synthesised from them, protected, and attacked.

    mapbench plan digits-mini

Every key follows from what stands here: the spec is written down once per kind, and holds all that defines a number.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from harness import UsageError, source_model
from harness.cards import Card, cards
from harness.cells import KEY_VERSION, PRECISION, PROTOCOL, Cell
from harness.grid import Grid, Part, Variant
from suites import backbones

# what every cell of one place has in its spec, whatever it hangs on
PLACE = (
    "key_version", "protocol", "suite", "split_seed", "domains", "classes", "image_size", "backbone", "precision",
    "score",
)  # fmt: skip
ATTACK_COST = 0.1  # of an attack that trains nothing, in trainings of f_s: mostly scoring, 1 s where f_s takes 10
SYNTH_COST = 3.0  # a synthesiser's step in f_s's steps of the same batch: its own net and f_s, forward and backward


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
) -> list[Cell]:
    """All cells of a grid, each key once, parents before children.

    `fingerprints` maps (suite, split_seed) to the sha256 of each domain's pixels, labels and split; `weights` each
    backbone of `imagenet(grid)` to the sha256 of its weights file; `given` is that of the user's own f_s."""
    hashes = weights or {}
    cells: dict[str, Cell] = {}
    for part in grid.parts:
        held = fingerprints[part.suite.suite, part.split_seed]
        prints = {domain: held[domain] for domain in part.suite.domains}
        for backbone in part.backbones:
            for source in dict.fromkeys(source for source, _ in part.pairs):
                for seed in part.seeds:
                    train = _train(part, prints, hashes, backbone, source, seed, given)
                    cells.setdefault(train.key, train)
                    asked = tuple(dict.fromkeys(t for s, targets in part.pairs if s == source for t in targets))
                    _attacks(part, train, seed, asked, cells, hashes)
                    for v in part.variants:
                        free = v.card.target not in ("labelled", "unlabelled")  # real data (methods.base.REAL)
                        wanted = [()] if free else [t for s, t in part.pairs if s == source]
                        for targets in wanted:
                            cell = _protect(part, train, seed, v, targets, cells, hashes)
                            _attacks(part, cell, seed, targets or asked, cells, hashes)
    return list(cells.values())


def _inputs(part: Part, train: Cell, seed: int, card: Card, cells: dict[str, Cell]) -> list[Cell]:
    """The synth cells that a method or synthesiser hangs on, added to `cells` before it."""
    made = []
    for name in card.inputs:
        if name not in part.synthesis:
            raise UsageError(f"{card.name} names the input {name!r}, which no file defines")
        synthesiser, params = part.synthesis[name]
        cell = _synth(part, train, seed, synthesiser, params, _inputs(part, train, seed, synthesiser, cells))
        made.append(cells.setdefault(cell.key, cell))
    return made


def _attacks(
    part: Part, above: Cell, seed: int, targets: tuple[str, ...], cells: dict[str, Cell], weights: dict[str, str]
) -> None:
    """Adds every attack on the model of `above`, one cell per target; below f_s also those that look at no model."""
    for attack in part.attacks if not above.skip else ():
        for target in targets:
            if not attack.card.blind:
                cell = _attack(part, above, seed, attack, target)
            elif above.meta["kind"] == "train":
                cell = _blind(part, above, seed, attack, target, weights)
            else:
                continue
            cells.setdefault(cell.key, cell)


def training_gflop(backbone: str, image_size: int, epochs: int, domains: int) -> float:
    """What a training costs at least: forward, and backward at twice that, over 1,150 train images a domain. An
    estimate, to order cells and to tell the time left; a method's own extra work shows in its past cells' seconds."""
    return 3 * backbones.card(backbone).gflop(image_size) * 1150 * epochs * domains


def _init(part: Part, backbone: str, weights: dict[str, str]) -> str:
    """Where a training from the beginning begins, as a key knows it."""
    init = str(part.suite.recipes[backbone].init)
    if init == "imagenet":
        assert backbone in weights, f"{backbone}: no sha256 of its ImageNet weights"  # else the key would not know them
        init = f"imagenet:{weights[backbone]}"
    return init


def _train(
    part: Part, prints: dict[str, str], weights: dict[str, str], backbone: str, source: str, seed: int,
    given: str | None,
) -> Cell:  # fmt: skip
    suite = part.suite
    recipe = suite.recipes[backbone].train
    learned = {"init": _init(part, backbone, weights), "recipe": recipe.model_dump(), "seed": seed} if not given else {}
    how = learned or {"source_model": given}
    spec = {
        "key_version": KEY_VERSION, "protocol": PROTOCOL, "kind": "train", "suite": suite.suite,
        "split_seed": part.split_seed, "domains": prints, "classes": suite.classes, "image_size": suite.image_size,
        "backbone": backbone, "source": source, "precision": PRECISION, "score": part.score, **how,
    }  # fmt: skip
    meta: dict[str, Any] = {
        "kind": "train", "parent": None, "inputs": [], "suite": suite.suite, "suite_version": suite.version,
        "backbone": source_model.called(backbone, given), "method": None, "variant": "", "method_version": None,
        "fidelity": None, "control": False, "tuned": False, "start": None, "params": {}, "scenario": None,
        "source": source, "targets": [], "seed": learned.get("seed", 0),  # a number, because tables know no other seed
        "classes": suite.classes, "domains": list(suite.domains), "score": part.score,
    }  # fmt: skip
    trainer = cards()["continue"]
    cost = training_gflop(backbone, suite.image_size, 1 if given else recipe.epochs, 1)  # at least: it is scored
    return Cell(spec, meta, asdict(trainer), suite.model_dump(mode="json"), cost, part.timeout)


def _synth(part: Part, train: Cell, seed: int, card: Card, params: dict[str, Any], inputs: list[Cell]) -> Cell:
    suite, backbone = part.suite, train.spec["backbone"]
    recipe = suite.recipes[backbone].synth
    assert recipe is not None  # unfit() has asked
    recipe = recipe.model_copy(update={"epochs": max(1, round(recipe.epochs * card.share))})
    above = [c.key for c in inputs]
    spec = {
        **train.spec, "kind": "synth", "seed": seed, "recipe": recipe.model_dump(), "method": card.name,
        "method_version": card.version, "params": card.keyed(params), "targets": [], "parent": train.key,
        "inputs": above,
    }  # fmt: skip
    meta = {
        **train.meta, "kind": "synth", "seed": seed, "parent": train.key, "inputs": above, "method": card.name,
        "variant": card.name, "method_version": card.version, "fidelity": card.fidelity, "start": "source",
        "params": params, "scenario": card.scenario,
    }  # fmt: skip
    cost = SYNTH_COST * training_gflop(backbone, suite.image_size, recipe.epochs, 1)
    cards_above = tuple(c.method for c in inputs)
    return Cell(spec, meta, asdict(card), train.suite, cost, part.timeout, cards_above)


def _protect(
    part: Part, train: Cell, seed: int, v: Variant, targets: tuple[str, ...], cells: dict[str, Cell],
    weights: dict[str, str],
) -> Cell:  # fmt: skip
    """The cell of a method on one f_s and target, added to `cells` after all that it hangs on."""
    suite, backbone = part.suite, train.spec["backbone"]
    recipe, skip = suite.recipes[backbone].protect, v.unfit(backbone, suite)
    inputs = [] if skip else _inputs(part, train, seed, v.card, cells)
    if v.beside and not skip:
        inputs.append(_protect(part, train, seed, v.beside, targets, cells, weights))
    spec = {
        **train.spec, "kind": "protect", "seed": seed, "recipe": recipe.model_dump(), "method": v.card.name,
        "method_version": v.card.version, "params": v.card.keyed(v.params), "targets": list(targets),
        "parent": train.key, "inputs": [c.key for c in inputs],
    }  # fmt: skip
    if v.params["start"] == "init":  # the user's own f_s says nothing of how it began
        spec["init"] = _init(part, backbone, weights)
    meta = {
        **train.meta, "kind": "protect", "seed": seed, "parent": train.key, "inputs": [c.key for c in inputs],
        "method": v.card.name, "variant": v.name, "method_version": v.card.version,
        "fidelity": v.card.follows(v.params), "control": v.card.control, "tuned": v.tuned,
        "start": v.params["start"], "params": v.params, "scenario": v.card.scenario, "targets": list(targets),
    }  # fmt: skip
    cost = training_gflop(backbone, suite.image_size, recipe.epochs, 1 + (v.card.target != "none"))
    cards_above = tuple(c.method for c in inputs)
    cell = Cell(spec, meta, asdict(v.card), train.suite, cost, part.timeout, cards_above, skip)
    held = cells.setdefault(cell.key, cell)
    if v.tuned and not held.meta["tuned"]:
        cells[cell.key] = replace(held, meta={**held.meta, "tuned": True})
    return cells[cell.key]


def _attack(part: Part, above: Cell, seed: int, attack: Variant, target: str) -> Cell:
    card, suite, backbone = attack.card, part.suite, above.spec["backbone"]
    recipe = suite.recipes[backbone].train
    spec = {
        **above.spec, "kind": "attack", "seed": seed, "recipe": recipe.model_dump(), "attack": card.name,
        "attack_version": card.version, "attack_params": card.keyed(attack.params), "target": target,
        "parent": above.key, "inputs": [],
    }  # fmt: skip
    meta = {
        **above.meta, "kind": "attack", "seed": seed, "parent": above.key, "inputs": [], "attack": attack.name,
        "n": attack.params["n"], "target": target,
    }  # fmt: skip
    cost = ATTACK_COST * training_gflop(backbone, suite.image_size, recipe.epochs, 1)
    skip = None
    if above.meta["kind"] == "protect" and not above.method["plain"]:
        skip = f"{above.meta['method']} leaves no plain network, which is what attacks are written for"
    return Cell(spec, meta, asdict(card), above.suite, cost, part.timeout, skip=skip)


def _blind(part: Part, train: Cell, seed: int, attack: Variant, target: str, weights: dict[str, str]) -> Cell:
    """An attack that hangs on no model, so that all sources and methods share it: its source is its target."""
    card, suite, backbone = attack.card, part.suite, train.spec["backbone"]
    recipe = suite.recipes[backbone].train
    spec = {
        **{name: train.spec[name] for name in PLACE}, "kind": "attack", "seed": seed, "recipe": recipe.model_dump(),
        "init": _init(part, backbone, weights), "attack": card.name, "attack_version": card.version,
        "attack_params": card.keyed(attack.params), "target": target, "parent": None,
    }  # fmt: skip
    meta = {
        **train.meta, "kind": "attack", "seed": seed, "backbone": backbone, "source": target, "attack": attack.name,
        "n": attack.params["n"], "target": target,
    }  # fmt: skip
    cost = training_gflop(backbone, suite.image_size, recipe.epochs, 1)
    return Cell(spec, meta, asdict(card), train.suite, cost, part.timeout)
