"""docs/cluster.md: the commands in it parse, what it names is there, and what it quotes is what is printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from harness import shards
from harness.cli import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/cluster.md").read_text()
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", PAGE, re.M | re.S)


def commands() -> list[list[str]]:
    """The words of each `mapbench ...` in a block; two spaces begin a remark, and a backslash goes on."""
    found = []
    for line in "\n".join(BLOCKS).replace("\\\n", " ").splitlines():
        for tail in re.findall(r"(?:^|^\$ |^exec |-- +)(mapbench .*)", line):
            found.append(shlex.split(re.split(r" {2,}(?=\S+ \S)", re.sub(r"-- +mapbench", "-- mapbench", tail))[0]))
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_parses_and_its_grid_is_there(words: list[str]) -> None:
    context = click.Context(cli, info_name="mapbench")
    name, verb, rest = cli.resolve_command(context, words[1:])
    assert verb is not None
    typed = verb.make_context(name, list(rest), parent=context).params
    if name == "run":
        target = typed["target"]
        stands = ROOT / "tests/harness" / Path(target).name if target.endswith(".yaml") else _suite(target)
        assert stands.is_file(), target
    if shard := typed.get("shard"):
        shards.read(shard.replace("$SLURM_ARRAY_TASK_ID", "1").replace("$SLURM_ARRAY_TASK_COUNT", "2"))


def _suite(name: str) -> Path:
    return ROOT / "suites" / f"{name}.yaml"


def test_there_are_commands_for_each_way() -> None:
    options = [word for words in commands() for word in words if word.startswith("--")]
    assert {"--address", "--shard", "--slots-per-gpu", "--executor", "--out"} <= set(options)
    assert len(commands()) >= 10


def test_options_named_in_the_text_are_mapbench_s_rays_or_slurms() -> None:
    ours = {opt for verb in cli.commands.values() for param in verb.params for opt in param.opts}
    named = set(re.findall(r"`(--[a-z-]+)", re.sub(r"```.*?```", "", PAGE, flags=re.S)))
    others = {"--num-cpus", "--num-gpus", "--exclusive", "--methods", "--cpus-per-task"}
    assert named - others <= ours
    assert named & ours >= {"--address", "--shard", "--timeout"}


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("asks for a token, and ", "door.py"),
        ("is token, but no token is given: ", "door.py"),
        ("set RAY_AUTH_TOKEN_PATH to the file that the", "door.py"),
        ("no worker is up yet, ", "places.py"),
        ("asks for no token: ", "broker.py"),
        ("; this node is not used", "broker.py"),
        ("its worker does not answer: the machine it is on, or the", "reasons.py"),
        ("no Ray cluster answers at ", "ray.py"),
        ("give HOST:PORT as `ray start` printed it, auto or local", "ray.py"),
        ("and differs from the driver's at ", "slot.py"),
        ("what it finishes is taken", "../others.py"),
    ],
)
def test_what_it_quotes_is_what_is_printed(line: str, file: str) -> None:
    assert line in PAGE
    assert line in (ROOT / "harness/executors" / file).read_text()


def test_links_within_the_page_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", PAGE, flags=re.S), re.M)
    places = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    links = set(re.findall(r"\]\(#([^)]*)\)", PAGE))
    assert links and links <= places
