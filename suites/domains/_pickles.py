"""Reads a pickle that holds arrays, and runs nothing of it: data sets are somebody else's files.

    pickle.load(file)        runs whatever the file names; not used here

A pickle of arrays names a handful of numpy's functions, under other modules in every generation of numpy. Each is
answered by one of the few lines below, which makes the array from its bytes; any other name is refused.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.domains._arrays import said
from suites.domains._raw import Raw

if TYPE_CHECKING:
    import numpy as np


def load(raw: Raw, path: Path) -> dict[str, Any]:
    """The dict in a pickle, its arrays among them. SuiteError for all that is no dict of arrays, lists and numbers."""
    try:
        with path.open("rb") as file:
            held = _Reader(file, encoding="latin1").load()
    except OSError as error:
        raw.broken(path, f"cannot be read ({said(error)})")
    except Exception as error:  # what a damaged pickle raises is anybody's guess
        raw.broken(path, f"cannot be read as a pickle of arrays ({said(error)})")
    if not isinstance(held, dict):
        raw.broken(path, f"holds no dict, but a {type(held).__name__}")
    names = {k.decode("latin1") if isinstance(k, bytes) else str(k): v for k, v in held.items()}
    return {name: value.array if isinstance(value, _Array) else value for name, value in names.items()}


class _Type:
    """numpy.dtype, of numbers and booleans alone: one of objects would take bytes for addresses."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[|<>=]?[biuf][1248]", code):
            raise pickle.UnpicklingError(f"an array of {code!r}")
        self.code = code.lstrip("|<>=")
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")

    def array(self, content: Any, shape: Any, order: str = "C") -> np.ndarray:
        import numpy as np

        if isinstance(content, str):  # as Python 2 wrote it
            content = content.encode("latin1")
        return np.frombuffer(content, self.order + self.code).reshape(shape, order="F" if order == "F" else "C")


class _Array:
    """numpy.ndarray: made empty, and then given its state."""

    array: Any = None

    def __setstate__(self, state: Any) -> None:
        shape, kind, fortran, content = state[-4:]
        self.array = kind.array(content, shape, "F" if fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _frombuffer(content: Any, kind: _Type, shape: Any, order: str) -> _Array:
    made = _Array()
    made.array = kind.array(content, shape, order)
    return made


def _scalar(kind: _Type, content: Any) -> Any:
    return kind.array(content, ()).item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text as {encoding!r}")
    return text.encode("latin1")


def _bytes() -> bytes:
    return b""  # how Python 3 writes empty ones for Python 2


KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _bytes,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # numpy 2 moved its core to numpy._core
        known = KNOWN.get((re.sub(r"^numpy\._core\b", "numpy.core", module), name))
        if known is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array and is not run")
        return known
