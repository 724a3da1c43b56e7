"""The board behind all forms: what is on it, in which order, and what it says is not there."""

from __future__ import annotations

import pytest

from results import StoreError, leaderboard
from results.leaderboard import display, load, ordered, references


def names(group):
    return list(group.frame["variant"])


def test_load_reads_a_run_directory(grid, tmp_path):
    made = grid(pairs=["uci:uci-m", "uci:print"], seeds=1, fail={("ntl", "uci", "print", 0): "diverged"})
    board = load(made.write(tmp_path / "run"))
    assert board.title == "mapbench digits-mini: clean behaviour"
    assert board.commit == "abcdef0123"
    assert board.machine == "cpu on bench, torch 2.15.0"
    assert board.command == "mapbench run digits-mini"
    assert [(g.label, g.status, g.error) for g in board.failed] == [
        ("ntl convnet uci:print seed 0", "failed", "diverged")
    ]
    assert board.missing == []
    assert set(board.frame["variant"]) == {"sa-map[cap=sample]", "cuti", "ntl", "continue"}


def test_load_without_anything_to_show_is_one_line(grid, tmp_path):
    out = grid(pairs=["uci:uci-m"], seeds=1).write(tmp_path / "run")
    with pytest.raises(StoreError, match="no protected model scored on val"):
        load(out, "val")
    with pytest.raises(StoreError, match="not a run directory"):
        load(tmp_path / "nothing")


def test_missing_is_what_the_plan_has_and_the_records_have_not(grid):
    board = grid(drop=(("cuti", "uci", "print", 1),)).board()
    assert [g.label for g in board.missing] == ["cuti convnet uci:print seed 1"]
    assert board.failed == []


def test_only_an_attack_earns_the_word_protection_and_is_named(grid):
    made = grid(pairs=["uci:uci-m"], seeds=1, attacked=0.4)
    assert made.board().title == "mapbench digits-mini: protection against probe (n=200)"
    for record in made.records:
        if record["cell"]["kind"] == "attack" and record["cell"]["variant"]:
            record["status"] = "failed"
    board = made.board()
    assert board.title.endswith("clean behaviour")  # f_s under attack says nothing of any protection
    assert [g.label for g in board.failed][:2] == [
        "probe on sa-map[cap=sample] convnet uci:uci-m seed 0",
        "probe on cuti convnet uci:uci-m seed 0",
    ]


def test_attacks_stand_in_the_order_of_their_variants(grid):
    (group,) = grid(attacked=0.4).board().groups()
    assert list(group.attacks["variant"]) == list(group.frame["variant"])
    first, attacked = leaderboard.sheets(group)
    assert first.title + " · attacked" == attacked.title
    assert [row["variant"] for row in attacked.rows] == [row["variant"] for row in first.rows]
    row, shown = group.attacks.iloc[0], attacked.rows[0]
    assert (shown["images"], shown["pairs"], shown["n"]) == ("200", "12/12", "3/12")
    assert shown["target_attacked"] == f"{row['target_attacked']:.3f}"
    half = (row["target_gain_high"] - row["target_gain_low"]) / 2
    assert shown["target_gain"] == f"{row['target_gain']:.3f}±{half:.3f}"
    assert (shown["target_attacked_before"], shown["target_scratch"]) == ("0.700", "0.500")


def test_a_missing_attack_is_a_gap_of_its_own(grid):
    made = grid(pairs=["uci:uci-m"], seeds=1, attacked=0.4)
    made.records = [r for r in made.records if r["cell"].get("attack") is None]
    labels = [g.label for g in made.board().missing]
    assert "probe on cuti convnet uci:uci-m seed 0" in labels
    assert "from-scratch convnet uci-m seed 0" in labels
    (group,) = made.board().groups()
    assert set(leaderboard.sheets(group)[1].rows[0].values()) >= {"–", "0/1"}


def test_controls_stand_in_the_methods_table_unranked_and_placed_by_the_rule(grid):
    effects = {
        "good": (0.995, 0.15, 0.2, 0.8, False),
        "better": (0.995, 0.10, 0.2, 0.8, False),
        "costly": (0.90, 0.05, 0.2, 0.8, False),
        "constant": (0.999, 0.12, 0.2, 0.5, True),
    }
    (group,) = grid(effects=effects).board().groups()
    assert names(group) == ["better", "constant", "good", "costly"]
    assert [display(row)["rank"] for _, row in group.frame.iterrows()] == ["1", "control", "2", "3"]


def test_ranks_follow_the_order_for_every_attacker(grid):
    (group,) = grid().board().groups()
    for attacker in leaderboard.ATTACKERS:
        ranks = ordered(group.frame, attacker)[f"rank_{attacker}"].dropna()
        assert list(ranks) == sorted(ranks)
        assert len(ranks) == 3


def test_rows_with_missing_pairs_come_last_without_a_rank(grid):
    board = grid(drop=(("sa-map[cap=sample]", "uci", "print", 1),)).board()
    (group,) = board.groups()
    assert names(group)[-1] == "sa-map[cap=sample]"
    last = display(group.frame.iloc[-1])
    assert (last["rank"], last["pairs"]) == ("–", "11/12")


def test_tuned_and_untuned_settings_are_two_tables(grid):
    first, second = grid(tuned=("sa-map[cap=sample]",)).board().groups()
    titles = {first.title: names(first), second.title: names(second)}
    base = "digits-mini · convnet · labelled source, labelled target"
    assert titles[f"{base} · tuned"] == ["sa-map[cap=sample]", "continue"]
    assert titles[f"{base} · not tuned"] == ["cuti", "continue", "ntl"]


def test_backbones_are_never_in_one_table(grid):
    groups = list(grid(backbones=("convnet", "vgg11")).board().groups())
    assert [group.backbone for group in groups] == ["convnet", "vgg11"]
    assert all(set(group.frame["backbone"]) == {group.backbone} for group in groups)


def test_reference_rows_carry_the_probes_on_fs_and_on_the_untrained_net(grid):
    effects = {"cuti": (0.99, 0.1, 0.2, 0.8, False), "untrained": (0.1, 0.1, 0.13, 0.52, True)}
    board = grid(effects=effects).board()
    (group,) = board.groups()
    assert names(group) == ["cuti"]
    fs, untrained = references(group)
    row = group.frame.iloc[0]
    assert fs["target_after_decoded"] == f"{row['target_before_decoded']:.3f}" != ""
    assert fs["target_after_argmax"] == f"{row['target_before_argmax']:.3f}"
    assert untrained["target_after_decoded"] == f"{group.untrained.iloc[0]['target_after_decoded']:.3f}"


def test_no_interval_is_printed_for_one_train_cell_and_no_zero_for_an_undefined_number(grid):
    (group,) = grid(pairs=["uci:uci-m"], seeds=1).board().groups()
    assert all("±" not in text for _, row in group.frame.iterrows() for text in display(row).values())
    row = group.frame.iloc[0].copy()
    row["st_d"] = float("nan")
    assert display(row)["st_d"] == "–"
    (group,) = grid(pairs=["uci:uci-m"], seeds=3).board().groups()
    row = group.frame.iloc[0]
    half = (row["source_drop_high"] - row["source_drop_low"]) / 2
    assert display(row)["source_drop"] == f"{row['source_drop']:.3f}±{half:.3f}"


def test_a_run_that_has_not_begun_is_a_board_of_missing_cells(grid):
    made = grid(pairs=["uci:uci-m"], seeds=1)
    made.records.clear()
    board = made.board()
    (group,) = board.groups()
    assert len(board.missing) == 5  # f_s and four variants
    assert {display(row)["pairs"] for _, row in group.frame.iterrows()} == {"0/1"}
    assert {display(row)["source_drop"] for _, row in group.frame.iterrows()} == {"–"}


@pytest.mark.parametrize(
    ("touched", "table", "wanted"),
    [
        ("labelled source, unlabelled target", "labelled source, labelled target", True),
        ("labelled source, no target", "labelled source, no target", True),
        ("labelled source, unlabelled target", "labelled source, no target", False),
        ("labelled source, no target", "no source, unlabelled target", False),
        ("no source, no target", "no source, unlabelled target", True),
    ],
)
def test_a_scenario_is_allowed_where_no_more_data_is_touched(touched, table, wanted):
    assert leaderboard.board.allowed(touched, table) == wanted


def test_a_control_stands_where_its_data_is_allowed_in_the_form_that_has_most_of_it(grid):
    sa, sf, none = "labelled source, labelled target", "no source, unlabelled target", "no source, no target"
    scenarios = {
        "sa-map": sa, "sf-map": sf, "uniform": "labelled source, unlabelled target", "uniform-source-free": sf,
        "uniform-data-free": none, "continue": "labelled source, no target", "gate-data-free": none,
    }  # fmt: skip
    effects = {v: (0.99, 0.1, 0.2, 0.8, not v.endswith("-map")) for v in scenarios}
    first, second = grid(effects=effects, scenarios=scenarios).board().groups()
    assert (first.scenario, second.scenario) == (sa, sf)
    assert set(names(first)) == {"sa-map", "uniform", "continue", "gate-data-free"}
    assert set(names(second)) == {"sf-map", "uniform-source-free", "gate-data-free"}


def test_a_control_that_no_table_allows_has_one_of_its_own(grid):
    scenarios = {"sf-map": "no source, unlabelled target"}
    effects = {"sf-map": (0.99, 0.1, 0.2, 0.8, False), "continue": (0.99, 0.6, 0.6, 0.8, True)}
    groups = {g.scenario: names(g) for g in grid(effects=effects, scenarios=scenarios).board().groups()}
    assert groups == {"no source, unlabelled target": ["sf-map"], "labelled source, no target": ["continue"]}
