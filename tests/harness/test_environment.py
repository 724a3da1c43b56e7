"""What a record says about the machine, how Ray and MLflow are kept quiet, and what `doctor` finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import environment


def test_provenance_has_what_a_record_needs_and_loads_no_torch() -> None:
    code = (
        "import sys; from harness import environment; found = environment.provenance()\n"
        "assert set(found) == {'device', 'torch', 'git_commit', 'git_dirty', 'host', 'packages'}, found\n"
        "assert found['torch'] and found['packages']['numpy'] and found['device'] == 'cpu'\n"
        "assert not {'torch', 'ray', 'mlflow', 'pandas', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(environment.ROOT)})


def test_the_commit_is_of_our_own_checkout_and_none_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", *arguments],
            check=True, capture_output=True,
        )  # fmt: skip

    def found() -> tuple[str | None, bool | None]:
        environment._provenance.cache_clear()
        facts = environment.provenance()
        return facts["git_commit"], facts["git_dirty"]

    (tmp_path / "inner").mkdir()
    (tmp_path / "file").write_text("1")
    git("init"), git("add", "."), git("commit", "-m", "x")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    commit, dirty = found()
    assert commit is not None and len(commit) == 40 and dirty is False
    (tmp_path / "file").write_text("2")
    assert found() == (commit, True)
    monkeypatch.setattr(environment, "ROOT", tmp_path / "inner")  # installed inside somebody else's repository
    assert found() == (None, None)
    monkeypatch.undo()
    environment._provenance.cache_clear()


def test_namesakes_are_seen(tmp_path: Path) -> None:
    own = environment.code()
    assert all(len(digest) == 64 for digest, _ in own.values())
    (tmp_path / "methods.py").write_text("")
    code = (
        "from harness import environment; print(environment.code()['methods'][0] + '|' + environment._check_code()[2])"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(environment.ROOT)},
    ).stdout  # fmt: skip
    assert own["methods"][0] not in said
    assert "`methods` comes from" in said and str(tmp_path) in said


def test_quiet_keeps_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"GIT_PYTHON_REFRESH": "raise"})
    environment.quiet()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["GIT_PYTHON_REFRESH"] == "raise"


def test_ray_is_guarded_by_a_fresh_token_and_phones_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    one, two = environment.ray_variables("local"), environment.ray_variables("local")
    assert one["RAY_AUTH_MODE"] == "token" and len(one["RAY_AUTH_TOKEN"]) == 64
    assert one["RAY_AUTH_TOKEN"] != two["RAY_AUTH_TOKEN"]
    assert (one["RAY_USAGE_STATS_ENABLED"], one["RAY_worker_niceness"]) == ("0", "0")
    assert "RAY_AUTH_TOKEN" not in environment.ray_variables("10.0.0.1:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    cluster = environment.ray_variables("10.0.0.1:6379")
    assert (cluster["RAY_AUTH_TOKEN"], cluster["RAY_AUTH_MODE"]) == ("mine", "token")


def test_doctor_names_what_is_wrong_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_check_ray", lambda timeout: ("ray starts", "ok", ""))
    (tmp_path / "file").write_text("")
    have = environment.version
    monkeypatch.setattr(environment, "version", lambda name: None if name == "mlflow" else have(name))
    checks = {name: (level, detail) for name, level, detail in environment.doctor(tmp_path / "run", tmp_path / "file")}
    assert checks["out"] == ("ok", f"{tmp_path / 'run'} can be written (will be made)")
    level, detail = checks["data"]
    assert level == "fail" and str(tmp_path / "file") in detail and "--data" in detail
    assert checks["mlflow"] == ("fail", "not installed: pip install mlflow")
    assert checks["fonts"][0] == checks["python"][0] == checks["code"][0] == "ok"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_cores_respect_the_affinity() -> None:
    assert 1 <= environment.cores() <= len(os.sched_getaffinity(0))


def test_slurms_number_counts_where_slurm_binds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(Path, "read_text", lambda *_: "max 100000")
    assert environment.cores() == 64
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert environment.cores() == 3
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "128")
    assert environment.cores() == 64
