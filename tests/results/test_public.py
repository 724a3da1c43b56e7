"""What is published says nothing of the machine it came from, and loses nothing that a number rests on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from results import public

HOSTS = {"node7.lab.example", "node7"}


@pytest.mark.parametrize(
    ("said", "published"),
    [
        ("FileNotFoundError: '/home/anna lee/my data/x.npz'", "FileNotFoundError: '…/x.npz'"),
        ("ValueError: shapes, in /home/anna/mine.py:33", "ValueError: shapes, in …/mine.py:33"),
        ("cannot write /scratch/anna/runs: full", "cannot write …: full"),
        (r"cannot open C:\Users\anna\mine.py", "cannot open …/mine.py"),
        ("none of node7.lab.example and node7 (10.1.2.3:6379)", "none of HOST and HOST (IP:6379)"),
        ("403 for s3://anna-bucket/runs/x", "403 for URL"),
        ("expected 3/12 pairs of uci/print, (A - B)/A is 0.5", "expected 3/12 pairs of uci/print, (A - B)/A is 0.5"),
        ("node75 and subnode7 are other words", "node75 and subnode7 are other words"),
    ],
)
def test_paths_addresses_and_hosts_are_cut_out_of_what_is_said(said: str, published: str) -> None:
    assert public.text(said, HOSTS) == published
    assert public.text(published, HOSTS) == published


@pytest.mark.parametrize(
    ("typed", "published"),
    [
        ("mapbench run demo -m 'sa-map[cap=sample]' -p 'uci:*' -s 0-4", None),
        ("mapbench run demo --out /home/anna/runs --data=/data/x -s 0", "mapbench run demo -s 0"),
        ("mapbench run /home/anna/mine.yaml --address head:6379 --shard 2/4", "mapbench run mine.yaml --shard 2/4"),
        ("mapbench run demo --methods /home/anna/mine.py", "mapbench run demo --methods mine.py"),
    ],
)
def test_a_command_can_be_typed_elsewhere(typed: str, published: str | None) -> None:
    assert public.command(typed, HOSTS) == (published or typed)


def test_a_record_keeps_what_numbers_rest_on_and_no_field_that_nobody_thought_of(make: SimpleNamespace) -> None:
    there = {"device": "cpu", "torch": "2.15.0", "git_commit": "c0ffee", "git_dirty": False, "host": "node7"}
    record = make.train(
        environment=there | {"user": "anna"}, checkpoint="checkpoints/x.safetensors", checkpoint_sha256="a" * 64,
        log="logs/x.log", predictions="predictions/x.parquet", error="lost on node7", tail="anna's log",
    )  # fmt: skip
    published = public.record(record, public.hosts_of([record]))
    assert published["environment"] == there | {"host": None}
    assert (published["checkpoint"], published["predictions"], published["log"]) == (None, None, None)
    assert (published["checkpoint_sha256"], published["error"]) == ("a" * 64, "lost on HOST")
    assert "tail" not in published
    for name in ("key", "spec", "cell", "accuracy", "curves", "started", "finished", "seconds", "uuid"):
        assert published[name] == record[name]
    assert public.record(published, ()) == published


def test_a_plan_keeps_of_a_user_s_folders_the_last_name(make: SimpleNamespace) -> None:
    plan = make.plan(make.train(), folders={"a": "/home/anna/photos/store"})
    plan["command"] = "mapbench run x --out /tmp/x"
    published = public.plan(plan, (), 5.0)
    assert published["suites"]["toy"]["folders"] == {"a": "store"}
    assert (published["command"], published["written"], published["cells"]) == ("mapbench run x", 5.0, plan["cells"])
