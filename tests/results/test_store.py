"""A run directory: refused before anything is written where it cannot be, shared without harm where it can."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from results import StoreError, store
from results.store import Outcome, Store


def everything(path: Path) -> list[Path]:
    return sorted(path.rglob("*"))


@pytest.mark.parametrize("where", ["new", "new/and/deeper", "."])
def test_a_writable_place_passes_and_nothing_is_left_there(tmp_path: Path, where: str) -> None:
    Store(tmp_path / where).check_writable()
    assert everything(tmp_path) == []


@pytest.mark.parametrize("where", ["file", "file/run", "file/run/deeper"])
def test_a_file_in_the_way_is_one_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="in the way") as error:
        Store(tmp_path / where).check_writable()
    assert str(tmp_path / "file") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_in_place_of_one_of_its_folders_is_seen_too(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(StoreError, match="checkpoints is in the way"):
        Store(tmp_path).check_writable()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux: /proc refuses files to root as well")
@pytest.mark.parametrize("where", ["/proc/run", "/proc/self/run"])
def test_a_place_that_refuses_writing_is_one_line_even_for_root(where: str) -> None:
    with pytest.raises(StoreError, match=r"cannot write to /proc.* is not writable") as error:
        Store(where).check_writable()
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux: /dev/full is a disk that is always full")
def test_a_full_disk_is_seen_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.tempfile, "TemporaryFile", lambda **_: Path("/dev/full").open("wb"))  # noqa: SIM115
    with pytest.raises(StoreError, match="No space left on device"):
        Store(tmp_path).check_writable()


def test_a_dangling_link_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(StoreError, match="in the way"):
        Store(tmp_path / "link").check_writable()


def test_records_are_read_afresh_and_not_kept(tmp_path: Path, make: SimpleNamespace) -> None:
    here = Store(tmp_path)
    first, second = make.train(), make.train(seed=1)
    one = here.commit(first)
    assert here.records() == [first]
    here.commit(second)
    assert here.winners() == {first["key"]: first, second["key"]: second}
    one.unlink()
    kept = here.records()
    assert kept == [second]
    assert here.records()[0] is not kept[0]


def test_outcomes_are_the_most_attempts_and_whether_one_was_ok(tmp_path: Path, make: SimpleNamespace) -> None:
    here = Store(tmp_path)
    assert here.outcomes() == {}
    for changes in ({"attempt": 3, "status": "lost"}, {"attempt": 2}, {"attempt": 1, "status": "oom"}):
        here.commit(make.train(**changes))
    failed = make.train(seed=1, status="failed")
    here.commit(failed)
    here.commit(make.train(seed=2)).write_text("{")
    assert here.outcomes() == {make.train()["key"]: Outcome(3, True), failed["key"]: Outcome(1, False)}


def test_a_damaged_record_is_listed_and_read_again_once_it_is_mended(tmp_path: Path, make: SimpleNamespace) -> None:
    here = Store(tmp_path)
    path = here.commit(make.train())
    text = path.read_text()
    path.write_text(text[:100])
    assert here.records() == []
    assert [d.path for d in here.damaged()] == [path]
    path.write_text(text)
    assert len(here.records()) == 1
    assert here.damaged() == []
    path.unlink()
    assert here.records() == []
    torn = here.commit(make.train(seed=1))
    torn.write_text("")
    assert here.records() == []
    assert [d.path for d in here.damaged()] == [torn]
    torn.unlink()
    assert here.records() == here.damaged() == []


def test_plan_is_kept_absent_or_clearly_damaged(tmp_path: Path) -> None:
    here = Store(tmp_path / "run")
    assert here.plan() is None
    here.write_plan({"schema": 1, "cells": []})
    assert here.plan() == {"schema": 1, "cells": []}
    for text in ("{", "[]"):
        here.plan_path.write_text(text)
        with pytest.raises(StoreError, match=r"plan\.json is damaged.*delete it and run again"):
            here.plan()


def other(path: Path, host: str, pid: int, age: float = 0) -> None:
    path.mkdir(exist_ok=True)
    file = path / f"driver.{host}.{pid}.json"
    file.write_text(json.dumps({"host": host, "pid": pid, "written": 0, "running": [{"label": "x"}]}))
    os.utime(file, (file.stat().st_atime - age, file.stat().st_mtime - age))


def test_living_drivers_are_seen_dead_ones_and_oneself_are_not(tmp_path: Path) -> None:
    here = Store(tmp_path)
    assert here.other_drivers() == []
    here.heartbeat([{"label": "mine"}])
    assert here.other_drivers() == []
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    other(tmp_path, socket.gethostname(), gone.pid)  # was killed: its process is no more
    other(tmp_path, "far", 1, age=store.HEARTBEAT_STALE + 10)  # says nothing any more
    (tmp_path / "driver.bad.1.json").write_text("{")
    assert here.other_drivers() == []
    other(tmp_path, socket.gethostname(), os.getppid())
    other(tmp_path, "far", 2)
    assert [(d["host"], d["pid"]) for d in here.other_drivers()] == sorted(
        [("far", 2), (socket.gethostname(), os.getppid())]
    )
    assert here.heartbeat_path.exists()
    here.end_heartbeat()
    assert not here.heartbeat_path.exists()


def test_records_and_store_load_no_heavy_package() -> None:
    code = (
        "import sys, results.records, results.store; "
        "print([m for m in ('torch', 'ray', 'mlflow', 'pandas', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
