"""A strict YAML reader for any pydantic model, which names file and line of every mistake.

    mapbench plan my.yaml     # my.yaml:41: unknown key 'epoch' in recipes.convnet.train; did you mean 'epochs'?

YAML is loaded safely and as YAML 1.2 reads it: 1e-3 is a number, `on` and `no` are words. A key given twice is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from suites.errors import SuiteError

Loc = tuple[str | int, ...]


class MisplacedError(ValueError):
    """A cross check's finding: raise it in a model validator, and `read_yaml` reports it at the line of `loc`."""

    def __init__(self, loc: Loc, message: str):
        super().__init__(message)
        self.loc = loc


class Strict(BaseModel):
    """Frozen, no unknown keys, no silent conversion (the text "32" is not a number), no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path, model: type[Model]) -> Model:
    """The file as an instance of `model`. SuiteError names file, line and key of all mistakes, one line each."""
    node = compose(path)
    if not isinstance(node, yaml.MappingNode):
        raise SuiteError(f"{path}:1: expected keys and values, found {'nothing' if node is None else 'something else'}")
    lines: dict[Loc, int] = {}
    twice = list(_walk(node, (), lines))
    if twice:
        raise SuiteError("\n".join(f"{path}:{line}: {message}" for line, message in twice))
    loader = _Loader("")
    try:
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:  # a tag such as !!python/object
        raise _broken(path, error) from None
    finally:
        loader.dispose()
    try:
        return model.model_validate_json(json.dumps(value, default=str))
    except ValidationError as errors:
        schema = model.model_json_schema()
        found = {_explain(error, schema, lines): None for error in errors.errors(include_url=False)}  # type: ignore[arg-type]
    raise SuiteError("\n".join(f"{path}:{line}: {message}" for line, message in sorted(found)))


class _Loader(yaml.SafeLoader):
    """Safe, with YAML 1.2's idea of what a plain word is; PyYAML follows 1.1, where 1e-3 is text and `no` is False."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own attribute)


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def compose(path: Path) -> Any:
    """The file as YAML nodes, each with its line. SuiteError where it cannot be read, or is no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _broken(path, error) from None
    except yaml.YAMLError as error:
        raise SuiteError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _broken(path: Path, error: yaml.MarkedYAMLError) -> SuiteError:
    mark = error.problem_mark or error.context_mark
    return SuiteError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}")


def _walk(node: yaml.Node, loc: Loc, lines: dict[Loc, int]) -> Iterator[tuple[int, str]]:
    """Fill in the line of every value, keyed by its place; yield keys that are no text or given twice."""
    lines.setdefault(loc, node.start_mark.line + 1)
    if len(loc) > 20:  # an alias may contain itself
        yield lines[loc], "nested more than 20 deep"
    elif isinstance(node, yaml.SequenceNode):
        for i, child in enumerate(node.value):
            yield from _walk(child, (*loc, i), lines)
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            line, place = key.start_mark.line + 1, (*loc, str(key.value))
            if key.tag != "tag:yaml.org,2002:str":
                yield line, f"key {_text(key)} must be a word"
            elif place in lines:
                yield line, f"key {key.value!r} is given twice, first in line {lines[place]}"
            else:
                lines[place] = line
                yield from _walk(child, place, lines)


def _text(node: yaml.Node) -> str:
    return repr(node.value) if isinstance(node, yaml.ScalarNode) else "of this kind"


def _explain(error: dict[str, Any], schema: dict[str, Any], lines: dict[Loc, int]) -> tuple[int, str]:
    """Line and message of one pydantic error."""
    loc: Loc = error["loc"]
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, MisplacedError):
        return lines[_place((*loc, *cause.loc), lines)], str(cause)
    if error["type"] == "extra_forbidden":
        close = mean(str(loc[-1]), _keys(schema, loc[:-1]))
        return lines[_place(loc, lines)], f"unknown key {str(loc[-1])!r}{_where(loc[:-1])}{close}"
    if error["type"] == "missing":
        return lines[_place(loc[:-1], lines)], f"key {str(loc[-1])!r} is missing{_where(loc[:-1])}"
    loc = _place(loc, lines)
    said = error["msg"].removeprefix("Value error, ")
    given = error.get("input")
    shown = f", not {given!r}" if given is None or isinstance(given, bool | int | float | str) else ""
    if error["type"] == "literal_error" and isinstance(given, str):
        shown += mean(given, re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    return lines[loc], f"{'.'.join(map(str, loc)) or 'the file'}: {said[:1].lower()}{said[1:]}{shown}"


def _place(loc: Loc, lines: dict[Loc, int]) -> Loc:
    """`loc` without the steps that are not in the file: a union adds one for each branch (`pairs`, `list[str]`, 0)."""
    place: Loc = ()
    for step in loc:
        place = (*place, step) if (*place, step) in lines else place
    return place


def _where(loc: Loc) -> str:
    return f" in {'.'.join(map(str, loc))}" if loc else ""


def mean(name: str, known: list[str]) -> str:
    """A did-you-mean, or nothing."""
    close = get_close_matches(name, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _keys(schema: dict[str, Any], loc: Loc) -> list[str]:
    """The keys that the model's JSON schema allows at a place."""
    at = schema
    for step in (*loc, None):
        if "$ref" in at:
            at = schema["$defs"][at["$ref"].rsplit("/", 1)[-1]]
        if step is not None:
            other = at.get("additionalProperties") or at.get("items") or {}
            at = at.get("properties", {}).get(step, other)
    return sorted(at.get("properties", {}))
