"""Below a table stands what its cells do not share, and what its incomplete rows lack; in every form."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from results import leaderboard
from results.leaderboard import terminal, text

PAIRS = ["uci:uci-m", "uci:print"]


def computed(made, where, **environment):
    """The grid with the environment of some of its records changed."""
    for record in made.records:
        if where(record["cell"]):
            record["environment"] = record["environment"] | environment
    return made.board()


def of(variant, kind="protect"):
    return lambda cell: cell["kind"] == kind and cell["variant"] == variant


def test_a_table_whose_cells_were_all_made_alike_says_nothing(grid):
    (group,) = grid(pairs=PAIRS).board().groups()
    assert (group.mixed, group.incomplete, leaderboard.said_of(group)) == ([], [], [])


def test_versions_and_devices_that_differ_between_rows_are_named(grid):
    made = grid(pairs=PAIRS)
    computed(made, of("cuti"), torch="2.14.0")
    (group,) = computed(made, of("ntl"), device="NVIDIA H100 80GB").groups()
    assert group.mixed == ["torch 2.14.0, 2.15.0", "device NVIDIA H100 80GB, cpu"]
    computed(made, lambda cell: cell["variant"] == "ntl" and cell["seed"] == 1, torch="2.13.1")
    (group,) = made.board().groups()
    assert group.mixed[0] == "torch 2.13.1, 2.14.0, 2.15.0"


def test_the_source_models_and_the_attacks_belong_to_the_table(grid):
    (group,) = computed(grid(pairs=PAIRS), of("", "train"), torch="2.14.0").groups()
    assert group.mixed == ["torch 2.14.0, 2.15.0"]
    (group,) = computed(grid(pairs=PAIRS, attacked=0.4), of("cuti", "attack"), device="NVIDIA H100").groups()
    assert group.mixed == ["device NVIDIA H100, cpu"]


def test_another_table_is_none_of_its_business(grid):
    made = grid(pairs=PAIRS, backbones=("convnet", "vgg11"))
    groups = computed(made, lambda cell: cell["backbone"] == "vgg11", torch="2.14.0").groups()
    assert [group.mixed for group in groups] == [[], []]


def test_a_precision_that_some_devices_lack_is_named_and_one_that_all_lack_is_not(grid):
    (group,) = grid(pairs=PAIRS, flags={"cuti": ["not-taken-off", "no-tf32"]}).board().groups()
    assert group.mixed == ["precision as asked, fp32 for want of tf32"]
    made = grid(pairs=PAIRS)
    for record in made.records:
        record["flags"] = ["no-tf32"]
    (group,) = made.board().groups()
    assert group.mixed == []


def test_what_failed_or_was_not_recorded_mixes_nothing(grid):
    made = grid(pairs=PAIRS, fail={("cuti", "uci", "print", seed): "diverged" for seed in range(3)})
    lost = lambda cell: cell["variant"] == "cuti" and cell["targets"] == ["print"]  # noqa: E731
    (group,) = computed(made, lost, torch="2.14.0").groups()
    assert group.mixed == []
    (group,) = computed(grid(pairs=PAIRS), of("cuti"), torch=None, device=None).groups()
    assert group.mixed == []


def test_an_incomplete_row_says_which_pairs_it_lacks_and_why(grid):
    fail = {("ntl", "uci", "print", 0): "diverged", ("ntl", "uci", "print", 1): "diverged"}
    (group,) = grid(drop=(("cuti", "uci", "print", 1), ("cuti", "print", "uci", 0)), fail=fail).board().groups()
    assert sorted(group.incomplete) == [
        "cuti 10/12 pairs, without uci:print (1 missing), print:uci (1 missing)",
        "ntl 11/12 pairs, without uci:print (2 failed)",
    ]


def test_pairs_that_only_others_were_asked_for_are_told_from_lost_ones(grid):
    made = grid(pairs=PAIRS)
    cuti = [c for c in made.plan["cells"] if c["variant"] == "cuti" and c["targets"] == ["print"]]
    made.plan["cells"] = [c for c in made.plan["cells"] if c not in cuti]
    made.records = [r for r in made.records if r["key"] not in {c["key"] for c in cuti}]
    (group,) = made.board().groups()
    assert group.incomplete == ["cuti 1/2 pairs, without 1 that it was not asked for"]


def test_a_target_free_model_that_is_lost_lacks_every_pair_of_its_source(grid):
    made = grid(pairs=["uci:"], seeds=2, effects={"df-map": (0.99, 0.1, 0.2, 0.8, False)})
    for held in (*made.plan["cells"], *(record["cell"] for record in made.records)):
        held["targets"] = []
    made.records = [r for r in made.records if not (r["cell"]["variant"] and r["cell"]["seed"] == 1)]
    (group,) = made.board().groups()
    assert group.incomplete == [
        "df-map 0/3 pairs, without uci:uci-m (1 missing), uci:print (1 missing), uci:street (1 missing)"
    ]


def test_a_run_that_has_not_begun_names_a_few_rows_and_counts_the_rest(grid):
    effects = {f"m{i}": (0.99, 0.1, 0.2, 0.8, False) for i in range(9)}
    made = grid(effects=effects, seeds=1)
    made.records.clear()
    (group,) = made.board().groups()
    assert len(group.incomplete) == 9
    assert group.incomplete[0].endswith("uci:street (1 missing), 9 more")
    (line,) = leaderboard.said_of(group)
    assert line.count(" pairs, without ") == 6 and line.endswith("; and 3 more rows")


@pytest.fixture
def odd(grid):
    board = grid(pairs=PAIRS, drop=(("cuti", "uci", "print", 1),))
    return computed(board, of("ntl"), torch="2.14.0")


def test_every_form_says_both(odd):
    differs = "torch 2.14.0, 2.15.0"
    lacks = "cuti 1/2 pairs, without uci:print (1 missing)"
    console = Console(file=io.StringIO(), width=200, color_system=None)
    terminal.render(odd, console)
    whole = json.loads(text.to_json(odd))
    table = "digits-mini · convnet · labelled source, labelled target"
    assert whole["mixed"] == [{"table": table, "differs": [differs]}]
    assert whole["incomplete"] == [{"table": table, "rows": [lacks]}]
    latex = text.to_latex(odd)
    for form in (console.file.getvalue(), text.to_markdown(odd), latex):
        assert f"mixed: {differs}; small differences may be due to that" in form.replace("\\", "")
        assert f"incomplete, so not ranked: {lacks}" in form.replace("\\", "")
    assert all(line.startswith("%") for line in latex.splitlines() if "mixed: " in line)
