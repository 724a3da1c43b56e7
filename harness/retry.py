"""Runs the failed cells of a directory again, and what they blocked; the cells come from their own records.

    mapbench retry runs/digits-mini

Needs no grid file: a record holds everything that defines its cell.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness import UsageError, api, environment, source_model
from harness.cards import NOUNS, Card, cards
from harness.cells import Cell, Layer, label
from harness.forest import NOMINAL, training_gflop
from harness.grid import Filters, unfit
from harness.panel import say
from harness.plan import Plan
from harness.views import chosen, opened
from suites import schema
from suites.backbones import weights


def retry(directory: str, filters: Filters, options: api.Options) -> int:
    """What `mapbench retry` does; returns the exit code: 0, or 3 when cells fail again."""
    environment.quiet()
    store = opened(directory)
    store.check_writable()
    known = cards(filters.extra_methods)
    definitions = (store.plan() or {}).get("suites", {})
    winners = store.winners()
    failed = [r for r in winners.values() if r["status"] != "ok" and chosen(r["cell"], filters)]
    parents = {key for r in failed for key in (r["cell"]["parent"], *r["cell"]["inputs"])} - {r["key"] for r in failed}
    failed += [winners[p] for p in parents if p in winners and winners[p]["status"] != "ok"]
    folder = api.weights_dir(options.weights)
    for backbone in {r["spec"]["backbone"] for r in failed if r["spec"].get("init", "random") != "random"}:
        weights.find(backbone, folder)  # SuiteError now rather than a cell that fails again
    for spec in (r["spec"] for r in failed if r["cell"]["kind"] == "train" and "source_model" in r["spec"]):
        source_model.check_again(api.source_file(options.source_model), spec)
    made = Plan(tuple(_cell(r, known, definitions, winners) for r in failed), winners)
    tasks = made.tasks(retry=True)
    if not tasks:
        say(f"nothing to do: no failed cells in {api.show(store.out)}")
        return 0
    return api.complete(made, store, tasks, options)


def _cell(
    record: dict[str, Any], known: dict[str, Card], definitions: dict[str, Any], winners: dict[str, dict[str, Any]]
) -> Cell:
    """The cell a record stands for; UsageError when its method is gone or has moved on."""
    spec, meta = record["spec"], record["cell"]
    attack = meta["kind"] == "attack"
    card = known.get(spec["attack"] if attack else meta["method"] or "continue")
    if card is None:
        raise UsageError(
            f"{label(meta)}: its {NOUNS.get(meta['kind'], 'method')} is not there: give its file with --methods"
        )
    version = spec.get("attack_version" if attack else "method_version", card.version)  # f_s has none
    if card.version != version:
        raise UsageError(f"{label(meta)} is of version {version} of {card.name}, now {card.version}: use run")
    suite = (
        schema.Suite(**definitions[spec["suite"]]) if spec["suite"] in definitions else schema.load_suite(spec["suite"])
    )
    suite = suite.model_copy(update={"domains": meta["domains"]})  # those it is scored on: watermark domains too
    epochs = spec["recipe"]["epochs"] if "recipe" in spec else 1  # a given f_s is read
    cost = training_gflop(spec["backbone"], spec["image_size"], NOMINAL * epochs * (1 + bool(meta["targets"])))
    skip = unfit(card, spec["backbone"], suite) if meta["method"] and not attack else None
    makers = [(winners.get(key) or {}).get("cell", {}).get("method") for key in spec.get("inputs", ())]
    if not set(makers) <= known.keys():
        raise UsageError(f"{label(meta)}: what makes its images is not there: give its file with --methods, or use run")
    above = tuple(asdict(known[name]) for name in makers)
    layers = (Layer(spec, meta),)
    return Cell(layers, None, asdict(card), suite.model_dump(mode="json"), cost, None, above, skip)
