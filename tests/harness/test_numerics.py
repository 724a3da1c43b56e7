"""Precision and determinism: what is stated holds in the steps and nowhere else, and the user's own settings come back.

.venv/bin/pytest tests/harness/test_numerics.py
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import environment, numerics, plan, toy, worker
from harness.grid import Filters, read
from harness.tasks import Task
from harness.worker import run_cell
from methods.attacks.probe import Probe
from methods.base import Batch, Method, Needs
from methods.controls.continue_ import Continue
from results.store import Store
from tests.harness.conftest import QUICK

torch.set_num_threads(1)


def knobs() -> dict[str, Any]:
    """All that `stated` turns."""
    b: Any = torch.backends
    said = {"matmul": b.cuda.matmul, "conv": b.cudnn.conv, "rnn": b.cudnn.rnn}
    on_cpu = {"cpu matmul": b.mkldnn.matmul, "cpu conv": b.mkldnn.conv, "cpu rnn": b.mkldnn.rnn}
    return {
        **{name: one.fp32_precision for name, one in (said | on_cpu).items()},
        "deterministic": b.cudnn.deterministic, "benchmark": b.cudnn.benchmark,
        "strictly": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
    }  # fmt: skip


@pytest.fixture
def theirs() -> Iterator[dict[str, Any]]:
    """Settings of the user's own session, none of them ours: benchmark on, convolutions in tf32 as PyTorch has them."""
    b: Any = torch.backends
    before = b.cudnn.benchmark
    b.cudnn.benchmark = True
    assert (b.cudnn.conv.fp32_precision, b.cudnn.deterministic) == ("tf32", False)
    yield knobs()
    b.cudnn.benchmark = before


# -- what is stated


@pytest.mark.parametrize(("precision", "on_gpu"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
@pytest.mark.parametrize("deterministic", [False, True])
def test_what_is_stated_holds_inside_and_an_exception_puts_everything_back(
    theirs: dict[str, Any], precision: str, on_gpu: str, deterministic: bool
) -> None:
    with pytest.raises(ZeroDivisionError), numerics.stated(precision, deterministic):
        with numerics.stated("fp32"):
            assert knobs()["conv"] == "ieee" and knobs()["strictly"] == deterministic
        now = knobs()
        assert [now[name] for name in ("matmul", "conv", "rnn")] == [on_gpu] * 3
        assert [now[f"cpu {name}"] for name in ("matmul", "conv", "rnn")] == ["ieee"] * 3  # a CPU has no tf32
        assert (now["deterministic"], now["benchmark"]) == (True, False)
        assert (now["strictly"], now["warn only"]) == (deterministic, deterministic)
        raise ZeroDivisionError
    assert knobs() == theirs


def test_what_the_user_had_asked_for_by_the_old_names_is_there_again_and_can_be_read_by_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            torch.set_float32_matmul_precision("high")
            torch.use_deterministic_algorithms(True)
            with numerics.stated("fp32"):
                assert knobs()["matmul"] == "ieee"
                torch.randn(2, 3, 8, 8) @ torch.randn(8, 8)
                nn.Conv2d(3, 3, 3)(torch.randn(1, 3, 8, 8))
            assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "high"
            assert (knobs()["strictly"], knobs()["warn only"]) == (True, False)
        finally:
            torch.use_deterministic_algorithms(False)
            torch.set_float32_matmul_precision("highest")


class Watching(Method):
    """Continues f_s and notes what is turned how, when."""

    name = "watching"
    needs = Needs(target="none")

    def setup(self, model: nn.Module, access: Any) -> None:
        self.seen = {"setup": knobs()}
        super().setup(model, access)

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen["step"] = knobs()
        self.answer = self.model(batch.x_s)
        self.hidden = torch.zeros(1, 8) @ torch.zeros(8, 8)
        self.answer.register_hook(lambda grad: self.seen.update(backward=knobs()))
        return torch.nn.functional.cross_entropy(self.answer, batch.y_s), {}

    def finish(self) -> nn.Module:
        self.seen["finish"] = knobs()
        return super().finish()


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_the_steps_alone_are_in_the_precision_and_what_is_kept_is_float32(precision: str) -> None:
    method, model = Watching(), toy.network(1)
    with numerics.stated("fp32"):
        toy.train(method, model, toy.pair(0), epochs=1, precision=precision)
    tf32 = "tf32" if precision == "tf32" else "ieee"
    assert {when: seen["conv"] for when, seen in method.seen.items()} == {
        "setup": "ieee", "step": tf32, "backward": tf32, "finish": "ieee",
    }  # fmt: skip
    assert {when: seen["autocast"] for when, seen in method.seen.items()} == {
        "setup": False, "step": precision == "bf16", "backward": False, "finish": False,
    }  # fmt: skip
    assert method.hidden.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
    assert method.answer.dtype == torch.float32
    assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters() if p.grad is not None}
    assert {v.dtype for v in model.state_dict().values()} == {torch.float32, torch.int64}


def test_a_step_that_raises_leaves_no_hook_and_no_autocast() -> None:
    model = toy.network(1)
    with pytest.raises(ZeroDivisionError), numerics.autocast("bf16", model):
        assert len(model._forward_hooks) == 1 and torch.is_autocast_enabled("cpu")
        raise ZeroDivisionError
    assert not model._forward_hooks and not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("device", "capability", "bf16", "computed"),
    [
        ("cpu", None, None, {"fp32": "fp32", "tf32": "no-tf32", "bf16": "bf16"}),
        ("cuda", (7, 5), False, {"fp32": "fp32", "tf32": "no-tf32", "bf16": "no-bf16"}),
        ("cuda", (9, 0), True, {"fp32": "fp32", "tf32": "tf32", "bf16": "bf16"}),
    ],
)
def test_a_device_that_lacks_a_precision_computes_in_fp32_and_says_so(
    monkeypatch: pytest.MonkeyPatch, device: str, capability: Any, bf16: Any, computed: dict[str, str]
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
    for asked, said in computed.items():
        expected = ("fp32", [said]) if said.startswith("no-") else (said, [])
        assert numerics.able(asked, torch.device(device)) == expected


# -- cells


def planned(out: Path, data: Path, *methods: str, **asked: Any) -> list[Task]:
    made = plan.make(read(QUICK, Filters(methods, **asked)), Store(out), data, out)
    return made.tasks()


def worked(out: Path, data: Path, task: Task, **context: Any) -> dict[str, Any]:
    *_, last = run_cell({"out": str(out), "data": str(data), "weights": "", **context}, task.payload, 1)
    record: dict[str, Any] = last["record"]
    assert record["status"] == "ok", record["error"]
    return record


def test_tf32_without_tf32_is_fp32_to_the_bit_and_flagged(tmp_path: Path, data: Path) -> None:
    asked = {"attacks": ("probe[n=20]",)}
    fp32, tf32 = (
        [worked(tmp_path, data, task) for task in planned(tmp_path, data, "constant", precision=precision, **asked)]
        for precision in ("fp32", "tf32")
    )
    assert [r["key"] for r in fp32] != [r["key"] for r in tf32]
    assert [r["checkpoint_sha256"] for r in fp32] == [r["checkpoint_sha256"] for r in tf32]
    assert [r["flags"] for r in fp32] == [[], [], [], []] and [r["flags"] for r in tf32] == [["no-tf32"]] * 4


def test_scoring_is_fp32_though_training_is_not_and_the_user_has_his_settings_back(
    tmp_path: Path, data: Path, theirs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, which this machine need not have."""
    seen: dict[str, list[dict[str, Any]]] = {"step": [], "score": [], "probe": []}

    def watched(where: str, function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            seen[where].append(knobs())
            return function(*given, **named)

        return call

    monkeypatch.setattr(numerics, "able", lambda precision, device: (precision, []))
    monkeypatch.setattr(worker, "load", lambda card, given: {"continue": Continue, "probe": Probe}[card.name]())
    monkeypatch.setattr(worker, "score", watched("score", worker.score))
    monkeypatch.setattr(Continue, "step", watched("step", Continue.step))
    monkeypatch.setattr(Probe, "setup", watched("probe", Probe.setup))
    train, attack, *_ = planned(tmp_path, data, "untrained", precision="tf32", attacks=("probe[n=20]",))
    for task in (train, attack):
        steps = run_cell({"out": str(tmp_path), "data": str(data), "weights": ""}, task.payload, 1)
        *_, last = steps
        assert last["record"]["status"] == "ok", last["record"]["error"]
    assert {row["conv"] for row in seen["step"]} == {"tf32"}
    assert {row["conv"] for row in seen["score"]} == {row["conv"] for row in seen["probe"]} == {"ieee"}
    assert all(row["deterministic"] and not row["benchmark"] for rows in seen.values() for row in rows)
    assert knobs() == theirs
    abandoned = run_cell({"out": str(tmp_path), "data": str(data), "weights": ""}, train.payload, 2)
    next(abandoned)
    abandoned.close()
    assert knobs() == theirs


# -- determinism

LOOSE = '''"""`loose`: has an operation that is not deterministic."""
import torch
from methods.controls.continue_ import Continue


class Loose(Continue):
    name = "loose"

    def step(self, batch):
        torch.zeros(4).put_(torch.tensor([1, 1]), torch.tensor([2.0, 3.0]))
        return super().step(batch)
'''


def shown(message: Any, category: Any, *where: Any, **more: Any) -> None:
    """As Python itself shows a warning."""
    sys.stderr.write(warnings.formatwarning(message, category, *where[:2]))


def test_deterministic_is_recorded_changes_no_key_and_warns_in_each_cells_log(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str], theirs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"})
    monkeypatch.setattr(warnings, "showwarning", shown)  # pytest has put one of its own there
    (tmp_path / "loose.py").write_text(LOOSE)
    tasks = planned(tmp_path, data, "loose", seeds=("0-1",), extra_methods=(str(tmp_path / "loose.py"),))
    assert worked(tmp_path, data, tasks[0])["environment"]["deterministic"] is False
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    for task in tasks:
        record = worked(tmp_path, data, task, deterministic=True)
        assert (record["key"], record["environment"]["deterministic"]) == (task.key, True)
        warned = (tmp_path / record["log"]).read_text().count("UserWarning: put_ does not")
        assert warned == 1 if record["cell"]["method"] else warned == 0
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert knobs() == theirs
    said = capfd.readouterr()
    assert said.out == said.err == ""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    environment.deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_a_warning_is_in_every_cells_log_once_and_not_only_in_that_of_a_workers_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warnings, "showwarning", shown)
    logs = [io.StringIO(), io.StringIO()]
    for log in logs:
        with worker._said(log):
            for _ in range(3):
                warnings.warn("of what cannot be had", stacklevel=1)
    assert [log.getvalue().count("UserWarning") for log in logs] == [1, 1]
