"""The kept answers of two models: counted image by image, tested exactly, never guessed at where they are not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from results import versus
from results.answers import Answers
from tests.results.conftest import protect, train
from tests.results.duel import SCENARIO, answered, grid, model, written


def counts(variant: str, source: str, target: str, seed: int) -> dict[str, Any]:
    """On a:b ntl gets 15 images more than cut's 20, on every seed; elsewhere both get 20, and on b:c ntl 3 more."""
    more = {"ab": 15, "bc": 3}.get(source + target, 0) if variant == "ntl" else 0
    return {target: 20 + more}


def of(out: Path) -> Answers:
    (one,) = versus.of_variants(versus.read(out, "it"), "cut", "ntl").found
    return one.answers


def test_models_are_compared_image_by_image_of_the_target(tmp_path: Path) -> None:
    """The right images of the one are among those of the other, so McNemar's p is 2 / 2**n of n images."""
    found = of(written(tmp_path, grid(counts)))
    assert len(found.models) == 12 and found.unread == 0
    places = [f"{m.source}{m.target}{m.seed}" for m in found.models]
    assert places[:4] == ["ab0", "ab1", "ab2", "ac0"]
    first = found.models[0]
    assert (first.images, first.both, first.a_only, first.b_only, first.neither) == (100, 20, 0, 15, 65)
    assert first.other_answers == 15
    assert first.p == pytest.approx(2 / 2**15)
    assert first.p_holm == pytest.approx(12 * 2 / 2**15)  # of three that are equally small, of twelve
    assert [m.p for m in found.models if (m.source, m.target) == ("b", "c")] == pytest.approx([0.25] * 3)
    assert found.beyond_chance == 3


def test_holm_decides_what_is_beyond_chance(tmp_path: Path) -> None:
    """Six images give p = .03, alone enough, and of twelve not."""
    few = grid(lambda v, s, t, i: {t: 26 if (v, s, t) == ("ntl", "a", "b") else 20})
    found = of(written(tmp_path, few))
    assert found.models[0].p < 0.05 < found.models[0].p_holm
    assert found.beyond_chance == 0


def files(out: Path, variant: str) -> list[Path]:
    run = versus.read(out, "it")
    names = run.cells.loc[run.cells["variant"] == variant].sort_values(["source", "seed", "key"])["predictions"]
    return [out / name for name in names]


def test_what_was_not_kept_or_is_damaged_is_counted(tmp_path: Path) -> None:
    out = written(tmp_path / "x", grid(counts))
    gone, damaged, *_ = files(out, "cut")
    gone.unlink()
    damaged.write_bytes(b"PAR1")
    found = of(out)
    assert (len(found.models), found.unread) == (10, 2)
    shutil.rmtree(out / "predictions")
    assert (len(of(out).models), of(out).unread) == (0, 12)
    never = of(written(tmp_path / "y", grid(counts), kept=False))
    assert (never.models, never.unread, never.beyond_chance) == ((), 12, 0)


def test_answers_to_other_images_are_not_compared(tmp_path: Path) -> None:
    out = written(tmp_path, grid(counts))
    other = files(out, "ntl")[0]
    answered(other, [{"domain": d, "part": "test", "correct": 20} for d in "abc"], label=1)
    short = files(out, "ntl")[1]
    answered(short, [{"domain": "a", "part": "test", "correct": 20}])
    found = of(out)
    assert (len(found.models), found.unread) == (10, 2)


def test_of_a_model_that_blocks_all_every_target_is_looked_at(tmp_path: Path) -> None:
    """One file each, three targets would be three; here two of source a."""
    f_s = train()
    both = [protect(f_s, [], {"b": 20, "c": 20 + more}, name, {"scenario": SCENARIO})
            for name, more in (("cut", 0), ("ntl", 15))]  # fmt: skip
    found = of(written(tmp_path, [f_s, *both]))
    assert [(m.target, m.b_only) for m in found.models] == [("b", 0), ("c", 15)]


def test_of_a_target_blocked_alone_and_in_a_union_like_is_compared_with_like(tmp_path: Path) -> None:
    f_s = train()
    alone = [model(f_s, name, "b", {"b": right}) for name, right in (("cut", 20), ("ntl", 30))]
    union = [protect(f_s, ["b+c"], {"b": 60, "c": 60}, "cut", {"scenario": SCENARIO})]
    found = of(written(tmp_path / "x", [f_s, *alone, *union]))
    assert [(m.target, m.both, m.b_only) for m in found.models] == [("b", 20, 10)]
    union.append(protect(f_s, ["b+c"], {"b": 61, "c": 60}, "ntl", {"scenario": SCENARIO}))
    found = of(written(tmp_path / "y", [f_s, alone[0], *union]))
    assert [(m.target, m.both) for m in found.models] == [("b", 60), ("c", 60)]
