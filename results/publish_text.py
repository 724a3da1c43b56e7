"""The README.md of a publication: what it is, how complete it is, how to check it and how to run it again.

    mapbench publish runs/demo && cat runs/demo-published/README.md

What the manifest says for programs stands here for people. Names come from users' files and are escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from results import records
from results.leaderboard import MAP_SENTENCE, Board
from results.leaderboard.text import markdown
from results.manifest import PAGE, Kind, Manifest, Variant, counted

if TYPE_CHECKING:
    import pandas as pd

README = "README.md"
GAPS = 50  # lines about cells without a number; board.json has all of the board's, manifest.json every one
FILES = {
    "index.html": "the board: one page, nothing is fetched",
    "board.csv, board.json, board.md, board.tex": "the same board for programs and papers",
    "tables/*.parquet": "all that was measured: `pandas.read_parquet`, or `results.load` on this folder",
    "plan.json": "every cell that was asked for",
    "manifest.json": "versions, fingerprints, the key and outcome of every cell, the sha256 of every file",
}
RECORDS = {"records/": "a record per attempt, without what is said below: `mapbench merge` takes them"}
WHAT = (
    "How useful methods that protect a model leave it on the domain its owner authorises, and how useless on others, "
    f"as mapbench measured it. The board is [{PAGE}]({PAGE}). {MAP_SENTENCE}."
)
CHECKED = (
    "computes the keys from the specs, the drops from the accuracies and the board from the tables, and compares all "
    "of it with what stands here. It trains nothing: whether the numbers come out again, only a run can say."
)
WITHOUT = (
    "are emptied; paths, addresses and names of hosts are cut out of errors and of the command. Checkpoints, kept "
    "predictions and logs stay with whoever ran this. The sha256 of a record, in manifest.json, is that of the record "
    "without these."
)


def readme(claims: Manifest, board: Board, with_records: bool) -> str:
    """The file's text. `board` is the one that is published."""
    files = FILES | (RECORDS if with_records else {})
    suites = [
        f"{d.suite} version {d.version}" + f", split_seed {d.split_seed}" * (d.split_seed > 0) for d in claims.data
    ]
    scenarios = dict.fromkeys(v.scenario for v in claims.variants if v.scenario)
    facts = [
        f"suites: {markdown('; '.join(suites) or 'none')}",
        f"scenarios: {markdown('; '.join(scenarios) or 'none')}",
        f"scored on the {claims.score} part; the newest record is of {claims.created}",
        f"mapbench {markdown(claims.mapbench)}, {_code(claims)}; {_machines(claims)}",
    ]
    parts = [
        f"# {markdown(board.title)}", WHAT, _items(facts),
        "## Complete?", *_complete(claims, board),
        "## What is here",
        "\n".join(["| file | what |", "| --- | --- |", *(f"| {name} | {what} |" for name, what in files.items())]),
        "## Check it", "    mapbench verify .", CHECKED,
        "## Run it again", f"    {' '.join((claims.command or 'mapbench run SUITE').split())}",
        "with the commit named above. Same key, same cell, on any machine.", *_closed(board.cells),
        "## What is not here", f"{', '.join(f'`{name}`' for name in claims.emptied)} {WITHOUT}",
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _items(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _code(claims: Manifest) -> str:
    known = [f"{c.commit[:12]}{' (modified)' if c.modified else ''}" for c in claims.code if c.commit]
    return f"commit {markdown(', '.join(known))}" if known else "of no known commit"


def _machines(claims: Manifest) -> str:
    known = [f"{e.device}, torch {e.torch} ({e.cells} cells)" for e in claims.environments if e.device]
    return markdown("; ".join(known)) or "device not known"


def _complete(claims: Manifest, board: Board) -> Iterator[str]:
    cells, gaps = counted(claims.cells)
    said = "".join(f", {n} {status}" for status, n in gaps.items())
    more = sum(cell.imported for cell in claims.cells)
    yield f"{cells - sum(gaps.values())} of {cells} cells are ok{said}." + f" {more} more were imported." * (more > 0)
    rows = ["| cells | done | of | the rest |", "| --- | ---: | ---: | --- |"]
    rows += [_row(kind.kind, kind) for kind in claims.kinds]
    for v in claims.variants:
        marks = [f" split_seed {v.split_seed}"] * bool(v.split_seed) + [f" ({v.start})"] * (v.start == "init")
        rows.append(_row(" · ".join([v.variant + "".join(marks), v.suite, v.backbone, v.scenario or "", v.score]), v))
    yield "\n".join(rows)
    if claims.damaged:
        yield f"{claims.damaged} records could not be read and are left out."
    if lost := [*board.failed, *board.missing]:
        lines = [markdown(" ".join(f"{g.label}: {g.status} {g.error}".split())) for g in lost[:GAPS]]
        yield _items(lines + [f"and {len(lost) - GAPS} more, all in board.json"] * (len(lost) > GAPS))


def _row(name: str, covered: Kind | Variant) -> str:
    rest = ", ".join(f"{n} {status}" for status, n in covered.other.items())
    return f"| {markdown(name)} | {covered.done} | {covered.expected} | {rest} |"


def _closed(cells: pd.DataFrame) -> list[str]:
    """A paragraph on methods whose code is not public, and where their figures are from; nothing without any."""
    mine = cells[(cells["fidelity"] == records.CLOSED) & (cells["kind"] == "protect")]
    cited = {(str(v), str(json.loads(s)["recipe"]["cite"])) for v, s in zip(mine["variant"], mine["spec"], strict=True)}
    if not cited:
        return []
    named = "; ".join(f"{markdown(variant)} ({markdown(cite)})" for variant, cite in sorted(cited))
    return [f"Not rerunnable, because their code is not public; their figures were imported: {named}."]
