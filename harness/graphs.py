"""Steps of a training captured in CUDA graphs and replayed: one launch in place of hundreds, with the same kernels.

    PYTHONPATH=. python tests/bench/gpu.py       eager beside graphed, on a GPU

A step of VGG11 at 32 px keeps an H100 busy for a fifth of the time that its host needs to launch it. A method says with
`cycle` after how many steps it launches the same work again; each of these steps becomes a graph. The first steps run
as ever, for libraries choose and allocate in them; then each is captured, and before it is relied on its replays are
held against the same steps run as ever from the same state: losses and terms must agree. Whatever goes wrong, the
training goes on as ever from where it was, and one line says why. No key knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from harness.steps import Step
from methods.base import Batch, Method

WARM = 3  # times that each step of a cycle runs before it is captured, as torch's own documentation has it
# Losses of replayed and of launched steps, two cycles on: kernels that add up in any order differ by 1e-6, a step that
# was captured wrongly by far more
RTOL, ATOL = 1e-3, 1e-5
Replay = tuple[Callable[[], object], Tensor]  # and where its result lies
LEFT: list[Any] = []  # graphs whose capture was broken off; torch's allocator may look at them still


class Recorder(Protocol):
    """What captures: of a GPU, or a test's own."""

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        """Run work as it will be captured."""

    def record(self, work: Callable[[], Tensor]) -> Replay:
        """Capture work without running it."""

    def random(self) -> Any:
        """The state of what work draws from."""

    def restore(self, state: Any) -> None:
        """Put that state back."""


class Graphed:
    """A step that is called as ever. `said` is how it runs, in a line; empty until that is known."""

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self.step, self.said, self._recorder = step, "", recorder
        self._cycle, self._seen = declared(step.method), 0
        self._groups = [group for optimizer in step.optimizers for group in optimizer.param_groups]
        self._replays: list[Replay] = []
        self._static: dict[str, Tensor] = {}
        if not self._cycle:
            self._say(f"steps are not captured: {step.method.name} declares no cycle")
        elif foreign := [o for o in step.optimizers if not isinstance(o, Adam)]:
            self._say(f"steps are not captured: {type(foreign[0]).__name__} cannot be")
        else:
            self._capturable(True)

    @property
    def names(self) -> list[str]:
        return self.step.names

    def __call__(self, batch: Batch) -> Tensor:
        if not self._replays and not self.said:
            if self._seen < WARM * self._cycle:
                self._seen += 1
                return self._recorder.warm(lambda: self.step(batch))
            self._capture(batch)
        if not self._replays:
            return self.step(batch)
        if self._static:
            torch._foreach_copy_(list(self._static.values()), [batch.parts[name] for name in self._static])
        replay, result = self._replays[self._seen % self._cycle]
        self._seen += 1
        replay()
        return result.clone()

    def _capture(self, batch: Batch) -> None:
        """Capture every step of the cycle, hold the replays against the steps; on any trouble leave all as it was."""
        method, before = self.step.method, _plain(self.step.method)
        kept = _state([method.__dict__, [o.state for o in self.step.optimizers], [g["params"] for g in self._groups]])
        copies, random = [tensor.clone() for tensor in kept], self._recorder.random()

        def back() -> None:
            with torch.no_grad():
                for tensor, copy in zip(kept, copies, strict=True):
                    tensor.copy_(copy)
            self._recorder.restore(random)
            method.__dict__.update(before)

        try:
            self._static, still = _standing(batch)
            # first as ever: what these hold on the device is given back before the graphs take as much for themselves
            launched = [self._recorder.warm(lambda: self.step(still)) for _ in range(2 * self._cycle)]
            back()
            replays = [self._recorder.record(lambda: self.step(still)) for _ in range(self._cycle)]
            replayed = []
            for replay, result in 2 * replays:
                replay()
                replayed.append(result.clone())
            apart = [((a - b).abs() / (ATOL + RTOL * b.abs())).max() for a, b in zip(replayed, launched, strict=True)]
            worst = float(torch.stack(apart).max())  # not Python's max, which passes over a NaN that is not the first
            if not worst <= 1:  # a NaN is no agreement either
                raise ArithmeticError(f"replayed, they differ by {RTOL * worst:.1g} from what they are")
            self._replays = replays
            self._say(f"steps are captured: {self._cycle} CUDA graph{'s' * (self._cycle > 1)}, replayed")
        except Exception as error:
            self._say(
                f"steps are not captured: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )
            self._static = {}
        back()
        if not self._replays:
            self._capturable(False)

    def _capturable(self, yes: bool) -> None:
        """Rates where a graph finds them, on the device, or back in Python."""
        for group in self._groups:
            group["capturable"] = yes
            rate = float(group["lr"])
            group["lr"] = torch.tensor(rate, device=group["params"][0].device) if yes else rate

    def _say(self, line: str) -> None:
        self.said = line
        print(line)


def declared(method: Method) -> int:
    """The method's `cycle`, where it was said of the step() that it has; one written over it promises nothing."""
    order = [vars(kind) for kind in type(method).__mro__]
    said, done = (next(i for i, names in enumerate(order) if name in names) for name in ("cycle", "step"))
    return method.cycle if said <= done else 0


class Cuda:
    """Captures on the current GPU, on a stream of its own."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()  # of all graphs of a cycle, which are replayed one after another

    def warm(self, work: Callable[[], Tensor]) -> Tensor:
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            result = work()
        torch.cuda.current_stream().wait_stream(self._stream)
        return result

    def record(self, work: Callable[[], Tensor]) -> Replay:
        graph, stream, why = torch.cuda.CUDAGraph(), torch.cuda.current_stream(), None
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        spare = generator.clone_state()
        try:
            # thread_local: what other threads of a worker do is no part of it
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                try:
                    result = work()
                except Exception as error:
                    why = error
                    raise
        except Exception as error:
            self._broken_off(graph, stream, generator, spare)
            raise (why or error) from None  # ending a capture that was broken off is an error too, and tells nothing
        return graph.replay, result

    def _broken_off(self, graph: Any, stream: Any, generator: Any, spare: Any) -> None:
        """torch leaves its own stream current, its generator waiting for the end of the capture (every dropout then
        fails) and its allocator with a filter that looks at the graph."""
        torch.cuda.set_stream(stream)
        generator.graphsafe_set_state(spare)
        LEFT.append(graph)
        with suppress(Exception):  # where the capture did end, it is no longer there
            torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)

    def random(self) -> Any:
        return torch.cuda.get_rng_state()

    def restore(self, state: Any) -> None:
        torch.cuda.set_rng_state(state)


def _standing(batch: Batch) -> tuple[dict[str, Tensor], Batch]:
    """Tensors that stay where they are, to copy a batch's parts into, and a batch of them."""
    views = {"x_s", "x_t"} if "joint" in batch.parts else set()
    static = {name: part.clone() for name, part in batch.parts.items() if name not in views}
    inside = dict(zip(("x_s", "x_t"), static["joint"].split(len(batch.x_s)), strict=True)) if views else {}
    return static, batch.replaced(**static, **inside)


def _plain(method: Any) -> dict[str, Any]:
    """What a step may count or toggle, in Python."""
    return {name: value for name, value in vars(method).items() if isinstance(value, bool | int | float | str)}


def _state(things: Any) -> list[Tensor]:
    """Every tensor that a step could write to, once: what lies in modules, dicts and lists."""
    found: dict[tuple[int, int], Tensor] = {}  # by place and size: a part that comes first must not stand for the whole

    def walk(thing: Any) -> Iterator[Tensor]:
        if isinstance(thing, Tensor):
            yield thing.detach()
        elif isinstance(thing, nn.Module):
            yield from (tensor.detach() for tensor in (*thing.parameters(), *thing.buffers()))
        elif isinstance(thing, dict):
            yield from (tensor for value in thing.values() for tensor in walk(value))
        elif isinstance(thing, list | tuple | set):  # no iterator, which would be used up
            yield from (tensor for value in thing for tensor in walk(value))

    for tensor in walk(things):
        if tensor.numel():
            found.setdefault((tensor.data_ptr(), tensor.numel()), tensor)
    return list(found.values())
