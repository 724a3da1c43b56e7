"""What of a record and of plan.json may be published: all that the numbers rest on, and nothing of the machine.

    python -m pytest tests/results/test_public.py

Fields are kept by name, so one that nobody has thought of stays at home. Emptied are the host's name and the names of
files that are not published. Where an error or a command says a path, an address or a host, that is cut out of it.
What was made public once is not changed by being made public again, so results may be merged and published anew.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from results.clean import ARTEFACTS

EMPTIED = ("environment.host", *ARTEFACTS)
RECORD = (
    "schema", "key", "attempt", "uuid", "status", "spec", "cell", "parent_checkpoint", "input_checkpoints", "flags",
    "started", "finished", "seconds", "peak_memory_mb", "accuracy", "curves", "checkpoint_sha256", "quality",
)  # fmt: skip
ENVIRONMENT = ("device", "torch", "git_commit", "git_dirty", "packages", "method_sha256", "deterministic")
PLACES = ("--out", "--data", "--weights", "--address")  # options that say where, not what

_URL = re.compile(r"""\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'"`,()<>\]]+""")
_QUOTED = re.compile(r"""(?<=['"`])(?:~?/|[A-Za-z]:[\\/])[^'"`\n]*(?=['"`])""")  # may hold blanks
# no path begins after a letter, a digit or a closing bracket: 3/12, uci/print, (A - B)/A
_PATH = re.compile(r"""(?<![\w.…/\\~)\]-])(?:~?(?:/[^\s/'"`,;:()<>|\[\]]+)+/?|[A-Za-z]:\\[^\s'"`,;:()<>|]+)""")
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")


def record(found: Mapping[str, Any], hosts: Collection[str]) -> dict[str, Any]:
    """A record as it is published; `hosts` are the names of the machines that any record of the run is from."""
    environment = found.get("environment") or {}
    error = found.get("error")
    return {
        **{name: found[name] for name in RECORD if name in found},
        "error": text(error, hosts) if error else error,
        "environment": {**{name: environment[name] for name in ENVIRONMENT if name in environment}, "host": None},
        **dict.fromkeys(ARTEFACTS),
    }


def plan(found: Mapping[str, Any], hosts: Collection[str], written: float) -> dict[str, Any]:
    """plan.json as it is published. A user's own data folders keep their last name alone."""
    typed = found.get("command")
    suites = {}
    for name, suite in (found.get("suites") or {}).items():
        folders = {domain: _last(path) for domain, path in (suite.get("folders") or {}).items()}
        suites[name] = {**suite, "folders": folders} if "folders" in suite else suite
    return {
        "schema": found.get("schema"), "grid": found.get("grid"), "written": written, "suites": suites,
        "command": command(typed, hosts) if typed else typed, "cells": list(found.get("cells") or ()),
    }  # fmt: skip


def hosts_of(records: Collection[Mapping[str, Any]]) -> set[str]:
    """The machines that records are from, by their whole and their short names."""
    whole = {str(r["environment"]["host"]) for r in records if (r.get("environment") or {}).get("host")}
    return whole | {host.partition(".")[0] for host in whole}


def command(typed: str, hosts: Collection[str]) -> str:
    """What was typed, without where things lie on that machine: `mapbench run mine.yaml -m ntl`."""
    try:
        words = iter(shlex.split(typed))
    except ValueError:  # an open quote
        return text(typed, hosts)
    kept = []
    for word in words:
        option, given, _ = word.partition("=")
        if option not in PLACES:
            kept.append(text(word, hosts).replace("…/", ""))
        elif not given:
            next(words, None)
    return shlex.join(kept)


def text(said: str, hosts: Collection[str]) -> str:
    """What is said, without URLs, absolute paths, IP addresses and names of hosts; of a path, a file's name stays."""
    said = _URL.sub("URL", said)
    for path in (_QUOTED, _PATH):
        said = path.sub(lambda hit: _short(hit[0]), said)
    said = _ADDRESS.sub("IP", said)
    for host in sorted(hosts, key=len, reverse=True):
        said = re.sub(rf"(?<![\w-]){re.escape(host)}(?![\w-])", "HOST", said)
    return said


def _short(path: str) -> str:
    """`…/file.ext` of a path, `…` of one that ends in what may be a user's or a project's name."""
    last = _last(path)
    return f"…/{last}" if "." in last else "…"


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
