"""A worker that shares no directory with the driver: what it lacks is sent, what it made is brought back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import environment, scoring, worker
from harness.api import Options, plan
from harness.executors.parcels import Marker, Piece, Receiver, Sender
from harness.grid import Filters, read
from results.store import Store
from tests.harness.conftest import QUICK

MINE = '''
"""A method of the user's own."""
from methods.base import Method, Needs


class Mine(Method):
    name = "mine"
    needs = Needs(target="none")

    def step(self, batch):
        return self.model(batch.x_s).square().mean(), {}
'''


@pytest.fixture
def grid(tmp_path: Path, data: Path) -> dict[str, Any]:
    """f_s trained on the driver's machine, and the task of a user's method that hangs on it."""
    (tmp_path / "mine.py").write_text(MINE)
    options = Options(out=str(tmp_path / "run"), data=str(data))
    made, store = plan(read(QUICK, Filters(methods=("mine",), extra_methods=(str(tmp_path / "mine.py"),))), options)
    context = {"out": str(store.out), "data": str(data), "weights": str(tmp_path), "source_model": "", "timeout": None}
    train, protect = made.tasks()
    *_, done = worker.run_cell(context, train.payload, 1)
    assert done["record"]["status"] == "ok"
    return {"context": context, "task": protect, "store": store, "method": tmp_path / "mine.py"}


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Receiver]:
    """Another machine: it sees no run directory, and its mapbench is elsewhere for all that the driver knows."""
    receiver = Marker(str(tmp_path / "gone"), f"token-{tmp_path.name}", "/somewhere/else").receiver()
    assert not receiver.shared
    yield receiver
    receiver.clean()
    assert not receiver.home.exists()


def test_a_cell_runs_without_any_shared_directory_and_its_files_come_back(
    grid: dict[str, Any], far: Receiver, tmp_path: Path
) -> None:
    sent: list[bytes] = []

    def put(blob: bytes) -> int:
        sent.append(blob)
        return len(sent) - 1

    sender, payload = Sender(grid["context"], put), grid["task"].payload
    pieces = sender.pieces(payload)
    assert {piece.root for piece in pieces} == {"out", "data", "methods"}
    # nothing of the driver's is to be seen there
    hidden = [Path(grid["context"]["data"]), grid["method"], grid["store"].out]
    for path in hidden:
        path.rename(path.with_name(f"{path.name}.hidden"))
    try:
        lacking = far.lacks(pieces)
        assert all(lacking)
    finally:
        for path in hidden:
            path.with_name(f"{path.name}.hidden").rename(path)
    parcel = sender.parcel(pieces, lacking)
    for path in hidden:
        path.rename(path.with_name(f"{path.name}.hidden"))
    try:
        context, there = far.unpack(grid["context"], payload, parcel, sent.__getitem__)
        assert not any(far.lacks(pieces))  # the next cell of this machine is sent nothing
        assert Path(context["out"]).is_relative_to(far.home) and Path(context["data"]).is_relative_to(far.home)
        scoring.RESIDENT.clear()  # another machine's process would have nothing in memory
        *_, done = worker.run_cell(context, there, 1)
        files = far.made(done["record"])
    finally:
        for path in hidden:
            path.with_name(f"{path.name}.hidden").rename(path)
    assert done["record"]["status"] == "ok", done["record"]["error"]
    assert {name.partition("/")[0] for name in files} == {"checkpoints", "predictions", "logs"}
    assert Store(grid["store"].out).outcomes().keys() == {done["record"]["spec"]["parent"]}
    sender.keep(done["record"], files)
    assert Store(grid["store"].out).winners()[done["record"]["key"]]["status"] == "ok"
    assert all((grid["store"].out / name).read_bytes() == blob for name, blob in files.items())

    # the same cell beside the driver gives the same counts
    *_, local = worker.run_cell({**grid["context"], "out": str(_copy(grid, tmp_path))}, payload, 1)
    assert local["record"]["accuracy"] == done["record"]["accuracy"]


def _copy(grid: dict[str, Any], tmp_path: Path) -> Path:
    shutil.copytree(grid["store"].out, tmp_path / "copy")
    return tmp_path / "copy"


def test_data_that_is_not_what_the_run_was_planned_with_fails_the_cell(grid: dict[str, Any], tmp_path: Path) -> None:
    payload = grid["task"].payload
    spec = {**payload["spec"], "domains": dict.fromkeys(payload["spec"]["domains"], "0" * 64)}
    scoring.RESIDENT.clear()
    *_, done = worker.run_cell(grid["context"], {**payload, "spec": spec}, 1)
    assert done["record"]["status"] == "failed"
    assert "is not what the run was planned with" in done["record"]["error"]


def test_what_lies_at_the_drivers_own_path_is_not_sent(grid: dict[str, Any], tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.write_text("token")
    near = Marker(str(marker), "token", str(environment.ROOT)).receiver()
    assert near.shared
    sender = Sender(grid["context"], lambda blob: pytest.fail("something was sent"))
    pieces = sender.pieces(grid["task"].payload)
    assert not any(near.lacks(pieces))
    context, _ = near.unpack(grid["context"], grid["task"].payload, sender.parcel(pieces, near.lacks(pieces)), list)
    assert context == grid["context"]
    near.clean()


def test_a_file_that_differs_at_the_same_path_is_sent(grid: dict[str, Any], far: Receiver) -> None:
    (piece,) = [p for p in Sender(grid["context"], id).pieces(grid["task"].payload) if p.root == "methods"]
    assert far.lacks([piece]) == [False]
    grid["method"].write_text(MINE.replace("square", "abs().sqrt"))
    assert far.lacks([piece]) == [True]
    other = Piece(piece.root, piece.name, piece.size + 1, piece.sha256, piece.path)
    assert far.lacks([other]) == [True]
