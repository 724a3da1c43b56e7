"""The contract a method keeps: declare what it needs, then set up, step and finish.

    mapbench list methods            what is there, with every param, its meaning and the source of its default

A method is one file of 20-60 lines in `methods/` and no edit anywhere else. It writes the loss; the loop, backward
pass, schedule, evaluation, logging and checkpoints are harness/training.py's, once, for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from methods import MethodError, UndeclaredError

Supply = Literal["labelled", "unlabelled", "generated", "none"]
REAL = ("labelled", "unlabelled")  # what is real data; `generated` is made by the synthesisers a method names


@dataclass(frozen=True)
class Needs:
    """The scenario: which data a method may touch. `access` hands out exactly this and nothing else."""

    source: Supply = "labelled"
    target: Supply = "labelled"

    @property
    def scenario(self) -> str:
        """As printed on the board; methods are ranked only within one scenario. Made-up images are no data."""
        real = [supply if supply in REAL else "no" for supply in (self.source, self.target)]
        return f"{real[0]} source, {real[1]} target"

    def refusal(self, who: str, what: str) -> UndeclaredError:
        """What `who` is told on reaching for data that is not declared."""
        return UndeclaredError(
            f"{who} asked for {what}, but declares needs = {self.scenario!r}: "
            "declare it in `needs` (and so change scenario) or do without"
        )


def param(
    default: Any, meaning: str, source: str, later: bool = False, least: float | None = None, most: float | None = None,
    of_class: bool = False,
) -> Any:  # fmt: skip
    """A field of a method's `Params`: its default, what it means, and where the default comes from.

    `least` and `most` are the range of a number, both included; what is outside is refused before anything runs, and so
    is, of a param that names a class (`of_class`), one that the suite does not have.
    `later`: it came when cells of the method existed, and its default is what they did. At its default it stays out of
    the key, so that they are the same cells still."""
    told = {
        "meaning": meaning,
        "source": source,
        "later": later,
        "least": least,
        "most": most,
        "of_class": of_class or None,
    }
    return field(default=default, metadata=told)


class Batch:
    """One step's images and labels: x_s (B,3,S,S) float32 normalised, y_s (B,) int64, and x_t, y_t of the target.

    rows_s and rows_t (B,) are the images' places in their train part, for what a method worked out per image in setup.
    A part the method did not declare in `needs` is not there, and asking for it is a MethodError. Generated images
    carry the labels they were made for.
    """

    def __init__(self, method: str, needs: Needs, parts: dict[str, Tensor]) -> None:
        self._method, self._needs, self._parts = method, needs, parts

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self._parts[name]
        except KeyError:
            raise self._needs.refusal(self._method, name) from None

    @property
    def parts(self) -> Mapping[str, Tensor]:
        """What was served, by name; `joint` has x_s and x_t side by side."""
        return self._parts

    def replaced(self, **parts: Tensor) -> Batch:
        """The same batch with parts of the method's own making in place of those it was served, or beside them."""
        kept = dict(self._parts)
        if parts.keys() & {"x_s", "x_t"}:
            kept.pop("joint", None)
        return Batch(self._method, self._needs, {**kept, **parts})

    @property
    def joint(self) -> Tensor:
        """[x_s; x_t], (2B,3,S,S), as they were served, side by side. One pass over both, because two train-mode passes
        let BatchNorm tell the domains apart by their batch statistics: the source then breaks as soon as those are
        re-estimated (trials.md)."""
        joint = self._parts.get("joint")
        return torch.cat([self.x_s, self.x_t]) if joint is None else joint


class Access(Protocol):
    """What `setup` may ask for beside the batches. Implemented by harness/access.py."""

    classes: int
    image_size: int
    generator: torch.Generator
    inputs: Mapping[str, Any]  # by name: the trained synthesisers of `inputs`, and the net of the method `beside`

    @property
    def batch(self) -> int:
        """Images a step and domain, by the recipe."""

    def source(self) -> tuple[Tensor, Tensor | None]:
        """All source train images (n,3,S,S), normalised, and labels if declared; MethodError when not declared.

        Very many images lie on the host where the model is on a GPU: take them there some at a time."""

    def target(self) -> tuple[Tensor, Tensor | None]:
        """All target train images, and labels if declared; MethodError when not declared."""

    def optimizer(
        self, parameters: Iterable[nn.Parameter], lr: float | None = None, betas: tuple[float, float] = (0.9, 0.999)
    ) -> Optimizer:
        """The recipe's optimiser, the same for every method that trains weights; `lr` None means the recipe's. `betas`
        are Adam's, and for generators."""


class Method:
    """Base of all methods. Subclass it, set the class attributes, write `step`."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # bump when its numbers change: it is part of every cell's key
    needs: ClassVar[Needs] = Needs()
    inputs: ClassVar[
        tuple[str, ...]
    ] = ()  # synthesisers (methods/synthesis) whose images stand for what is `generated`
    beside: ClassVar[str] = ""  # a method whose cell on the same f_s and target this one hangs on: for controls
    control: ClassVar[bool] = False  # a trivial rule that a method has to beat
    fidelity: ClassVar[str] = "as-described"  # what the defaults follow: as-described | released | control
    fidelities: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # what else can be followed, and the params that do
    start: ClassVar[Literal["source", "init"]] = "source"  # from f_s, or from the initial weights
    smallest_tap: ClassVar[int] = 0  # least height and width of a backbone's last tap, in pixels; 0: it uses no taps
    # Steps after which step() launches the same work again, whatever the data say, so that a GPU can replay it
    # (harness/graphs.py): it reads no number off the device, what it keeps it writes in place, and what it draws comes
    # from torch's own generator. 0: nothing is promised. Whoever overrides step() says it anew.
    cycle: ClassVar[int] = 0
    plain: ClassVar[bool] = True  # False, for controls only: finish() returns another form of net, see skeleton()

    @dataclass(frozen=True)
    class Params:
        """No settings."""

    def __init__(self, params: Any = None) -> None:
        self.params: Any = params if params is not None else self.Params()
        self.flags: list[str] = []  # what a reader of the board must know of this run

    def setup(self, model: nn.Module, access: Access) -> None:
        """Take the model (in train mode, a copy of f_s or of the initial net). Default: train all its weights."""
        self.model: Any = model  # Any: it also names its taps, which nn.Module does not declare
        self.access = access

    def optimizers(self) -> list[Optimizer]:
        """What the harness steps and schedules. An empty list: nothing is trained."""
        return [self.access.optimizer(self.model.parameters(), lr=getattr(self.params, "lr", None))]

    def step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one step (scalar, with graph) and terms to log (detached scalars; no .item(): it stalls a GPU).

        A term called `target_ce` (nats) lets the harness flag a run whose target never left chance level. Under bf16
        what `model` answers is float32 still; what its taps show is not: take .float() of it into a loss."""
        raise MethodError(f"{self.name} has no step()")

    def finish(self) -> nn.Module:
        """A plain network: same state_dict keys and shapes as it got, masks folded in, no hooks left."""
        return self.model

    def skeleton(self, model: nn.Module) -> nn.Module:
        """What a checkpoint of this method is loaded into: a net of finish()'s form around a `model` of any weights.

        For a plain method that is the model itself; only one with `plain = False` says otherwise."""
        return model


@contextmanager
def tapped(model: nn.Module, names: Iterable[str], visit: Callable[[int, Tensor], Tensor | None]) -> Iterator[None]:
    """Call visit(i, output) at the i-th named module of `model`; a returned tensor replaces the output.

    Hooks live only inside the `with`, so none can be left behind or pile up over steps."""

    def hook(index: int) -> Callable[..., Tensor | None]:
        return lambda module, args, output: visit(index, output)

    handles = [model.get_submodule(name).register_forward_hook(hook(i)) for i, name in enumerate(names)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
