"""Terra Incognita: from DomainBed's folders and from LILA's own distribution the same images, each of one class."""

from __future__ import annotations

import json

import pytest

from suites import cache
from tests.suites.trees import annotations, check, read, refused, some_classes, write

NAME = "terra-43"
KINDS = tuple(some_classes(NAME))


@pytest.fixture
def both(tmp_path):
    """The same images as DomainBed's folders, and as LILA has them; where, and what is in them."""
    made = write(tmp_path / "tree", NAME)
    at = tmp_path / "lila" / "terra_incognita" / "eccv_18_all_images_sm"
    at.mkdir(parents=True)
    shown = {}
    for name in made:
        kind, file = name.split("/")
        (at / file).write_bytes((tmp_path / "tree" / "terra_incognita" / "location_43" / name).read_bytes())
        shown[file] = ("43" if len(shown) % 2 else 43, [kind, *["skunk"] * (len(shown) % 3)])
    annotations(tmp_path / "lila", shown, (*KINDS[::-1], "skunk"))
    return tmp_path / "tree", tmp_path / "lila", made, shown


def whole(lila):
    """The five files as the one of all images."""
    home = lila / "terra_incognita"
    parts = [json.loads(path.read_text()) for path in sorted(home.rglob("*.json"))]
    for path in sorted(home.rglob("*.json")):
        path.unlink()
    told = {key: [item for part in parts for item in part[key]] for key in ("images", "annotations")}
    (home / "caltech_images_20210113.json").write_text(json.dumps({**told, "categories": parts[0]["categories"]}))


@pytest.mark.parametrize("how", ["five", "five beside", "whole"])
def test_lilas_distribution_gives_what_domainbeds_folders_give(suite, both, how):
    tree, lila, made, _ = both
    home = lila / "terra_incognita"
    if how == "whole":
        whole(lila)
    if how == "five beside":
        for path in sorted((home / "eccv_18_annotation_files").iterdir()):
            path.rename(home / path.name)
    check(read(lila, NAME), made)
    check(read(tree, NAME), made)
    small = suite.model_copy(update={"domains": [NAME]})
    told = [cache.manifest(small, data, 0, NAME, jobs=1) for data in (tree, lila)]
    assert told[0] == told[1]


def test_other_places_and_other_animals_are_not_in_it(both):
    _, lila, made, shown = both
    images = lila / "terra_incognita" / "eccv_18_all_images_sm"
    extra = {"a.png": (38, ["cat"]), "b.png": (43, ["skunk"]), "c.png": (43, []), "d.png": (None, ["dog"])}
    for file in extra:
        (images / file).write_bytes(b"x")
    annotations(lila, {**shown, **extra}, (*KINDS, "skunk"))
    check(read(lila, NAME), made)
    refused(lila, "terra-38", "has no image of class 'bird' at location 38")


def test_a_picture_of_two_classes_has_no_one_truth(both):
    tree, lila, made, shown = both
    file = next(iter(shown))
    held = (lila / "terra_incognita" / "eccv_18_all_images_sm" / file).read_bytes()
    kind = next(name for name in made if name.endswith(file)).split("/")[0]
    annotations(lila, {**shown, file: ("43", [kind, "squirrel", kind])}, (*KINDS, "skunk"))
    (tree / "terra_incognita" / "location_43" / "squirrel" / file).write_bytes(held)
    kept = {name: told for name, told in made.items() if not name.endswith(file)}
    assert len(kept) == len(made) - 1
    check(read(lila, NAME), kept)
    check(read(tree, NAME), kept)


def test_the_same_label_twice_is_one(both):
    _, lila, made, shown = both
    annotations(lila, {file: (at, held * 2) for file, (at, held) in shown.items()}, (*KINDS, "skunk"))
    check(read(lila, NAME), made)


def test_half_extracted(both):
    _, lila, made, _ = both
    at = lila / "terra_incognita" / "eccv_18_all_images_sm"
    gone = sorted(name.split("/")[1] for name in made)[:3]
    for file in gone:
        (at / file).unlink()
    refused(lila, NAME, f"{at} is half extracted", f"3 of {len(made)} images of location 43", f"the first {gone[0]}")


def test_labels_that_are_not_there(both):
    _, lila, _, _ = both
    home = lila / "terra_incognita"
    (home / "eccv_18_annotation_files" / "cis_val_annotations.json").unlink()
    refused(lila, NAME, "cis_val_annotations.json;", missing=True)
    for path in (home / "eccv_18_annotation_files").iterdir():
        path.unlink()
    refused(lila, NAME, f"no {home / 'caltech_images_20210113.json'};", missing=True)


@pytest.mark.parametrize(
    "content",
    [
        b"", b'{"images": [', b"\xff", b"[]", b"3", b"{}", b"[" * 5000,
        b'{"images": [3], "annotations": [], "categories": []}',
        b'{"images": [{"id": 1}], "annotations": [], "categories": [{}]}',
        b'{"images": [{"id": 1, "file_name": "../a.png", "location": 43}], "categories": [{"id": 1, "name": "cat"}],'
        b'"annotations": [{"image_id": 1, "category_id": 1}]}',
        b'{"images": [{"id": [1], "file_name": "a", "location": 43}], "annotations": [], "categories": []}',
        b'{"images": [{"id": 1, "file_name": 7, "location": 43}], "categories": [{"id": 1, "name": "cat"}],'
        b'"annotations": [{"image_id": 1, "category_id": 1}]}',
    ],
)  # fmt: skip
def test_labels_that_are_none(both, content):
    _, lila, _, _ = both
    path = lila / "terra_incognita" / "eccv_18_annotation_files" / "cis_val_annotations.json"
    path.write_bytes(content)
    refused(lila, NAME, path, "is not a list of images in COCO's format for camera traps")


def test_a_tree_that_someone_made_is_preferred(both):
    lila = both[1]
    (lila / "terra_incognita" / "location_43").mkdir()
    refused(lila, NAME, lila / "terra_incognita" / "location_43" / "bird", "is not there")
