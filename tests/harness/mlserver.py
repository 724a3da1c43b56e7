"""A real `mlflow server` for the tests of the mirror, over a database of its own; it can be killed and started again.

python -m pytest tests/harness/test_tracking_faults.py
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest


class Server:
    """On a free port of loopback, in `folder`; not started yet. `migrated` is an empty database of MLflow's."""

    def __init__(self, folder: Path, migrated: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        shutil.copyfile(migrated, folder / "server.db")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it answers; nothing to do where it runs."""
        if self.process:
            return
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/server.db",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=env, cwd=self.folder, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        self.kill()
        pytest.fail((self.folder / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL, to it and to its workers."""
        process, self.process = self.process, None
        if process:
            os.killpg(process.pid, 9)
            process.wait()
