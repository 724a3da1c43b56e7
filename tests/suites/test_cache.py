"""The cache: the same everywhere, safe to race for, and refused with one line when damaged."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from suites import SuiteError, cache
from suites.domains import Domain, Item, known

RACE = """
import sys, pathlib
from suites import cache, schema
suite = schema.load_suite("digits-mini").model_copy(update={"domains": ["print"]})
while not pathlib.Path(sys.argv[1], "go").exists(): pass
print(cache.fingerprints(suite, pathlib.Path(sys.argv[1]), 0))
"""


@pytest.fixture
def small(suite):
    return suite.model_copy(update={"domains": ["print"]})


@pytest.fixture
def copy(suite, data, tmp_path):
    """A copy of print that may be damaged."""
    folder = cache.folder(suite, data, 0, "print")
    shutil.copytree(folder, tmp_path / folder.relative_to(data))
    return tmp_path


def test_race_of_two_processes_gives_what_one_gives(small, data, tmp_path):
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    (tmp_path / "go").touch()
    told = [racer.communicate(timeout=120)[0].strip() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    # built a second time, in other processes: nothing but domain and split_seed may count
    assert told == [str(cache.fingerprints(small, data, 0))] * 2
    left = sorted(p.name for p in (tmp_path / "prepared").iterdir())
    assert left == ["print-32px-v1-split0"]


def test_loser_of_the_race_takes_the_winners_folder(small, tmp_path, monkeypatch):
    """The winner renames between the loser's look and its own rename."""
    build = known()["print"].build

    def slow(size, split_seed, data):
        shutil.copytree(tmp_path / "won", tmp_path / "lost" / "prepared")
        return build(size, split_seed, data)

    cache.read(small, tmp_path / "first", 0, "print", "val")
    (tmp_path / "first" / "prepared").rename(tmp_path / "won")
    first = next((tmp_path / "won").iterdir()).stat().st_mtime_ns
    monkeypatch.setitem(known(), "print", Domain(**{**vars(known()["print"]), "build": slow}))
    assert len(cache.read(small, tmp_path / "lost", 0, "print", "val").labels) == 150
    (held,) = (tmp_path / "lost" / "prepared").iterdir()
    assert held.stat().st_mtime_ns == first


def test_split_seed_changes_every_fingerprint(suite, data):
    first, second = (cache.fingerprints(suite, data, split_seed) for split_seed in (0, 1))
    assert len({*first.values(), *second.values()}) == 8
    assert cache.fingerprints(suite, data, None) == first


def test_fingerprint_tells_pixels_labels_and_parts(small, tmp_path, monkeypatch):
    def toy(pixel=0, label=0, moved=False, backwards=False):
        def build(size, split_seed, data):
            image = np.zeros((3, size, size), np.uint8)
            image[0, 0, 0] = pixel
            kept = [Item("a", label, image), Item("b", 1, image)]
            rest = [[Item(c, 2, image)] for c in "cdef"]
            last = rest[2] + rest[3] if moved else rest[2]
            return {
                "train": kept[::-1] if backwards else kept, "attacker": rest[0], "test": last,
                "val": rest[1] + ([] if moved else rest[3]),
            }  # fmt: skip

        name = f"t{len(list(tmp_path.iterdir()))}"
        monkeypatch.setitem(known(), "print", Domain("print", "", tuple("0123456789"), build))
        (tmp_path / name).mkdir()
        return cache.fingerprints(small, tmp_path / name, 0)["print"]

    assert toy() == toy(backwards=True)  # the order in which a builder lists its images does not count
    assert len({toy(), toy(pixel=1), toy(label=1), toy(moved=True)}) == 4


def test_second_call_builds_nothing(suite, data, monkeypatch):
    said = []
    for name in suite.domains:
        monkeypatch.setitem(known(), name, Domain(**{**vars(known()[name]), "build": None}))
    cache.fingerprints(suite, data, 0, lambda *told: said.append(told))
    assert said == []


def test_what_is_built_is_said(small, tmp_path):
    said = []
    cache.fingerprints(small, tmp_path, 2, lambda *told: said.append(told))
    assert said[0] == ("print", 0, 1800) and said[-1] == ("print", 1800, 1800)
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)


def flip_a_byte(path):
    held = bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)


def rename(path):
    path.write_text(path.read_text().replace('"0"', '"O"', 1))  # the first class


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("val.images.npy", flip_a_byte),
        ("test.labels.npy", flip_a_byte),
        ("val.images.npy", lambda path: path.write_bytes(path.read_bytes()[:-100])),
        ("train.images.npy", lambda path: path.unlink()),
        ("attacker.labels.npy", lambda path: path.write_bytes(b"")),
        ("manifest.json", lambda path: path.write_text("{}")),
        ("manifest.json", lambda path: path.write_text('{"fingerprint":')),
        ("manifest.json", rename),
        ("manifest.json", lambda path: path.unlink()),
    ],
)
def test_damage_is_refused_with_one_line(small, copy, name, damage):
    cache.fingerprints(small, copy, 0)  # verified before, so a stale memory of that must not hide the damage
    folder = cache.folder(small, copy, 0, "print")
    damage(folder / name)
    with pytest.raises(SuiteError) as error:
        cache.fingerprints(small, copy, 0)
    line = str(error.value)
    assert "\n" not in line and str(folder / name) in line and f"delete the folder {folder}" in line
    if name != "manifest.json":
        with pytest.raises(SuiteError, match="missing or damaged"):
            cache.read(small, copy, 0, "print", name.split(".")[0])


def test_a_list_of_images_that_was_changed_is_refused(small, copy):
    path = cache.folder(small, copy, 0, "print") / "items.jsonl"
    assert len(list(cache.items(small, copy, 0, "print"))) == 1800
    path.write_text(path.read_text().replace('"label":3', '"label":4', 1))
    with pytest.raises(SuiteError, match=r"items\.jsonl: missing or damaged"):
        next(cache.items(small, copy, 0, "print"))


def test_a_folder_that_cannot_be_written_is_one_line(suite, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SuiteError, match=r"cannot write the image cache \(.*\); choose another folder") as e:
        cache.fingerprints(suite, tmp_path / "file", 0)
    assert "\n" not in str(e.value)


def test_unknown_domain_part_and_class_count(suite, data, tmp_path):
    with pytest.raises(SuiteError, match="has no domain 'mnist'"):
        cache.read(suite, data, 0, "mnist", "val")
    with pytest.raises(SuiteError, match="unknown part 'dev'"):
        cache.read(suite, data, 0, "uci", "dev")
    with pytest.raises(SuiteError, match="has 7 classes, its domain uci 10"):
        cache.read(suite.model_copy(update={"classes": 7}), tmp_path, 0, "uci", "val")
