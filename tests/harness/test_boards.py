"""`publish`, `verify` and a CSV given to `merge`, as typed: what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError
from harness.aggregates import aggregate
from harness.cli import main
from results import place
from results.store import Store
from tests.results.beside import cifar
from tests.results.conftest import plan

HEAD = "suite,backbone,method,scenario,start,source,target,seed,source_after,target_after,cite\n"
VAULT = 'cifar-stl,vgg13,vault,"labelled source, labelled target",source,cifar10,stl10,{seed},0.89,0.12,"Vault, 2026"\n'
SUITE = {"version": 1, "classes": 10, "domains": ["cifar10", "stl10"], "eligible": [], "twins": []}


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two seeds of ntl and cuti, and one cell that is missing, in `run`, from where the commands are typed."""
    monkeypatch.chdir(tmp_path)
    store, found = Store(tmp_path / "run"), cifar(2)
    for one in found[:-1]:
        store.commit(one)
    store.write_plan({**plan(*found), "grid": "cifar-stl", "suites": {"cifar-stl": SUITE}})
    return store


def typed(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_publish_says_what_is_missing_and_what_to_type_next(capsys: Any, out: Store, tmp_path: Path) -> None:
    code, said, _ = typed(capsys, "publish", "run")
    lines = said.splitlines()
    assert (code, len(lines)) == (0, 3)
    assert lines[0].startswith("run-published: 13 files, ") and lines[0].endswith(" MB, 7 of 8 cells")
    assert lines[1:] == [
        "incomplete: 1 missing; README.md and manifest.json say which", "next     mapbench verify run-published",
    ]  # fmt: skip
    assert typed(capsys, "verify", "run-published") == (0, "ok: 8 cells, 1 missing, 13 files\n", "")
    code, said, _ = typed(capsys, "publish", "run", "--to", "web", "--records", "--json")
    facts = json.loads(said)
    assert (facts["folder"], facts["files"], facts["gaps"]) == ("web", 20, {"missing": 1})
    assert len(list((tmp_path / "web" / "records").rglob("*.json"))) == 7


def test_verify_names_each_problem_and_ends_with_3(capsys: Any, out: Store) -> None:
    typed(capsys, "publish", "run")
    table = Path("run-published/board.csv")
    table.write_bytes(table.read_bytes().replace(b"ntl", b"NTL", 1))
    Path("run-published/more.txt").write_text("")
    code, said, err = typed(capsys, "verify", "run-published")
    lines = said.splitlines()
    assert (code, err) == (3, "")
    assert lines[0].startswith("board.csv: was changed: its sha256 is ")
    assert lines[1] == "more.txt: is not listed in manifest.json"
    assert all(line.startswith("board.csv: cifar-stl 0.0 test vgg13 ") for line in lines[2:]) and lines[2:]
    code, said, _ = typed(capsys, "verify", "run-published", "--json")
    facts = json.loads(said)
    assert (code, facts["ok"], facts["cells"]) == (3, False, 8)
    assert {"where": "more.txt", "what": "is not listed in manifest.json"} in facts["problems"]


def test_what_is_no_publication_ends_with_2(capsys: Any, out: Store) -> None:
    code, said, err = typed(capsys, "verify", "run")
    assert (code, said) == (2, "")
    assert err.startswith("mapbench: ") and "is not a publication: it has no manifest.json" in err
    assert len(err.splitlines()) == 1


def test_a_csv_is_imported_once_and_f_s_may_come_with_the_same_command(capsys: Any, out: Store) -> None:
    Path("closed.csv").write_text(HEAD + VAULT.format(seed=0) + VAULT.format(seed=1))
    code, said, _ = typed(capsys, "merge", "all", "run", "closed.csv")
    first, second = said.splitlines()
    assert (code, second) == (0, "closed.csv: 2 new records, 0 known")
    assert first.startswith("run: 7 new records, 0 known")
    assert typed(capsys, "merge", "all", "closed.csv") == (0, "closed.csv: 0 new records, 2 known\n", "")
    code, said, _ = typed(capsys, "leaderboard", "all", "--json")
    (row,) = [row for row in json.loads(said)["rows"] if row["variant"] == "vault[closed]"]
    assert (code, row["units"], row["flags"], row["rank_argmax"]) == (0, 2, "not-rerunnable", None)
    runs = aggregate(Store("all").records(), out.plan() or {}, "sweep", per_cell=True)  # what MLflow is told
    (mine,) = [run for run in runs if run.params.get("variant") == "vault[closed]" and run.parent == "sweep"]
    assert mine.tags["mapbench.flags"] == "not-rerunnable"
    assert (mine.metrics["n"], mine.metrics["target_after"]) == (2, pytest.approx(0.12))
    assert "seconds" not in mine.metrics and "target_removed" not in mine.metrics


def test_a_mistake_in_a_csv_is_one_line_and_nothing_is_written(capsys: Any, out: Store) -> None:
    Path("closed.csv").write_text(HEAD + VAULT.format(seed=0) + VAULT.format(seed=7))
    before = place.sizes(out.out)
    for into in ("run", "all"):
        code, said, err = typed(capsys, "merge", into, *(["run"] if into == "all" else []), "closed.csv")
        assert (code, said) == (2, "")
        assert err == (
            "mapbench: closed.csv:3: no f_s of cifar-stl vgg13 cifar10 seed 7 here: run it, or give source_before and "
            "target_before\n"
        )
    assert place.sizes(out.out) == before
    assert not Path("all").exists()
    code, _, err = typed(capsys, "merge", "nowhere", "closed.csv")
    assert (code, err) == (2, "mapbench: closed.csv:2: this run has no suite 'cifar-stl'; it has none\n")
    code, _, err = typed(capsys, "merge", "run", "none.csv")
    assert code == 2 and "cannot read " in err and err.endswith("none.csv: No such file or directory\n")


def test_what_would_train_on_a_model_that_was_not_published_says_so(out: Store) -> None:
    from harness.checkpoints import trained  # torch

    f_s = next(record for record in out.records() if record["cell"]["kind"] == "train")
    assert f_s["checkpoint"] is None  # as of a record that came out of a publication
    with pytest.raises(UsageError, match=r"has no model of the cell above, \w{12}: delete its record to train"):
        trained(out.out, f_s["key"])
