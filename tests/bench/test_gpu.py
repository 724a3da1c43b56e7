"""The GPU benchmark in miniature, on a CPU: that it runs, survives what fails, and goes on behind it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench import gpu, gpu_packing, gpu_plan, gpu_steps, gpu_sums
from tests.bench.gpu_plan import QUICK, TINY, TINY_PEER, Job
from tests.harness.test_graphs import Again


def test_the_command_prints_tables_and_writes_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    what = [sys.executable, str(gpu.ROOT / "tests/bench/gpu.py"), "--quick", "--json", str(path), "--only"]
    done = subprocess.run([*what, "peak", "probe"], capture_output=True, text=True, check=True)
    assert "| TFLOP/s | datasheet |" in done.stdout and "Cells an hour: no step was measured" in done.stdout
    rows = json.loads(path.read_text())["rows"]
    assert rows["peak"][0]["matmul"] > 0 and [row["note"] for row in rows["probe"]] == ["no GPU", "no GPU"]


def test_a_process_trains_on_demand() -> None:
    packing = gpu_packing.Packing((1,), 0.1, QUICK)
    try:
        (row,) = packing.rows(TINY, False)
    finally:
        packing.close()
    assert row["k"] == row["beside"] == 1 and row["together"] > 0 and row["share"] > 0


@pytest.mark.parametrize("name", ["ntl", "source-generator", "df-map"])
def test_a_step_is_timed(name: str) -> None:
    row = gpu_steps.measured(name, TINY, "fp32", True, QUICK)
    assert row["eager"] > 0 and row["eager_share"] > 0 and not row["note"]


@pytest.mark.parametrize("name", ["cuti", "source-generator"])
def test_graphed_and_eager_fits_are_compared(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a recorder that runs again what it was given: of the same work nothing but the rates' 32 bits is left."""
    monkeypatch.setattr(gpu_steps, "Cuda", Again)
    assert gpu_steps.apart(name, TINY, "fp32") < 1e-3
    running = gpu_steps.Running(name, TINY, "fp32", True, replace(QUICK, warm=8))
    assert running.said == "" and running.ms(QUICK) > 0


def test_what_is_not_defined_is_a_row_with_a_reason() -> None:
    assert "not defined" in gpu_steps.measured("cuti", TINY_PEER, "fp32", True, QUICK)["note"]


def test_of_a_frozen_net_less_is_counted() -> None:
    size = gpu_steps.Size("vgg11", 64, 32)
    assert gpu_steps.gflop("ntl", size) == pytest.approx(234, rel=0.01)  # 64 images, performance.md 1
    assert gpu_steps.gflop("continue", size) == pytest.approx(117, rel=0.01)
    assert gpu_steps.gflop("source-generator", size) == pytest.approx(4 * 128 * 1.223, rel=0.01)


def test_a_device_that_will_not_go_on_leaves_what_is_behind_to_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def job(name: str, seconds: float = 0.0) -> Job:
        def run() -> list[dict[str, Any]]:
            done.append(name)
            if name == "breaks":
                raise RuntimeError("CUDA error: an illegal memory access\nand more")
            return [{"cell": name, "eager": 1.0}]

        return Job("steps", "a table", {"cell": name}, run, seconds)

    def wait() -> None:
        if done[-1] == "breaks":
            raise RuntimeError("CUDA error")

    def leave(code: int) -> None:
        raise SystemExit(code)

    jobs = [job("first"), job("long", 1e6), job("breaks"), job("last")]
    monkeypatch.setattr(gpu_plan, "jobs", lambda *given: jobs)
    monkeypatch.setattr(gpu_steps, "wait", wait)
    monkeypatch.setattr(gpu.os, "_exit", leave)
    given = argparse.Namespace(quick=True, only=[], peer=[], until=gpu.time.time() + 100)
    path = tmp_path / "gpu.json"
    with pytest.raises(SystemExit):
        gpu.measure(given, gpu.Told.read(path))
    assert gpu.measure(given, gpu.Told.read(path)) == 0
    told = gpu.Told.read(path)
    assert done == ["first", "breaks", "last"] and told.skipped == ["a table (long)"]
    notes = [row.get("note", "") for row in told.rows["steps"]]
    assert notes == ["", "RuntimeError: CUDA error: an illegal memory access", ""]
    assert "| first |" in capsys.readouterr().out


def test_cells_an_hour_and_the_probe_are_computed_from_rows() -> None:
    net = {"backbone": "vgg11", "pixels": 64, "synth": False}
    ntl = {**net, "cell": "ntl", "precision": "tf32", "eager": 10.0, "graphed": 4.0, "aimed": True, "share": 1.0}
    rows: gpu_sums.Rows = {
        "steps": [{**ntl, "graphed_held": 1000.0, "graphed_mib": 800.0}],
        "packing": [{**net, "k": k, "beside": float(k), "way": "graphed"} for k in (1, 2)],
        "probe": [{**net, "net": "vgg11", "kind": "methods", "estimate": 700.0, "total": 81000.0}],
    }
    said = "\n".join(gpu_sums.cells(rows))
    # 20 epochs of 250 batches of 32, 4 ms each; twelve pairs, three seeds
    assert "| ntl | 36 | 4.00 | 12.5 | 20.0 |" in said and "| cells an hour, k = 2 | 36 | | 577 | 360 |" in said
    assert "| vgg11 | methods | 700 | 800 | 1000 | ntl, tf32, graphed | NO |" in "\n".join(gpu_sums.probe(rows))
