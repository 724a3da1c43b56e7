"""What the panel shows: on a terminal, in a pipe, and with --quiet."""

from __future__ import annotations

import io
import re

import pytest

from harness.panel import Lane, Panel, Snapshot, duration, say

LANE = "ntl[lr=0.001] convnet street:uci seed 1"
LABEL = "sa-map[cap=sample] convnet uci:print seed 0"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(file: io.StringIO, quiet: bool = False) -> str:
    with Panel(4, quiet=quiet, file=file) as panel:
        panel.update(Snapshot(done=1, failed=1, left=125.0, slots=2, lanes=[Lane(LANE, 0.4, "epoch 5/12", 3.0)]))
        panel.ended(LABEL, "failed", 3.2, error="ValueError: x [red]", log="logs/abc.1.log", final=True)
        panel.ended(LABEL, "ok", 61.0, error=None, log="logs/def.1.log", final=True)
        panel.ended(LABEL, "lost", 0.0, error="exit code 3", log="logs/ghi.1.log", final=False)
    return file.getvalue()


def test_plain_lines_where_the_output_is_no_terminal() -> None:
    lines = show(io.StringIO()).splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"\d\d:\d\d:\d\d  \[2/4\] failed +3 s  .*: ValueError: x \[red\] \(logs/abc.1.log\)", lines[0])
    assert re.search(r"\] ok +1:01  ", lines[1]) and lines[1].endswith(LABEL) and "\x1b" not in lines[1]
    assert lines[2].endswith("tried again")


def test_a_live_panel_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", show(Terminal()))
    for piece in ("2/4", "1 failed", "2:05 left", LANE, LABEL, "epoch 5/12", "ValueError: x [red]", "logs/abc.1.log"):
        assert piece in text, piece


def test_quiet_prints_nothing() -> None:
    assert show(Terminal(), quiet=True) == show(io.StringIO(), quiet=True) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3:05"), (7800, "2:10:00")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_error_does_nothing_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    odd = "ValueError: \x1b[2J\x9b3m a\u202eb\nsecond line \udcff"
    for file in (io.StringIO(), Terminal()):
        with Panel(1, file=file) as panel:
            panel.note(f"shared with {odd}")
            panel.ended(LABEL, "failed", 3.2, error=odd, log="logs/abc.1.log", final=True)
        ours = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue().replace("\x1b[2J", "cleared"))
        assert r"\x1b[2J\x9b3m a\u202eb second line \udcff" in ours
        assert "cleared" not in ours
        assert ours.replace("\n", "").replace("\r", "").isprintable()
    say(odd)
    assert capsys.readouterr().out == "ValueError: \\x1b[2J\\x9b3m a\\u202eb second line \\udcff\n"
