"""What must never happen: a pickle loaded, YAML that runs, a port that takes anybody's orders, a word sent home."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import environment
from harness.executors import door
from harness.executors.ray import RayExecutor
from tests.harness import toywork

HERE = Path(__file__).parent
RUNS = {"pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "dill.load", "eval",
        "exec", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "marshal.loads", "shelve.open",
        "tarfile.open().extractall", "os.system", "os.popen"}  # fmt: skip


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """Every call in our four packages, with what is called."""
    for name in environment.PACKAGES:
        for path in sorted((environment.ROOT / name).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield path, node, ast.unparse(node.func)


def test_nothing_is_loaded_in_a_way_that_runs_what_it_holds() -> None:
    found = list(calls())
    assert len(found) > 3000  # else this looks in the wrong place
    assert [f"{path}:{node.lineno}" for path, node, name in found if name in RUNS] == []
    weights = [node for _, node, name in found if name == "torch.load"]
    assert weights and all(any(ast.unparse(k) == "weights_only=True" for k in node.keywords) for node in weights)
    arrays = [node for _, node, name in found if name in ("np.load", "numpy.load")]
    assert arrays and all(any(ast.unparse(k) == "allow_pickle=False" for k in node.keywords) for node in arrays)
    assert not any(ast.unparse(keyword) == "shell=True" for _, node, _ in found for keyword in node.keywords)


def test_nothing_of_ours_sends_anything_home() -> None:
    """Ray's and MLflow's own reports are off; no file of ours opens an address of the net."""
    quiet = subprocess.check_output(
        [sys.executable, "-c", "import os; from harness import environment as e; e.quiet(); print(dict(os.environ))"],
        cwd=environment.ROOT, text=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert "'MLFLOW_DISABLE_TELEMETRY': 'true'" in quiet
    assert environment.ray_variables("local")["RAY_USAGE_STATS_ENABLED"] == "0"
    for path in (p for name in environment.PACKAGES for p in (environment.ROOT / name).rglob("*.py")):
        assert not re.search(r"\b(urlopen|requests\.(get|post)|httpx|http\.client)\b", path.read_text()), path


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_a_port_that_others_can_reach_takes_no_orders_without_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray listens on all interfaces, whatever it is told: whoever comes without the run's own token is refused."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(environment.ROOT), str(HERE)]))
    executor = RayExecutor(cpus=1)
    executor.open({"entry": f"{toywork.__name__}:work", "out": str(tmp_path)})
    try:
        while not executor.slots():
            executor.poll(0.5)
        assert executor._process is not None
        family = psutil.Process(executor._process.pid).children(recursive=True)
        ours = [psutil.Process(executor._process.pid), *family]
        open_ports = {c.laddr.port for p in ours for c in _listening(p) if not c.laddr.ip.startswith("127.")}
        assert open_ports  # it is not for nothing that this is tested
        tokens = {p.environ().get("RAY_AUTH_TOKEN", "") for p in ours if p.environ().get("RAY_AUTH_MODE") == "token"}
        assert len(tokens) == 1 and len(tokens.pop()) == 64
        (gcs,) = [p for p in family if "gcs_server" in p.name()]
        address = f"127.0.0.1:{next(c.laddr.port for c in _listening(gcs))}"
        known = executor._process and psutil.Process(executor._process.pid).environ()["RAY_AUTH_TOKEN"]
        for token, let_in in ((None, False), ("0" * 64, False), (known, True)):
            clean = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"HOME": str(tmp_path)}
            more = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}
            asked = [sys.executable, "-c", door.ASK, address]
            done = subprocess.run(asked, env=clean | more, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode == 0) == let_in, done.stderr[-500:]
            assert let_in or "uthentic" in done.stderr, done.stderr[-500:]  # and for no other reason
    finally:
        executor.close()


def _listening(process: psutil.Process) -> list[psutil._common.pconn]:
    try:
        return [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    except psutil.Error:
        return []
