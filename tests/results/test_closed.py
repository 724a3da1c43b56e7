"""Figures of a closed method stand on the board, marked; they never count as ours, nor decide what others are worth."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from results import StoreError, closed, closed_csv, compare, published, records, tables, verify
from results.leaderboard import Board, assemble, references, sheets
from results.publish import publish
from results.store import Store
from tests.results.beside import trained

SCENARIO = "labelled source, labelled target"
LINE = {
    "suite": "toy", "backbone": "net", "method": "vault", "scenario": SCENARIO, "start": "source", "source": "a",
    "target": "b", "seed": "0", "source_after": "0.88", "target_after": "0.12", "cite": "Vault, 2026",
}  # fmt: skip
BALANCED = {"source_after_balanced": "0.88", "target_after_balanced": "0.12"}
BEFORE = {"source_before": "0.80", "target_before": "0.50", "source_images": "50", "target_images": "50"}
FREE = {"scenario": "no source, no target"}

Records = list[dict[str, Any]]


def line(**changed: str) -> dict[str, str]:
    return LINE | changed


def lines(*, targets: str = "bc", seeds: int = 2, **changed: str) -> list[dict[str, str]]:
    return [line(target=t, seed=str(s), **changed) for t, s in product(targets, range(seeds))]


def written(path: Path, rows: Iterable[dict[str, str]]) -> Path:
    rows = list(rows)
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    table.writeheader()
    table.writerows(rows)
    path.write_text(text.getvalue())
    return path


@pytest.fixture
def run(make: SimpleNamespace) -> SimpleNamespace:
    """An open method on two pairs with two seeds, and its plan."""
    found = []
    for seed in range(2):
        f_s = make.train("a", seed, {"b": 70 + seed})
        targets = ({target: 20 + seed} for target in "bc")
        found += [f_s, *(make.protect(f_s, list(t), t, cell={"scenario": SCENARIO}) for t in targets)]
    return SimpleNamespace(records=found, plan=make.plan(*found, eligible=["a:b", "a:c"]), make=make)


def imported(run: SimpleNamespace, tmp_path: Path, rows: Iterable[dict[str, str]]) -> Records:
    """The records of a CSV of these rows, as merge would make them for a run directory."""
    store: Any = SimpleNamespace(plan=lambda: run.plan, records=lambda: run.records)  # as far as it is looked at
    return closed.made(closed_csv.read(written(tmp_path / "closed.csv", rows)), closed.known([store]))


def board(run: SimpleNamespace, more: Records) -> Board:
    built = tables.build([*run.records, *more], run.plan)
    frames = (built[name].to_pandas() for name in ("cells", "pairs", "attacks"))
    return assemble(*frames, run.plan, "test", "run")


def row(shown: Board, variant: str, backbone: str = "net") -> pd.Series[Any]:
    frame = shown.frame
    (found,) = frame.index[(frame["variant"] == variant) & (frame["backbone"] == backbone)]
    return frame.loc[found]


def test_it_stands_on_the_board_with_its_flag_and_without_a_rank(run: SimpleNamespace, tmp_path: Path) -> None:
    made = imported(run, tmp_path, lines())
    assert [one["cell"]["kind"] for one in made] == ["protect"] * 4
    shown = board(run, made)
    mine, other = row(shown, "vault[closed]"), row(shown, "cut")
    assert (mine["flags"], mine["fidelity"], mine["method"]) == ("not-rerunnable", "closed", "vault")
    assert (mine["seeds"], mine["units"], mine["pairs_done"], mine["pairs_expected"]) == (2, 2, 2, 2)
    assert mine["source_drop"] == pytest.approx((0.9 - 0.88) / 0.9)
    assert mine["st_d"] == pytest.approx(mine["source_drop"] / mine["target_drop"])
    assert pd.isna(mine["target_removed_argmax"]) and pd.isna(mine["rank_argmax"]) and pd.isna(mine["seconds"])
    assert (other["rank_argmax"], other["flags"]) == (1, "")
    (group,) = shown.groups()
    assert "vault[closed]" in [one["variant"] for one in sheets(group)[0].rows]
    f_s = references(group)[0]["target_after_argmax"]
    assert float(f_s) == pytest.approx(0.7025, abs=1e-3)  # as the open method has it
    assert shown.machine == "cpu on h, torch 2.9"


def test_it_is_ranked_only_where_it_is_complete(run: SimpleNamespace, tmp_path: Path) -> None:
    kept = {"source_after": "0.90", **BALANCED, "source_after_balanced": "0.90"}
    whole = row(board(run, imported(run, tmp_path, lines(**kept))), "vault[closed]")
    assert (whole["rank_argmax"], whole["pairs_done"]) == (1, 2)
    assert whole["target_removed_argmax"] == pytest.approx(1 - 0.02 / 0.6, abs=1e-3)
    assert pd.isna(whole["rank_decoded"])
    for part, done in ((lines(targets="b", **kept), 1), (lines(seeds=1, **kept), 0)):
        mine = row(board(run, imported(run, tmp_path, part)), "vault[closed]")
        assert pd.isna(mine["rank_argmax"])
        assert (mine["pairs_done"], mine["pairs_expected"]) == (done, 2)


def test_what_it_has_more_of_costs_nobody_else_a_rank(run: SimpleNamespace, tmp_path: Path) -> None:
    run.records = [one for one in run.records if one["cell"]["targets"] != ["c"]]
    run.plan["cells"] = [cell for cell in run.plan["cells"] if cell["targets"] != ["c"]]
    shown = board(run, imported(run, tmp_path, lines(**BALANCED)))
    assert (row(shown, "cut")["pairs_expected"], row(shown, "cut")["rank_argmax"]) == (1, 1)
    assert row(shown, "vault[closed]")["pairs_expected"] == 2
    (group,) = board(run, imported(run, tmp_path, lines())).groups()  # nothing class-balanced is known of it
    assert float(references(group)[0]["target_after_argmax"]) == pytest.approx(0.705)  # f_s by the open one


def test_with_an_f_s_of_its_own_it_stands_apart(run: SimpleNamespace, tmp_path: Path) -> None:
    run.plan["suites"]["toy"]["eligible"] = None  # which pairs count is computed from f_s: from ours alone
    before = board(run, []).frame
    made = imported(run, tmp_path, lines(**BEFORE, **BALANCED))
    assert [one["cell"]["kind"] for one in made] == ["train", "protect"] * 4
    shown = board(run, made)
    mine = row(shown, "vault[closed]", "net@closed")
    assert mine["source_drop"] == pytest.approx((0.80 - 0.88) / 0.80)
    assert mine["target_drop"] == pytest.approx((0.50 - 0.12) / 0.50)
    assert pd.isna(mine["rank_argmax"])  # what its f_s knew, class-balanced, is not known
    pd.testing.assert_frame_equal(shown.frame[shown.frame["backbone"] == "net"].reset_index(drop=True), before)


def test_the_same_again_adds_nothing_and_corrected_figures_replace(run: SimpleNamespace, tmp_path: Path) -> None:
    store = Store("memory://closed-again/run")  # its tables are built in this process
    for one in run.records:
        store.commit(one)
    store.write_plan(run.plan)

    def add(rows: Iterable[dict[str, str]]) -> tuple[int, int]:
        found = closed_csv.read(written(tmp_path / "closed.csv", rows))
        told = closed.commit(store, closed.made(found, closed.known([store])))
        return told.new, told.known

    def current() -> dict[str, float]:
        rows = tables.read(store.out, "pairs").to_pylist()
        mine = [r for r in rows if r["method"] == "vault" and r["role"] == "target" and r["current"]]
        return {f"{r['backbone']} {r['target']}{r['seed']}": r["target_after"] for r in mine}

    assert add(lines()) == (4, 0)
    assert add(lines()) == (0, 4)
    assert len(store.records()) == len(run.records) + 4
    assert add([line(target_after="0.30"), *lines()[1:]]) == (1, 3)
    assert current() == {"net b0": 0.3, "net b1": 0.12, "net c0": 0.12, "net c1": 0.12}
    assert add([line(target_after="0.30", **BEFORE)]) == (2, 0)  # now with an f_s of its own
    assert current() == {"net@closed b0": 0.3, "net b1": 0.12, "net c0": 0.12, "net c1": 0.12}
    stale = [r for r in tables.read(store.out, "cells").to_pylist() if not r["current"]]
    assert [r["variant"] for r in stale] == ["vault[closed]"] * 2


def test_without_a_target_the_lines_of_a_source_are_one_model(run: SimpleNamespace, tmp_path: Path) -> None:
    made = imported(run, tmp_path, lines(scenario="labelled source, no target"))
    assert [one["cell"]["targets"] for one in made] == [[], []]
    assert [[r["domain"] for r in one["accuracy"]] for one in made] == [["a", "b", "c"]] * 2
    built = tables.build([*run.records, *made], run.plan)["pairs"].to_pylist()
    roles = {(r["target"], r["role"]) for r in built if r["method"] == "vault"}
    assert roles == {("b", "target"), ("c", "target")}


def test_a_record_says_that_it_was_imported_and_from_where(run: SimpleNamespace, tmp_path: Path) -> None:
    (made,) = imported(run, tmp_path, [line(target_matched="0.2", tuned="yes")])
    assert records.write(tmp_path / "out", made).is_file()
    assert (made["spec"]["imported"], made["spec"]["recipe"]["cite"]) == (1, "Vault, 2026")
    assert (made["cell"]["params"], made["cell"]["method_version"], made["cell"]["tuned"]) == ({}, 0, True)
    assert made["cell"]["parent"] == run.records[0]["key"]
    assert (made["flags"], made["seconds"], made["checkpoint"]) == (["not-rerunnable"], None, None)
    assert {name: value for name, value in made["environment"].items() if value} == {}
    target = made["accuracy"][1]
    assert (target["correct"], target["total"]) == (12, 100)  # of as many images as f_s was scored on
    assert (target["balanced"], target["matched"], target["decoded"]) == (None, 0.2, None)


def test_figures_that_were_imported_are_not_compared_with_published_ones_as_ours() -> None:
    f_s = trained("cifar10")
    ours = {"suite": "cifar-stl", "backbone": "vgg13", "source": "cifar10", "target": "stl10"}
    rows = [closed_csv.Line("x:2", closed_csv.Row.model_validate(line(**ours, method="ntl")), line(**ours))]
    suites = {"cifar-stl": {"classes": 10, "version": 1, "domains": ["cifar10", "stl10"]}}
    made = closed.made(rows, closed.Known(suites, set(), {("cifar-stl", 0, "vgg13", "cifar10", 0): [f_s]}))
    built = tables.build([f_s, *made], None)
    pairs, cells = built["pairs"].to_pandas(), built["cells"].to_pandas()
    assert len(pairs) == 1
    assert all(found.ours is None for found in compare.against(published.load(), pairs, cells))


def test_it_is_published_and_verified_and_named_in_the_readme(run: SimpleNamespace, tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    figures = imported(run, tmp_path, [*lines(), *lines(targets="b", method="safe", cite="Safe|, 2026", **BEFORE)])
    for one in (*run.records, *figures):
        store.commit(one)
    store.write_plan(run.plan)
    publish(store, tmp_path / "out")
    found = verify.verify(tmp_path / "out")
    assert (found.problems, found.cells) == ([], len(run.records))  # none of them is counted as run
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "Not rerunnable, because their code is not public" in readme
    assert "6 of 6 cells are ok. 8 more were imported." in readme
    assert "| protect | 4 | 4 |" in readme and "vault\\[closed\\] · toy · net" in readme
    assert r"safe\[closed\] (Safe\|, 2026); vault\[closed\] (Vault, 2026)" in readme


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([line(source_after="85.6")], "closed.csv:2: source_after: Input should be less than or equal to 1, not '85"),
        ([line(), line(seed="x")], "closed.csv:3: seed: Input should be a valid integer"),
        ([line(target_after="nan")], "closed.csv:2: target_after: Input should be"),
        ([line(cite="")], "closed.csv:2: cite: Field required"),
        ([line(suite="digit")], "closed.csv:2: this run has no suite 'digit'; it has toy"),
        ([line(target="bb")], "closed.csv:2: toy has no domain 'bb'; did you mean 'b'?"),
        ([line(source="x")], "closed.csv:2: toy has no domain 'x'; it has a, b, c"),
        ([line(target="a")], "closed.csv:2: target: must be another domain than the source, not 'a'"),
        ([line(method="cut")], "closed.csv:2: 'cut' is a method of this run: give the closed one a name of its own"),
        ([line(method="<b>")], "closed.csv:2: method: String should match pattern"),
        ([line(scenario="everything")], "closed.csv:2: scenario: String should match pattern"),
        ([line(start="warm")], "closed.csv:2: start: Input should be 'source' or 'init', not 'warm'"),
        ([line(seed="9")], "closed.csv:2: no f_s of toy net a seed 9 here: run it, or give source_before and target_"),
        ([line(backbone="vgg")], "closed.csv:2: no f_s of toy vgg a seed 0 here"),
        ([line(source_before="0.9")], "closed.csv:2: give source_before and target_before, or neither"),
        ([line(seed="9", source_before="0.9", target_before="0.5")], "closed.csv:2: of how many test images source_"),
        ([line(source_after="0.856")], "closed.csv:2: source_after cannot be 0.856 of 100 images, 86 of them are"),
        ([line(), line(target="c"), line()], "closed.csv:4: the same model and target as in closed.csv:2"),
        (
            [line(**FREE), line(**FREE, target="c", source_after="0.5")],
            "closed.csv:3: source_after is not what closed.csv:2 says of the same model",
        ),
        ([line(metod="x")], "closed.csv:1: unknown column 'metod': did you mean 'method'?"),
        ([{k: v for k, v in LINE.items() if k != "cite"}], "closed.csv:1: no column cite; needed are suite, backbone"),
        ([], "closed.csv:1: no column suite"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_and_line(
    run: SimpleNamespace, tmp_path: Path, rows: list[dict[str, str]], message: str
) -> None:
    with pytest.raises(StoreError) as raised:
        imported(run, tmp_path, rows)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",".join(LINE) + "\n", "closed.csv: it has no rows"),
        (",".join(LINE) + "\ntoy,net\n", "closed.csv:2: fewer cells than the head has columns"),
        (",".join(LINE) + "\n" + "x," * 12 + "\n", "closed.csv:2: more cells than the head has columns"),
        (",".join(LINE) + ",seed\n", "closed.csv:1: column 'seed' stands there twice"),
        (",".join(LINE) + '\n"toy\n', "closed.csv:2: unexpected end of data"),
    ],
)
def test_a_file_that_is_no_such_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "closed.csv").write_text(text)
    with pytest.raises(StoreError, match=message):
        closed_csv.read(tmp_path / "closed.csv")
    (tmp_path / "closed.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="is no text in UTF-8"):
        closed_csv.read(tmp_path / "closed.csv")


def test_a_figure_may_be_of_more_images_than_f_s_was_scored_on(run: SimpleNamespace, tmp_path: Path) -> None:
    (made,) = imported(run, tmp_path, [line(source_after="0.856", source_images="1000", target_after="1.2e-1")])
    assert [(r["correct"], r["total"]) for r in made["accuracy"]] == [(856, 1000), (12, 100)]


def test_the_head_of_the_file_lists_every_column() -> None:
    said = closed_csv.__doc__ or ""
    for name in closed_csv.Row.model_fields:
        assert name in said
