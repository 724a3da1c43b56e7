"""Whether a method keeps the contract: it is run on a toy pair, and what breaks is told in plain lines.

    mapbench check sa-map
    mapbench check mine --methods mine.py

All machinery is the real one (discovery, DataAccess, the loop, checkpoints); only the domains are toys, see toy.py.
Each check is one line: ok, FAIL with what to do, or note, which is for the author to judge.
"""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load as parse
from torch import nn

from harness import UsageError, environment, toy
from harness.cards import Card, cards, load
from harness.checkpoints import checkpoint
from harness.grid import Variant, unfit, variant
from harness.training import Diverged, Fitted, logits
from harness.watch import Seen, State, Watching, changed, watch
from methods import MethodError, UndeclaredError
from methods.base import Method
from suites.schema import load_suite

CHECKS = ("discovery", "documented", "setup", "scenario", "step", "finite", "data", "finish", "round trip", "repeat")


@dataclass(frozen=True)
class Line:
    """One finding; `detail` of a FAIL says what is wrong, where, and what to do."""

    state: Literal["ok", "FAIL", "note"]
    check: str
    detail: str


def check(text: str, extra: tuple[str, ...] = ()) -> list[Line]:
    """Every finding on the method `text`, NAME or NAME[p=v,...]; UsageError when there is no such method or param.

    `extra` are the files or folders of `--methods`. Prints of the method go to stderr."""
    environment.quiet()
    torch.set_num_threads(1)
    with redirect_stdout(sys.stderr):
        try:
            known = cards(extra)
        except MethodError as error:
            return [Line("FAIL", "discovery", str(error)), *_unreached("discovery")]
        suite = load_suite("digits-mini")  # for [tuned], and for the image size, which is the toy's too
        asked = variant(text, known, suite, "command line")
        if reason := unfit(asked.card, toy.BACKBONE, suite):
            raise UsageError(f"{reason}; `mapbench check` has none")
        return list(_findings(asked, known))


def _findings(asked: Variant, known: Mapping[str, Card]) -> Iterator[Line]:
    """The lines in the order of CHECKS; they end where all that comes after would only say the same again."""
    card = asked.card
    seen, parts, f_s = Seen(), toy.pair(0), toy.source_state()
    try:
        yield Line("ok", "discovery", f"{card.name}, version {card.version}, in {_short(card.file)}")
        method = load(card, asked.params)
        yield from _documented(card, type(method))
        watch(method, seen, card.file)
        inputs = toy.inputs(card, known)
        fitted = toy.train(method, _start(asked, f_s), parts, partial(Watching, seen), inputs)
        yield from _setup(seen)
        yield from _scenario(card, seen)
        yield from _step(fitted, seen)
        for stage, work in (
            ("finite", partial(_finite, fitted.model)),
            ("data", partial(_data, parts)),
            ("finish", partial(_finish, card, fitted.model)),
            ("round trip", partial(_round_trip, asked, fitted.model)),
            ("repeat", partial(_repeat, asked, f_s, fitted, inputs)),
        ):
            seen.stage = stage
            line = work()
            yield line
            if line.state == "FAIL" and stage in ("finite", "finish"):
                yield from _unreached(stage)
                return
        yield from _target(f_s, fitted)
    except Exception as error:
        failed = {UndeclaredError: "scenario", Diverged: "finite"}.get(type(error), seen.stage)
        yield Line("FAIL", failed, _told(error, card.file))
        yield from _unreached(failed)


def _documented(card: Card, cls: type[Method]) -> Iterator[Line]:
    """What discovery itself does not insist on; a wrong name, version, needs or Params it has refused before."""
    if card.summary:
        params = ", ".join(p["name"] for p in card.params)
        yield Line("ok", "documented", f"a docstring; {f'meaning and source of {params}' if params else 'no params'}")
    else:
        yield Line("FAIL", "documented", f"{_short(card.file)} has no docstring: say in its first line what it does")
    if not any("needs" in vars(c) for c in cls.__mro__[: cls.__mro__.index(Method)]):
        yield Line("note", "documented", f"`needs` is not declared, so it is served the default: {card.scenario}")


def _setup(seen: Seen) -> Iterator[Line]:
    if not seen.moved_before:
        yield Line("ok", "setup", "leaves the weights it is handed as they are")
        return
    what = f"{_names(seen.moved_before)} changed before the first step"
    yield Line("FAIL", "setup", f"{what}: all start from the weights they are handed; leave them, or work on a copy")


def _scenario(card: Card, seen: Seen) -> Iterator[Line]:
    yield Line("ok", "scenario", f"asks for nothing beyond {card.scenario}")
    for domain, supply in (("source", card.source), ("target", card.target)):
        images, labels = f"x_{domain[0]}", f"y_{domain[0]}"
        if supply != "none" and images not in seen.read:
            yield Line("note", "scenario", f"declares {domain} data and never reads {images}: does it need them?")
        elif supply == "labelled" and labels not in seen.read:
            yield Line("note", "scenario", f"declares {domain} labels and never reads {labels}: does it need them?")


def _step(fitted: Fitted, seen: Seen) -> Iterator[Line]:
    if not seen.steps:
        yield Line("ok", "step", "none: no optimisers")
        return
    if seen.moved_inside:
        what = f"step() itself changed {_names(seen.moved_inside)}"
        yield Line("FAIL", "step", f"{what}: return the loss; the harness steps what optimizers() returns")
    else:
        terms = ", ".join(name for name in fitted.curves if name != "loss") or "none"
        yield Line("ok", "step", f"{seen.steps} of them: a scalar loss with a graph; terms, detached scalars: {terms}")
    if seen.waits:
        where = ", ".join(sorted(seen.waits))
        yield Line("note", "step", f"reads a number off the device ({where}): a GPU waits there; keep it a tensor")


def _finite(model: nn.Module) -> Line:
    wild = [k for k, v in model.state_dict().items() if not torch.isfinite(v).all()]
    if not wild and torch.isfinite(logits(model, toy.domain(3)[0])).all():
        return Line("ok", "finite", "loss, weights and answers")
    what = f"{_names(wild) if wild else 'an answer'} is not finite"
    return Line("FAIL", "finite", f"{what}: look for a division by 0, a log of 0, too large a learning rate")


def _data(parts: dict[str, toy.Part]) -> Line:
    for name, fresh in toy.pair(0).items():
        if not all(torch.equal(a, b) for a, b in zip(parts[name], fresh, strict=True)):
            what = f"changed the {name} images or labels it was handed"
            return Line("FAIL", "data", f"{what}, which the worker's next cells get too: clone() them first")
    return Line("ok", "data", "what it was handed is as it was")


def _finish(card: Card, model: nn.Module) -> Line:
    answers = list(logits(model, toy.domain(3)[0]).shape)
    if answers != [256, toy.CLASSES]:
        what = f"the network answers 256 images with {answers}"
        return Line("FAIL", "finish", f"{what}: it must give one logit per class, [256, {toy.CLASSES}]")
    if card.plain:
        return Line("ok", "finish", "a plain network: the keys and shapes it was given, no hooks")
    return Line("ok", "finish", "a network of its own form, as a control may (plain = False), and no hooks")


def _round_trip(asked: Variant, model: nn.Module) -> Line:
    fresh = load(asked.card, asked.params).skeleton(toy.network(7))
    fresh.load_state_dict(parse(checkpoint(model)))
    images = toy.domain(4)[0]
    if torch.equal(logits(fresh, images), logits(model, images)):
        return Line("ok", "round trip", "its checkpoint in a fresh network gives the same answers, bit for bit")
    what = "its checkpoint in a fresh network gives other answers"
    return Line("FAIL", "round trip", f"{what}: finish() must fold all it learned into the weights of a plain network")


def _repeat(asked: Variant, f_s: State, fitted: Fitted, inputs: Mapping[str, nn.Module]) -> Line:
    again = toy.train(load(asked.card, asked.params), _start(asked, f_s), toy.pair(0), inputs=inputs)
    moved = changed(fitted.model.state_dict(), again.model.state_dict())
    if not moved and again.curves == fitted.curves:
        return Line("ok", "repeat", "two runs under one seed are equal, bit for bit")
    what = f"two runs under one seed differ in {_names(moved) if moved else 'what they log'}"
    return Line("FAIL", "repeat", f"{what}: draw from torch or access.generator alone, and keep nothing between runs")


def _target(f_s: State, fitted: Fitted) -> Iterator[Line]:
    """Held-out accuracies, for information: a toy says nothing of how well a method protects."""
    before = toy.network(0)
    before.load_state_dict(f_s)
    rates = [
        f"{name} {_accuracy(before, part):.2f} -> {_accuracy(fitted.model, part):.2f}"
        for name, part in toy.pair(1).items()
    ]
    yield Line("note", "target", f"accuracy on the toy pair: {', '.join(rates)} (chance 0.10); no claim")
    for flag in fitted.flags:
        yield Line("note", "target", f"flagged {flag}: the target's cross entropy stayed under ln K in every epoch")


def text(asked: str, extra: tuple[str, ...], lines: list[Line]) -> str:
    """The findings as people read them, and what to type next."""
    failed = sum(line.state == "FAIL" for line in lines)
    given = "".join(f" --methods {shlex.quote(path)}" for path in extra)
    rows = [f"{line.state:<6}{line.check:<13}{line.detail}" for line in lines]
    last = (
        f"mapbench check {shlex.quote(asked)}{given}" if failed else f"mapbench run demo{given} -m {shlex.quote(asked)}"
    )
    verdict = f"breaks the contract ({failed} FAIL)" if failed else "keeps the contract"
    return "\n".join([*rows, f"{asked} {verdict}; {'then again' if failed else 'next'}: {last}"])


def _start(asked: Variant, f_s: State) -> nn.Module:
    model = toy.network(1)
    if asked.params["start"] == "source":
        model.load_state_dict(f_s)
    return model


def _unreached(failed: str) -> list[Line]:
    left = ", ".join(CHECKS[CHECKS.index(failed) + 1 :])
    return [Line("note", "not reached", f"{left}: mend the line above first")] if left else []


def _told(error: Exception, file: str) -> str:
    """The error in one line, with the last line of the method's own file that led to it."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    where = f"{Path(file).name}:{lines[-1]}: " if lines else ""
    kind = "" if isinstance(error, MethodError | Diverged) else f"{type(error).__name__}: "
    return where + kind + str(error).strip().split("\n")[0]


def _names(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _accuracy(model: nn.Module, part: toy.Part) -> float:
    return float((logits(model, part[0]).argmax(1) == part[1]).float().mean())


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else f"{path.parent.name}/{path.name}"
