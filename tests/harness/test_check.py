"""`mapbench check`: every method of ours passes, and each way to break the contract has its line and exit code 3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import toy
from harness.cards import cards
from harness.check import CHECKS, Line, check
from harness.cli import main
from harness.training import logits
from tests.harness.conftest import Mapbench

GOOD = '''"""`mine`: f_s trained on."""
import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from methods.base import Method, Needs, param


class Mine(Method):
    name = "mine"
    needs = Needs(target="none")

    @dataclass(frozen=True)
    class Params:
        scale: float = param(1.0, "scale of the loss", "chosen")

    def setup(self, model, access):
        super().setup(model, access)

    def step(self, batch):
        loss = self.params.scale * F.cross_entropy(self.model(batch.x_s), batch.y_s)
        return loss, {"source": loss.detach()}

    def finish(self):
        return self.model
'''
AS_IT_IS = ("", "")
SETUP, STEP, FINISH = ("super().setup(model, access)\n", "return loss, {", "        return self.model\n")


def after_setup(line: str) -> tuple[str, str]:
    return SETUP, f"{SETUP}        {line}\n"


def in_step(line: str) -> tuple[str, str]:
    return STEP, f"{line}\n        {STEP}"


def in_finish(line: str) -> tuple[str, str]:
    return FINISH, f"        {line}\n{FINISH}"


def returned(what: str) -> tuple[str, str]:
    return 'return loss, {"source": loss.detach()}', f"return {what}"


def written(folder: Path, *edits: tuple[str, str]) -> str:
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1) if old else text
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def verdict(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[Line]]:
    """Exit code and findings of the command, through its --json form."""
    with pytest.raises(SystemExit) as left:
        main(["check", *arguments, "--json"])
    assert isinstance(left.value.code, int)
    return left.value.code, [Line(**line) for line in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize("name", sorted(name for name, card in cards().items() if card.kind == "protect"))
def test_every_method_of_ours_keeps_the_contract(name: str) -> None:
    lines = check(name)
    assert [line for line in lines if line.state == "FAIL"] == []
    assert [line.check for line in lines if line.state == "ok"] == list(CHECKS)
    assert not any("off the device" in line.detail for line in lines)


def test_the_good_method_passes_so_that_the_broken_ones_below_show_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = verdict(capsys, "mine[scale=2]", "--methods", written(tmp_path, AS_IT_IS))
    assert code == 0
    assert [(line.state, line.check) for line in lines] == [*(("ok", name) for name in CHECKS), ("note", "target")]


@pytest.mark.parametrize(
    ("edit", "where", "message"),
    [
        (('name = "mine"', 'name = "Mine"'), "discovery", "Mine.name must be small letters and digits"),
        (('name = "mine"', 'name = "sa-map"'), "discovery", "'sa-map' is taken twice"),
        (('name = "mine"', "pass"), "discovery", "mine.py has no method"),
        (('name = "mine"', 'name = "mine"; version = "2"'), "discovery", "version must be a whole number from 1"),
        (('needs = Needs(target="none")', 'needs = "no target"'), "discovery", "needs must be Needs(source=..., "),
        (('target="none"', 'target="some"'), "discovery", "each one of labelled, unlabelled, generated, none"),
        (('name = "mine"', 'name = "mine"; start = "scratch"'), "discovery", "start must be one of source, init"),
        (('name = "mine"', 'name = "mine"; plain = False'), "discovery", "plain = False is for controls only"),
        (('name = "mine"', 'name = "mine"; share = 2'), "discovery", "share must be a number above 0 and up to 1"),
        (('name = "mine"', 'name = "mine"; beside = 3'), "discovery", "beside must be a method's name, got 3"),
        (
            ('name = "mine"', 'name = "mine"; fidelities = {"paper": {"scael": 2}}'),
            "discovery",
            "fidelities['paper'] must be another name than 'as-described' and set params of the method; unknown: scael",
        ),
        (("scale: float", "fidelity: float"), "discovery", "Params.fidelity is the harness's own param"),
        (("(frozen=True)", ""), "discovery", "Params must be a dataclass(frozen=True)"),
        (('param(1.0, "scale of the loss", "chosen")', "1.0"), "discovery", "Params.scale must say its default"),
        (('"chosen"', '""'), "discovery", "Params.scale must say its default"),
        (("scale: float", "start: float"), "discovery", "Params.start is the harness's own param"),
        (
            ('"chosen")', '"chosen", least=2)'),
            "discovery",
            "Params.scale must be 2 or more, and so must its default, 1.0",
        ),
        (('"chosen")', '"chosen", most=0.5)'), "discovery", "must be 0.5 or less, and so must its default, 1.0"),
        (
            ('float = param(1.0, "scale of the loss", "chosen")', 'bool = param(True, "scaled?", "chosen", least=0)'),
            "discovery",
            "Params.scale is true or false and has no range: leave least and most out",
        ),
        (("scale: float", "scale: list"), "discovery", "use int, float, bool, str, Literal"),
        (("import random", "import rand0m"), "discovery", "cannot be imported: ModuleNotFoundError: No module named"),
        (('"""`mine`: f_s trained on."""', ""), "documented", "mine.py has no docstring"),
        (after_setup("raise RuntimeError('no luck')"), "setup", "mine.py:21: RuntimeError: no luck"),
        (
            after_setup("torch.nn.init.zeros_(model.classifier.weight)"),
            "setup",
            "classifier.weight changed before the first step",
        ),
        (
            in_step("loss = loss + batch.y_t.sum()"),
            "scenario",
            "mine.py:24: mine asked for y_t, but declares needs = 'labelled source, no target'",
        ),
        (after_setup("access.target()"), "scenario", "mine.py:21: mine asked for target data, but declares needs"),
        (in_step("raise KeyError('h')"), "step", "mine.py:24: KeyError: 'h'"),
        (returned("loss"), "step", "mine.step() must return (loss, terms), got Tensor"),
        (returned("loss.detach(), {}"), "step", "a scalar loss with a graph, got shape [] without one"),
        (returned("loss.expand(2), {}"), "step", "a scalar loss with a graph, got shape [2] with a graph"),
        (returned("loss, {'source': loss}"), "step", "'source' is not; use .detach()"),
        (
            in_step("with torch.no_grad(): self.model.classifier.bias += 1"),
            "step",
            "step() itself changed classifier.bias",
        ),
        (in_step("loss = loss * float('nan')"), "finite", "loss is nan in epoch 1"),
        (in_finish("self.model.classifier.bias.data[0] = torch.nan"), "finite", "classifier.bias is not finite"),
        (after_setup("access.source()[1].zero_()"), "data", "changed the source images or labels it was handed"),
        (in_finish("return torch.nn.Linear(2, 2)"), "finish", "returned a network with other parameters"),
        (in_finish("self.model.stage1.register_forward_hook(print)"), "finish", "left hooks on the network"),
        (
            in_finish("self.model.classifier.forward = lambda x: x"),
            "finish",
            "answers 256 images with [256, 128]: it must give one logit per class",
        ),
        (
            in_finish("self.model.classifier.forward = lambda x: x[:, :10]"),
            "round trip",
            "its checkpoint in a fresh network gives other answers",
        ),
        (in_step("loss = loss * (1 + random.random())"), "repeat", "two runs under one seed differ in stage1.0.weight"),
    ],
)
def test_each_broken_rule_has_its_line_and_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: tuple[str, str], where: str, message: str
) -> None:
    asked = "sa-map" if "sa-map" in edit[1] else "mine"
    code, lines = verdict(capsys, asked, "--methods", written(tmp_path, edit))
    failed = [line for line in lines if line.state == "FAIL"]
    assert code == 3
    assert [line.check for line in failed] == [where], failed
    assert message in failed[0].detail
    assert "\n" not in failed[0].detail


@pytest.mark.parametrize(
    ("edit", "where", "message"),
    [
        (AS_IT_IS, "target", "accuracy on the toy pair: source 1.00 -> 1.00"),
        (('needs = Needs(target="none")', ""), "documented", "served the default: labelled source, labelled target"),
        (('needs = Needs(target="none")', ""), "scenario", "declares target data and never reads x_t"),
        (
            ('target="none"', 'target="labelled"'),
            "scenario",
            "declares target data and never reads x_t: does it need them?",
        ),
        (in_step("loss.detach().item()"), "step", "reads a number off the device (mine.py:24)"),
        (returned("loss, {'target_ce': loss.detach() * 0}"), "target", "flagged not-taken-off"),
    ],
)
def test_what_an_author_should_know_is_a_note_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: tuple[str, str], where: str, message: str
) -> None:
    code, lines = verdict(capsys, "mine", "--methods", written(tmp_path, edit))
    assert code == 0
    assert any(line.state == "note" and line.check == where and message in line.detail for line in lines), lines


def test_labels_that_are_declared_and_never_read_are_noted() -> None:
    """gate needs no label of the source; it declares them to stand beside `uniform` and `constant`."""
    assert "declares source labels and never reads y_s: does it need them?" in {line.detail for line in check("gate")}


def test_what_was_not_reached_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, lines = verdict(capsys, "mine", "--methods", written(tmp_path, returned("loss")))
    assert lines[-1] == Line(
        "note", "not reached", "finite, data, finish, round trip, repeat: mend the line above first"
    )


def test_a_method_that_needs_larger_maps_than_the_toys_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, ('name = "mine"', 'name = "mine"; smallest_tap = 7'))
    with pytest.raises(SystemExit) as left:
        main(["check", "mine", "--methods", path])
    assert left.value.code == 2
    assert "mine is undefined on convnet at 32 px: its last tap is 4x4, it needs 7x7" in capsys.readouterr().err


@pytest.mark.slow
def test_as_typed_by_a_person(mapbench: Mapbench, tmp_path: Path) -> None:
    """The method's prints go to stderr; the last line says what to type next."""
    path = written(tmp_path, in_step("print('hello')"))
    done = mapbench("check", "mine", "--methods", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello" not in done.stdout
    assert done.stdout.startswith("ok    discovery    mine, version 1, in ")
    assert done.stdout.endswith(f"mine keeps the contract; next: mapbench run demo --methods {path} -m mine\n")
    broken = mapbench("check", "mine", "--methods", written(tmp_path, returned("loss")))
    assert broken.returncode == 3
    assert "\nFAIL  step         mine.step() must return (loss, terms), got Tensor\n" in broken.stdout
    assert broken.stdout.endswith(
        f"mine breaks the contract (1 FAIL); then again: mapbench check mine --methods {path}\n"
    )
    assert list((tmp_path / "here").iterdir()) == []


def test_the_toys_f_s_knows_both_domains() -> None:
    """Otherwise no check of a target would mean anything."""
    model = toy.network(0)
    model.load_state_dict(toy.source_state())
    for images, labels in toy.pair(1).values():
        assert (logits(model, images).argmax(1) == labels).float().mean() > 0.9
