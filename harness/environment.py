"""The machine a cell runs on: what a record says about it, how libraries are kept quiet on it, what is wrong with it.

    mapbench doctor

Nothing here is part of a cell's key. Only `doctor` loads torch.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import math
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness import UsageError

PACKAGES = ("harness", "methods", "suites", "results")
RECORDED = ("torch", "torchvision", "ray", "numpy")
NEEDED = (*RECORDED, "pandas", "pyarrow", "mlflow", "scikit-learn", "scipy", "safetensors", "pydantic", "rich")
ROOT = Path(__file__).resolve().parents[1]


def version(package: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def _provenance() -> dict[str, Any]:
    commit = _git("rev-parse", "HEAD")
    return {
        "device": "cpu",
        "torch": version("torch"),
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no")),
        "host": socket.gethostname(),
        "packages": {"python": platform.python_version(), **{name: version(name) for name in RECORDED}},
    }


def provenance() -> dict[str, Any]:
    """The `environment` of a record. `device` names the GPU where torch is loaded and sees one, else it is `cpu`; the
    commit is that of mapbench's own checkout, None for an installed copy. Loads no torch."""
    found = {**_provenance(), "packages": dict(_provenance()["packages"])}
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()
    return found


def _git(*arguments: str) -> str | None:
    """git's answer about this checkout; None where mapbench is no checkout (an installed copy may lie inside somebody
    else's repository, whose commit would mean nothing)."""
    if not (ROOT / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def code() -> dict[str, tuple[str, str]]:
    """For each of our four packages: sha256 over its files and where it was found. Driver and workers must agree on
    the first; the second says who shadows it where they do not."""
    found = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            found[name] = ("not a package", str(spec.origin if spec else "nowhere"))
            continue
        folder = Path(next(iter(spec.submodule_search_locations)))
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".yaml"):
                digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes() + b"\0")
        found[name] = (digest.hexdigest(), str(folder))
    return found


def cores() -> int:
    """Cores this process may use: its affinity, the quota of its container, and what Slurm gave its task, which not
    every Slurm enforces."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(count, int(os.environ.get("SLURM_CPUS_PER_TASK") or count))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return count if quota == "max" else min(count, max(1, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return count


def quiet() -> None:
    """Keep MLflow and the libraries below it from phoning home, printing and warning. Call before importing it."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
        "DO_NOT_TRACK": "true",  # MLflow takes only this word for it, not 1
    }.items():
        os.environ.setdefault(name, value)


def deterministic() -> None:
    """Have cuBLAS give the same every time. It reads this when it starts, so the process that computes calls it before
    its first cell, which may be on another machine than the run's. What the user set stays."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def ray_variables(address: str) -> dict[str, str]:
    """Environment of the process that holds Ray: nothing phones home, nothing is written to $HOME, a token guards the
    ports (a local Ray listens on all interfaces), workers run at the user's own priority. What the user set stays."""
    from harness.executors.door import has_token

    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would ship the working directory to the workers
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_COLOR_PREFIX": "0",
    }
    if address == "local":
        wanted["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    elif not has_token():
        del wanted["RAY_AUTH_MODE"]  # a cluster that asks for none
    return {**wanted, **os.environ}


def doctor(out: Path, data: Path, ray_timeout: float = 90.0) -> list[tuple[str, str, str]]:
    """Checks as (name, "ok" | "warn" | "fail", detail); the detail of a warning or failure says what to do."""
    import psutil

    memory, python = psutil.virtual_memory(), platform.python_version()
    return [
        ("python", "ok" if sys.version_info >= (3, 11) else "fail", f"{python}; 3.11 or newer is needed"),
        *(_check_package(name) for name in NEEDED),
        _check_code(),
        ("cores", "ok", f"{cores()}: as many cells at once on a machine without GPU"),
        _at_least("memory", memory.available / 2**30, 2.0, "GiB free", "a worker takes about 1 GiB"),
        *_check_out(out),
        _check_writable("data", data),
        _check_gpu(),
        _check_fonts(),
        _check_ray(ray_timeout),
    ]


def _check_package(name: str) -> tuple[str, str, str]:
    found = version(name)
    if found is not None:
        return name, "ok", found
    if name == "ray":
        return name, "warn", "not installed: cells run one after the other; pip install 'ray>=2.59'"
    return name, "fail", f"not installed: pip install {name}"


def _check_code() -> tuple[str, str, str]:
    places = {name: Path(folder).parent for name, (_, folder) in code().items()}
    foreign = {name: place for name, place in places.items() if place.resolve() != ROOT}
    if foreign:
        name, place = next(iter(foreign.items()))
        return "code", "fail", f"`{name}` comes from {place}, which shadows mapbench's own: start from another folder"
    return "code", "ok", str(ROOT)


def _at_least(name: str, value: float, least: float, unit: str, todo: str) -> tuple[str, str, str]:
    fine = value >= least
    return name, "ok" if fine else "warn", f"{value:.1f} {unit}" + ("" if fine else f": {todo}")


def _check_out(out: Path) -> list[tuple[str, str, str]]:
    from results import place
    from results.errors import StoreError
    from results.store import Store

    if place.is_local(out):
        free = shutil.disk_usage(_existing(out)).free / 2**30
        return [_at_least("disk", free, 5.0, f"GiB free at {out}", "choose --out"), _check_writable("out", out)]
    try:
        Store(out).check_writable()
    except StoreError as error:
        return [("out", "fail", str(error))]
    return [("out", "ok", f"{out} can be written")]


def _existing(path: Path) -> Path:
    """The nearest folder on the way up that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _check_writable(name: str, path: Path) -> tuple[str, str, str]:
    folder = _existing(path)
    try:
        with tempfile.TemporaryFile(dir=folder):
            return name, "ok", f"{path} can be written" + ("" if folder == path.absolute() else " (will be made)")
    except OSError as error:
        return name, "fail", f"{folder} cannot be written ({error.strerror}): choose another with --{name}"


def _check_gpu() -> tuple[str, str, str]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return "gpu", "fail", f"torch cannot be loaded: {str(error).splitlines()[0]}"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return "gpu", "ok", ", ".join(names)
    if Path("/proc/driver/nvidia/version").exists():
        return "gpu", "warn", f"a driver is there, but torch {torch.__version__} sees no GPU: compare nvidia-smi's CUDA"
    return "gpu", "ok", "none: cells run on the CPU"


def _check_fonts() -> tuple[str, str, str]:
    spec = importlib.util.find_spec("matplotlib")
    folder = Path(spec.origin).parent / "mpl-data/fonts/ttf" if spec and spec.origin else None
    count = len(list(folder.glob("*.ttf"))) if folder else 0
    if count < 20:
        return "fonts", "fail", f"{count} of matplotlib's fonts found, which print and street need: reinstall it"
    return "fonts", "ok", f"{count} at {folder}"


def _check_ray(timeout: float) -> tuple[str, str, str]:
    """Start one slot and end it again; it prints nothing and leaves nothing."""
    if version("ray") is None:
        return "ray starts", "warn", "Ray is not installed: --executor inline is used"
    import time

    from harness.executors.ray import RayExecutor

    executor, begin = RayExecutor(cpus=1, gpus=0), time.monotonic()
    try:
        executor.open({"entry": "harness.environment:provenance"})
        while not executor.slots():
            executor.poll(0.5)
            if time.monotonic() - begin > timeout:
                return "ray starts", "fail", f"no worker after {timeout:g} s: use --executor inline"
        return "ray starts", "ok", f"a worker is up after {time.monotonic() - begin:.0f} s"
    except UsageError as error:
        return "ray starts", "fail", str(error)
    finally:
        executor.close()
