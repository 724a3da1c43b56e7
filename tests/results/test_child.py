"""Tables are built in a process of their own: seldom enough, whole, and never longer than their parent lives."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from results import StoreError, child, store
from results.store import Store

TABLES = [f"{name}.parquet" for name in ("accuracy", "attacks", "attempts", "cells", "pairs")]


class Clock:
    """The monotonic clock of `results.store`, and children who take as long as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.begun, self.waited, self.live = 1000.0, 0, 0, False
        self.seconds, clock = 1.0, self

        class Pretended:
            def __init__(self, out: str) -> None:
                clock.begun, clock.live = clock.begun + 1, True

            @property
            def seconds(self) -> float:
                return clock.seconds

            @property
            def ended(self) -> bool:
                return not clock.live

            def wait(self) -> None:
                clock.waited, clock.live = clock.waited + 1, False

            def check(self) -> None:
                pass

        monkeypatch.setattr(store, "Child", Pretended)
        monkeypatch.setattr(store.time, "monotonic", lambda: self.now)


@pytest.mark.parametrize(("seconds", "apart"), [(1.0, 60), (10.0, 200)])
def test_one_at_a_time_a_minute_apart_and_a_twentieth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, apart: int
) -> None:
    clock = Clock(monkeypatch)
    clock.seconds = seconds
    here = Store(tmp_path)
    assert not here.write_tables()  # a run that takes less than a minute has its tables at the end
    clock.now += 61
    assert here.write_tables()
    clock.now += 1000
    assert not here.write_tables()  # it is not done
    clock.now -= 1000
    clock.live = False
    clock.now += apart - 1
    assert not here.write_tables()
    clock.now += 2
    assert here.write_tables()
    assert clock.begun == 2
    assert here.write_tables(force=True)  # waits for the one that runs, and then for its own
    assert (clock.begun, clock.waited) == (3, 2)


def test_forced_the_tables_are_there_and_the_parent_has_loaded_no_pyarrow(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    Store(tmp_path / "run").commit(make.train())
    (tmp_path / "results.py").write_text("raise SystemExit('not ours')")
    code = (
        "import sys; from results.store import Store; Store('run').write_tables(force=True); "
        "print('pyarrow' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(child.ROOT)}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")
    assert sorted(p.name for p in (tmp_path / "run" / "tables").iterdir()) == TABLES


def test_unforced_it_runs_beside_and_its_failure_is_told_at_the_next_call(
    tmp_path: Path, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TABLES_EVERY", 0.0)
    monkeypatch.setattr(store, "TABLES_SHARE", 0.0)
    here = Store(tmp_path)
    here.commit(make.train())
    assert here.write_tables()

    def end() -> None:
        assert here._child is not None
        here._child.wait()

    end()
    assert sorted(p.name for p in here.tables_dir.iterdir()) == TABLES
    here.plan_path.write_text("{")
    assert here.write_tables()
    end()
    with pytest.raises(StoreError, match=r"plan\.json is damaged.*delete it and run again") as error:
        here.write_tables()
    assert "\n" not in str(error.value)
    here.plan_path.unlink()
    assert here.write_tables()  # said once, and the next one is as good as any


@pytest.mark.parametrize(
    ("code", "line", "full"),
    [
        ("print('cannot write X/tables/a: No space left on device'); sys.exit(1)", "cannot write X/tables/a: No", True),
        ("raise ValueError('a fault of ours')", "cannot write the tables of X: ValueError: a fault of ours", False),
        ("os.kill(os.getpid(), 9)", "cannot write the tables of X: its process ended with code -9", False),
    ],
)
def test_how_a_child_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, code: str, line: str, full: bool) -> None:
    begin = subprocess.Popen

    def instead(command: list[str], **how: object) -> subprocess.Popen[bytes]:
        return begin([command[0], "-c", f"import os, sys; {code}"], **how)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(child.subprocess, "Popen", instead)
    one = child.Child("X")
    one.wait()
    with pytest.raises(StoreError) as error:
        one.check()
    assert str(error.value).startswith(line) and "\n" not in str(error.value)
    cause = error.value.__cause__
    assert isinstance(cause, OSError) and cause.errno == errno.ENOSPC if full else cause is None


HELD = """
import sys, time
from results import child
one = child.Child(sys.argv[1])
print(one._process.pid, flush=True)
time.sleep(60)
"""


def test_it_ends_with_its_parent_and_does_not_hear_its_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "records" / "aa").mkdir(parents=True)
    os.mkfifo(tmp_path / "records" / "aa" / "x.json")  # a record that never comes: the child waits for it
    parent = subprocess.Popen([sys.executable, "-c", HELD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        one = psutil.Process(int(parent.stdout.readline()))
        until = time.monotonic() + 10
        while one.nice() != 19 and time.monotonic() < until:
            time.sleep(0.05)
        assert one.nice() == 19 and one.is_running()
        assert os.getsid(one.pid) == one.pid  # a terminal's Ctrl-C goes to the session of the driver
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        one.wait(10)
    finally:
        parent.kill()
        parent.communicate()
