"""Archives that mean harm, and archives that are broken: refused in one line, nothing written."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from suites import SuiteError, archives


def tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as held:
        for member in members:
            held.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = 1
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def zipped(path: Path, *names: str, mode: int = 0o644) -> Path:
    with zipfile.ZipFile(path, "w") as held:
        for name in names:
            item = zipfile.ZipInfo(name)
            item.external_attr = mode << 16
            held.writestr(item, "x")
    return path


HARMFUL: dict[str, Callable[[Path], Path]] = {
    "tar up": lambda at: tar(at / "a.tar.gz", member("good"), member("../out")),
    "tar absolute link": lambda at: tar(at / "a.tar.gz", member("l", type=tarfile.SYMTYPE, linkname="/etc", size=0)),
    "tar link up": lambda at: tar(at / "a.tar.gz", member("l", type=tarfile.SYMTYPE, linkname="../..", size=0)),
    "tar device": lambda at: tar(at / "a.tar.gz", member("d", type=tarfile.CHRTYPE, size=0)),
    "zip up": lambda at: zipped(at / "a.zip", "good", "../out"),
    "zip deep": lambda at: zipped(at / "a.zip", "good/../../out"),
    "zip absolute": lambda at: zipped(at / "a.zip", "/out"),
    "zip link": lambda at: zipped(at / "a.zip", "link", mode=0o120777),
}


@pytest.mark.parametrize("how", HARMFUL)
def test_what_would_be_written_elsewhere_is_refused(tmp_path: Path, how: str) -> None:
    archive = HARMFUL[how](tmp_path)
    with pytest.raises(SuiteError, match="is not unpacked") as error:
        archives.extract(archive, tmp_path / "data" / "set")
    assert "\n" not in str(error.value) and str(archive) in str(error.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted([archive.name, "data"])


@pytest.mark.parametrize("how", ["tar", "zip", "text"])
def test_what_is_cut_short_leaves_nothing(tmp_path: Path, how: str) -> None:
    names = [f"images/{number}.png" for number in range(50)]
    archive = tar(tmp_path / "a", *map(member, names)) if how == "tar" else zipped(tmp_path / "a", *names)
    archive.write_bytes(b"no archive at all" if how == "text" else archive.read_bytes()[:-60])
    with pytest.raises(SuiteError, match="cannot be unpacked"):
        archives.extract(archive, tmp_path / "set")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("how", ["cut", "damaged"])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_header_that_cannot_be_read_is_no_end(tmp_path: Path, how: str, mode: str) -> None:
    """A tar without compression has no sum of its own: tarfile stops at such a header as if all had been there."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as held:
        for name in "abc":
            held.addfile(member(name), io.BytesIO(b"x"))
    content = bytearray(plain.getvalue())  # a block of 512 for each header and each content
    if how == "cut":
        del content[2 * 1024 + 300 :]
    else:
        content[1024:1040] = b"\xff" * 16
    (tmp_path / "a").write_bytes(gzip.compress(content) if mode == "w:gz" else content)
    with pytest.raises(SuiteError, match="cannot be unpacked: it ends in the middle"):
        archives.extract(tmp_path / "a", tmp_path / "set")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_damage_in_what_is_compressed_is_one_line(tmp_path: Path, mode: str) -> None:
    with tarfile.open(tmp_path / "a", mode) as held:
        made = member("a")
        made.size = 2**20
        held.addfile(made, io.BytesIO(random.Random(0).randbytes(made.size)))
    content = bytearray((tmp_path / "a").read_bytes())
    content[2**19 : 2**19 + 999] = b"\xff" * 999
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SuiteError, match=r"a cannot be unpacked: .") as error:
        archives.extract(tmp_path / "a", tmp_path / "set")
    assert "\n" not in str(error.value) and [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("how", ["tar", "zip"])
def test_a_good_one_is_unpacked_once(tmp_path: Path, how: str) -> None:
    names = ["images/1.png", "images/2.png", "list.txt"]
    archive = tar(tmp_path / "a", *map(member, names)) if how == "tar" else zipped(tmp_path / "a", *names)
    folder = archives.extract(archive, tmp_path / "deep" / "set")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == names
    with pytest.raises(SuiteError, match="is there already"):
        archives.extract(archive, folder)
