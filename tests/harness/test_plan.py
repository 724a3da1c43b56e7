"""A plan knows every part of its grid, and which cells are new versions of others and which are others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.expected import note
from harness.grid import Filters, read
from harness.plan import Plan, make
from results.store import Store
from suites import backbones, cache, schema
from suites.domains import MissingData
from tests.harness.conftest import QUICK

PART = "  - {suite: digits-mini, WATERMARKS pairs: ['uci:print'], methods: [ntl], seeds: [0], attacks: []}\n"


def planned(folder: Path, *watermarks: str) -> Plan:
    text = "".join(PART.replace("WATERMARKS", mark and f"watermarks: {mark},") for mark in watermarks)
    (folder / "mine.yaml").write_text("grid: mine\ngrids:\n" + text)
    return make(read(str(folder / "mine.yaml")), Store(folder / "run"), folder, folder)


@pytest.fixture(autouse=True)
def prints(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The domains' fingerprints by name; one that is not here is the name itself. No image is built."""
    held: dict[str, str] = {}

    def fingerprints(suite: Any, *_: Any) -> dict[str, str]:
        return {domain: held.get(domain, domain) for domain in suite.domains}

    monkeypatch.setattr(cache, "fingerprints", fingerprints)
    monkeypatch.setattr(cache, "counts", lambda suite, *_: dict.fromkeys(suite.domains, 1150))
    return held


def settle(plan: Plan, store: Store) -> None:
    """An ok record of each cell."""
    for number, cell in enumerate(plan.cells):
        store.commit({
            "schema": 1, "key": cell.key, "attempt": 1, "uuid": f"{number:08x}", "status": "ok", "spec": cell.spec,
            "cell": cell.meta, "finished": 1.0, "accuracy": [],
        })  # fmt: skip


def test_parts_of_one_suite_may_differ_in_their_watermarks(tmp_path: Path) -> None:
    sizes = [len(cell.spec["domains"]) for cell in planned(tmp_path, "[80, 20]", "", "[80]").cells]
    assert sizes == [12, 12, 4, 4, 8, 8]


def test_a_part_in_another_precision_is_other_cells_none_of_them_stale(tmp_path: Path) -> None:
    """A precision stands in a part as watermarks do."""
    done, store = planned(tmp_path, ""), Store(tmp_path / "run")
    settle(done, store)
    text = PART.replace("WATERMARKS", "precision: tf32,")
    (tmp_path / "mine.yaml").write_text("grid: mine\ngrids:\n" + PART.replace("WATERMARKS", "") + text)
    both = make(read(str(tmp_path / "mine.yaml")), store, tmp_path, tmp_path)
    assert [both.status(cell) for cell in both.cells] == ["done", "done", "new", "new"] and not both.stale
    assert [cell.label for cell in both.cells] == [
        "f_s convnet uci s0", "ntl convnet uci:print s0", "f_s convnet@tf32 uci s0", "ntl convnet@tf32 uci:print s0",
    ]  # fmt: skip


def test_a_cell_scored_on_more_domains_is_new_and_one_with_other_pixels_stale(
    tmp_path: Path, prints: dict[str, str]
) -> None:
    done, store = planned(tmp_path, ""), Store(tmp_path / "run")
    settle(done, store)
    assert [len(cells) for cells in planned(tmp_path, "[80]").by_status.values()] == [2, 0, 0, 0, 0, 0]
    prints["street"] = "redrawn"
    again = planned(tmp_path, "")
    assert [again.stale[cell.key] for cell in again.cells] == [["domains"], ["domains", "parent"]]


MINE = """
from methods.base import Method, Needs


class Mine(Method):
    name = "mine"
    version = 1
    needs = Needs(target="none")

    def step(self, batch):
        return self.model(batch.x_s).square().mean(), {}
"""
ASKED = ("sa-map", "sf-map", "mine")


def grown(
    folder: Path, *changes: tuple[str, str], seeds: tuple[str, ...] = (), methods: tuple[str, ...] = ASKED
) -> Plan:
    """The plan of the tests' own suite, after changes to its file."""
    text = Path(QUICK).read_text().replace("grid:\n", 'grid:\n  attacks: ["probe[n=20]"]\n')
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "quick.yaml").write_text(text)
    filters = Filters(methods=methods, seeds=seeds, extra_methods=(str(folder / "mine.py"),))
    return make(read(str(folder / "quick.yaml"), filters), Store(folder / "run"), folder, folder)


def stale(plan: Plan) -> dict[str, list[str]]:
    """Label -> the fields that changed, of the stale cells; all others must be done."""
    assert not plan.by_status["new"], [cell.label for cell in plan.by_status["new"]]
    return {cell.label: plan.stale[cell.key] for cell in plan.by_status["stale"]}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A run directory in which everything asked for is done."""
    (tmp_path / "mine.py").write_text(MINE)
    store = Store(tmp_path / "run")
    for number, cell in enumerate(grown(tmp_path).cells):
        store.commit({
            "schema": 1, "key": cell.key, "attempt": 1, "uuid": f"{number:08x}", "status": "ok", "spec": cell.spec,
            "cell": cell.meta, "finished": 1.0, "seconds": 1.0, "accuracy": [],
        })  # fmt: skip
    assert stale(grown(tmp_path)) == {}
    return tmp_path


def test_a_recipe_that_changed_makes_what_hangs_on_it_stale_and_nothing_else(whole: Path) -> None:
    protect = stale(grown(whole, ("protect: {optimizer: adam, lr: 5e-4", "protect: {optimizer: adam, lr: 6e-4")))
    assert {label.split(" ")[0]: fields for label, fields in protect.items() if " on " not in label} == {
        name: ["recipe"] for name in ASKED
    }
    assert {tuple(fields) for label, fields in protect.items() if " on " in label} == {("parent",)}
    assert not any("on f_s" in label or label.startswith(("f_s", "source-generator")) for label in protect)
    synth = stale(grown(whole, ("synth: {optimizer: adam, lr: 2e-3", "synth: {optimizer: adam, lr: 3e-3")))
    assert {label.split(" ")[0]: fields for label, fields in synth.items() if " on " not in label} == {
        "source-generator": ["recipe"], "sf-map": ["inputs"],
    }  # fmt: skip
    assert len(synth) == 2 + 1  # and the attack on sf-map
    train = grown(
        whole,
        (
            "train: {optimizer: adam, lr: 1e-3, batch: 32, epochs: 2",
            "train: {optimizer: adam, lr: 1e-3, batch: 32, epochs: 3",
        ),
    )
    assert len(stale(train)) == len(train.cells)


def test_a_new_version_of_a_method_makes_its_own_cells_stale(whole: Path) -> None:
    (whole / "mine.py").write_text(MINE.replace("version = 1", "version = 2"))
    found = stale(grown(whole))
    assert {label.split(" convnet")[0]: fields for label, fields in found.items()} == {
        "mine": ["method_version"], "probe[n=20] on mine": ["method_version", "parent"],
    }  # fmt: skip


def test_a_file_edited_under_the_same_version_is_told_of(whole: Path) -> None:
    store = Store(whole / "run")
    (record,) = [r for r in store.records() if r["cell"]["method"] == "mine" and r["cell"]["kind"] == "protect"]
    store.commit(
        {**record, "attempt": 2, "uuid": "ffffffff", "finished": 0.5, "environment": {"method_sha256": "0" * 64}}
    )
    assert grown(whole).edited == {"mine": 1}


def test_what_is_asked_for_beyond_is_new_and_the_rest_stays_done(whole: Path) -> None:
    before = {cell.key for cell in grown(whole).cells}
    more = grown(whole, seeds=("0-1",))
    assert {cell.meta["seed"] for cell in more.by_status["new"]} == {1}
    assert {cell.key for cell in more.by_status["done"]} == before
    more = grown(whole, methods=(*ASKED, "constant", "sa-map[lam=0.5]"))
    assert {cell.meta["variant"] for cell in more.by_status["new"]} == {"constant", "sa-map[lam=0.5]"}
    assert {cell.key for cell in more.by_status["done"]} == before


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grid of two suites, of which `b` lacks its data as long as the file `here` is not there."""
    base = schema.load_suite("digits-mini")
    for name in "ab":
        held = base.model_copy(update={"suite": name, "eligible": [], "domains": ["uci", "print"]})
        monkeypatch.setitem(SUITES, name, held)
    monkeypatch.setattr(schema, "load_suite", SUITES.__getitem__)

    def fingerprints(suite: Any, *_: Any) -> dict[str, str]:
        if suite.suite == "b" and not (tmp_path / "here").exists():
            raise MissingData("MNIST is not there: no x\nUSPS is not there: no y")
        return {domain: domain for domain in suite.domains}

    monkeypatch.setattr(cache, "fingerprints", fingerprints)
    part = "  - {suite: NAME, pairs: ['uci:print'], methods: [ntl, df-map], seeds: [0], attacks: []}\n"
    text = "".join(part.replace("NAME", name) for name in "ab")
    (tmp_path / "mine.yaml").write_text("grid: mine\ngrids:\n" + text)
    return tmp_path


SUITES: dict[str, Any] = {}


def of_halves(folder: Path) -> Plan:
    return make(read(str(folder / "mine.yaml")), Store(folder / "run"), folder, folder)


def test_cells_without_data_are_blocked_and_the_others_run(halves: Path) -> None:
    made = of_halves(halves)
    assert made.missing_data == ["MNIST is not there: no x", "USPS is not there: no y"]
    assert {cell.meta["suite"] for cell in made.todo()} == {"a"} and len(made.todo()) == 5
    assert [cell.meta["suite"] for cell in made.by_status["blocked"]] == ["b"] * 5
    (halves / "here").touch()
    assert len(of_halves(halves).todo()) == 10 and of_halves(halves).missing_data == []


def test_what_was_done_stays_on_the_board_while_its_data_is_away(halves: Path) -> None:
    grid, store = read(str(halves / "mine.yaml")), Store(halves / "run")
    (halves / "here").touch()
    whole = of_halves(halves)
    note(store, grid, whole, None)
    before = store.plan()
    (halves / "here").unlink()
    note(store, grid, of_halves(halves), None)
    after = store.plan()
    assert before and after and before["cells"] == after["cells"]
    assert {cell["key"] for cell in after["cells"]} == {cell.key for cell in whole.cells}
    store.plan_path.unlink()
    note(store, grid, of_halves(halves), None)
    alone = store.plan()
    assert alone and {cell["suite"] for cell in alone["cells"]} == {"a"}  # cells without keys are written nowhere


def test_costs_follow_from_the_images_there_are(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (halves / "here").touch()
    sizes = {"uci": 2000, "print": 500}
    monkeypatch.setattr(cache, "counts", lambda suite, *_: sizes)
    costs = {(c.meta["kind"], c.meta["method"]): c.cost for c in of_halves(halves).cells if c.meta["suite"] == "a"}
    epochs = schema.load_suite("a").recipes["convnet"]
    one = 3 * backbones.card("convnet").gflop(32)
    assert costs["train", None] == pytest.approx(one * epochs.train.epochs * 2000)
    assert costs["protect", "ntl"] == pytest.approx(one * epochs.protect.epochs * 2 * 500)  # as long as the smaller
    assert costs["protect", "df-map"] == pytest.approx(one * epochs.protect.epochs * 2 * 2000)


def test_other_sizes_of_the_parts_are_a_suite_of_their_own(tmp_path: Path) -> None:
    part = "{suite: digits-mini, split: SPLIT, pairs: ['uci:print'], methods: [ntl], seeds: [0], attacks: []}"
    for split, name in (("legacy5k", "digits-mini-legacy5k"), ("ntlbench", "digits-mini")):
        (tmp_path / "mine.yaml").write_text(f"grid: mine\ngrids:\n  - {part.replace('SPLIT', split)}\n")
        made = make(read(str(tmp_path / "mine.yaml")), Store(tmp_path / "run"), tmp_path, tmp_path)
        assert {cell.meta["suite"] for cell in made.cells} == {name}
        (held,) = {cell.suite["split"] for cell in made.cells}
        assert held == split and bool(made.cells[0].suite["eligible"]) == (split == "ntlbench")
