"""The scenario enforced, watched from the disk to the method: what each method, synthesiser and attack is served.

.venv/bin/pytest tests/harness/test_enforced.py

Each runs through the real worker as a cell of quick.yaml, on uci-m and uci. One instrument sits at the only door to the
disk, suites.cache.read, and notes what is opened for the cell. The other sits in the access and looks up every image of
its epochs, and all that setup fetches, by sha256 in the domains' manifests. A new method is covered without an edit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import attacking, plan, scoring, worker
from harness.access import DataAccess
from harness.cards import cards, load
from harness.grid import Filters, read
from harness.scheduler import Task
from methods import UndeclaredError
from methods.base import REAL, Access, Batch, Method
from methods.images import to_bytes, to_pixels
from results import records
from results.store import Store
from suites import cache, schema, strict
from tests.harness.conftest import QUICK

KNOWN = cards()
STEPS = 2  # of each epoch are trained; all of it is looked at
SUITE = strict.read_yaml(Path(QUICK), schema.Suite)
METHODS = tuple(name for name, card in KNOWN.items() if card.kind == "protect")
ATTACKS = tuple(name for name, card in KNOWN.items() if card.kind == "attack")


class Watch:
    """Runs the cells of a grid with every method, and keeps what was opened and served for the last one."""

    def __init__(self, out: Path, data: Path) -> None:
        self.out, self.data = out, data
        asked = read(QUICK, Filters(METHODS, attacks=ATTACKS))
        self.tasks = {t.key: t for t in plan.make(asked, Store(out), data, out).tasks()}
        self.manifest: dict[str, tuple[str, str, int]] = {}  # sha256 of an image -> its domain, part, label
        for domain in SUITE.domains:
            for item in cache.items(SUITE, data, None, domain):
                assert item["sha256"] not in self.manifest, f"{item['id']} is there twice: no look-up could tell"
                self.manifest[item["sha256"]] = domain, item["part"], item["label"]

    def task(self, name: str | None) -> Task:
        """The cell of a method, a synthesiser, or an attack on f_s; None: of f_s."""
        cells = ((t.payload["cell"], t) for t in self.tasks.values())
        (found,) = (t for c, t in cells if (c["method"], c.get("attack")) in ((name, None), (None, name)))
        return found

    def run(self, task: Task) -> dict[str, Any]:
        """The cell's record, after those above it have theirs."""
        cell, spec = task.payload["cell"], task.payload["spec"]
        for above in (cell["parent"], *cell["inputs"]):
            if above and not records.read_key(self.out, above):
                assert self.run(self.tasks[above])["status"] == "ok"
        attack = spec["kind"] == "attack"
        self.part = "attacker" if attack else "train"
        self.domains = {"source": [cell["source"]], "target": [spec["target"]] if attack else spec.get("targets", [])}
        self.opened: set[tuple[str, str]] = set()
        self.served: dict[str, set[str]] = {"source": set(), "target": set()}
        scoring.RESIDENT.clear()  # else a part would be opened for one of all cells
        context = {"out": str(self.out), "data": str(self.data), "weights": "", "source_model": ""}
        *_, last = worker.run_cell(context, task.payload, 1)
        record: dict[str, Any] = last["record"]
        return record

    def look(self, role: str, supply: str, images: Tensor, labels: Tensor | None) -> None:
        """Real images are of the role's domain and of its train part (for an attack, its attacker part), with their own
        labels; made ones are of no part."""
        for i, image in enumerate(to_bytes(to_pixels(images)).numpy()):
            sha256 = hashlib.sha256(image.tobytes()).hexdigest()
            self.served[role].add(sha256)
            domain, part, label = self.manifest.get(sha256, ("no domain", "no part", None))
            where = f"served as {supply} {role}: an image of {domain}, {part}"
            assert (domain in self.domains[role] and part == self.part) if supply in REAL else label is None, where
            assert supply not in REAL or labels is None or int(labels[i]) == label, f"{where}, with another's label"


def held(batch: Batch, name: str) -> Tensor | None:
    try:
        found: Tensor = getattr(batch, name)
        return found
    except UndeclaredError:
        return None


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Watch:
    return Watch(tmp_path_factory.mktemp("enforced"), data)


@pytest.fixture
def watch(forest: Watch, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The instruments in their places. Nothing is scored, so whatever is opened is opened for the method."""

    class Watched(DataAccess):
        def __init__(self, method: Method, *rest: Any) -> None:
            super().__init__(method, *rest)
            self.supplies = {"source": method.needs.source, "target": method.needs.target}
            for role in [role for role, supply in self.supplies.items() if supply not in REAL]:
                with pytest.raises(UndeclaredError, match=f"{re.escape(method.name)} asked for {role} data"):
                    getattr(super(), role)()

        def source(self) -> tuple[Tensor, Tensor | None]:
            return self.seen("source", *super().source())

        def target(self) -> tuple[Tensor, Tensor | None]:
            return self.seen("target", *super().target())

        def seen(self, role: str, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
            assert (labels is not None) == (self.supplies[role] == "labelled")
            forest.look(role, self.supplies[role], images, labels)
            return images, labels

        def epoch(self) -> Iterator[Batch]:
            for step, batch in enumerate(super().epoch()):
                for role, supply in self.supplies.items():
                    images, labels, rows = (held(batch, f"{kind}_{role[0]}") for kind in ("x", "y", "rows"))
                    assert (images is not None) == (supply != "none")
                    assert (labels is not None) == (supply in ("labelled", "generated"))  # made ones have a meaning
                    assert (rows is not None) == (supply in REAL)
                    if images is not None:
                        forest.look(role, supply, images, labels)
                if step < STEPS:
                    yield batch

    really_read = cache.read

    def opened(suite: Any, data: Path, split_seed: int | None, domain: str, part: str) -> cache.Part:
        forest.opened.add((domain, part))
        return really_read(suite, data, split_seed, domain, part)

    monkeypatch.setattr(cache, "read", opened)
    monkeypatch.setattr(worker, "DataAccess", Watched)
    monkeypatch.setattr(worker, "score", lambda *_: ([], {}))
    monkeypatch.setattr(worker.quality, "measure", lambda *_: ({}, None))
    return forest


@pytest.mark.parametrize("name", [None, *sorted(KNOWN)])
def test_what_is_served_is_of_the_part_and_the_domains_that_were_declared(name: str | None, watch: Watch) -> None:
    record = watch.run(watch.task(name))
    assert record["status"] == "ok", record["error"]
    card = KNOWN[name or "continue"]
    supplies = {"source": card.source, "target": card.target}
    real = [role for role, supply in supplies.items() if supply in REAL]
    part = "attacker" if name in ATTACKS else "train"
    assert watch.opened == {(domain, part) for role in real for domain in watch.domains[role]}
    least = STEPS * record["spec"]["recipe"]["batch"] if record["curves"] else 0  # of a method that takes no step
    for role, supply in supplies.items():
        count = len(watch.served[role])
        assert count >= least if supply != "none" else count == 0


@pytest.mark.parametrize("part", ["attacker", "val", "test"])
def test_one_image_of_another_part_is_seen(part: str, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instruments themselves: a worker that served but one such image would not pass."""
    watch.run(watch.task(None))
    monkeypatch.setattr(worker, "part_of", mixed(worker.part_of, part))
    _seen(watch, "constant", part)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_one_image_of_another_part_is_seen_in_an_attack(
    part: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacking, "part_of", mixed(attacking.part_of, part))
    _seen(watch, "from-scratch", part)


def mixed(really: Callable[..., tuple[Tensor, Tensor]], part: str) -> Callable[..., tuple[Tensor, Tensor]]:
    """`part_of` with its last image out of another part."""

    def part_of(*asked: Any) -> tuple[Tensor, Tensor]:
        (images, labels), (strange, its) = really(*asked), really(*asked[:4], part, asked[5])
        return torch.cat([images[:-1], strange[:1]]), torch.cat([labels[:-1], its[:1]])

    return part_of


def _seen(watch: Watch, name: str, part: str) -> None:
    record = watch.run(watch.task(name))
    assert record["status"] == "failed"
    assert re.match(f"AssertionError: served as .*: an image of (uci|uci-m), {part}", record["error"])
    assert {p for _, p in watch.opened} == {watch.part, part}


@pytest.mark.parametrize(
    ("method", "role"),
    [("sf-map", "source"), ("df-map", "source"), ("df-map", "target"), ("cuti-source-only", "target")],
)
def test_a_method_that_asks_for_what_it_did_not_declare_gets_the_error(
    method: str, role: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = KNOWN[method]

    def greedy(self: Method, model: nn.Module, access: Access) -> None:
        getattr(access, role)()

    monkeypatch.setattr(type(load(card, card.check({}, "test"))), "setup", greedy)
    record = watch.run(watch.task(method))
    assert record["status"] == "failed"
    assert record["error"] == (
        f"UndeclaredError: {method} asked for {role} data, but declares needs = {card.scenario!r}: "
        "declare it in `needs` (and so change scenario) or do without"
    )
    assert watch.served == {"source": set(), "target": set()}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_that_asks_for_what_the_owner_trained_on_gets_the_error(
    attack: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = KNOWN[attack]

    def greedy(self: Method, model: nn.Module, access: Access) -> None:
        access.source()

    monkeypatch.setattr(type(load(card, card.check({}, "test"))), "setup", greedy)
    record = watch.run(watch.task(attack))
    assert record["status"] == "failed"
    assert record["error"] == (
        f"UndeclaredError: {attack} asked for source data, but an attack is served {card.target} images of its "
        "target's attacker part and no others: neither what the owner trained on nor what is scored"
    )
    assert watch.opened == {(domain, "attacker") for domain in watch.domains["target"]}
    assert watch.served == {"source": set(), "target": set()}
