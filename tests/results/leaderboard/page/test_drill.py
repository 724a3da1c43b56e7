"""A click on a cell: its seeds, why one failed, where it ran, and the command that reruns it. Names stay text."""

from __future__ import annotations

from results.leaderboard import html, number
from tests.results.leaderboard.conftest import Grid
from tests.results.leaderboard.page.conftest import BROWSER, saved, table

pytestmark = BROWSER

EVIL = "<script>alert(1)</script>"


def test_a_cell_opens_with_its_seeds_and_the_command_that_reruns_it(gaps, opened):
    board, path = gaps
    page = opened(path)
    page.click("#heat [data-cell='cuti uci:print']")
    mine = board.pairs.query("variant == 'cuti' and source == 'uci' and target == 'print' and role == 'target'")
    shown = page.inner_text("#drill")
    for _, row in mine.iterrows():
        assert f"{number(row['target_before_balanced'])} → {number(row['target_after_balanced'])}" in shown
        assert f"{number(row['target_decoded_before'])} → {number(row['target_decoded'])}" in shown
        assert row["key"][:12] in shown
    assert "seed 1: missing" in shown
    assert "mapbench run digits-mini -m cuti -b convnet -p uci:print -s 2 -a none --out runs/again" in shown
    assert f"mapbench show DIR {mine['key'].iloc[0][:12]}" in shown
    assert "cpu, host bench, torch 2.15.0, 9.0 s" in shown
    assert f"DIR/logs/{mine['key'].iloc[0][:12]}*.1.log" in shown
    assert page.locator("#drill figure svg").count() == 2 * len(mine)  # of each cell that ran, its two curves
    assert "loss, 1 to 3" in shown
    assert "open=cuti&at=uci%3Aprint" in page.url
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('open=')")
    assert page.locator("#drill").is_hidden()
    assert "open=" not in page.url
    page.go_back()
    page.wait_for_selector("#drill[open]")


def test_a_failed_cell_says_why(gaps, opened):
    page = opened(gaps[1], "#open=ntl&at=print:uci")
    shown = page.inner_text("#drill")
    assert "ValueError: shapes do not match" in shown
    assert "seed 0: failed" in shown
    page.click("#drill >> text=all pairs of this variant")
    assert "1 failed" in page.inner_text("#drill")
    page.click("#drill-close")
    assert "none" in page.get_attribute("#heat td:has([data-cell='ntl print:uci'])", "class")
    assert "absent" in page.get_attribute("#heat td:has([data-cell='cuti uci:print'])", "class")


def test_names_stay_text(opened, tmp_path):
    evil = EVIL + "$\\input{x}\"'"
    effects = {evil: (0.99, 0.1, 0.2, 0.8, False), "flat": (0.999, 0.10, 0.1, 0.8, True)}
    lost = {(evil, "uci", "print", 0): EVIL}
    board = Grid(effects=effects, pairs=["uci:uci-m", "uci:print"], fail=lost, flags={evil: [EVIL]}).board()
    page = opened(html.write(board, tmp_path / "board.html"))
    assert evil in table(page)
    page.locator("#board tr", has_text=EVIL).locator("button.open").click()
    page.click("#drill >> text=uci:print")
    assert EVIL in page.inner_text("#drill")
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('open=')")
    drawing = saved(page, "[data-figure=heat]")
    assert "<script" not in drawing
    assert page.locator("script").count() == 2
