"""The numbers that a cell is computed in: `precision: fp32 | tf32 | bf16` of a grid, and whether twice gives the same.

    mapbench run digits-mini --precision bf16
    mapbench leaderboard runs/digits-mini -b convnet@bf16

fp32    every product in 32 bits, on a GPU too, where PyTorch itself would have convolutions in tf32
tf32    matrix products and convolutions on a GPU read 10 bits of each mantissa, not 23
bf16    the forward pass under torch.autocast in bfloat16; weights, gradients and optimisers stay in 32 bits, and so do
        what the net answers, the losses and the statistics of BatchNorm

That is of the steps of training, and all cells of a tree have the one of their part, which is in their keys. What comes
before and after the steps is fp32 whatever the precision: the closed-form fits of attacks, scoring and its probes, the
judge of generated images. What is delivered is a file of fp32 weights, and that is what has to be judged. A cell that
needs what its device lacks is computed in fp32 and flagged `no-tf32` or `no-bf16`. Where people read, the backbone is
called `convnet@bf16` (and a given one `convnet@9a846be6@bf16`), so that no board mixes two precisions.

cuDNN has to use deterministic algorithms, always, as the published code has it. `--deterministic` asks the same of all
of PyTorch: it is slower, changes no key, and what cannot be had is a warning in the cell's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from harness import UsageError
from suites import schema

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PRECISIONS: tuple[str, ...] = get_args(schema.Precision)
FP32 = "fp32"


def read(text: str) -> str:
    """A precision as it was typed; UsageError with a did-you-mean for what is none."""
    if text not in PRECISIONS:
        close = get_close_matches(text, PRECISIONS, 1)
        hint = f"did you mean {close[0]}? There" if close else "there"
        raise UsageError(f"command line: unknown precision {text!r}: {hint} are {', '.join(PRECISIONS)}")
    return text


def called(backbone: str, precision: str) -> str:
    """The backbone as tables and boards call it."""
    return backbone if precision == FP32 else f"{backbone}@{precision}"


def is_called(backbone: str, asked: str) -> bool:
    """Whether a backbone as tables call it is meant by `-b`: `convnet` means it in any precision and from anywhere,
    `convnet@bf16` and `convnet@fp32` in that one, `convnet@9a846be6` from that file."""
    name, *marks = backbone.split("@")
    wanted, *others = asked.split("@")
    marks += [] if set(marks) & set(PRECISIONS) else [FP32]
    return name == wanted and set(others) <= set(marks)


def able(precision: str, device: torch.device) -> tuple[str, list[str]]:
    """The precision that a device computes in where this one was asked for, and the flag that says so."""
    import torch

    cuda = device.type == "cuda"
    lacks = {
        "tf32": not cuda or torch.cuda.get_device_capability(device) < (8, 0),
        "bf16": cuda and not torch.cuda.is_bf16_supported(including_emulation=False),
    }
    return (FP32, [f"no-{precision}"]) if lacks.get(precision) else (precision, [])


@contextmanager
def stated(precision: str, deterministic: bool = False) -> Iterator[None]:
    """Nothing but this precision and deterministic algorithms of cuDNN inside, for bf16 together with `autocast`; with
    `deterministic` of all of PyTorch. Everything is as it was afterwards."""
    import torch

    cudnn: Any = torch.backends.cudnn  # Any: what these modules hold is not declared
    cpu: Any = torch.backends.mkldnn
    # PyTorch's newer names (2.9) and none of the old, allow_tf32, which it refuses to read where both were set
    on_gpu: list[Any] = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    on_cpu: list[Any] = [cpu.matmul, cpu.conv, cpu.rnn]
    before = [(one, one.fp32_precision) for one in (*on_gpu, *on_cpu)]
    chosen, searched = cudnn.deterministic, cudnn.benchmark
    strictly = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        for one in (*on_gpu, *on_cpu):
            one.fp32_precision = "tf32" if precision == "tf32" and one in on_gpu else "ieee"
        cudnn.deterministic, cudnn.benchmark = True, False
        if deterministic:
            torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        for one, value in before:
            one.fp32_precision = value
        cudnn.deterministic, cudnn.benchmark = chosen, searched
        torch.use_deterministic_algorithms(strictly[0], warn_only=strictly[1])


@contextmanager
def autocast(precision: str, model: nn.Module) -> Iterator[None]:
    """Around a method's step: under bf16 its forward passes in bfloat16, what `model` answers in float32 all the same,
    because a loss of eight bits is none (on a CPU autocast leaves log_softmax in bfloat16)."""
    if precision != "bf16":
        yield
        return
    import torch

    def answer(module: nn.Module, images: Any, logits: Tensor) -> Tensor:
        return logits.float()

    handle = model.register_forward_hook(answer)
    try:
        # no cache of weights: each is used once a step, and a graph must not hold one from another step
        with torch.autocast(next(model.parameters()).device.type, torch.bfloat16, cache_enabled=False):
            yield
    finally:
        handle.remove()
