"""The page of one cell: one file, nothing fetched, nothing runs, and its numbers and images are the record's."""

from __future__ import annotations

import base64
import html as escaping
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from results import cell, cell_page
from results.store import Store

EVIL = "<script>alert(1)</script>"
PICTURE = cell_page.PNG + bytes(range(256))
CURVES = {"loss": [3.0, 2.0, None, 0.5, 0.25], "val": [None, 0.25, None, 0.75, None]}


class Made:
    """A run of f_s, a generator with a picture, and a model protected with it."""

    def __init__(self, folder: Path, make: SimpleNamespace, **changed: Any) -> None:
        self.store = Store(folder / "run")
        train = make.train()
        gen = make.synth(train, picture="pictures/x.png")
        cells = {"inputs": [gen["key"]], **changed.pop("cell", {})}
        correct = changed.pop("correct", {"b": 20})
        self.record = make.protect(train, ["b"], correct, cell=cells, **{"curves": CURVES} | changed)
        for one in (train, gen, self.record):
            self.store.commit(one)
        self.store.write_plan(make.plan(train, gen, self.record))
        self.write("pictures/x.png", PICTURE)
        self.write(self.record["log"], "".join(f"epoch {n}\n" for n in range(300)).encode())

    def write(self, name: str, content: bytes) -> None:
        path = self.store.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @property
    def facts(self) -> dict[str, Any]:
        return cell.facts(self.store, self.record["key"])

    @property
    def page(self) -> str:
        return cell_page.page(self.facts, self.store)


def text_of(fragment: str) -> list[str]:
    return re.sub(r"<[^>]+>", " ", fragment).split()


def test_the_page_is_one_file_that_fetches_and_runs_nothing(tmp_path: Path, make: SimpleNamespace) -> None:
    made = Made(tmp_path, make)
    path = cell_page.write(made.facts, made.store, tmp_path / "page" / "cell.html")
    page = path.read_text("utf-8")
    assert list(path.parent.iterdir()) == [path]
    assert not re.search(r"<script|<link rel=.stylesheet|https?://|@import|url\(|\bon[a-z]+\s*=", page)
    references = re.findall(r"""\b(?:src|href)\s*=\s*["']?([^"'>\s]*)""", page)
    assert references and all(reference.startswith("data:") for reference in references)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page


def test_names_errors_and_logs_cannot_act(tmp_path: Path, make: SimpleNamespace) -> None:
    curves = {EVIL: [1.0, 2.0], 'x" onload="alert(1)': [1.0]}
    made = Made(tmp_path, make, cell={"variant": EVIL}, error=EVIL, flags=[EVIL], curves=curves)
    made.write(made.record["log"], EVIL.encode())
    page = made.page
    assert "<script" not in page
    assert page.count(escaping.escape(EVIL)) >= 6  # title, head, error, flags, command, curve, log
    assert not re.search(r"<[^>]*\sonload=", page)


def test_accuracies_and_matrices_are_the_records(tmp_path: Path, make: SimpleNamespace) -> None:
    page = Made(tmp_path, make).page
    (row,) = re.findall(r'<tr class="target">.*?</tr>', page, re.DOTALL)
    assert text_of(row) == ["b", "target", "100", *["0.700", "→", "0.200"] * 4, "0.714", "0.833"]
    matrices = re.findall(r'<table class="heat">.*?</table>', page, re.DOTALL)
    assert [text_of(re.findall(r"<caption>.*?</caption>", m)[0])[0] for m in matrices] == ["a,", "b,", "c,"]
    cells = re.findall(r'<td class="([a-z ]*)" style="--p: (\d+)%">([^<]+)<', matrices[1])
    assert cells == [(" right", "20", "20"), ("deep", "80", "80"), ("zero", "0", "–"), ("zero right", "0", "–")]


def test_a_matrix_too_large_to_read_is_left_to_the_json(tmp_path: Path, make: SimpleNamespace) -> None:
    page = Made(tmp_path, make, cell={"classes": 65}).page
    assert "65 classes are too many" in page
    assert '<table class="heat">' not in page


def test_every_curve_is_a_figure_that_is_also_said_in_words(tmp_path: Path, make: SimpleNamespace) -> None:
    page = Made(tmp_path, make).page
    figures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(figures) == 2
    for figure, name in zip(figures, CURVES, strict=True):
        assert figure.get("role") == "img"
        labelled = [figure.find(f"*[@id='{key}']") for key in (figure.get("aria-labelledby") or "").split()]
        title, words = (one.text for one in labelled if one is not None)
        assert title == f"{name}, 5 epochs"
        assert words and words in page
        texts = [text.text for text in figure.iter("text")]
        assert {"epoch", name, "1", "5"} <= set(texts)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "first 3, last 0.25, min 0.25, max 3" in page


def points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


def test_a_curve_is_drawn_to_scale_with_gaps_where_nothing_was_measured() -> None:
    drawn = cell_page.chart("loss", [3.0, 2.0, None, 0.5, 0.0, None, 1.5])
    first, second = (points(line) for line in drawn["lines"])
    top, bottom = cell_page.TOP, cell_page.HEIGHT - cell_page.BOTTOM
    assert [len(first), len(second)] == [2, 2]
    assert first[0] == (cell_page.LEFT, top)
    assert second[1][1] == bottom
    (dot,) = drawn["dots"]
    assert float(dot[0]) == cell_page.WIDTH - cell_page.RIGHT
    assert float(dot[1]) == pytest.approx((top + bottom) / 2)
    assert [text for _, text in drawn["levels"]] == ["0", "1.5", "3"]


def test_curves_of_one_epoch_of_one_value_and_of_none() -> None:
    assert cell_page.chart("x", [2.0])["dots"] == [("187.0", "78.0")]
    assert [text for _, text in cell_page.chart("x", [2.0, 2.0])["levels"]] == ["2"]
    assert cell_page.chart("x", [None, None])["lines"] == []


def test_a_long_curve_is_thinned_and_keeps_its_extremes() -> None:
    drawn = cell_page.chart("x", [0.0] * 5000 + [9.0] + [0.0] * 5000)
    (line,) = drawn["lines"]
    assert len(points(line)) <= cell_page.POINTS
    assert min(y for _, y in points(line)) == cell_page.TOP


def test_generated_images_are_embedded_byte_for_byte(tmp_path: Path, make: SimpleNamespace) -> None:
    made = Made(tmp_path, make)
    (source,) = re.findall(r'<img class="made" src="data:image/png;base64,([^"]+)"', made.page)
    assert base64.b64decode(source) == PICTURE
    made.write("pictures/x.png", b"<svg onload=alert(1)>")  # no PNG
    assert "<img" not in made.page and "<code>pictures/x.png</code> is no PNG" in made.page
    (made.store.out / "pictures/x.png").unlink()
    assert "<img" not in made.page and "<code>pictures/x.png</code> is gone" in made.page


def test_the_log_is_its_last_200_lines(tmp_path: Path, make: SimpleNamespace) -> None:
    made = Made(tmp_path, make)
    (log,) = re.findall(r'<pre class="log"[^>]*>(.*?)</pre>', made.page, re.DOTALL)
    assert log.split("\n") == [f"epoch {n}" for n in range(100, 300)]
    (made.store.out / made.record["log"]).unlink()
    assert '<pre class="log"' not in made.page and "(gone)" in made.page


def test_a_cell_that_has_not_run_has_a_page_too(tmp_path: Path, make: SimpleNamespace) -> None:
    store = Store(tmp_path / "run")
    waiting = make.protect(make.train(), ["c"])
    store.write_plan(make.plan(waiting))
    page = cell_page.page(cell.facts(store, waiting["key"]), store)
    assert '<span class="status">missing</span>' in page
    assert "mapbench run toy -m cut" in page
