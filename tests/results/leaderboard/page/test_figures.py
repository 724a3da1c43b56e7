"""The figures in a browser: saved whole, and who differs, strengths and cost say what the board says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from results.leaderboard import html
from tests.results.leaderboard.conftest import EFFECTS, Grid
from tests.results.leaderboard.page.conftest import BROWSER, only, saved

pytestmark = BROWSER


@pytest.mark.parametrize("figure", ["plane", "heat", "differences", "wins", "cost"])
def test_a_figure_is_saved_whole(whole, opened, figure):
    page = opened(whole[1])
    drawing = saved(page, f"[data-figure={figure}]")
    root = ET.fromstring(drawing)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in drawing
    assert "cuti" in "".join(root.itertext())


def test_methods_that_differ_are_not_joined(whole, opened):
    board, path = whole
    group, page = only(board), opened(path)
    found = board.compared(group).query("attacker == 'argmax' and family == 'methods'")
    note = page.inner_text("#differences-note")
    assert f"n = {found['units'].iloc[0]}" in note
    assert f"df = {found['df'].min()}" in note
    assert page.locator("#differences text").filter(has_text="cuti").count() == 1
    for _, row in found.iterrows():
        cell = page.locator(f"#wins td[aria-label^='{row['a']} against {row['b']}:']")
        said = cell.get_attribute("aria-label")
        counts = [int(n) for n in re.findall(r"(\d+) (?:win|tie|loss)", said)]
        assert counts == [row["wins"], row["ties"], row["losses"]]
        turned = page.locator(f"#wins td[aria-label^='{row['b']} against {row['a']}:']").get_attribute("aria-label")
        assert [int(n) for n in re.findall(r"(\d+) (?:win|tie|loss)", turned)] == counts[::-1]
        assert cell.inner_text().endswith("*") == (row["p_holm"] < 0.05)
    first = page.locator("#wins td[tabindex='0']")
    first.focus()
    assert page.inner_text("#win-said") == first.get_attribute("aria-label")


def test_one_train_cell_tells_nothing_apart(opened, tmp_path):
    board = Grid(seeds=1).board()
    page = opened(html.write(board, tmp_path / "board.html"))
    assert "One train cell per source: no interval, nothing can be told apart." in page.inner_text("#differences-note")
    assert page.locator("#differences .bar").count() == 0


def test_strengths_of_a_method_are_a_line(opened, tmp_path):
    effects = {f"sa-map[lam={lam}]": (1 - lam / 20, 0.6 - lam / 3, 0.6, 0.8, False) for lam in (0.1, 0.5, 1)}
    made = Grid(effects=effects | {"cuti": EFFECTS["cuti"]})
    for cell in (*made.plan["cells"], *(record["cell"] for record in made.records)):
        cell["params"] = {"lam": float(cell["variant"].split("=")[1][:-1])} if "lam" in cell["variant"] else {}
    page = opened(html.write(made.board(), tmp_path / "board.html"))
    texts = page.eval_on_selector_all("#strength g text", "all => all.map((t) => t.textContent)")
    assert texts == ["0.1", "0.5", "sa-map lam=1"]
    assert "Mean seconds of one protected cell, on cpu" in page.inner_text("#cost-note")
