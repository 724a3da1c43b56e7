"""A run directory: a folder, or a URL of anything that fsspec knows.

    mapbench run digits-mini --out s3://bucket/runs/digits-mini

Folders are pathlib.Path, and nothing here slows them down. URLs are universal-pathlib's paths, which are read and
written by the functions below alone. An object store has no rename, and one PUT is atomic: content is made in memory
and put at once, never streamed, because leaving a `with open` by an exception completes the upload of half a file.
Keys, endpoints and options come from where the protocol's package looks for them (AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, ~/.aws, fsspec's own configuration), never from the URL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from results.errors import StoreError

BATCH = 500  # objects that are asked for at once; the protocol's package says how many of them in parallel
MANIFEST = "manifest.json"  # of what `mapbench publish` made, and of nothing else
EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def place(out: str | Path) -> Path:
    """The folder or URL that `out` names; nothing is read. Raises StoreError where it can be neither."""
    text = str(out)
    if isinstance(out, Path) or "://" not in text:
        return Path(out)
    scheme, _, rest = text.partition("://")
    if scheme == "file":
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise StoreError(f"{text} names another machine: a folder is file:///FOLDER, or FOLDER alone")
        return Path(unquote(parts.path))
    if hasattr(out, "fs"):
        return out  # type: ignore[return-value]  # a universal-pathlib path, with options of its own
    rest = rest.rstrip("/")
    if not rest:
        raise StoreError(f"{text} names no bucket or folder: {scheme}://BUCKET/FOLDER")
    try:
        from upath import UPath

        made: Any = UPath(f"{scheme}://{rest}", use_listings_cache=False)  # others write there too
        _ = made.fs
    except ImportError as error:
        package = "universal-pathlib" if error.name == "upath" else EXTRAS.get(scheme, "")
        how = "'mapbench[s3]'" if package == "s3fs" else package
        hint = f"pip install {how}" if how else reason(error)
        raise StoreError(f"{text}: {scheme}:// needs a package that is not installed: {hint}") from error
    except ValueError as error:
        known = "a run directory is a folder, s3://BUCKET/FOLDER, or a URL of another protocol that fsspec knows"
        raise StoreError(f"{text}: unknown protocol {scheme!r}: {known}") from error
    except Exception as error:
        raise StoreError(f"cannot use {text}: {reason(error)}") from error
    return made  # type: ignore[no-any-return]


def is_local(path: Path) -> bool:
    """Whether it is a folder or file of this machine."""
    return isinstance(path, Path)


def is_private(path: Path) -> bool:
    """Whether no other process can see it."""
    return getattr(path, "protocol", None) == "memory"


def is_run(out: Path) -> bool:
    """Whether a run directory is there."""
    if is_local(out):
        return (out / "plan.json").is_file() or (out / "records").is_dir()
    return exists(out / "plan.json") or exists(out / "records")


def is_publication(out: Path) -> bool:
    """Whether `mapbench publish` made what is there: a folder to be read, verified and merged, not written to."""
    return exists(out / MANIFEST)


def exists(path: Path) -> bool:
    """Whether there is a file, or a folder that holds some. A server that does not answer is StoreError, not False."""
    if is_local(path):
        return path.exists()
    try:
        with _asking("read", path):
            _fs(path).info(_at(path))
    except FileNotFoundError:
        return False
    return True


def get(path: Path) -> bytes:
    """A file's content. Raises FileNotFoundError and, of a folder's file, any OSError; of a URL, StoreError."""
    if is_local(path):
        return path.read_bytes()
    with _asking("read", path):
        return bytes(_fs(path).cat_file(_at(path)))


def many(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes | FileNotFoundError]]:
    """The content of many files below a URL, concurrently, some hundred at a time; of one that went away, its error.

    Whatever else goes wrong is StoreError: a record that did not arrive must not be taken for one that is not there."""
    top = _at(folder).rstrip("/")
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        at = [f"{top}/{name}" for name in batch]
        with _asking("read", folder):  # cat_ranges: cat would take a `[` in a name for a pattern
            found = _fs(folder).cat_ranges(at, None, None, on_error="return")
        for name, content in zip(batch, found, strict=True):
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise StoreError(f"cannot read {folder / name}: {reason(content)}") from content
            yield name, content


def put(path: Path, content: bytes) -> None:
    """Put `content` at a URL, whole or not at all. Raises StoreError."""
    try:
        with _asking("write", path):
            _fs(path).pipe_file(_at(path), content)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {reason(error)}") from error


def append(path: Path, text: str) -> None:
    """Add to a log. Of a URL the whole of it is put anew: for logs that one process writes, a line at a time."""
    if is_local(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", errors="replace") as log:
            log.write(text)
        return
    before = b""
    with contextlib.suppress(FileNotFoundError):
        before = get(path)
    put(path, before + text.encode(errors="replace"))


def remove(path: Path) -> None:
    """Delete a file where there is one."""
    if is_local(path):
        path.unlink(missing_ok=True)
        return
    with contextlib.suppress(FileNotFoundError), _asking("delete", path):
        _fs(path).rm_file(_at(path))


def names(folder: Path, deep: bool = True) -> list[str]:
    """What lies in a URL's folder, as `ab/file`, by one listing; `deep`: in those below it too."""
    top = _at(folder).rstrip("/") + "/"
    try:
        with _asking("read", folder):
            fs = _fs(folder)
            found = fs.find(top.rstrip("/")) if deep else fs.ls(top.rstrip("/"), detail=False)
    except FileNotFoundError as error:
        if "bucket" in str(error):
            raise StoreError(f"cannot read {folder}: {reason(error)}") from error
        return []
    return sorted(path.removeprefix(top) for path in found if path.startswith(top))


def sizes(out: Path) -> dict[str, int]:
    """Every file of a run directory by its name in it, hidden ones too, and its size in bytes."""
    if is_local(out):
        return {path.relative_to(out).as_posix(): path.stat().st_size for path in out.rglob("*") if path.is_file()}
    top = _at(out).rstrip("/") + "/"
    with _asking("read", out):
        found = _fs(out).find(top.rstrip("/"), detail=True)
    return {path.removeprefix(top): int(info.get("size") or 0) for path, info in sorted(found.items())}


def reason(error: BaseException) -> str:
    """Why a URL cannot be read or written, in one line."""
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    if "credentials" in line and "locate" in line:
        line += ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    return line[:300]


@contextlib.contextmanager
def _asking(what: str, path: Path) -> Iterator[None]:
    """Whatever a protocol's package raises is StoreError, but FileNotFoundError, which callers have uses for."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise StoreError(f"cannot {what} {path}: {reason(error)}") from error


def _fs(path: Path) -> Any:
    return path.fs  # type: ignore[attr-defined]


def _at(path: Path) -> str:
    return path.path  # type: ignore[attr-defined, no-any-return]
