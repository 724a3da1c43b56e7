"""A record is there whole or not at all, survives a power cut once it is there, and never breaks a reader."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from results import StoreError, records


def test_what_is_written_is_read(tmp_path: Path, make: SimpleNamespace) -> None:
    written = make.train()
    path = records.write(tmp_path, written)
    assert path == tmp_path / "records" / written["key"][:2] / f"{written['key']}.1.{written['uuid']}.json"
    assert records.read_all(tmp_path) == ([written], [])
    path.with_name(f"._{path.name}").write_text("what some file systems leave beside a file")
    assert records.read_all(tmp_path) == ([written], [])
    assert records.read_key(tmp_path, written["key"]) == [written]
    assert records.read_key(tmp_path, "0" * 64) == []


def test_nan_becomes_null_so_that_any_json_reader_can_read_it(tmp_path: Path, make: SimpleNamespace) -> None:
    path = records.write(tmp_path, make.train(curves={"loss": [1.0, float("nan"), float("inf")]}, error="diverged"))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(path.read_text(), parse_constant=refuse)["curves"]["loss"] == [1.0, None, None]


@pytest.mark.parametrize(
    "change", [{"key": "abc"}, {"key": "../" * 21 + "x"}, {"attempt": 0}, {"uuid": "/"}, {"status": "fine"}]
)
def test_a_malformed_record_is_refused(tmp_path: Path, make: SimpleNamespace, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="record's"):
        records.write(tmp_path, make.train(**change))
    assert list(tmp_path.iterdir()) == []


def test_content_is_on_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, Any]] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        what = os.fstat(descriptor)
        done.append(("directory", what.st_ino) if stat.S_ISDIR(what.st_mode) else ("file", what.st_size))
        fsync(descriptor)

    def spy_replace(source: Any, target: Any) -> None:
        assert Path(source).parent == Path(target).parent
        assert Path(source).name.startswith(".")
        done.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    path = records.write(tmp_path, make.train())
    # Whole in the temporary file (its size), then named, then the name made durable; before them the new folder's name.
    assert done == [
        ("directory", (tmp_path / "records").stat().st_ino),
        ("file", path.stat().st_size),
        ("rename", path.name),
        ("directory", path.parent.stat().st_ino),
    ]


WRITER = """
import sys
from pathlib import Path
from results import records
path, content = Path(sys.argv[1]), b'x' * 2_000_000
print('ready', flush=True)
while True:
    records.atomic_write(path, content, durable=False)
"""


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        seen, until = 0, time.monotonic() + 20
        while seen < 300 and time.monotonic() < until:
            if path.exists():
                assert len(path.read_bytes()) == 2_000_000
                seen += 1
        assert seen == 300
    finally:
        writer.kill()
        writer.communicate()


def test_a_writer_killed_in_mid_write_leaves_nothing_a_reader_would_take(
    tmp_path: Path, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(_: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "fsync", die)
    (tmp_path / "records" / make.train()["key"][:2]).mkdir(parents=True)
    with pytest.raises(Killed):
        records.write(tmp_path, make.train())
    assert records.read_all(tmp_path) == ([], [])


def test_a_full_disk_is_one_line_and_leaves_no_litter(
    tmp_path: Path, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write(tmp_path, make.train())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot write .*\.json: No space left on device") as error:
        records.write(tmp_path, make.train())
    assert "\n" not in str(error.value)
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda text: text[: len(text) // 2], "unreadable"),
        (lambda text: "", "unreadable"),
        (lambda text: "\x00" * 10, "unreadable"),
        (lambda text: "[]", "no JSON object"),
        (lambda text: "[" * 100_000, "unreadable"),
        (lambda text: text.replace('"schema":1', '"schema":2'), "schema 2"),
        (lambda text: text.replace('"attempt":1', '"attempt":2'), "belongs to"),
        (lambda text: text.replace('"status":"ok"', '"status":"fine"'), "unknown status"),
        (lambda text: text.replace('"cell":', '"cells":'), "no cell"),
    ],
)
def test_a_damaged_file_is_reported_and_the_others_are_read(
    tmp_path: Path, make: SimpleNamespace, content: Any, reason: str
) -> None:
    good, bad = make.train(), make.train(seed=1)
    records.write(tmp_path, good)
    path = records.write(tmp_path, bad)
    path.write_text(content(path.read_text()))
    read, damaged = records.read_all(tmp_path)
    assert read == [good]
    assert [d.path for d in damaged] == [path]
    assert reason in damaged[0].reason
    assert "\n" not in damaged[0].reason


def test_no_directory_is_no_record(tmp_path: Path) -> None:
    assert records.read_all(tmp_path / "none") == ([], [])


def test_ten_thousand_records_are_read_in_seconds(tmp_path: Path, make: SimpleNamespace) -> None:
    one = make.train()
    text = json.dumps(one)
    for i in range(10_000):
        key = f"{i * 7919 % 256:02x}" + f"{i:062x}"
        path = tmp_path / "records" / key[:2] / f"{key}.1.{one['uuid']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(one["key"], key))
    start = time.process_time()
    assert len(records.read_all(tmp_path)[0]) == 10_000
    assert time.process_time() - start < 5


def test_the_first_ok_record_wins_else_the_last_attempt(make: SimpleNamespace) -> None:
    failed = make.train(status="failed", attempt=2, finished=9.0)
    lost = make.train(status="lost", attempt=1, finished=10.0)
    late = make.train(attempt=1, finished=8.0)
    early = make.train(attempt=3, finished=7.0, uuid="00000002")
    twin = make.train(attempt=4, finished=7.0, uuid="00000001")
    key = failed["key"]
    assert records.winners([lost, failed]) == records.winners([failed, lost]) == {key: failed}
    assert records.winners([failed, late, lost]) == {key: late}
    assert records.winners([late, early, failed]) == {key: early}
    assert records.winners([early, twin]) == records.winners([twin, early]) == {key: twin}


def test_of_two_versions_the_newest_is_current_and_its_old_children_are_stale(make: SimpleNamespace) -> None:
    old, other = make.train(), make.train(seed=1)
    child = make.protect(old, ["b"])
    kept = make.protect(other, ["b"])
    everything = {r["key"]: r for r in (old, other, child, kept)}
    assert records.current(everything) == set(everything)
    new = make.train(spec={"protocol": 2})
    everything[new["key"]] = new
    assert records.current(everything) == {other["key"], kept["key"], new["key"]}
    again = make.protect(new, ["b"])
    everything[again["key"]] = again
    assert records.current(everything) == {other["key"], kept["key"], new["key"], again["key"]}
    bumped = make.protect(new, ["b"], spec={"method_version": 2})
    param = make.protect(new, ["b"], spec={"params": {"lam": 0.2}})
    everything |= {bumped["key"]: bumped, param["key"]: param}
    assert again["key"] not in records.current(everything)
    assert {bumped["key"], param["key"]} <= records.current(everything)


def test_the_same_training_scored_on_other_domains_is_another_cell_and_their_order_says_nothing(
    make: SimpleNamespace,
) -> None:
    plain = make.train(spec={"domains": {"a": "1", "b": "2"}})
    marked = make.train(spec={"domains": {"a": "1", "b": "2", "a@wm80": "3"}})
    assert records.current({r["key"]: r for r in (plain, marked)}) == {plain["key"], marked["key"]}
    changed = make.train(spec={"domains": {"b": "2", "a": "new"}})  # the same domains with other pixels
    assert records.current({r["key"]: r for r in (plain, marked, changed)}) == {changed["key"], marked["key"]}


def test_a_cell_made_from_a_stale_generator_is_stale(make: SimpleNamespace) -> None:
    parent = make.train()
    old = make.synth(parent)
    inputs = {"inputs": [old["key"]]}
    child = make.protect(parent, ["b"], spec=inputs, cell=inputs)
    everything = {r["key"]: r for r in (parent, old, child)}
    assert records.current(everything) == set(everything)
    new = make.synth(parent, version=2)
    everything[new["key"]] = new
    assert records.current(everything) == {parent["key"], new["key"]}
