"""The door of a Ray cluster: whether it lets us in, and whether it lets in anybody.

    RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=token mapbench run digits-mini --address HEAD:6379       (docs/cluster.md)

Asked before Ray is: with a wrong token `ray.init` tries for twenty seconds, and then does not say that it was the
token. The client is the one of Ray's own `symmetric-run`; should a Ray lack it, `ray.init` is left to find out.

    pytest tests/harness/test_door.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness import UsageError

DEFAULT = Path(".ray", "auth_token")  # below $HOME: where Ray looks for a token that no variable gives
HINT = "set RAY_AUTH_TOKEN_PATH to the file that the nodes were started with"
ASK = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1]).check_alive([], timeout=5)"


def has_token() -> bool:
    """Whether a token is there for a cluster, in a variable or where Ray looks for one by default."""
    return bool({"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()) or (Path.home() / DEFAULT).is_file()


def check_token() -> None:
    """UsageError where a token is asked for by the variables, and cannot be had. Loads no Ray."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    if path:
        try:
            empty = not Path(path).read_text().strip()
        except OSError as error:
            raise UsageError(f"RAY_AUTH_TOKEN_PATH: cannot read {path} ({error.strerror})") from None
        if empty:
            raise UsageError(f"RAY_AUTH_TOKEN_PATH: {path} is empty")
    elif os.environ.get("RAY_AUTH_MODE") == "token" and not has_token():
        raise UsageError(f"RAY_AUTH_MODE is token, but no token is given: {HINT}")


def refused(address: str) -> str | None:
    """Why the cluster does not let this process in; None where it does, or where Ray cannot be asked like this."""
    try:
        from ray._private.services import canonicalize_bootstrap_address  # `auto`
        from ray._raylet import GcsClient  # type: ignore[attr-defined]
        from ray.exceptions import AuthenticationError, RpcError
    except ImportError:
        return None
    if (found := canonicalize_bootstrap_address(address)) is None:
        return None
    try:
        GcsClient(address=found).check_alive([], timeout=10)
    except AuthenticationError:
        given = "the one given is another" if os.environ.get("RAY_AUTH_MODE") == "token" else "none is given"
        return f"the Ray cluster at {found} asks for a token, and {given}: {HINT}"
    except RpcError:
        return f"what listens at {found} does not answer as Ray does: give HOST:PORT as `ray start` printed it"
    return None


def is_open(address: str) -> bool:
    """Whether a process without any token is let in: then whoever reaches the cluster's ports can run code on it."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return True  # we were let in ourselves
    tokens = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    without = {name: value for name, value in os.environ.items() if name not in tokens} | {"RAY_AUTH_MODE": "disabled"}
    try:  # Ray reads the mode once in a process
        return subprocess.run(
            [sys.executable, "-c", ASK, address], env=without, capture_output=True, timeout=60, check=False
        ).returncode == 0  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
