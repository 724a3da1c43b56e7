"""The command that trains one cell again, by itself: out of what the cell is and what plan.json says was asked for.

    mapbench show runs/digits-mini KEY      (its last lines)

No cell can be named by its key on the command line, so filters are found that leave it and what it hangs on: for a
source model the cheapest method on it, for a synthesiser a method that it serves. The command writes into a directory
of its own: in the one that the cell is in it would find it done, and would narrow what its board expects to see.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from results import pairs
from results.records import CLOSED

Cell = Mapping[str, Any]

FLAGS = ("--fail-fast", "--quiet", "--no-mlflow", "--deterministic", "--no-graphs")  # of run: options without a value
WHERE = ("--methods", "--data", "--weights")  # of run: where things lie that may be needed again
PRECISIONS = ("fp32", "tf32", "bf16")
CHEAPEST = "untrained"  # the method that trains nothing: with it a plan holds f_s and little else


class Asked(NamedTuple):
    """What `mapbench run` was told: its target, and each option with its value."""

    target: str
    options: list[tuple[str, str]]

    def given(self, name: str) -> list[str]:
        """The values of an option that may be repeated."""
        return [value for option, value in self.options if option == name]


class _Grid(NamedTuple):
    """What to run, and whether all filters can stand beside it."""

    target: str
    alone: bool  # one suite: names of domains and backbones are known to all its parts
    precision: str | None  # its own; None where its parts may differ


def command(cell: Cell, plan: Mapping[str, Any] | None, out: str | None = None) -> str | None:
    """`mapbench run ... --out OUT` for one cell, quoted for a shell; None where no command is known to plan it: its
    grid file is not the one that plan.json is of, or it cannot run at all.

    `cell` is a cell of plan.json, a row of the tables, or a record's `cell` with its `key`, `split_seed` and, of an
    attack, `attack_params`; its `seed` may be text for several, as -s takes it. `plan` is plan.json's content. `out` is
    runs/ and the first digits of the key unless given."""
    plan = plan or {}
    said = asked(plan.get("command"))
    grid = _grid(cell, plan, said)
    model = _user(cell, plan.get("cells") or ()) if cell["kind"] == "synth" else cell
    if grid is None or model is None or cell.get("status") == "skipped" or cell.get("fidelity") == CLOSED:
        return None
    net, given, precision = _net(cell["backbone"])
    words = ["mapbench", "run", grid.target, "-m", _exact(model["variant"], model["params"]) or CHEAPEST]
    if grid.alone:
        words += ["-b", net]
    pair = _pair(model)
    if grid.alone and _named_by_all(pair, cell["suite"], plan):
        words += ["-p", pair]
    attack = cell.get("attack")  # of a row of a DataFrame that is none NaN
    named = _exact(attack, cell.get("attack_params") or {}) if isinstance(attack, str) else "none"
    words += ["-s", str(cell["seed"]), "-a", named]
    if precision != grid.precision:
        words += ["--precision", precision]
    if given:  # a file is known by its content alone, and its name only where it was typed last
        words += ["--source-model", *((said.given("--source-model") if said else []) or ["FILE"])[-1:]]
    for option in WHERE:
        for value in said.given(option) if said else ():
            words += [option, value]
    return shlex.join([*words, "--out", out or f"runs/{cell.get('key', 'again')[:8]}"])


def asked(text: str | None) -> Asked | None:
    """What a command line said, None where it is none of `mapbench run`: Python's harness.run leaves none."""
    try:
        words = shlex.split(text or "")
    except ValueError:
        return None
    if words[1:2] != ["run"]:
        return None
    targets: list[str] = []
    options: list[tuple[str, str]] = []
    rest = iter(words[2:])
    for word in rest:
        if word == "--":
            targets += rest
        elif word.startswith("--") and word not in FLAGS:
            name, inline, value = word.partition("=")
            options.append((name, value if inline else next(rest, "")))
        elif word.startswith("-") and word not in FLAGS:
            options.append((word[:2], word[2:] or next(rest, "")))
        elif word not in FLAGS:
            targets.append(word)
    return Asked(targets[0], options) if targets else None


def _grid(cell: Cell, plan: Mapping[str, Any], said: Asked | None) -> _Grid | None:
    """What to run so that the cell can be in the plan. A grid file names suites that ship with mapbench, so the suite
    itself will do, unless the file says what no option can: another part to score, split, or watermarks."""
    name, suites = cell["suite"], plan.get("suites") or {}
    suite: Any = suites.get(name)
    target = said.target if said else plan.get("grid")
    own = bool(suite) and plan.get("grid") == name  # the target was the suite: it may be a file of the user's
    plain = cell["score"] == "test" and cell.get("split_seed", 0) == (suite or {}).get("split_seed", 0)
    if own:
        plain = plain and set(cell["domains"]) == set(suite["domains"])
    else:
        resized = bool(suite) and name.endswith(f"-{suite.get('split')}")  # harness.grid calls such a part so
        plain = plain and not resized and not any(pairs.WATERMARK in domain for domain in cell["domains"])
    if plain:
        precision = ((suite or {}).get("grid") or {}).get("precision", PRECISIONS[0])
        return _Grid(target if own and target else name, True, precision)
    if suite and target and any(_alike(cell, other) for other in plan.get("cells") or ()):
        return _Grid(target, len(suites) == 1, None)
    return None


def _alike(cell: Cell, other: Cell) -> bool:
    """Whether two cells may be of one part of a grid: all that no option of the command says is the same."""
    facts = [(c["suite"], c["score"], c.get("split_seed", 0), set(c["domains"])) for c in (cell, other)]
    return facts[0] == facts[1]


def _user(cell: Cell, cells: Iterable[Cell]) -> Cell | None:
    """The first protected model that hangs on a synthesiser, or on one that does; parents stand before children."""
    below = {cell["key"]}
    for other in cells:
        if below & set(other["inputs"]):
            if other["kind"] == "protect":
                return other
            below.add(other["key"])
    return None


def _net(called: str) -> tuple[str, str | None, str]:
    """A backbone as tables call it, `convnet@9a846be6@bf16`: its name, digits of a given f_s or None, precision."""
    name, *marks = called.split("@")
    precision = next((mark for mark in marks if mark in PRECISIONS), PRECISIONS[0])
    return name, next((mark for mark in marks if mark not in PRECISIONS), None), precision


def _exact(text: str, params: Mapping[str, Any] | str) -> str:
    """`NAME[p=v]` with its numbers in full: where people read they have six digits."""
    values = json.loads(params) if isinstance(params, str) else params

    def full(hit: re.Match[str]) -> str:
        value = values.get(hit[1])
        return f"{hit[1]}={value!r}" if isinstance(value, float) and float(hit[2]) != value else hit[0]

    return re.sub(r"([^\[\],=]+)=([^\[\],]*)", full, text)


def _pair(cell: Cell) -> str:
    """A pair that brings the cell into a plan; of one that needs no target, with any other domain."""
    source, targets = cell["source"], list(cell["targets"])
    if targets:
        return pairs.name(cell)
    others = sorted((d for d in cell["domains"] if d != source), key=lambda d: pairs.WATERMARK in d)
    if cell["kind"] != "attack":
        return f"{source}:{others[0]}"
    return f"{source}:{cell['target']}" if cell["parent"] else f"{others[0]}:{source}"  # no model: its target is both


def _named_by_all(pair: str, suite: str, plan: Mapping[str, Any]) -> bool:
    """Whether every part of the grid has the pair's watermark domains: one that lacks them would refuse the pair."""
    marked = {domain for domain in re.split(r"[:+]", pair) if pairs.WATERMARK in domain}
    cells = (c for c in plan.get("cells") or () if c["suite"] == suite) if marked else ()
    return all(marked <= set(c["domains"]) for c in cells)
