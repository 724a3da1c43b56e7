"""What a person sees while a run goes on.

    mapbench run demo            mapbench run demo | cat            mapbench run demo --quiet

A live panel on a terminal, plain lines with the time elsewhere, nothing with --quiet.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from results.plain import plain

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

FAILURES_SHOWN = 5
RUNNING_SHOWN = 16


@dataclass(frozen=True)
class Lane:
    """A running cell: `done` in 0..1, `seconds` since its start."""

    label: str
    done: float
    note: str
    seconds: float


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at one moment. `left` is in seconds or unknown; `slots` is 0 while the executor starts."""

    done: int = 0
    failed: int = 0
    skipped: int = 0
    left: float | None = None
    slots: int = 0
    lanes: list[Lane] = field(default_factory=list)


def say(text: str) -> None:
    """One line for the user, whatever the verbosity."""
    print(plain(text), flush=True)


def duration(seconds: float) -> str:
    """`7 s`, `3:05`, `2:10:00`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Panel:
    """Shows a run of `total` cells. Use as a context manager; `update` often, `ended` once per attempt that ended."""

    def __init__(self, total: int, quiet: bool = False, file: TextIO | None = None) -> None:
        self._total = total
        self._file = file or sys.stdout
        self._mode = "quiet" if quiet else "live" if self._file.isatty() else "plain"
        self._began = time.monotonic()
        self._now = Snapshot()
        self._failures: list[str] = []
        self._live: Any = None

    def __enter__(self) -> Panel:
        self._began = time.monotonic()
        if self._mode == "live":
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._file)
            self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, snapshot: Snapshot) -> None:
        """Take in the state; a live panel redraws itself four times a second."""
        self._now = snapshot

    def note(self, line: str) -> None:
        """A line for the user that is about no cell."""
        if self._mode == "live":
            self._live.console.print(plain(line), markup=False, highlight=False, emoji=False)
        elif self._mode == "plain":
            print(f"{time.strftime('%H:%M:%S')}  {plain(line)}", file=self._file, flush=True)

    def ended(
        self, label: str, status: str, seconds: float, *, error: str | None, log: str | None, final: bool
    ) -> None:
        """An attempt ended. Plain lines tell of it when it settles its cell, or was lost and is tried again."""
        text = plain(label if status == "ok" else f"{label}: {error or status}" + (f" ({log})" if log else ""))
        if status != "ok" and final:
            self._failures = [*self._failures, f"{status:<11} {text}"][-FAILURES_SHOWN:]
        if self._mode == "plain":
            settled = self._now.done + self._now.failed + self._now.skipped
            again = "" if final else ", tried again"
            head = f"{time.strftime('%H:%M:%S')}  [{settled}/{self._total}] {status:<9} {duration(seconds):>6}"
            print(f"{head}  {text}{again}", file=self._file, flush=True)

    def _draw(self) -> Group:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now, elapsed = self._now, time.monotonic() - self._began
        settled = now.done + now.failed + now.skipped
        head = Table.grid(padding=(0, 2))
        left = "starting" if not now.slots else f"{duration(now.left)} left" if now.left is not None else "time left: ?"
        bad = f"{now.failed} failed" + (f", {now.skipped} skipped" if now.skipped else "")
        head.add_row(
            ProgressBar(total=max(self._total, 1), completed=settled, width=32),
            Text(f"{settled}/{self._total}"),
            Text(bad, style="red" if now.failed else "dim"),
            Text(f"{duration(elapsed)}, {left}", style="dim"),
        )
        lanes = Table.grid(padding=(0, 2))
        for lane in now.lanes[:RUNNING_SHOWN]:
            bar = ProgressBar(total=1.0, completed=lane.done, width=12)
            note, clock = Text(lane.note, style="dim"), Text(duration(lane.seconds), style="dim")
            lanes.add_row(bar, Text(lane.label), note, clock)
        rows: list[RenderableType] = [head, lanes]
        if len(now.lanes) > RUNNING_SHOWN:
            rows.append(Text(f"and {len(now.lanes) - RUNNING_SHOWN} more running", style="dim"))
        # Text, not markup: a label such as sa-map[cap=sample] would be read as a style
        return Group(*rows, *(Text(failure, style="red", overflow="ellipsis") for failure in self._failures))
