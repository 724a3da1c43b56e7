"""Unpacks a data set's archive: whatever it says, nothing is written outside the folder that was asked for.

    python -c "from suites import archives; archives.extract('visda.tar', 'data/visda')"

An archive is somebody else's file. Paths that lead out of the folder, links that do, devices and absolute names are
refused (PEP 706's `data` filter for tar; for zip the same is checked here), and a half-unpacked folder never looks
like a whole one: it gets its name when all is there.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import uuid
import zipfile
import zlib
from pathlib import Path

from suites.errors import SuiteError


def extract(archive: str | Path, folder: str | Path) -> Path:
    """Unpack a .zip, or a .tar of any compression, into `folder`, which must not exist; returns it.

    SuiteError, in one line, for what is no archive, is cut short, or would write elsewhere; nothing is left then."""
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise SuiteError(f"{folder} is there already: remove it to unpack {archive} anew")
    ready = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    try:
        ready.mkdir(parents=True)
        if zipfile.is_zipfile(archive):
            _unzip(archive, ready)
        else:
            with tarfile.open(archive) as held:
                held.extractall(ready, filter="data")
                assert held.fileobj
                held.fileobj.seek(held.offset)
                # tarfile takes a header that it cannot read for the end
                if held.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise EOFError("it ends in the middle: cut short, or damaged")
        ready.rename(folder)
    except tarfile.FilterError as error:
        raise SuiteError(f"{archive} is not unpacked: {error}") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise SuiteError(
            f"{archive} cannot be unpacked: {' '.join(str(error).split()) or type(error).__name__}"
        ) from None
    finally:
        shutil.rmtree(ready, ignore_errors=True)
    return folder


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as held:
        for item in held.infolist():
            # zipfile would quietly put `../x` into the folder: a file elsewhere than its archive says is refused
            inside = (folder / item.filename).resolve().is_relative_to(folder.resolve())
            if not inside or Path(item.filename).is_absolute() or stat.S_ISLNK(item.external_attr >> 16):
                raise SuiteError(f"{archive} is not unpacked: {item.filename!r} would lie outside the folder")
        if (bad := held.testzip()) is not None:
            raise zipfile.BadZipFile(f"{bad} is damaged")
        held.extractall(folder)
