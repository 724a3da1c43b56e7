"""`folder:PATH`: a user's own images are domains like any other, and each mistake is one line."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from suites import SuiteError, cache, schema, strict
from suites.domains import MissingData
from suites.domains._watermark import patched
from suites.pairs import read as read_pairs
from suites.splits import PARTS
from tests.suites.test_schema import GOOD
from tests.suites.trees import Shuffled, picture

KINDS = ("cup", "dish", "spoon")


def write(root, kinds=KINDS, each=5, backwards=False):
    made = {}
    for kind in kinds[:: -1 if backwards else 1]:
        (root / kind).mkdir(parents=True)
        for number in range(each)[:: -1 if backwards else 1]:
            array = picture(f"{root.name}/{kind}/{number}")
            Image.fromarray(array).save(root / kind / f"{number}.png")
            made[f"{kind}/{number}.png"] = (KINDS.index(kind) if kind in KINDS else None, array)
    return made


def text(domains, pairs="all", classes=3):
    start, end = GOOD.index("domains:"), GOOD.index("backbones:")
    held = GOOD[:start] + f"domains: {domains}\n" + GOOD[end:]
    start, end = held.index("  pairs:"), held.index("  seeds:")
    return (held[:start] + f"  pairs: {pairs}\n" + held[end:]).replace("classes: 10", f"classes: {classes}")


def load(tmp_path, *given, **how):
    path = tmp_path / "mine.yaml"
    path.write_text(text(*given, **how))
    return strict.read_yaml(path, schema.Suite)


@pytest.fixture
def photos(tmp_path):
    return {name: write(tmp_path / "photos" / name) for name in ("store", "web")}


STORE_AND_WEB = '["folder:photos/store", "folder:photos/web"]'


def said(suite, data, kind=SuiteError):
    with pytest.raises(SuiteError) as error:
        cache.fingerprints(suite, data, jobs=1)
    assert type(error.value) is kind and "\n" not in str(error.value)
    return str(error.value)


def test_two_folders_are_two_domains(tmp_path, photos):
    suite = load(tmp_path, STORE_AND_WEB)
    assert suite.domains == ["store", "web"]
    assert read_pairs(suite.grid.pairs, suite.domains, "x") == [("store", ("web",)), ("web", ("store",))]
    prints = cache.fingerprints(suite, tmp_path, jobs=1)
    assert prints["store"] != prints["web"]
    assert cache.manifest(suite, tmp_path, None, "web")["classes"] == list(KINDS)
    seen = set()
    for part in PARTS:
        held = [item for item in cache.items(suite, tmp_path, None, "web") if item["part"] == part]
        got = cache.read(suite, tmp_path, None, "web", part)
        for item, image, label in zip(held, got.images, got.labels, strict=True):
            seen.add(item["id"])
            wanted = Image.fromarray(photos["web"][item["id"]][1])
            wanted = wanted if wanted.size == (32, 32) else wanted.resize((32, 32), Image.Resampling.BILINEAR)
            assert label == photos["web"][item["id"]][0]
            assert (image == np.asarray(wanted).transpose(2, 0, 1)).all()
    assert len(seen) == 14 and seen < photos["web"].keys()  # 12 + 1 + 1 of 15


@pytest.mark.parametrize("how", ["absolute", "trailing slash", "dots", "link"])
def test_the_same_wherever_it_lies(tmp_path, photos, monkeypatch, how):
    first = load(tmp_path, STORE_AND_WEB)
    wanted = cache.fingerprints(first, tmp_path, jobs=1)
    there, data = tmp_path / "elsewhere", tmp_path / "elsewhere" / "data"
    for name in ("store", "web"):
        write(data / "photos" / name, backwards=True)
    if how == "link":
        (data / "photos").rename(there / "kept")
        (data / "photos").symlink_to(there / "kept")
    form = {"absolute": f"{there}/data/photos/{{}}", "trailing slash": "photos/{}/", "dots": "../data/./photos/{}"}
    paths = [form.get(how, "photos/{}").format(name) for name in ("store", "web")]
    suite = load(there, f'["folder:{paths[0]}", "folder:{paths[1]}"]')
    monkeypatch.setattr(os, "scandir", Shuffled)
    assert cache.fingerprints(suite, tmp_path / "other" if how == "absolute" else data, jobs=1) == wanted


def test_home_is_known(tmp_path, photos, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    suite = load(tmp_path, '["folder:~/photos/store", "folder:~/photos/web"]')
    assert cache.fingerprints(suite, tmp_path / "data", jobs=1) == cache.fingerprints(
        load(tmp_path, STORE_AND_WEB), tmp_path, jobs=1
    )


def test_names_of_ones_own_and_their_pairs(tmp_path, photos):
    suite = load(tmp_path, '[{shop: "folder:photos/store"}, {net: "folder:photos/web"}]', '["shop:net", "net:*"]')
    assert suite.domains == ["shop", "net"] and suite.folders == {"shop": "photos/store", "net": "photos/web"}
    split = {name: cache.manifest(suite, tmp_path, None, name, jobs=1) for name in suite.domains}
    other = load(tmp_path, STORE_AND_WEB)
    # the name salts the split, and nothing of the path does
    assert split["shop"]["split_sha256"] != cache.manifest(other, tmp_path, None, "store", jobs=1)["split_sha256"]


def test_beside_domains_of_ours(tmp_path):
    write(tmp_path / "mine", tuple("0123456789"), each=2)
    suite = load(tmp_path, '["folder:mine", print]', classes=10)
    assert set(cache.fingerprints(suite, tmp_path, jobs=2)) == {"mine", "print"}


def test_a_watermark_on_it(tmp_path, photos):
    suite = load(tmp_path, STORE_AND_WEB).model_copy(update={"domains": ["store", "web", "store@wm80"]})
    prints = cache.fingerprints(suite, tmp_path, jobs=1)
    assert len(set(prints.values())) == 3
    plain, marked = (cache.manifest(suite, tmp_path, None, name) for name in ("store", "store@wm80"))
    assert plain["split_sha256"] == marked["split_sha256"] and marked["classes"] == list(KINDS)
    for part in PARTS:
        before, after = (cache.read(suite, tmp_path, None, name, part).images for name in ("store", "store@wm80"))
        assert (after == np.stack([patched(image, 80) for image in before])).all()


@pytest.mark.parametrize("how", ["added", "changed", "removed", "renamed", "touched"])
def test_a_folder_that_has_changed_is_built_anew(tmp_path, photos, how):
    suite = load(tmp_path, STORE_AND_WEB).model_copy(update={"domains": ["store", "web", "store@wm80"]})
    before = cache.fingerprints(suite, tmp_path, jobs=1)
    assert cache.renew(suite, tmp_path, None) == []
    at = tmp_path / "photos" / "store" / "dish" / "3.png"
    if how == "added":
        shutil.copy(tmp_path / "photos" / "web" / "dish" / "3.png", at.with_name("new.png"))
    elif how == "changed":
        Image.fromarray(picture("another")).save(at)
        Image.fromarray(picture("yet another")).save(at.with_name("2.png"))  # one of 15 is in no part
    elif how == "removed":
        at.unlink()
    elif how == "renamed":
        at.rename(at.with_name("3_.png"))
    else:
        os.utime(at, (1, 1))
    assert cache.renew(suite, tmp_path, None) == ["store", "store@wm80"]
    after = cache.fingerprints(suite, tmp_path, jobs=1)
    assert after["web"] == before["web"]
    if how != "renamed":  # names are not in a fingerprint, and may deal the same
        assert (after["store"] == before["store"]) == (how == "touched")
    assert cache.renew(suite, tmp_path, None) == []


def test_without_the_folder_what_was_built_of_it_stands(tmp_path, photos):
    suite = load(tmp_path, STORE_AND_WEB)
    before = cache.fingerprints(suite, tmp_path, jobs=1)
    shutil.rmtree(tmp_path / "photos")
    assert cache.renew(suite, tmp_path, None) == []
    assert cache.fingerprints(suite, tmp_path, jobs=1) == before


def test_what_cannot_be_replaced_is_one_line(tmp_path, photos, monkeypatch):
    suite = load(tmp_path, STORE_AND_WEB)
    cache.fingerprints(suite, tmp_path, jobs=1)
    os.utime(tmp_path / "photos" / "store" / "dish" / "3.png", (1, 1))
    rename = type(tmp_path).rename

    def denied(path, target):
        if "prepared" in path.parts:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(type(tmp_path), "rename", denied)
    with pytest.raises(SuiteError, match="is of images that have changed") as error:
        cache.renew(suite, tmp_path, None)
    assert "\n" not in str(error.value) and "Permission denied" in str(error.value)
    monkeypatch.undo()
    assert cache.renew(suite, tmp_path, None) == ["store"]
    assert sorted(p.name for p in (tmp_path / "prepared").iterdir() if "store" in p.name) == []


@pytest.mark.parametrize("folders", ["3", "[a]", "text"])
def test_folders_of_a_wrong_kind_are_a_mistake_like_others(tmp_path, folders):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("domains:", f"folders: {folders}\ndomains:", 1))
    with pytest.raises(SuiteError, match="folders: ") as error:
        strict.read_yaml(path, schema.Suite)
    assert "\n" not in str(error.value)


def test_an_image_that_goes_while_the_folder_is_looked_at(tmp_path, photos, monkeypatch):
    suite = load(tmp_path, STORE_AND_WEB)
    cache.fingerprints(suite, tmp_path, jobs=1)
    gone = tmp_path / "photos" / "web" / "cup" / "1.png"
    stat = type(gone).stat

    def late(path, **how):
        if path == gone:
            gone.unlink(missing_ok=True)
        return stat(path, **how)

    monkeypatch.setattr(type(gone), "stat", late)
    with pytest.raises(SuiteError, match=r"your own 'web': .*/cup/1.png cannot be read \(No such file") as error:
        cache.renew(suite, tmp_path, None)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_there(tmp_path, photos):
    suite = load(tmp_path, '["folder:photos/store", "folder:photos/wob"]')
    line = said(suite, tmp_path, MissingData)
    assert line.startswith(
        f"your own 'wob' is not there: no {tmp_path / 'photos/wob'}; expected below the data folder: "
    )
    assert "photos/wob/CLASS/IMAGE" in line and "name another folder in the suite file" in line
    suite = load(tmp_path, f'["folder:photos/store", "folder:{tmp_path}/wob"]')
    assert f"expected {tmp_path}/wob/CLASS/IMAGE" in said(suite, tmp_path, MissingData)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("a file", "{at} cannot be read (Not a directory); expected"),
        ("empty", "{at} has no folders in it"),
        ("images alone", "{at} has no folders in it"),
        ("an empty class", "{at}/dish has no image in it"),
        ("a class of texts", "{at}/dish has no image in it"),
        ("a broken image", "{at}/dish/3.png is empty"),
        ("one deeper", "suite mine has 3 classes, its domain web 1"),
        ("too few", "web: 3 images are too few"),
        ("a class more", "suite mine has 3 classes, its domain web 4"),
        ("other classes", "store and web do not have the same classes: only store has 'cup'"),
    ],
)
def test_a_folder_that_is_laid_out_wrongly(tmp_path, photos, monkeypatch, how, wanted):
    suite, at = load(tmp_path, STORE_AND_WEB), tmp_path / "photos" / "web"
    if how in ("a file", "empty", "images alone", "one deeper"):
        at.rename(tmp_path / "kept")
        if how == "a file":
            at.touch()
        else:
            at.mkdir()
            (at / ".hidden").mkdir()
            if how == "images alone":
                shutil.copy(tmp_path / "kept" / "cup" / "1.png", at)
            if how == "one deeper":
                (tmp_path / "kept").rename(at / "kept")
    elif how in ("an empty class", "a class of texts"):
        shutil.rmtree(at / "dish")
        (at / "dish").mkdir()
        if how == "a class of texts":
            (at / "dish" / "1.txt").touch()
    elif how == "a broken image":
        for number in range(5):
            (at / "dish" / f"{number}.png").write_bytes(b"")
        wanted = wanted.replace("/3.png is", "/")
    elif how == "too few":
        shutil.rmtree(at)
        write(at, each=1)
    elif how == "a class more":
        shutil.copytree(at / "dish", at / "saucer")
    else:
        (at / "cup").rename(at / "fork")
    line = said(suite, tmp_path)
    assert all(part in line for part in wanted.format(at=at).split(" empty")), line


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ('["folder:photos/store", "folder:other/store"]', "two folders are called 'store': write {a-name: fold"),
        ('["folder:photos/store", "folder:photos/store"]', "domain 'store' is listed twice"),
        ('["folder:photos/store", {store: "folder:photos/web"}]', "two folders are called 'store': write {a-name: "),
        ('["folder:photos/uci", "folder:photos/web"]', "'uci' is a domain of mapbench: give your folder another name"),
        ('["folder:photos/Clipart", "folder:photos/web"]', "'clipart' is a domain of mapbench: give your folder"),
        ('[{real-world: "folder:a"}, "folder:b"]', "'real-world' is a domain of mapbench"),
        ('["folder:", "folder:b"]', "cannot name the domain of 'folder:': write {a-name: folder:PATH}, a-z 0"),
        ('["folder:my photos", "folder:b"]', "cannot name the domain of 'folder:my photos': write {a-name: "),
        ('["folder:..", "folder:b"]', "cannot name the domain of 'folder:..'"),
        ('["folder:/", "folder:b"]', "cannot name the domain of 'folder:/'"),
        ('[{Shop: "folder:a"}, "folder:b"]', "cannot name the domain of 'folder:a'"),
        ('[{"shop@wm8": "folder:a"}, "folder:b"]', "cannot name the domain of 'folder:a'"),
        ('[{"a+b": "folder:a"}, "folder:b"]', "cannot name the domain of 'folder:a'"),
        ('[{shop: photos/store}, "folder:b"]', "domain 'shop' must be `shop: folder:PATH`, not 'photos/store'"),
        ("[folder: photos/store, web]", "domain 'folder' must be `folder: folder:PATH`, not 'photos/store'"),
        ('[{shop: 3}, "folder:b"]', "domain 'shop' must be `shop: folder:PATH`, not 3"),
        ('["folder:~nobody-of-that-name/a", "folder:b"]', "cannot find the folder '~nobody-of-that-name/a'"),
        ('["folder:photos/store", {shop: "folder:photos/store"}]', "'photos/store' is two domains: one's train"),
        ("[photos/store, uci]", "unknown domain 'photos/store'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("block", [False, True])
def test_mistakes_in_the_file_are_named_at_their_line(tmp_path, domains, message, block):
    """In one line, or as a list whose entries have lines of their own: line 5 is `domains:`."""
    if block:
        inner = domains[1:-1].split(", ", 1)
        domains = "".join(f"\n  - {entry}" for entry in inner)
    with pytest.raises(SuiteError) as error:
        load(tmp_path, domains, pairs="all")
    lines = str(error.value).split("\n")
    assert len(lines) == 1, lines
    line = 5 if not block else 7 if any(w in message for w in ("two folders", "twice", "two domains")) else 6
    assert lines[0].startswith(f"{tmp_path / 'mine.yaml'}:{line}: {message}"), lines


def test_pairs_of_a_folder_that_is_not_listed(tmp_path):
    with pytest.raises(
        SuiteError, match=r"mine.yaml:\d+: pair 'store:wob': the suite has no domain 'wob'; did you mean"
    ):
        load(tmp_path, STORE_AND_WEB, '["store:wob"]')
