"""A Ray cluster with a token and one without: who is let in, and what is said to whom is not."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import UsageError, environment
from harness.executors.ray import RayExecutor
from harness.executors.reasons import explain
from tests.harness.test_executors import slow

VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_ADDRESS")
TOKEN, OTHER = "1" * 64, "2" * 64
NOBODY = "127.0.0.1:1"  # nobody listens there, and nobody is asked: the variables come first


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token of the user's own is used."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RAY_AUTH_TOKEN_PATH": "gone"}, "RAY_AUTH_TOKEN_PATH: cannot read gone"),
        ({"RAY_AUTH_TOKEN_PATH": os.devnull}, "is empty"),
        ({"RAY_AUTH_MODE": "token"}, "no token is given: set RAY_AUTH_TOKEN_PATH"),
        ({"RAY_AUTH_TOKEN": TOKEN, "RAY_AUTH_TOKEN_PATH": "gone"}, "no Ray cluster answers"),
    ],
)
def test_a_token_that_cannot_be_had_is_said_before_anything_starts(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=said):
        RayExecutor(address=NOBODY).open({"entry": "tests.harness.toywork:run", "out": str(tmp_path / "run")})
    assert not (tmp_path / "run").exists()


def test_the_token_in_its_default_place_is_used_for_a_cluster(tmp_path: Path) -> None:
    assert "RAY_AUTH_MODE" not in environment.ray_variables(NOBODY)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text(TOKEN)
    assert environment.ray_variables(NOBODY)["RAY_AUTH_MODE"] == "token"  # Ray by itself would leave it unused


def test_a_worker_that_went_away_is_one_short_reason() -> None:
    said = RuntimeError(
        "The actor e8f1 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed "
        "rpc_code: 14. The task may or may not have been executed on the actor."
    )
    assert explain(said) == "its worker does not answer: the machine it is on, or the network, went away"


# -- Ray


def head(**variables: str) -> Iterator[str]:
    """A head without workers on this machine; its address. Its sockets' paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="mbd-", dir="/tmp"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=0"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--object-store-memory=80000000"]
    env = {**os.environ, "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", **variables}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        try:
            limit = time.monotonic() + 90
            while "Ray runtime started" not in (said := (folder / "log").read_text()):
                assert process.poll() is None and time.monotonic() < limit, said
                time.sleep(0.2)
            yield f"127.0.0.1:{port}"
        finally:
            family = [*psutil.Process(process.pid).children(recursive=True), process]
            for member in family:
                member.kill()
            process.wait(10)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    yield from head(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)


@pytest.fixture(scope="module")
def unguarded() -> Iterator[str]:
    yield from head(RAY_AUTH_MODE="disabled")


def ask(function: str, address: str, token: str = "") -> str:
    """What a process with this token finds: Ray reads its variables once in a process."""
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {}
    code = f"from harness.executors import door; print(door.{function}({address!r}))"
    env = {**os.environ, "PYTHONPATH": str(environment.ROOT), **variables}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@slow
@pytest.mark.parametrize(
    ("token", "said"),
    [("", "asks for a token, and none is given"), (OTHER, "the one given is another"), (TOKEN, "None")],
)
def test_who_has_not_the_token_is_told_so(guarded: str, token: str, said: str) -> None:
    begun = time.monotonic()
    assert said in ask("refused", guarded, token)
    assert time.monotonic() - begun < 15  # ray.init alone would take twenty


@slow
def test_a_cluster_that_asks_for_a_token_is_told_from_one_that_does_not(guarded: str, unguarded: str) -> None:
    assert ask("is_open", guarded, TOKEN) == "False"
    assert ask("refused", unguarded) == ask("refused", unguarded, TOKEN) == "None"
    assert ask("is_open", unguarded) == ask("is_open", unguarded, TOKEN) == "True"


@slow
def test_a_cluster_without_a_token_is_warned_of_and_one_without_workers_waited_for(
    unguarded: str, tmp_path: Path
) -> None:
    executor, said, limit = RayExecutor(address=unguarded), [], time.monotonic() + 60
    executor.open({"entry": "tests.harness.toywork:run", "out": str(tmp_path / "run")})
    try:
        while len(said) < 2 and time.monotonic() < limit:
            assert executor.poll(0.5) == [] and executor.slots() == []
            said += executor.notes()
    finally:
        executor.close()
    warned, waiting = said
    assert unguarded.rpartition(":")[2] in warned and "asks for no token" in warned
    assert "0 of the cluster's 0 CPUs are free" in waiting
