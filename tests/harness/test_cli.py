"""Bad input: one line that says what, where and what to do, exit 2, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.harness.conftest import QUICK, Mapbench

UNKNOWN_KEY = "grid: mine\ngrids:\n  - suite: digits-mini\n    method: [ntl]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", QUICK, "-m", "sa-mop"), "unknown method 'sa-mop': did you mean sa-map?"),
        (("run", QUICK, "-m", "sa-map[lamb=1]"), "sa-map has no param 'lamb': did you mean lam?"),
        (("run", QUICK, "-p", "uci:usps"), "pair 'uci:usps': quick has no domain 'usps'; it has uci, uci-m"),
        (("run", QUICK, "-p", "uci:uci@wm999"), "cannot read the watermark of 'uci@wm999'; write uci@wmV, V from 1 to"),
        (("run", "ownership", "-p", "foo@wm80:uci"), "unknown domain 'foo'"),
        (("run", QUICK, "-m", "cuti", "-b", "vgg11"), "cuti is undefined on vgg11 at 32 px: its last tap is 1x1"),
        (("run", "digit-mini"), "unknown suite 'digit-mini'; did you mean 'digits-mini'?"),
        (("run", "mine.yaml"), "mine.yaml:4: unknown key 'method' in grids.0; did you mean 'methods'?"),
        (("plan", "mine.yaml"), "mine.yaml:4: unknown key 'method' in grids.0; did you mean 'methods'?"),
        (("run", QUICK, "--out", "mine.yaml"), "mine.yaml"),
        (("run", QUICK, "--out", "/proc/nothing"), "/proc/nothing"),
        (("run", QUICK, "--executor", "dask"), "dask"),
        (("run", QUICK, "--methods", "nowhere.py"), "--methods nowhere.py: no such file or folder"),
        (("plan", QUICK, "--precision", "fp23"), "unknown precision 'fp23': did you mean fp32? There are fp32"),
        (("run", QUICK, "--precision", "half"), "command line: unknown precision 'half': there are fp32, tf32, bf16"),
        (("run", QUICK, "--shard", "5/4"), "--shard 5/4: give i/n, the i-th of n drivers, from 1/n to n/n"),
        (("run", QUICK, "--slots-per-gpu", "0"), "'0' is neither a number from 1 nor auto"),
        (("run", QUICK, "--timeout", "-1"), "-1.0 is not in the range x>0"),
        (("run", QUICK, "--out", "s3x://bucket/run"), "unknown protocol 's3x'"),
        (("clean", "runs/none"), "runs/none is not a run directory"),
        (("merge", "runs/all", "runs/none"), "runs/none is not a run directory"),
        (("merge", "runs/all"), "Missing argument 'FROM...'"),
        (("status", "runs/none"), "runs/none is not a run directory"),
        (("leaderboard", "runs/none"), "runs/none is not a run directory"),
        (("compare", "runs/none", "published"), "runs/none is not a run directory"),
        (("retry", "runs/none"), "runs/none is not a run directory"),
        (("show", "runs/none", "abcd"), "runs/none is not a run directory"),
        (("rum", QUICK), "rum"),
        (("check", "sa-mop"), "command line: unknown method 'sa-mop': did you mean sa-map?"),
        (("check", "sa-map[kap=sample]"), "sa-map has no param 'kap': did you mean cap?"),
        (("check", "sa-map", "--methods", "nowhere.py"), "--methods nowhere.py: no such file or folder"),
        (("run", QUICK, "--methods", "mine.yaml"), "mine.yaml is no Python file: its name must end in .py"),
        (
            ("new", "method", "Mine"),
            "a method cannot be called 'Mine': use small letters and digits",
        ),
        (("new", "method", "sa-map"), "method name 'sa-map' is taken, by "),
        (("new", "method", "batch"), "method 'batch' would be a class Batch, which its file imports"),
        (("new", "method", "mine", "--out", "mine.yaml"), "--out mine.yaml: its name must end in .py"),
        (("new", "method", "mine", "--out", "no/mine.py"), "no/mine.py cannot be written: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_exit_2_and_nothing_written(
    mapbench: Mapbench, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    here = tmp_path / "here"
    (here / "mine.yaml").write_text(UNKNOWN_KEY)
    fresh = tmp_path / "data"
    done = mapbench(*arguments, MAPBENCH_DATA=str(fresh))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().split("\n")) == 1, done.stderr
    assert done.stdout == ""
    assert [p.name for p in here.iterdir()] == ["mine.yaml"]
    assert not fresh.exists()


def test_help_is_quick_and_lists_only_what_works(mapbench: Mapbench) -> None:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        said = mapbench("--help")
        times.append(time.perf_counter() - begun)
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import click"], check=True, env=dict(os.environ))
    bare = time.perf_counter() - bare
    assert min(times) < 5 * bare + 0.3  # a ratio, because machines differ; what it may load is asserted in test_run
    listed = {line.split()[0] for line in said.stdout.split("Commands:")[1].strip().split("\n")}
    verbs = "run plan status retry clean merge leaderboard compare show list check data new doctor"
    assert listed == set(verbs.split())


def test_list_says_every_param_with_the_source_of_its_default(mapbench: Mapbench) -> None:
    said = mapbench("list", "methods").stdout
    for name in (
        "ntl",
        "cuti",
        "sa-map",
        "continue (control)",
        "uniform (control)",
        "constant (control)",
        "random-mask (control)",
        "random-mask-data-free (control)",
        "magnitude-mask (control)",
        "gate (control)",
    ):
        assert f"\n{name}\n" in f"\n{said}"
    assert "lam=0.1 (float, 0 or more)" in said
    assert "guard=0.0 (float, 0 to 1)" in said
    assert "Default: recalled, map.md 4" in said
    assert said.count("not a plain network") == 4  # gate, and its forms with less data
    assert "fidelity=released (released|paper)  paper sets kl_reduction=batchmean, bound=product, tap=embedding" in said
    assert said.count("; as-described only; ") == 3 + 3  # MAP's forms and the synthesisers
    assert "convnet" in mapbench("list", "backbones").stdout
    assert "digits-mini" in mapbench("list", "suites").stdout
    assert "street" in mapbench("list", "domains").stdout


def test_plan_says_what_would_run_and_writes_no_run_directory(mapbench: Mapbench, tmp_path: Path) -> None:
    done = mapbench("plan", QUICK)
    assert done.returncode == 0
    assert "to do: 4 cells" in done.stdout
    assert not (tmp_path / "here" / "runs").exists()
