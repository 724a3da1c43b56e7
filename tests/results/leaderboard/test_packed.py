"""What the page knows of each cell: every cell is in it, its numbers are the tables', and it is small."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from results import leaderboard
from results.leaderboard import html, packed, packed_curves
from tests.results.leaderboard.conftest import cell as planned
from tests.results.leaderboard.conftest import record as ran
from tests.results.leaderboard.test_html import data_of

LINE = [4.0, 2.0, None, 1.0, 0.0]


def unpacked(board, out=None):
    return data_of(html.page(board, out))


def cells_of(data):
    """The packed columns as one dict per cell, words and domains by name."""
    known, words = data["cells"], data["cells"]["words"]
    columns = {name: values for name, values in known["cells"].items() if name != "key"}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for i, row in enumerate(rows):
        row["key"] = known["cells"]["key"][packed.KEY * i : packed.KEY * (i + 1)]
        row["source"] = data["places"][row["source"]]
        row |= {name: words[row[name]] for name in ("targets", "status", "error", "rerun", "pair", "params", "device")}
    return rows


def test_every_cell_is_there_and_says_how_it_ended(grid):
    lost = {("ntl", "print", "uci", 0): "ValueError: shapes"}
    board = grid(drop=(("cuti", "uci", "print", 1),), fail=lost).board()
    cells = cells_of(unpacked(board))
    asked = [cell for cell in board.plan["cells"] if cell["kind"] == "protect"]
    assert {cell["key"] for cell in cells} == {cell["key"][: packed.KEY] for cell in asked}
    (failed,) = [cell for cell in cells if cell["status"] == "failed"]
    assert (failed["source"], failed["targets"], failed["seed"]) == ("print", "uci", 0)
    assert (failed["error"], failed["source_after"]) == ("ValueError: shapes", None)
    (missing,) = [cell for cell in cells if cell["status"] == "missing"]
    assert (missing["source"], missing["targets"], missing["seed"]) == ("uci", "print", 1)
    assert missing["seconds"] is None


def test_seeds_are_their_pairs_mean_and_what_they_differ_by(grid):
    board = grid().board()
    data = unpacked(board)
    known, cells = data["cells"], cells_of(data)
    at, seen = 0, {}
    for i, step in enumerate(known["seen"]["cell"]):
        at += step
        target = data["places"][known["seen"]["target"][i]]
        means = {tuple(cell[:2]): cell[4] for cell in data["rows"][cells[at]["row"]]["pairs"]}
        mean = means[cells[at]["source"], target][::2]
        seen[cells[at]["key"], target] = [mean[k] + known["seen"][a][i] for k, a in enumerate(leaderboard.ATTACKERS)]
    columns = ["target_after_balanced", "target_matched", "target_decoded"]
    asked = board.pairs[board.pairs["role"] == "target"]
    assert len(seen) == len(asked)
    for _, row in asked.iterrows():
        assert seen[row["key"][: packed.KEY], row["target"]] == [round(1000 * row[name]) for name in columns]
    parents = dict(zip(board.pairs["key"].str[: packed.KEY], board.pairs["source_after"], strict=True))
    assert all(cell["source_after"] == round(10_000 * parents[cell["key"]]) for cell in cells)


def test_a_command_is_kept_once_for_all_pairs_and_seeds(grid):
    data = unpacked(grid().board())
    cells = cells_of(data)
    by_row = {}
    for cell in cells:
        by_row.setdefault(cell["row"], set()).add(cell["rerun"])
        command = cell["rerun"].replace("@pair@", cell["pair"]).replace("@seed@", str(cell["seed"]))
        assert f" -p {cell['source']}:{cell['targets']} -s {cell['seed']} " in command
    assert all(len(commands) == 1 for commands in by_row.values())


def test_attacks_are_told_by_cell(grid):
    board = grid(attacked=0.4, pairs=["uci:uci-m"]).board()
    data = unpacked(board)
    row = next(row for row in data["rows"] if row["variant"] == "cuti")
    ((attack, source, target, n, means, before, _),) = data["cells"]["attacked"][row["at"]]
    mine = board.attack_rows.query("variant == 'cuti'")
    assert (data["attacks"][attack], n) == ("probe (n=200)", 3)
    assert [data["places"][source], data["places"][target]] == ["uci", "uci-m"]
    assert means[0] == round(1000 * mine["target_attacked"].mean())
    assert before == round(1000 * mine["target_attacked_before"].mean())
    assert len(data["cells"]["tried"]["cell"]) == 4 * 3


def test_the_same_board_is_the_same_text(grid):
    board = grid(pairs=["uci:uci-m"], seeds=2).board()
    assert unpacked(board)["cells"] == unpacked(board)["cells"]
    assert packed.text({"a": 1}) == packed.text({"a": 1})


def test_curves_come_out_of_the_records_and_leave_first_where_there_is_no_room(grid, tmp_path, monkeypatch):
    made = grid(pairs=["uci:uci-m"], seeds=1)
    for record in made.records:
        record["curves"] = {"source": LINE, "loss": LINE[::-1]}
    out = made.write(tmp_path / "run")
    board = leaderboard.load(out)
    full = unpacked(board, out)["cells"]["curves"]
    assert full == [[["source", 0.0, 4.0, [63, 32, None, 16, 0]], ["loss", 0.0, 4.0, [0, 16, None, 32, 63]]]] * 4
    monkeypatch.setattr(html, "BUDGET", len(html.page(board, out).encode()) - 1)
    assert unpacked(board, out)["cells"]["curves"] == [[["loss", 0.0, 4.0, [0, 16, None, 32, 63]]]] * 4
    monkeypatch.setattr(html, "BUDGET", 0)
    assert unpacked(board, out)["cells"].get("curves") is None
    assert unpacked(board)["cells"].get("curves") is None  # of no directory


def test_a_curve_that_never_moves_has_levels():
    assert packed_curves.levels([2.0, None, 2.0]) == [2.0, 2.0, [0, None, 0]]


@pytest.mark.parametrize("text", [None, float("nan"), ""])
def test_no_word_is_the_first_word(text):
    words = packed.Words()
    assert (words("a"), words(text), words("a"), words.list) == (1, 0, 1, ["", "a"])


def test_pictures_are_small_and_only_those_that_were_used(grid, tmp_path):
    made = grid(pairs=["uci:uci-m"], seeds=1)
    out = tmp_path / "run"
    (out / "pictures").mkdir(parents=True)
    Image.new("RGB", (640, 776), "red").save(out / "pictures" / "x.png")
    made.records += [synth := ran(planned("synth", backbone="convnet", source="uci", seed=0), "uci", 0.9, [0.5] * 3)]
    synth |= {"accuracy": [], "picture": "pictures/x.png"}
    lost = ran(planned("synth", backbone="convnet", source="uci", seed=1), "uci", 0.9, [0.5] * 3)
    made.records += [lost | {"accuracy": [], "picture": "pictures/gone.png"}]
    for one in made.records:
        one["cell"]["inputs"] = [synth["key"], lost["key"]] if one["cell"]["variant"] == "cuti" else []
    board = leaderboard.load(made.write(out))
    drawn = unpacked(board, out)["cells"]["pictures"]
    assert list(drawn) == [synth["key"][: packed.KEY]]
    with Image.open(io.BytesIO(base64.b64decode(drawn[synth["key"][: packed.KEY]]))) as picture:
        assert (picture.format, picture.size) == ("WEBP", (198, 240))


def test_differences_are_the_boards(grid):
    board = grid().board()
    (group,) = board.groups()
    data = unpacked(board)
    known = data["cells"]["compared"]
    (table,) = known["tables"]
    found = board.compared(group)
    names = [data["rows"][i]["variant"] for i in table["a"]], [data["rows"][i]["variant"] for i in table["b"]]
    assert names == (list(found["a"]), list(found["b"]))
    assert [known["words"][word] for word in table["attacker"]] == list(found["attacker"])
    for name in ("wins", "ties", "losses", "units", "pairs", "df"):
        assert table[name] == list(found[name])
    for name in ("difference", "low", "high", "p", "p_holm"):
        assert [value / 10_000 for value in table[name]] == pytest.approx(list(found[name]), abs=6e-5)


def test_rounding_takes_no_p_across_the_level(grid):
    board = grid(pairs=["uci:uci-m"]).board()
    (group,) = board.groups()
    found = board.compared(group).iloc[:3].assign(p_holm=[0.049999, 0.05, float("nan")])
    position = {key: i for i, key in enumerate(zip(group.frame["variant"], group.frame["start"], strict=True))}
    assert packed.compared(found, position, packed.Words())["p_holm"] == [499, 500, None]


def test_without_room_the_differences_of_other_attackers_leave_last(grid, monkeypatch):
    board = grid(seeds=1).board()
    attackers = board.compared(next(board.groups()))["attacker"]
    monkeypatch.setattr(html, "BUDGET", 0)
    (table,) = unpacked(board)["cells"]["compared"]["tables"]
    assert len(table["a"]) == (attackers == "argmax").sum() < len(attackers)
