"""The papers' tables: the numbers are the pair frame's and the board's, and nothing is called best that may not be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from results import leaderboard, tables
from results.leaderboard import by_pair, papers
from results.stats import ROW

DROPS = ["source_drop", "source_drop_low", "source_drop_high", "target_drop", "st_d"]


def columns(printed, block, label):
    """The texts of one line by the column's name."""
    (line,) = [line for b in printed.blocks if b.name == block for line in b.lines if line.label == label]
    return dict(zip(printed.heads, line.texts, strict=True))


def best(printed, block, label):
    (line,) = [line for b in printed.blocks if b.name == block for line in b.lines if line.label == label]
    return None if line.best is None else printed.heads[line.best]


def test_the_means_are_the_boards_own_numbers(grid):
    board = grid(drop=(("cuti", "uci", "print", 1),)).board()
    lost = papers.losses(board)
    whole = lost[lost["source"] == ""].set_index(ROW)
    assert len(whole) == len(board.frame)
    for _, row in board.frame.iterrows():
        mine = whole.loc[tuple(row[ROW])]
        np.testing.assert_array_equal(mine[DROPS].to_numpy(float), row[DROPS].to_numpy(float))
        assert (mine["seeds"], mine["units"]) == (row["seeds"], row["units"])


def test_a_sources_drops_by_hand(grid):
    board = grid(pairs=["uci:uci-m", "uci:print", "street:uci"], seeds=3).board()
    lost = papers.losses(board)
    (row,) = lost[(lost["source"] == "uci") & (lost["variant"] == "cuti")].to_dict("records")
    mine = board.pairs[
        (board.pairs["source"] == "uci") & (board.pairs["variant"] == "cuti") & (board.pairs["role"] == "target")
    ]
    for name in ("source_drop", "target_drop", "source_after"):
        cells = mine.groupby("seed")[name].mean()  # the mean over the two targets of each train cell
        half = t.ppf(0.975, 2) * cells.std(ddof=1) / np.sqrt(3)
        assert row[name] == pytest.approx(cells.mean())
        assert [row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx([cells.mean() - half, cells.mean() + half])
    assert row["st_d"] == pytest.approx(mine["source_drop"].mean() / mine["target_drop"].mean())
    assert (row["seeds"], row["units"], row["together"]) == (3, 3, "")


def test_each_text_is_of_the_frames_number(grid):
    board = grid(pairs=["uci:uci-m", "uci:print"]).board()
    (printed,) = papers.tables(board)
    order = list(next(board.groups()).frame["variant"])
    assert printed.heads == [*(name for name in order if name != "continue"), "continue\n(control)"]
    assert [block.name for block in printed.blocks] == ["uci", "mean"]
    assert [line.label for line in printed.blocks[0].lines] == [
        "source", "→ uci-m", "→ print", "Source Drop", "Target Drop", "ST-D"
    ]  # fmt: skip
    for row in by_pair.frame(board).to_dict("records"):
        text = columns(printed, "uci", f"→ {row['target']}")[
            row["variant"] + ("\n(control)" if row["variant"] == "continue" else "")
        ]
        half = (row["target_after_high"] - row["target_after_low"]) / 2
        before, after, half = (f"{round(v, 3) * 100:.1f}" for v in (row["target_before"], row["target_after"], half))
        assert text == f"{before} → {after}±{half}"
    row = board.frame.set_index("variant").loc["cuti"]
    half = (row["source_drop_high"] - row["source_drop_low"]) / 2
    assert columns(printed, "mean", "Source Drop")["cuti"] == (
        f"{round(row['source_drop'], 3) * 100:.1f}±{round(half, 3) * 100:.1f}"
    )
    assert columns(printed, "mean", "ST-D")["cuti"] == f"{row['st_d']:.3f}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9383, "93.8"), (0.0015, "0.2"), (0.9386, "93.9"), (0.0625, "6.2"), (1, "100.0"), (-0.0001, "0.0"), (None, "–")],
)
def test_percent_moves_the_point_of_the_digits_that_all_forms_print(value, text):
    assert papers.percent(value) == text
    if value is not None:
        assert float(text) == pytest.approx(100 * float(leaderboard.number(value)))


def test_one_train_cell_has_no_interval_and_nothing_is_best(grid):
    (printed,) = papers.tables(grid(pairs=["uci:uci-m", "uci:print"], seeds=1).board())
    lines = [line for block in printed.blocks for line in block.lines]
    assert not any("±" in text for line in lines for text in line.texts)
    assert [line.best for line in lines] == [None] * len(lines)


def test_best_is_whose_interval_lies_apart_from_all_others(grid):
    far = {"a": (0.99, 0.10, 0.2, 0.8, False), "b": (0.80, 0.40, 0.4, 0.8, False), "c": (0.70, 0.50, 0.5, 0.8, True)}
    (printed,) = papers.tables(grid(effects=far).board())
    for label in ("Source Drop", "Target Drop"):
        assert best(printed, "mean", label) == best(printed, "uci", label) == "a"
        assert best(printed, "mean", "ST-D") is None
    near = {"a": (0.990, 0.100, 0.2, 0.8, False), "b": (0.989, 0.101, 0.2, 0.8, False)}
    (printed,) = papers.tables(grid(effects=near).board())
    assert [line.best for block in printed.blocks for line in block.lines] == [None] * (4 * 7 + 3)
    control = {"a": (0.80, 0.4, 0.4, 0.8, False), "constant": (0.99, 0.1, 0.2, 0.8, True)}
    (printed,) = papers.tables(grid(effects=control).board())
    assert best(printed, "mean", "Target Drop") == "constant\n(control)"


def test_who_lacks_a_pair_is_not_called_best_and_its_fewer_seeds_are_said(grid):
    effects = {"a": (0.99, 0.10, 0.2, 0.8, False), "b": (0.80, 0.40, 0.4, 0.8, False), "c": (0.7, 0.6, 0.6, 0.8, False)}
    (printed,) = papers.tables(grid(effects=effects, drop=(("a", "uci", "print", 1),)).board())
    assert best(printed, "mean", "Target Drop") == best(printed, "uci", "Target Drop") == "b"
    assert best(printed, "street", "Target Drop") == "a"
    assert columns(printed, "uci", "→ print")["a"].endswith(" (n=2)")
    assert "(n=" not in columns(printed, "uci", "→ print")["b"] + columns(printed, "uci", "→ street")["a"]
    assert "n: seeds 3, train cells 12, pairs 12/12; a: seeds 3, train cells 12, pairs 11/12." in printed.notes
    assert any(note.startswith("incomplete, so not ranked: a 11/12 pairs") for note in printed.notes)


def test_a_pair_without_any_number_is_a_dash(grid):
    lost = tuple(("cuti", "uci", "print", seed) for seed in range(3))
    (printed,) = papers.tables(grid(pairs=["uci:uci-m", "uci:print"], drop=lost).board())
    assert columns(printed, "uci", "→ print")["cuti"] == "–"
    waiting = grid(pairs=["uci:print"], seeds=1)
    waiting.records.clear()
    (printed,) = papers.tables(waiting.board())
    assert {text for line in printed.blocks[-1].lines for text in line.texts} == {"–"}


def test_an_undefined_st_d_is_a_dash(grid):
    effects = {"worse": (0.99, 0.9, 0.9, 0.9, False), "cuti": (0.99, 0.1, 0.2, 0.8, False)}
    (printed,) = papers.tables(grid(effects=effects).board())
    assert columns(printed, "mean", "ST-D")["worse"] == "–"


def test_wide_tables_are_continued_methods_first_and_best_stays_with_its_column(grid):
    effects = {f"m{i}": (0.9 - i / 100, 0.2 + i / 50, 0.3, 0.8, i == 0) for i in range(8)}
    first, second = papers.tables(grid(effects=effects).board())
    assert (len(first.heads), second.heads[-1]) == (6, "m0\n(control)")
    assert second.title == first.title + " (continued)"
    assert best(first, "mean", "Source Drop") is None
    assert best(second, "mean", "Source Drop") == "m0\n(control)"
    assert [len(line.texts) for block in second.blocks for line in block.lines] == [2] * (4 * 7 + 3)


def test_a_union_is_a_block_of_its_own_and_a_target_free_model_stands_among_the_pairs(make):
    records = []
    for seed in range(2):
        parent = make.train(seed=seed)
        alone = make.protect(parent, ["b"], {"a": 90, "b": 30 + 10 * seed})
        both = make.protect(parent, ["b", "c"], {"a": 81, "b": 40, "c": 5})
        free = make.protect(parent, [], {"a": 88, "b": 20, "c": 20}, method="free")
        records += [parent, alone, both, free]
    plan = make.plan(*records)
    built = tables.build(records, plan)
    frames = (built[name].to_pandas() for name in ("cells", "pairs", "attacks"))
    (printed,) = papers.tables(leaderboard.assemble(*frames, plan, "test", "run"))
    assert [block.name for block in printed.blocks] == ["a", "a:* at once", "mean"]
    assert columns(printed, "a", "→ b")["cut"].startswith("70.0 → 35.0±")
    assert columns(printed, "a", "→ b")["free"] == "70.0 → 20.0±0.0"
    assert columns(printed, "a", "→ c")["cut"] == "–"
    assert columns(printed, "a:* at once", "→ c")["cut"] == "70.0 → 5.0±0.0"
    assert columns(printed, "a:* at once", "→ c")["free"] == "–"
    assert columns(printed, "a:* at once", "Source Drop")["cut"] == "10.0±0.0"
    assert columns(printed, "a", "Source Drop")["cut"] == "0.0±0.0"
