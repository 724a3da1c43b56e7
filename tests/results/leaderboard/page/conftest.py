"""The page in a real Chromium, opened from a file with the network off.

What is asked of every page, whatever else a test wants: it logs no error, and asks for nothing but its own file.
"""

from __future__ import annotations

import shutil

import pytest

from results import leaderboard
from results.leaderboard import html
from tests.results.leaderboard.conftest import Grid

CHROMIUM = shutil.which("chromium")
CURVE = {"loss": [3.0, 2.0, None, 1.0], "source": [0.5, 0.25, 0.2, 0.1]}
BROWSER = [pytest.mark.slow, pytest.mark.xdist_group("browser")]  # one browser for all


@pytest.fixture(scope="package")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which is in mapbench[dev]")
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """opened(path, "#...", viewport=...) gives the page once its cells are unpacked."""
    contexts, errors, asked = [], [], []

    def open_page(path, address="", **context):
        contexts.append(browser.new_context(**context))
        contexts[-1].set_offline(True)
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("file://", "data:", "blob:"))] == []


@pytest.fixture(scope="package")
def whole(tmp_path_factory):
    """A board without gaps, attacked, and its page."""
    board = Grid(attacked=0.4).board()
    return board, html.write(board, tmp_path_factory.mktemp("whole") / "board.html")


@pytest.fixture(scope="package")
def gaps(tmp_path_factory):
    """The board of a run directory with a failed and a missing cell, and its page, with curves."""
    out = tmp_path_factory.mktemp("gaps")
    lost = {("ntl", "print", "uci", 0): "ValueError: shapes do not match"}
    made = Grid(drop=(("cuti", "uci", "print", 1),), fail=lost)
    for record in made.records:
        record["curves"] = CURVE
        record["log"] = f"logs/{record['key']}.1.log"
    board = leaderboard.load(made.write(out / "run"))
    return board, html.write(board, out / "board.html", out / "run")


def table(page):
    """The rows of the table of variants, by variant: the texts of its cells by column."""
    columns = page.eval_on_selector_all("#board thead button", "all => all.map((b) => b.dataset.column)")
    lines = page.eval_on_selector_all(
        "#board tbody tr", "all => all.map((tr) => [...tr.children].map((cell) => cell.textContent))"
    )
    rows = [dict(zip(columns, line, strict=True)) for line in lines if len(line) > 1]
    return {row["variant"]: row for row in rows}


def only(board):
    """The one table of a board."""
    (group,) = board.groups()
    return group


def saved(page, selector):
    """The text of the file that a button saves."""
    with page.expect_download() as download:
        page.click(selector)
    return download.value.path().read_text("utf-8")
