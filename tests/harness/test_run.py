"""The main job end to end: one command trains, scores, stores and draws; the same command again resumes."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import results
from results import tables
from tests.harness.conftest import QUICK, Mapbench

INLINE = ("--executor", "inline", "--no-mlflow")
BROKEN = '''
"""A method that breaks in its second step."""
from methods.base import Method, Needs


class Broken(Method):
    name = "broken"
    needs = Needs(target="none")

    def step(self, batch):
        raise RuntimeError("no such thing as <b>luck</b>")
'''
GREEDY = BROKEN.replace('name = "broken"', 'name = "greedy"').replace(
    'raise RuntimeError("no such thing as <b>luck</b>")', "return batch.y_t.float().sum(), {}"
)

SHARES = (
    BROKEN.replace("broken", "shares")
    .replace('target="none"', 'target="unlabelled"')
    .replace(
        'raise RuntimeError("no such thing as <b>luck</b>")',
        """first = int((batch.rows_t < 1150).sum())  # of the images of the union's first domain
        if 2 * first != len(batch.rows_t):
            raise RuntimeError(f"{first} of {len(batch.rows_t)} are from the first domain")
        return self.model(batch.joint).mean(), {}""",
    )
)


def counts(out: Path) -> dict[tuple[str, str], int]:
    """Correct answers per cell and domain."""
    frame = tables.read(out, "accuracy").to_pandas()
    return {(row.key, row.domain): row.correct for row in frame.itertuples()}


@pytest.mark.slow
def test_run_resume_grow(mapbench: Mapbench, tmp_path: Path) -> None:
    out = tmp_path / "here" / "runs" / "quick"
    first = mapbench("run", QUICK, *INLINE)
    assert first.returncode == 0, first.stderr
    assert "leaderboard.html" in first.stdout
    pairs, cells = (tables.read(out, name).to_pandas() for name in ("pairs", "cells"))
    assert list(cells.status) == ["ok"] * 4
    assert set(pairs.variant) == {"sa-map", "constant", "untrained"}
    for name in tables.SCHEMAS:  # plain pandas reads every table, with every column
        assert list(pd.read_parquet(out / "tables" / f"{name}.parquet").columns) == tables.SCHEMAS[name].names

    # what is reported follows from what was predicted, and the join is right
    row = pairs[pairs.variant == "sa-map"].iloc[0]
    record = json.loads(next((out / "records").glob(f"*/{row.key}.*.json")).read_text())
    kept = pd.read_parquet(out / record["predictions"])
    target = kept[kept.domain == "uci"]
    assert row.target_after == (target.label == target.predicted).mean()
    assert row.source_drop == pytest.approx((row.source_before - row.source_after) / row.source_before)
    frame = results.load(out)
    assert {"status", "params", "seconds"} <= set(frame.columns)
    assert len(frame) == len(pairs)

    # f_s is bitwise what it was: the checkpoint the children used is the one on disk
    source = next(
        json.loads(p.read_text())
        for p in (out / "records").glob("*/*.json")
        if '"kind":"train"' in p.read_text().replace(" ", "")
    )
    assert hashlib.sha256((out / source["checkpoint"]).read_bytes()).hexdigest() == source["checkpoint_sha256"]
    assert record["parent_checkpoint"] == source["checkpoint_sha256"]
    before, after = load_file(out / source["checkpoint"]), load_file(out / record["checkpoint"])
    assert all(((after[k] == v) | (after[k] == 0)).all() for k, v in before.items())  # sa-map only prunes

    again = mapbench("run", QUICK, *INLINE)
    assert (again.returncode, again.stdout) == (0, "nothing to do: 4 cells done\n")
    had = counts(out)
    more = mapbench("run", QUICK, *INLINE, "-m", "constant", "-s", "1")
    assert more.returncode == 0
    assert "2/2" in more.stdout  # a source model and a protection, nothing else
    assert had.items() < counts(out).items()


@pytest.mark.slow
def test_a_failing_method_costs_its_own_cells_only(mapbench: Mapbench, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    (tmp_path / "other.py").write_text(GREEDY)
    out = tmp_path / "here" / "runs" / "quick"
    methods = ("--methods", str(tmp_path / "mine.py"), "--methods", str(tmp_path / "other.py"))
    done = mapbench("run", QUICK, *INLINE, *methods, "-m", "broken", "-m", "greedy", "-m", "untrained")
    assert done.returncode == 3
    cells = tables.read(out, "cells").to_pandas().set_index("variant")
    assert cells.loc["untrained"].status == "ok"
    assert cells.loc["broken"].status == cells.loc["greedy"].status == "failed"
    assert "no such thing as" in cells.loc["broken"].error
    assert "greedy asked for y_t, but declares needs = 'labelled source, no target'" in cells.loc["greedy"].error
    said = mapbench("status", str(out)).stdout
    assert "2 failed" in said
    assert "mapbench retry" in said
    assert "<b>luck" not in (out / "leaderboard.html").read_text().replace("\\u003cb\\u003eluck", "")

    again = mapbench("run", QUICK, *INLINE, *methods, "-m", "broken", "-m", "greedy", "-m", "untrained")
    assert again.returncode == 3
    assert again.stdout.startswith("nothing to do: 2 cells done, 2 failed")


@pytest.mark.slow
def test_retry_runs_what_failed_and_what_it_blocked(mapbench: Mapbench, tmp_path: Path) -> None:
    """A source model that cannot be trained in time blocks its child; retry, with time, brings both back."""
    done = mapbench("run", QUICK, *INLINE, "-m", "untrained", "--methods", str(_unlucky(tmp_path)), "-m", "unlucky")
    out = tmp_path / "here" / "runs" / "quick"
    assert done.returncode == 3
    (tmp_path / "luck").touch()
    retried = mapbench("retry", str(out), *INLINE, "--methods", str(tmp_path / "unlucky.py"))
    assert retried.returncode == 0, retried.stdout + retried.stderr
    cells = tables.read(out, "cells").to_pandas().set_index("variant")
    assert set(cells.status) == {"ok"}
    assert cells.loc["unlucky"].attempt == 2
    assert mapbench("retry", str(out), *INLINE).stdout.startswith("nothing to do")


@pytest.mark.slow
def test_retry_trains_a_source_model_that_was_too_late_and_all_that_hangs_on_it(
    mapbench: Mapbench, tmp_path: Path
) -> None:
    out = tmp_path / "here" / "runs" / "quick"
    late = mapbench("run", QUICK, *INLINE, "-m", "sf-map", "--timeout", "0.01")
    assert late.returncode == 3, late.stdout + late.stderr
    cells = tables.read(out, "cells").to_pandas().set_index("status")
    assert set(cells.index) == {"timeout", "skipped"}
    assert cells.loc["timeout"].error == "not done after 0.01 s: stopped in epoch 1 of 2"  # by itself, before the kill
    retried = mapbench("retry", str(out), *INLINE)
    assert retried.returncode == 0, retried.stdout + retried.stderr
    again = mapbench("run", QUICK, *INLINE, "-m", "sf-map")
    assert again.returncode == 0, again.stdout + again.stderr
    assert list(tables.read(out, "cells").to_pandas().status) == ["ok"] * 3


@pytest.mark.slow
def test_a_union_is_blocked_by_one_model_and_scored_domain_by_domain(mapbench: Mapbench, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SHARES)
    text = Path(QUICK).read_text().replace("[uci, uci-m]", "[uci, uci-m, uci@wm80]")
    (tmp_path / "quick.yaml").write_text(text.replace('["uci-m:uci"]', "authorisation"))
    asked = (str(tmp_path / "quick.yaml"), *INLINE, "--methods", str(tmp_path / "mine.py"), "-m", "shares")
    done = mapbench("run", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shares convnet uci@wm80:* s0" in done.stdout
    out = tmp_path / "here" / "runs" / "quick"
    pairs = tables.read(out, "pairs").to_pandas()
    assert sorted(zip(pairs.source, pairs.target, pairs.role, strict=True)) == [
        ("uci@wm80", "uci", "target"),
        ("uci@wm80", "uci-m", "target"),
    ]
    assert "uci@wm80:*" in mapbench("leaderboard", str(out), "--by-pair", "-p", "uci@wm80:*").stdout


def _unlucky(folder: Path) -> Path:
    """A method that works once the file `luck` is there."""
    lines = BROKEN.replace('"broken"', '"unlucky"').replace(
        'raise RuntimeError("no such thing as <b>luck</b>")',
        "import pathlib\n"
        f"        if not pathlib.Path({str(folder / 'luck')!r}).exists():\n"
        "            raise RuntimeError('no luck')\n"
        "        loss = self.model(batch.x_s).mean()\n        return loss, {}",
    )
    path = folder / "unlucky.py"
    path.write_text(lines)
    return path


@pytest.mark.slow
def test_source_free_methods_share_one_generator_and_say_what_it_is_worth(mapbench: Mapbench, tmp_path: Path) -> None:
    out = tmp_path / "here" / "runs" / "quick"
    asked = ("run", QUICK, *INLINE, "-m", "sf-map", "-m", "cuti-source-free")
    assert "synth" in mapbench("plan", QUICK, "-m", "sf-map").stdout
    done = mapbench(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = tables.read(out, "cells").to_pandas().set_index("variant")
    assert list(cells.status) == ["ok"] * 4
    made = cells.loc["source-generator"]
    for name in ("sf-map", "cuti-source-free"):
        record = json.loads(next((out / "records").glob(f"*/{cells.loc[name].key}.*.json")).read_text())
        assert record["spec"]["inputs"] == [made.key]
        noted = hashlib.sha256((out / made.checkpoint).read_bytes()).hexdigest()
        assert record["input_checkpoints"] == [noted]
    quality = json.loads(made.quality)
    assert {"judge", "judge_real", "f_s", "diversity", "diversity_judge", "bn_distance"} <= set(quality)
    assert quality["judge_real"] > 0.8  # the judge knows the real source: it may be believed
    assert (out / made.picture).read_bytes().startswith(b"\x89PNG")
    assert "a judge accepts" in mapbench("status", str(out)).stdout
    pairs = tables.read(out, "pairs").to_pandas()
    assert set(pairs[pairs.role == "target"].variant) == {"sf-map", "cuti-source-free"}
    assert mapbench(*asked).stdout == "nothing to do: 4 cells done\n"


@pytest.mark.slow
def test_a_mask_control_prunes_as_many_weights_as_the_cell_beside_it(mapbench: Mapbench, tmp_path: Path) -> None:
    out = tmp_path / "here" / "runs" / "quick"
    done = mapbench("run", QUICK, *INLINE, "-m", "random-mask[settings=tuned,draw=1]")
    assert done.returncode == 0, done.stdout + done.stderr
    cells = tables.read(out, "cells").to_pandas().set_index("method")
    assert list(cells.loc["random-mask", "inputs"]) == [cells.loc["sa-map", "key"]]
    assert cells.loc["sa-map", "tuned"] and not cells.loc["random-mask", "tuned"]
    mine, beside = (load_file(out / cells.loc[name, "checkpoint"]) for name in ("random-mask", "sa-map"))
    zeros = {name: int((w == 0).sum()) for name, w in beside.items() if w.ndim > 1}
    assert {name: int((w == 0).sum()) for name, w in mine.items() if w.ndim > 1} == zeros
    assert sum(zeros.values()) > 0
    assert any(not torch.equal(mine[name] == 0, beside[name] == 0) for name in zeros)


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_ray_and_inline_give_the_same_counts_from_a_folder_that_shadows_us(mapbench: Mapbench, tmp_path: Path) -> None:
    """Also: MLflow's own client finds the runs, and nothing of ours is written to HOME (asserted by the fixture)."""
    here = tmp_path / "here"
    for name in ("methods", "results", "harness", "suites"):
        (here / f"{name}.py").write_text("raise SystemExit('a module of the user was imported')\n")
    ray = mapbench("run", QUICK, "--out", "by-ray")
    assert ray.returncode == 0, ray.stdout + ray.stderr
    inline = mapbench("run", QUICK, "--out", "by-inline", *INLINE)
    assert inline.returncode == 0, inline.stdout + inline.stderr
    assert counts(here / "by-ray") == counts(here / "by-inline")

    import mlflow

    uri = f"sqlite:///{here / 'by-ray' / 'mlflow.db'}"
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    pairs = tables.read(here / "by-ray", "pairs").to_pandas().set_index("variant")
    mapped = next(r for r in found if r.data.params.get("variant") == "sa-map")
    assert mapped.data.metrics["source_drop"] == pytest.approx(pairs.loc["sa-map"].source_drop)


def test_reading_verbs_load_neither_torch_nor_mlflow(data: Path, tmp_path: Path) -> None:
    """`--help` loads pandas and ray neither; plan may find the method cards cached, so it is asked twice."""
    import subprocess

    script = (
        "import sys; from harness.cli import main\n"
        "try: main({argv})\nexcept SystemExit: pass\n"
        "print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    heavy = ["torch", "ray", "mlflow", "pandas"]
    plan = ["plan", QUICK, "--data", str(data), "--out", str(tmp_path / "run")]
    for argv, modules in ((["--help"], [*heavy, "pydantic", "yaml"]), (plan, heavy), (plan, heavy)):
        done = subprocess.run(
            [sys.executable, "-c", script.format(argv=argv, heavy=modules)], capture_output=True, text=True, check=True
        )
    assert done.stderr.strip() == "[]", done.stderr
