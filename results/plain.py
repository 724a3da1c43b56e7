r"""Text out of records, made safe to show: no character in it acts, hides, or turns its neighbours round.

    python -c "from results.plain import plain; print(plain('a\x1b[2J\u202eb'))"     # a\x1b[2J\u202eb

Names that the harness makes are printable (harness/params.py). What a method or a library says, errors, flags and
logs, is whatever it is, and records may come from elsewhere.
"""

from __future__ import annotations

import json


def plain(text: str) -> str:
    r"""`text` on one line, the same where it is printable: breaks and tabs are blanks, all else that cannot be seen
    (control characters, zero-width and bidirectional marks, halves of surrogate pairs) stands as its code, `\x1b`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def plain_json(text: str) -> str:
    """JSON that says the same and holds nothing but printable characters and its own line breaks."""
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


def _escaped(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]
