"""The table in a browser: what it says, sorting, filters, attackers, the address, what is saved, keys and screens.

python -m pytest tests/results/leaderboard/page
"""

from __future__ import annotations

import csv
import io

import pytest

from results.leaderboard import display, html, number, references, said_of, text
from results.leaderboard.reading import reading
from tests.results.leaderboard.conftest import Grid
from tests.results.leaderboard.page.conftest import BROWSER, only, saved, table

pytestmark = BROWSER


def test_it_opens_with_the_numbers_of_the_terminal_and_says_what_they_mean(whole, opened):
    board, path = whole
    group, page = only(board), opened(path)
    drawn = table(page)
    assert list(drawn) == list(group.frame["variant"])
    for _, row in group.frame.iterrows():
        shown = display(row)
        for name in ("variant", "source_drop", "target_removed_argmax", "target_after_decoded", "st_d", "n", "pairs"):
            assert drawn[row["variant"]][name] == shown[name]
        assert drawn[row["variant"]]["rank"].rstrip("=") == shown["rank"]
    below = page.eval_on_selector_all("#board tfoot tr", "all => all.map((tr) => tr.children[1].textContent)")
    assert below == [row["variant"] for row in references(group)]
    for attacker in ("argmax", "decoded"):
        page.check(f"#attackers input[value={attacker}]")
        assert page.inner_text("#reading") == reading(group, board.compared(group), attacker)
    assert page.locator("#exploratory").is_hidden()


def test_a_head_sorts_and_the_address_keeps_it(whole, opened):
    board, path = whole
    page = opened(path)
    drops = board.frame.set_index("variant")["source_drop"]
    page.click("#board [data-column=source_drop]")
    assert list(table(page)) == list(drops.sort_values().index)
    page.click("#board [data-column=source_drop]")
    assert list(table(page)) == list(drops.sort_values(ascending=False).index)
    assert page.get_attribute("#board th:has([data-column=source_drop])", "aria-sort") == "descending"
    assert "sort=-source_drop" in page.url
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert list(table(page)) == list(drops.sort_values(ascending=False).index)
    page.go_back()
    page.wait_for_function("!location.hash.includes('-source_drop')")
    assert list(table(page)) == list(drops.sort_values().index)
    page.go_back()
    page.wait_for_function("location.hash === ''")
    assert list(table(page)) == list(only(board).frame["variant"])


def test_a_choice_of_methods_is_exploratory_and_ranks_nothing(whole, opened):
    board, path = whole
    page = opened(path)
    ranks = [row["rank"] for row in table(page).values()]
    assert "1" in ranks
    page.click("#filters summary")
    page.click("#methods >> text=cuti")
    assert list(table(page)) == ["cuti"]
    assert table(page)["cuti"]["rank"] == "–"
    assert page.get_attribute("#methods >> text=cuti", "aria-pressed") == "true"
    assert page.inner_text("#exploratory").startswith("exploratory: 1 of 4 variants")
    assert page.inner_text("#reading").startswith("Exploratory view")
    (cuti,) = [display(row) for _, row in only(board).frame.iterrows() if row["variant"] == "cuti"]
    assert table(page)["cuti"]["source_drop"] == cuti["source_drop"]
    page.click("#clear")
    assert [row["rank"] for row in table(page).values()] == ranks
    page.fill("#search", "SA-M")
    assert [(row["variant"], row["rank"]) for row in table(page).values()] == [("sa-map[cap=sample]", "–")]
    page.fill("#search", "no such thing")
    assert "no variant passes the filters" in page.inner_text("#board")


def test_a_choice_of_pairs_computes_the_means_anew(whole, opened):
    board, path = whole
    page = opened(path, "#pair=uci:print&pair=print:street")
    for (variant,), mine in board.pairs.query("role == 'target'").groupby(["variant"]):
        chosen = mine[(mine["source"] + ":" + mine["target"]).isin(["uci:print", "print:street"])]
        row = table(page)[variant]
        per_pair = chosen.groupby(["source", "target"])[["target_after_balanced", "source_drop"]].mean()
        assert float(row["target_after_argmax"]) == pytest.approx(per_pair["target_after_balanced"].mean(), abs=0.0011)
        assert float(row["source_drop"]) == pytest.approx(per_pair["source_drop"].mean(), abs=0.0006)
        assert (row["n"], row["pairs"], row["rank"]) == ("3/6", "2/2", "control" if variant == "continue" else "–")
    assert "exploratory: 2 of 12 pairs" in page.inner_text("#exploratory")
    assert "±" not in page.inner_text("#board")
    assert page.locator("#heat [data-cell='cuti uci:print']").count() == 1
    assert page.locator("#heat [data-cell='cuti uci:street']").count() == 0


def test_another_attacker_ranks_anew(whole, opened):
    board, path = whole
    group, page = only(board), opened(path)

    def firsts():
        return {row["variant"] for row in table(page).values() if row["rank"].rstrip("=") == "1"}

    for attacker in ("argmax", "decoded"):
        page.check(f"#attackers input[value={attacker}]")
        assert firsts() == set(group.frame[group.frame[f"rank_{attacker}"] == 1]["variant"])
    assert "attacker=decoded" in page.url
    page.check("#attackers >> text=probe (n=200)")
    attacked = group.attacks.set_index("variant")
    for variant, row in table(page).items():
        assert row["target_removed_attack0"].split("±")[0] == number(attacked.loc[variant, "target_removed"])
        assert row["target_after_attack0"] == number(attacked.loc[variant, "target_attacked"])
    keeps = attacked.loc[["sa-map[cap=sample]", "cuti"]]  # ntl costs more of the source than the budget
    assert keeps["target_removed"].idxmax() in firsts() <= set(keeps.index)
    assert "Against the attack probe (n=200)" in page.inner_text("#reading")


def test_what_is_saved_is_what_the_text_forms_print(whole, opened):
    board, path = whole
    group, page = only(board), opened(path)
    printed = text.to_markdown(board).split("\n")
    start = printed.index(f"## {text.markdown(group.title)}")
    assert saved(page, "[data-form=md]") == "\n".join(printed[start : printed.index("", start + 2) + 1])
    assert saved(page, "[data-form=tex]") in text.to_latex(board)
    rows = list(csv.DictReader(io.StringIO(saved(page, "[data-form=csv]"))))
    assert [row["variant"] for row in rows] == list(group.frame["variant"])
    for row, (_, known) in zip(rows, group.frame.iterrows(), strict=True):
        for name in ("source_drop", "source_drop_low", "target_removed_argmax_high", "target_after_decoded", "units"):
            assert float(row[name]) == pytest.approx(known[name], abs=1e-7)
        assert row["st_d"] == "" or float(row["st_d"]) == pytest.approx(known["st_d"], abs=1e-7)
    assert "rank_argmax" in rows[0]


def test_dark_and_print(whole, opened):
    page = opened(whole[1], color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) != light
    page.emulate_media(media="print")
    assert page.evaluate(paper) == light
    assert page.locator("#search").is_hidden()
    assert page.locator("#board").is_visible()
    assert opened(whole[1], color_scheme="dark").evaluate(paper) != light


def test_the_keyboard_is_enough(whole, opened):
    page = opened(whole[1])
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.dataset.column") == "rank"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert "sort=variant" in page.url
    assert page.evaluate(f"{focused}.dataset.column") == "variant"  # the focus stays where it was
    page.focus("#heat [data-cell][tabindex='0']")
    before = page.evaluate(f"{focused}.dataset.cell")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{focused}.dataset.cell") not in (before, None)
    after = page.evaluate(f"{focused}.dataset.cell")
    page.keyboard.press("Enter")
    assert page.locator("#drill").is_visible()
    page.focus("#drill >> text=all pairs of this variant")
    page.keyboard.press("Enter")
    page.wait_for_function("!location.hash.includes('at=')")
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash.includes('open=')")
    assert page.locator("#drill").is_hidden()
    assert page.evaluate(f"{focused}.dataset.cell") == after  # back where it was opened from


def test_a_phone_scrolls_down_only(gaps, opened):
    page = opened(gaps[1], "#open=ntl&at=print:uci", viewport={"width": 360, "height": 740})
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == 360
    assert page.evaluate("document.getElementById('drill').scrollWidth") <= 360
    page.click("#drill-close")
    page.click("#filters summary")
    assert page.evaluate(width) == 360


def test_what_incomplete_rows_lack_stands_above_the_table(gaps, opened):
    (group,) = gaps[0].groups()
    said = opened(gaps[1]).inner_text("#notes")
    assert said == " · ".join(said_of(group))
    assert "cuti 11/12 pairs, without uci:print (1 missing)" in said


def test_a_name_too_long_for_a_phone_is_broken(opened, tmp_path):
    name = "ntl[beta=1,cap=sample,kl_reduction=batchmean,distance=0.25]"
    board = Grid(effects={name: (0.99, 0.1, 0.2, 0.8, False)}, seeds=2, pairs=["uci:print"]).board()
    page = opened(html.write(board, tmp_path / "board.html"), viewport={"width": 360, "height": 740})
    assert name in page.inner_text("#reading")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_a_table_is_chosen_by_its_parts(opened, tmp_path):
    board = Grid(backbones=("convnet", "vgg11"), seeds=1).board()
    page = opened(html.write(board, tmp_path / "board.html"))
    first, second = board.groups()
    assert page.inner_text("#reading-of") == first.title
    page.click("#facets >> text=vgg11")
    assert page.inner_text("#reading-of") == second.title
    assert page.get_attribute("#facets >> text=vgg11", "aria-pressed") == "true"
    page.go_back()
    page.wait_for_function("location.hash === ''")
    assert page.inner_text("#reading-of") == first.title
