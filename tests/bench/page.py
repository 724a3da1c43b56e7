"""The page of 5,000 cells: its size, and how long it takes to answer a filter in Chromium, drawing included.

    PYTHONPATH=. .venv/bin/python tests/bench/page.py

Two such boards: 35 tables of 12 variants, and one table of 84. A filter is a press on a pair's chip, a method's chip or
an attacker, or a letter in the search; its time runs from before the event to after the layout. Exits 1 where a page is
larger than 500 KB, or where the median of the slowest filter is over 100 ms.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

from results.leaderboard import html
from tests.results.leaderboard.conftest import Grid

SIZE, MOST = 500_000, 100.0  # bytes, milliseconds
ROUNDS = 7
TIMED = """() => {{
  const begun = performance.now();
  {action};
  document.body.offsetHeight; // has the layout done
  return performance.now() - begun;
}}"""
FILTERS = {
    "a pair": "document.querySelector('#pairs button').click()",
    "a method": "document.querySelector('#methods button').click()",
    "an attacker": "[...document.querySelectorAll('#attackers input')].find((radio) => !radio.checked).click()",
    "a letter": "(() => { const s = document.getElementById('search'); s.value = s.value ? '' : '1'; "
    "s.dispatchEvent(new Event('input')); })()",
}


def boards() -> dict[str, Any]:
    """Some 5,000 protected cells, in many tables and in one."""
    few = {f"method-{i}[lam=0.{i}]": (0.99, 0.1 + i / 50, 0.2, 0.8, i > 9) for i in range(12)}
    many = {f"method-{i % 9}[lam=0.{i}]": (0.99, 0.1 + i / 200, 0.2, 0.8, i > 77) for i in range(84)}
    return {
        "35 tables of 12 variants": Grid(effects=few, seeds=1, backbones=tuple(f"net{i}" for i in range(35))).board(),
        "one table of 84 variants": Grid(effects=many, seeds=5).board(),
    }


def main() -> int:
    """Prints a line per page and filter; 1 where a bound is missed."""
    missed = False
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, board in boards().items():
            path = html.write(board, Path(folder) / "board.html")
            cells, size = (board.cells["kind"] == "protect").sum(), path.stat().st_size
            missed |= size > SIZE
            print(f"{name}: {cells} cells, {size / 1000:.0f} KB")
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]")
            for what, action in FILTERS.items():
                timed = TIMED.format(action=action)
                took = [page.evaluate(timed) for _ in range(ROUNDS)]
                missed |= median(took) > MOST
                print(f"  {what}: {median(took):.0f} ms ({min(took):.0f} to {max(took):.0f})")
        browser.close()
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
