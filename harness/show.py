"""`mapbench show DIR KEY`: one cell of a run directory, in the terminal, as one page, or as JSON.

    mapbench show runs/digits-mini 0991
    mapbench show runs/digits-mini 0991 --html cell.html

Loads neither torch nor pandas. What is known of a cell is results/cell.py.
"""

from __future__ import annotations

from harness import UsageError, api
from harness.views import opened
from results import cell

TAIL = 12  # lines of the log of a cell that did not end well


def show(directory: str, key: str, html: str | None, as_json: bool) -> int:
    """Print the cell whose key begins with `key`, or write its page to `html`; UsageError or StoreError of one line
    where there is no such cell, or more than one."""
    if html and as_json:
        raise UsageError("--html and --json are two forms of the same: leave one out")
    store = opened(directory)
    facts = {**cell.facts(store, key), "directory": api.show(store.out)}
    if html:
        from results import cell_page

        print(api.show(cell_page.write(facts, store, api.located(html))))
    elif as_json:
        print(cell.to_json(facts))
    else:
        from rich.console import Console

        from results import cell_text

        ended_well = facts["status"] in ("ok", "missing", "skipped")
        cell_text.render(facts, Console(), [] if ended_well else cell.log(store, facts, TAIL))
    return 0
