"""Whatever is changed in a publication is found and named, whether or not the manifest was made to fit."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from results import StoreError, place, tables, verify
from results.publish import publish
from results.store import Store
from tests.results import conftest as make

MANIFEST = place.MANIFEST
SCENARIO = {"scenario": "labelled source, labelled target"}
Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of two methods on three pairs, one attacked; one cell failed, one missing."""
    folder = tmp_path_factory.mktemp("verify")
    store, found = Store(folder / "run"), []
    for seed in range(2):
        f_s = make.train("a", seed, {"b": 70 + seed})
        found.append(f_s)
        for method, target in product(("cut", "sew"), "bc"):
            found.append(make.protect(f_s, [target], {target: 20 + seed}, method, cell=SCENARIO))
        found += [make.attack(model, "c", {"a": 50, "c": 40 + seed}) for model in (f_s, found[-1])]
    failed = make.protect(found[0], ["b"], method="odd", cell=SCENARIO, status="failed", error="diverged", accuracy=[])
    for one in (*found, failed):
        store.commit(one)
    absent = make.protect(found[0], ["c"], method="odd", cell=SCENARIO)
    store.write_plan(make.plan(*found, failed, absent, eligible=["a:b", "a:c"]))
    publish(store, folder / "plain")
    publish(store, folder / "full", with_records=True)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A publication of one's own, to be changed."""
    return Path(shutil.copytree(whole / "plain", tmp_path / "plain"))


def problems(folder: Path) -> list[str]:
    return [str(problem) for problem in verify.verify(folder).problems]


def reseal(folder: Path, name: str, content: bytes) -> None:
    """Change a file, and the manifest so that it fits."""
    (folder / name).write_bytes(content)
    claims = json.loads((folder / MANIFEST).read_text())
    for one in claims["files"]:
        if one["name"] == name:
            one |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(claims))


def retable(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Change rows of a table, and the manifest so that it fits."""
    path = folder / f"tables/{name}.parquet"
    table = tables.decoded(path.read_bytes())
    rows = table.to_pylist()
    change(rows)
    reseal(folder, f"tables/{name}.parquet", tables.encoded(pa.Table.from_pylist(rows, table.schema)))


def reclaim(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    claims = json.loads((folder / MANIFEST).read_text())
    change(claims)
    (folder / MANIFEST).write_text(json.dumps(claims))


def key_of(folder: Path, **facts: Any) -> str:
    """The key of the one cell of which these are facts."""
    rows = tables.decoded((folder / "tables/cells.parquet").read_bytes()).to_pylist()
    (key,) = [row["key"] for row in rows if all(row[name] == value for name, value in facts.items())]
    return str(key)


CUT = {"kind": "protect", "method": "cut", "targets": ["b"], "seed": 1}


def test_what_was_published_is_in_order(whole: Path) -> None:
    for name in ("plain", "full"):
        found = verify.verify(whole / name)
        assert found.problems == []
        assert (found.cells, found.gaps) == (16, {"failed": 1, "missing": 1})
        assert verify.said(found) == f"ok: 16 cells, 1 failed, 1 missing, {found.files} files"
    assert verify.verify(whole / "full").files == verify.verify(whole / "plain").files + 15


def test_a_digit_of_the_csv(folder: Path) -> None:
    path = folder / "board.csv"
    content = path.read_bytes()
    place_of = content.index(b"0.7")
    changed = content[:place_of] + b"0.8" + content[place_of + 3 :]
    path.write_bytes(changed)
    assert problems(folder)[0].startswith("board.csv: was changed: its sha256 is ")
    reseal(folder, "board.csv", changed)
    (said,) = problems(folder)
    assert said.startswith("board.csv: toy 0.0 test net labelled source, labelled target ")
    assert " is 0.8" in said and "by the rest 0.7" in said


def test_an_accuracy_with_the_manifest_made_to_fit(folder: Path) -> None:
    key = key_of(folder, **CUT)

    def better(rows: list[dict[str, Any]]) -> None:
        (row,) = [row for row in rows if (row["key"], row["domain"]) == (key, "a")]
        row |= {"correct": 95, "balanced": 0.95, "confusion": [[95, 5], [0, 0]]}

    retable(folder, "accuracy", better)
    said = problems(folder)
    assert f"tables/pairs.parquet: {key[:12]} b: source_after is 0.9, by the rest 0.95" in said
    assert any(f"{key[:12]} b: source_drop is 0.0, by the rest -0.05" in line for line in said)


def test_accuracies_that_cannot_be(folder: Path) -> None:
    wrong = [
        ({"correct": 101}, "101 of 100 images are right"),
        ({"balanced": 1.2}, "balanced is 1.2, which is no share"),
        ({"balanced": 0.25}, "balanced is 0.25, by its confusion matrix 0."),
        ({"decoded": -0.1}, "decoded is -0.1, which is no share"),
        ({"correct": 22}, "its confusion matrix is not of 22 right of 100"),
        ({"domain": "d"}, "the cell has no such domain or part"),
        ({"key": "0" * 64}, "there is no such cell that is ok"),
    ]
    retable(
        folder, "accuracy", lambda rows: [row.update(change) for row, (change, _) in zip(rows, wrong, strict=False)]
    )
    said = [line for line in problems(folder) if line.startswith("tables/accuracy.parquet: ")]
    for _, message in wrong:
        assert any(message in line for line in said), message


def test_a_row_that_was_dropped_added_or_doubled(folder: Path) -> None:
    key = key_of(folder, **CUT)
    retable(folder, "pairs", lambda rows: rows.remove(next(r for r in rows if (r["key"], r["target"]) == (key, "b"))))
    said = problems(folder)
    assert f"tables/pairs.parquet: {key[:12]} b is not there, and should be" in said
    assert any(line.startswith("board.json: rows: toy") for line in said)  # the board has it still
    retable(folder, "pairs", lambda rows: rows.append(rows[0] | {"target": "d"}))
    assert any(line.endswith(" d is there, and nothing gives it") for line in problems(folder))
    retable(folder, "attacks", lambda rows: rows.append(rows[0]))
    assert any(line.endswith("stands there twice") for line in problems(folder))


def test_a_number_of_the_board(folder: Path) -> None:
    board = json.loads((folder / "board.json").read_text())
    board["rows"][0]["target_removed_argmax"] += 1e-6
    board["attacks"][0]["target_attacked"] = None
    reseal(folder, "board.json", json.dumps(board).encode())
    said = problems(folder)
    assert len(said) == 2
    assert said[0].startswith("board.json: rows: toy 0 test net labelled source, labelled target ")
    assert ": target_removed_argmax is " in said[0]
    assert ": target_attacked is None, by the rest 0.40" in said[1]


def test_a_key_that_is_not_that_of_its_spec(folder: Path) -> None:
    key = key_of(folder, **CUT)
    retable(folder, "cells", lambda rows: [r.update(key="f" * 64) for r in rows if r["key"] == key])
    said = problems(folder)
    assert f"tables/cells.parquet: ffffffffffff: the key of its spec is {key[:12]}" in said
    assert any(line.startswith("tables/attempts.parquet: ") for line in said)
    retable(folder, "cells", lambda rows: [r.update(key="../x") for r in rows if r["key"] == "f" * 64])
    assert "tables/cells.parquet: '../x' is no key: 64 hex digits" in problems(folder)


def test_a_cell_that_says_something_else(folder: Path) -> None:
    key = key_of(folder, **CUT)

    def found(**change: Any) -> str:
        retable(folder, "cells", lambda rows: [row.update(change) for row in rows if row["key"] == key])
        return "\n".join(problems(folder))

    said = found(seed=7, host="node7", current=False)
    assert "seed is 7, in its spec 1" in said
    assert "column host is not empty: nothing of a machine is to be published" in said
    assert "current is False, by the rest True" in said
    assert "its spec cannot be read" in found(spec="{")
    assert "what it holds does not fit together: TypeError" in found(domains=None)


def test_a_failed_cell_that_is_claimed_to_be_ok(folder: Path) -> None:
    key = key_of(folder, status="failed")
    for name in ("cells", "attempts"):
        retable(folder, name, lambda rows: [r.update(status="ok", error=None) for r in rows if r["key"] == key])
    said = problems(folder)
    assert f"manifest.json: cells: {key[:12]}: status is failed, by the rest ok" in said
    assert f"tables/accuracy.parquet: {key[:12]} is ok and has no accuracy" in said


def test_coverage_that_claims_too_much(folder: Path) -> None:
    gone: list[dict[str, Any]] = []

    def more(claims: dict[str, Any]) -> None:
        (kind,) = [kind for kind in claims["kinds"] if kind["kind"] == "protect"]
        kind |= {"done": 10, "other": {}}
        (absent,) = [cell for cell in claims["cells"] if cell["status"] == "missing"]
        claims["cells"].remove(absent)
        gone.append(absent)
        claims["variants"][0]["expected"] = 9

    reclaim(folder, more)
    said = problems(folder)
    assert "manifest.json: kinds: protect: done is 10, by the rest 8" in said
    assert "manifest.json: cells: {} is not there, and should be".format(gone[0]["key"][:12]) in said
    assert any(line.startswith("manifest.json: variants: toy 0 test net") for line in said)
    assert any(line.endswith(": expected is 9, by the rest 4") for line in said)


def test_what_the_manifest_says_of_versions_commits_and_dates(folder: Path) -> None:
    def other(claims: dict[str, Any]) -> None:
        claims |= {"grid": "other", "created": "2020-01-01T00:00:00Z", "score": "val"}
        claims["data"][0] |= {"version": 2, "domains": {"a": "f" * 64}}
        claims["code"][0]["cells"] = 99

    reclaim(folder, other)
    said = problems(folder)
    assert "manifest.json: grid is other, by the rest toy" in said
    assert any(line.startswith("manifest.json: created is 2020-01-01T00:00:00Z, by the rest 1970-") for line in said)
    assert "manifest.json: score is val, by the rest test" in said
    assert "manifest.json: data: toy 0: version is 2, by the rest 1" in said
    assert any(line.startswith("manifest.json: data: toy 0: domains is ") for line in said)
    assert "manifest.json: code: abc False: cells is 99, by the rest 14" in said


def test_files_that_are_not_listed_gone_cut_short_or_elsewhere(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "board.md").unlink()
    pairs = folder / "tables/pairs.parquet"
    pairs.write_bytes(pairs.read_bytes()[:-100])
    said = problems(folder)
    assert "notes.txt: is not listed in manifest.json" in said
    assert "board.md: is not there, and manifest.json lists it" in said
    assert any(line.startswith("tables/pairs.parquet: has ") and " bytes, by manifest.json " in line for line in said)
    assert any(line.startswith("tables/pairs.parquet: cannot be read: ") for line in said)
    reclaim(folder, lambda claims: claims["files"].append({"name": "../x", "size": 0, "sha256": "0" * 64}))
    assert "../x: is not there, and manifest.json lists it" in problems(folder)
    reclaim(folder, lambda claims: claims.update(files=claims["files"][1:]))
    assert "manifest.json: files: README.md is not listed" in problems(folder)


def test_tables_of_another_schema(folder: Path) -> None:
    path = folder / "tables/pairs.parquet"
    table = tables.decoded(path.read_bytes())

    def put(changed: pa.Table) -> list[str]:
        buffer = io.BytesIO()
        pq.write_table(changed, buffer)
        reseal(folder, "tables/pairs.parquet", buffer.getvalue())
        return [said for said in problems(folder) if said.startswith("tables/pairs")]

    assert put(table.drop_columns(["st_d"])) == ["tables/pairs.parquet: has no column st_d"]
    assert put(table.append_column("mine", table["st_d"])) == [
        "tables/pairs.parquet: has a column mine, which nobody knows"
    ]
    seeds = table.set_column(table.schema.names.index("seed"), "seed", table["seed"].cast(pa.string()))
    assert put(seeds) == ["tables/pairs.parquet: its column seed holds string, not int64"]
    (said,) = put(table.replace_schema_metadata({"mapbench.schema_version": "3"}))
    assert said.endswith(f"its schema is 3, this version reads {tables.SCHEMA_VERSION}: use the mapbench that wrote it")
    assert put(table) == []


def test_a_page_that_fetches_and_a_plan_that_is_none(folder: Path) -> None:
    page = (folder / "index.html").read_bytes()
    reseal(folder, "index.html", page.replace(b"<main>", b'<main><script src="https://cdn.example/x.js"></script>'))
    reseal(folder, "plan.json", b"[]")
    assert problems(folder) == [
        "plan.json: is no JSON object",
        'index.html: fetches from elsewhere: <script src="https://cdn.example/x.js',
    ]


def test_records_are_held_against_the_tables_and_the_manifest(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole / "full", tmp_path / "full"))
    key = key_of(folder, **CUT)
    (path,) = (folder / "records" / key[:2]).glob(f"{key}.*")
    name, record = path.relative_to(folder).as_posix(), json.loads(path.read_bytes())
    record["curves"] = {"loss": [9.0]}
    reseal(folder, name, json.dumps(record).encode())
    assert problems(folder) == [f"manifest.json: {key[:12]}: its record has another sha256"]
    for row in record["accuracy"]:
        row["matched"] = 0.99
    reseal(folder, name, json.dumps(record).encode())
    assert f"tables/accuracy.parquet: {key[:12]} a test: matched is 0.9, by the rest 0.99" in problems(folder)
    reseal(folder, name, json.dumps(record | {"log": "logs/x.log"}).encode())
    assert f"{name}: holds what is not published, see `emptied` in manifest.json" in problems(folder)
    reseal(folder, name, b"{")
    assert any(said.startswith(f"{name}: unreadable") for said in problems(folder))


def test_a_model_of_another_attempt_at_its_parent_is_no_problem(tmp_path: Path) -> None:
    first = make.train(checkpoint_sha256="1" * 64)
    second = make.train(correct={"b": 60}, checkpoint_sha256="2" * 64, attempt=2)
    child = make.protect(second, ["b"], cell=SCENARIO, parent_checkpoint="2" * 64)
    attack = make.attack(child, "b", {"a": 50, "b": 40})
    store = Store(tmp_path / "run")
    for one in (first, second, child, attack):
        store.commit(one)
    store.write_plan(make.plan(first, child, attack))
    for name, with_records in (("plain", False), ("full", True)):
        publish(store, tmp_path / name, with_records)
        claims = json.loads((tmp_path / name / MANIFEST).read_text())
        assert claims["other_parents"] == [child["key"]]
        assert problems(tmp_path / name) == []
    reclaim(tmp_path / "plain", lambda claims: claims.update(other_parents=[]))
    assert any(": target_before is 0.6, by the rest 0.7" in said for said in problems(tmp_path / "plain"))
    reclaim(tmp_path / "plain", lambda claims: claims.update(other_parents=[child["key"]]))
    retable(tmp_path / "plain", "pairs", lambda rows: [row.update(target_after=0.5) for row in rows])
    assert any(": target_after is 0.5, by the rest 0.1" in said for said in problems(tmp_path / "plain"))


def test_many_problems_of_one_file_are_counted(folder: Path) -> None:
    for name in range(30):
        (folder / f"{name}.txt").write_text("")
    retable(folder, "accuracy", lambda rows: [row.update(matched=2.0) for row in rows])
    said = problems(folder)
    assert sum(line.startswith("tables/accuracy.parquet") for line in said) == verify.MOST + 1
    assert any(line.startswith("tables/accuracy.parquet: and ") and line.endswith(" more") for line in said)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a publication: it has no manifest.json; `mapbench publish` makes one"),
        (b"{", "is not a publication: its manifest.json is no JSON"),
        (b'{"name": "an extension"}', "is not a publication: its manifest.json is not one of `mapbench publish`"),
        (b'{"schema": 2, "files": []}', "has schema 2, this version reads 1: use the mapbench that wrote it"),
    ],
)
def test_what_is_no_publication(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(StoreError) as raised:
        verify.verify(tmp_path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_manifest_with_other_fields_is_named_field_by_field(folder: Path) -> None:
    def rename(claims: dict[str, Any]) -> None:
        claims["cells"][3]["keys"] = claims["cells"][3].pop("key")
        claims["files"][0]["sha256"] = "x"

    reclaim(folder, rename)
    said = problems(folder)
    assert "manifest.json: cells.3.key: Field required" in said
    assert any(line.startswith("manifest.json: files.0.sha256: String should match pattern") for line in said)
