"""What is prepared once: the published pixels, in parts that do not overlap, whatever interrupts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from suites import SuiteError, cache, domains, prepare, schema
from suites.domains import Domain, MissingData
from suites.domains._raw import Arrays, Raw

SIZE, COUNT = 16, 1000


@dataclass(frozen=True)
class Toys:
    """Images that say who they are, and how often they were asked for."""

    asked: list[int]
    bad: int = -1
    ids = tuple(f"{i:04d}" for i in range(COUNT))
    labels = tuple(i % 4 for i in range(COUNT))

    def pixels(self, index: int, size: int) -> np.ndarray:
        self.asked.append(index)
        if index == self.bad:
            raise SuiteError(f"toys: image {index} cannot be decoded")
        return np.full((3, size, size), index % 251, np.uint8)


def suite_of(name: str = "toys", **more: Any) -> schema.Suite:
    base = schema.load_suite("digits-mini").model_dump(mode="json")
    recipe = {"optimizer": "adam", "lr": 1e-3, "batch": 8, "epochs": 1, "schedule": "linear"}
    held = base | {
        "suite": "toys", "classes": 4, "image_size": SIZE, "domains": [name, "other"], "eligible": [], "twins": [],
        "backbones": ["convnet"], "recipes": {"convnet": {"train": recipe, "protect": recipe}}, "tuned": {},
        "grid": {"methods": ["ntl"], "backbones": ["convnet"], "pairs": "all", "seeds": [0]},
    }  # fmt: skip
    return schema.Suite(**(held | more))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The domains `toys` and `other`; the list of images that were decoded."""
    seen: list[int] = []
    raw = Raw("Toys", ("toys/*",), "make them", lambda data, raw: Toys(seen))
    for name in ("toys", "other"):
        monkeypatch.setitem(domains.known(), name, Domain(name, "toys", tuple("abcd"), raw=raw))
    return seen


class Stop(Exception):
    """What a kill would be, within the process."""


def stop_after(images: int) -> prepare.Watch:
    def watch(domain: str, done: int, total: int) -> None:
        if done >= images:
            raise Stop

    return watch


def test_every_image_is_where_the_list_says(asked: list[int], tmp_path: Path) -> None:
    suite = suite_of()
    cache.fingerprints(suite, tmp_path, 0)
    seen = []
    for item in cache.items(suite, tmp_path, 0, "toys"):
        seen.append((item["part"], item["id"], item["label"]))
    for part in ("train", "attacker", "val", "test"):
        read = cache.read(suite, tmp_path, 0, "toys", part)
        told = [(int(name), label) for p, name, label in seen if p == part]
        assert [index % 251 for index, _ in told] == read.images[:, 0, 0, 0].tolist()
        assert [label for _, label in told] == read.labels.tolist()
        assert all((image == image[0, 0, 0]).all() for image in read.images)
    assert len({name for _, name, _ in seen}) == len(seen) == COUNT
    assert sorted(asked) == sorted([*range(COUNT)] * 2)  # each once per domain


def test_an_interrupted_build_goes_on_where_it_was(asked: list[int], tmp_path: Path) -> None:
    suite = suite_of()
    with pytest.raises(Stop):
        cache.fingerprints(suite, tmp_path, 0, stop_after(400))
    before = len(asked)
    assert 400 <= before <= 400 + 4 * prepare.BLOCK
    assert not cache.folder(suite, tmp_path, 0, "toys").exists()
    (partial,) = (tmp_path / "prepared").glob(".*.partial")
    noted = sum(len(json.loads(line)["sums"]) for line in (partial / "journal.jsonl").read_text().split("\n")[1:-1])
    # a block that was noted and is not there, as after a power cut; and half a line of the journal
    broken = json.loads((partial / "journal.jsonl").read_text().split("\n")[1])
    array = np.load(partial / f"{broken['part']}.images.npy", mmap_mode="r+")
    array[broken["start"]] = 0 if array[broken["start"]].any() else 1
    array.flush()
    with (partial / "journal.jsonl").open("a") as journal:
        journal.write('{"part":"train","sta')
    told: list[int] = []

    def stop_again(domain: str, done: int, total: int) -> None:
        told.append(done)
        if done >= 600:
            raise Stop

    with pytest.raises(Stop):
        cache.fingerprints(suite, tmp_path, 0, stop_again)
    assert told[0] == noted - len(broken["sums"])
    second, before = told[-1], len(asked)
    told.clear()
    prints = cache.fingerprints(suite, tmp_path, 0, lambda domain, done, total: told.append(done))
    assert told[0] == second  # the half line did not spoil the one that came after it
    assert len(asked) - before == 2 * COUNT - told[0]
    assert sorted(p.name for p in (tmp_path / "prepared").iterdir()) == [
        f"{name}-16px-v1-ntlbench-split0" for name in ("other", "toys")
    ]
    assert prints == cache.fingerprints(suite, tmp_path / "undisturbed", 0)


def test_a_kill_at_any_moment_costs_what_was_in_work(tmp_path: Path) -> None:
    """kill -9, three times, of the process that prepares; the fourth ends, and has what an undisturbed one has."""
    root = tmp_path / "photos"
    random = np.random.default_rng(0)
    for name in ("store", "web"):
        for label in "abcd":
            (root / name / label).mkdir(parents=True)
            for i in range(100):
                picture = Image.fromarray(random.integers(0, 255, (24, 24, 3), np.uint8))
                picture.save(root / name / label / f"{i}.png")
    text = f"""
import os, signal, sys
from pathlib import Path
from tests.suites.test_prepare import suite_of
from suites import cache
left = int(sys.argv[1])
def watch(domain, done, total):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
suite = suite_of(domains=["folder:{root}/store", "folder:{root}/web"])
print(cache.fingerprints(suite, Path({str(tmp_path / "data")!r}), 0, watch, 2))
"""

    def prepared(left: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", text, str(left)], capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    for left in (3, 2, 5):
        assert prepared(left).returncode == -signal.SIGKILL
    done = prepared(-1)
    assert done.returncode == 0, done.stderr
    suite = suite_of(domains=[f"folder:{root}/store", f"folder:{root}/web"])
    assert done.stdout.strip() == str(cache.fingerprints(suite, tmp_path / "other", 0))


def test_other_images_under_the_same_name_start_anew(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suite_of()
    with pytest.raises(Stop):
        cache.fingerprints(suite, tmp_path, 0, stop_after(400))

    @dataclass(frozen=True)
    class Others(Toys):
        labels = tuple((i + 1) % 4 for i in range(COUNT))

    raw = domains.known()["toys"].raw
    other = replace(raw, open=lambda data, raw: Others(asked))  # type: ignore[type-var]
    monkeypatch.setitem(domains.known(), "toys", replace(domains.known()["toys"], raw=other))
    told: list[int] = []
    cache.fingerprints(suite, tmp_path, 0, lambda domain, done, total: told.append(done))
    assert told[0] == 0


def test_files_that_were_replaced_under_their_names_start_anew(tmp_path: Path) -> None:
    """Interrupted, and the pictures changed: none of the old ones is in what is made then, of files or of arrays."""
    for name in ("store", "web"):
        for label in "abcd":
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(100):
                Image.new("L", (16, 16), 10).save(tmp_path / name / label / f"{i}.png")
    suite = suite_of(domains=[f"folder:{tmp_path}/store", f"folder:{tmp_path}/web"])
    with pytest.raises(Stop):
        cache.fingerprints(suite, tmp_path / "data", 0, stop_after(100))
    for picture in (tmp_path / "store").rglob("*.png"):
        Image.new("L", (16, 16), 200).save(picture)
    told: list[int] = []
    cache.fingerprints(suite, tmp_path / "data", 0, lambda domain, done, total: told.append(done))
    assert told[0] == 0
    for part in ("train", "attacker", "val", "test"):
        assert (cache.read(suite, tmp_path / "data", 0, "store", part).images == 200).all()
    one, other = (Arrays(["a"], [0], np.full((1, 8, 8), level, np.uint8)) for level in (1, 2))
    jobs = [prepare.Job(images, {"train": [0]}, lambda i: {}, ["x"]) for images in (one, other)]
    assert jobs[0].digest(8) != jobs[1].digest(8)


@pytest.mark.parametrize("damage", ["", "\0\0\0\n", '{"of": 1}\n7\n', "7\n"])
def test_what_a_power_cut_leaves_is_made_anew(asked: list[int], tmp_path: Path, damage: str) -> None:
    suite = suite_of()
    with pytest.raises(Stop):
        cache.fingerprints(suite, tmp_path, 0, stop_after(400))
    (partial,) = (tmp_path / "prepared").glob(".*.partial")
    if damage:
        (partial / "journal.jsonl").write_text(damage)
    else:
        (partial / "train.images.npy").write_bytes(b"")
    assert cache.fingerprints(suite, tmp_path, 0) == cache.fingerprints(suite, tmp_path / "undisturbed", 0)


def test_a_line_of_the_journal_that_is_none_is_passed_over(asked: list[int], tmp_path: Path) -> None:
    suite = suite_of()
    with pytest.raises(Stop):
        cache.fingerprints(suite, tmp_path, 0, stop_after(400))
    (partial,) = (tmp_path / "prepared").glob(".*.partial")
    with (partial / "journal.jsonl").open("a") as journal:
        journal.write('7\n{"part": "nowhere", "start": 0, "sums": []}\n')
    told: list[int] = []
    cache.fingerprints(suite, tmp_path, 0, lambda domain, done, total: told.append(done))
    assert told[0] >= 400


def test_another_number_of_classes_is_noticed_of_what_was_prepared(asked: list[int], tmp_path: Path) -> None:
    cache.fingerprints(suite_of(), tmp_path, 0)
    with pytest.raises(SuiteError, match="suite toys has 5 classes, its domain toys 4"):
        cache.fingerprints(suite_of(classes=5), tmp_path, 0)


def test_two_that_prepare_at_once_share_the_work(asked: list[int], tmp_path: Path) -> None:
    suite, told, seen = suite_of(), [], []

    def prepared() -> None:
        told.append(cache.fingerprints(suite, tmp_path, 0, lambda *said: seen.append(said[:2]), 1))

    racers = [threading.Thread(target=prepared) for _ in "ab"]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert told[0] == told[1]
    assert sorted(asked) == sorted([*range(COUNT)] * 2)
    assert seen.count(("toys", 0)) == 2  # who waits says so
    assert seen.count(("toys", COUNT)) == 1


def test_a_broken_image_is_one_line_and_the_rest_is_kept(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, good = suite_of(), domains.known()["toys"]
    assert good.raw is not None
    bad = replace(good.raw, open=lambda data, raw: Toys(asked, bad=777))
    monkeypatch.setitem(domains.known(), "toys", replace(good, raw=bad))
    with pytest.raises(SuiteError, match=r"^toys: image 777 cannot be decoded$"):
        cache.fingerprints(suite, tmp_path, 0)
    monkeypatch.setitem(domains.known(), "toys", good)
    before = len(asked)
    cache.fingerprints(suite, tmp_path, 0)
    assert len(asked) - before < 2 * COUNT - 100


def test_what_is_no_image_of_the_size_is_refused(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toys, "pixels", lambda self, index, size: np.zeros((size, size, 3), np.uint8))
    with pytest.raises(SuiteError, match=r"image 0\d\d\d is not uint8 \(3, 16, 16\)"):
        cache.fingerprints(suite_of(), tmp_path, 0)
    monkeypatch.setattr(Toys, "labels", tuple(4 for _ in range(COUNT)))
    monkeypatch.setattr(Toys, "pixels", lambda self, index, size: np.zeros((3, size, size), np.uint8))
    with pytest.raises(SuiteError, match="a label of train is not below 4"):
        cache.fingerprints(suite_of(), tmp_path / "labels", 0)


def test_a_disk_without_room_is_said_before_anything_is_decoded(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(SuiteError, match=r"No space left for 1,000 images: 0\.8 MB are needed, 0\.1 MB are free; free"):
        cache.fingerprints(suite_of(), tmp_path, 0)
    assert asked == []


def test_what_was_prepared_needs_its_files_no_more(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = suite_of()
    before = cache.fingerprints(suite, tmp_path, 0)

    def gone(data: Path, raw: Raw) -> Any:
        raw.absent(data / "toys")

    for name in ("toys", "other"):
        held = domains.known()[name]
        assert held.raw is not None
        monkeypatch.setitem(domains.known(), name, replace(held, raw=replace(held.raw, open=gone)))
    assert cache.fingerprints(suite, tmp_path, 0) == before
    with pytest.raises(MissingData, match=r"^Toys is not there: no .*toys; expected below the data folder: toys/\*; "):
        cache.fingerprints(suite, tmp_path, 1)  # another split needs the images


def test_a_plan_reads_states_and_a_cell_reads_bytes(
    asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tens of gigabytes are not read for a plan; a wrong bit is found by time and size, and by who trains on it."""
    suite = suite_of()
    cache.fingerprints(suite, tmp_path, 0)
    path = cache.folder(suite, tmp_path, 0, "toys") / "test.images.npy"
    state = path.stat()
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)
    with pytest.raises(SuiteError, match="missing or damaged"):
        cache.fingerprints(suite, tmp_path, 0)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # a rotten bit leaves the time as it was
    cache.fingerprints(suite, tmp_path, 0)
    monkeypatch.setattr(cache, "_verified", {})
    with pytest.raises(SuiteError, match="missing or damaged"):
        cache.read(suite, tmp_path, 0, "toys", "test")
    with pytest.raises(SuiteError, match="missing or damaged"):
        cache.verify(suite, tmp_path, 0, "toys")


def test_a_copy_with_other_times_is_read_once_and_noted(asked: list[int], tmp_path: Path) -> None:
    suite = suite_of()
    cache.fingerprints(suite, tmp_path / "a", 0)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    stamps = cache.folder(suite, tmp_path / "b", 0, "toys") / "stamps.json"
    before = stamps.read_text()
    assert cache.fingerprints(suite, tmp_path / "b", 0) == cache.fingerprints(suite, tmp_path / "a", 0)
    assert stamps.read_text() != before
