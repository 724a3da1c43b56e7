"""Writes the file a new method starts from: methods/template.py.txt with its names filled in.

mapbench new method mine
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from string import Template

from harness import UsageError
from harness.cards import NAME, cards

TEMPLATE = Path(__file__).resolve().parents[1] / "methods" / "template.py.txt"


def method(name: str, out: str | None = None) -> str:
    """Write a method called `name` to `out` (default: NAME.py, here); returns what to type next.

    UsageError, and nothing written, for a name that cannot be or is taken, or a file that is there."""
    if not re.fullmatch(NAME, name):
        raise UsageError(f"a method cannot be called {name!r}: use small letters and digits, joined by hyphens")
    if name in (known := cards()):
        raise UsageError(f"method name {name!r} is taken, by {known[name].file}: choose another")
    template = TEMPLATE.read_text()
    cls, module = name.title().replace("-", ""), name.replace("-", "_")
    if re.search(rf"^(from|import) .*\b{cls}\b", template, re.MULTILINE):
        raise UsageError(f"method {name!r} would be a class {cls}, which its file imports: choose another name")
    path = Path(out or f"{module}.py")
    if path.suffix != ".py":
        raise UsageError(f"--out {out}: its name must end in .py")
    shown = shlex.quote(str(path))
    text = Template(template).substitute(name=name, cls=cls, module=module, file=shlex.quote(path.name))
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already: choose another file with --out, or remove it") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another file with --out") from None
    return (
        f"wrote {path}: it works as it is; change its step()\n"
        f"check   mapbench check {name} --methods {shown}\n"
        f"run     mapbench run demo --methods {shown} -m {name}"
    )
