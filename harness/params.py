"""The params of methods: what a class declares, and what a person gave, checked against it before anything runs.

    mapbench list methods            every param with its kind, its range, its meaning and the source of its default

A declared param is a dict, as cards (harness/cards.py) cache it: name, type, choices, optional, default, meaning,
source, and least, most and of_class where there are such (methods.base.param).
"""

from __future__ import annotations

import math
from dataclasses import Field
from typing import Any, Literal, get_args, get_origin

from harness import UsageError
from methods import MethodError

START: dict[str, Any] = {"name": "start", "type": "str", "choices": ["source", "init"], "optional": False}
# 200 is what the attacker's part of the embedded domains holds, and what `matched` and `decoded` are fitted on
IMAGES: dict[str, Any] = {"name": "n", "type": "int", "choices": None, "optional": False, "default": 200, "least": 1}
SAID = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
OURS = ("start", "n", "fidelity")  # the harness's own params: of methods, of attacks, and a name for a set of them


def declared(field: Field[Any], hint: Any, where: str) -> dict[str, Any]:
    """One field of a class's `Params`, with the type it is annotated by.

    Raises MethodError (`where` says of what) for what cannot be typed on a command line, or is out of its own range."""
    if not (field.metadata.get("meaning") and field.metadata.get("source")):
        raise MethodError(f"{where} must say its default, meaning and the source of its default: use param()")
    if field.name in OURS:
        raise MethodError(f"{where} is the harness's own param: choose another name")
    options = [h for h in get_args(hint) if h is not type(None)] if get_origin(hint) is not Literal else []
    optional = bool(options) and len(options) < len(get_args(hint))
    inner = options[0] if optional else hint
    choices = list(get_args(inner)) if get_origin(inner) is Literal else None
    if not choices and inner not in (int, float, bool, str):
        raise MethodError(f"{where} is a {inner}: use int, float, bool, str, Literal, or one of them | None")
    kind = "str" if choices else inner.__name__
    spec = {"name": field.name, "type": kind, "choices": choices, "optional": optional, "default": field.default}
    spec |= {name: value for name, value in field.metadata.items() if value is not None}
    if kind not in ("int", "float") and {"least", "most"} & spec.keys():
        raise MethodError(f"{where} is {SAID[kind]} and has no range: leave least and most out")
    if not _within(spec, field.default):
        raise MethodError(f"{where} must be {bounds(spec)}, and so must its default, {field.default!r}")
    return spec


def bounds(spec: dict[str, Any]) -> str:
    """A param's range as people say it: `0 to 1`, `1 or more`, `1 or less`; or ""."""
    least, most = spec.get("least"), spec.get("most")
    if least is None:
        return "" if most is None else f"{most} or less"
    return f"{least} or more" if most is None else f"{least} to {most}"


def typed(spec: dict[str, Any], raw: Any, what: str) -> Any:
    """`raw` (from YAML, or text from the command line) as the type that is declared, else a UsageError about `what`."""
    if spec["optional"] and (raw is None or raw in ("none", "null")):
        return None
    if spec["choices"]:
        if raw not in spec["choices"]:
            raise UsageError(f"{what} must be one of {', '.join(map(str, spec['choices']))}, got {raw!r}")
        return raw
    try:
        value = _read(spec["type"], raw)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UsageError(f"{what} must be {SAID[spec['type']]}, got {raw!r}") from None
    if not _within(spec, value):
        raise UsageError(f"{what} must be {bounds(spec)}, got {raw!r}")
    if isinstance(value, str) and not value.isprintable():  # it becomes part of the variant's name
        raise UsageError(f"{what} must be text that can be printed, got {raw!r}")
    return value


def _read(kind: str, raw: Any) -> Any:
    if kind == "bool":
        return {"true": True, "false": False}[str(raw).lower()]
    if isinstance(raw, bool):
        raise ValueError
    if kind == "str":
        return str(raw)
    value = float(raw)
    if not math.isfinite(value) or (kind == "int" and value != int(value)):
        raise ValueError
    return int(value) if kind == "int" else value


def _within(spec: dict[str, Any], value: Any) -> bool:
    least, most = spec.get("least"), spec.get("most")
    return value is None or ((least is None or value >= least) and (most is None or value <= most))
