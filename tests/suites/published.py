"""What the tests of published data sets share: a domain whose count is left out, one-line refusals, tiny caches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from suites import SuiteError, cache, domains, schema
from suites.domains import MissingData
from suites.domains._raw import Images
from suites.splits import PARTS


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def count(monkeypatch: pytest.MonkeyPatch, name: str, images: int | None) -> None:
    """Expect so many images of a domain: tests write a handful."""
    held = domains.known()[name]
    assert held.raw is not None
    monkeypatch.setitem(domains.known(), name, replace(held, raw=replace(held.raw, count=images)))


def read(name: str, data: Path) -> Images:
    raw = domains.find(name).raw
    assert raw is not None
    return raw.read(data)


def refusal(name: str, data: Path, kind: type[SuiteError] = SuiteError) -> str:
    """The one line with which a data set is refused. It says where it is looked for, the layout, and what to do."""
    raw = domains.find(name).raw
    assert raw is not None
    with pytest.raises(SuiteError) as error:
        raw.read(data)
    text = str(error.value)
    assert type(error.value) is kind, text
    assert "\n" not in text and str(data) in text and raw.get in text
    assert all(line in text for line in raw.layout)
    return text


def absence(name: str, data: Path) -> str:
    return refusal(name, data, MissingData)


def whole(images: Images, size: int) -> np.ndarray:
    """All images, (n, size, size, 3)."""
    return np.stack([images.pixels(i, size) for i in range(len(images.ids))]).transpose(0, 2, 3, 1)


def cached(suite: schema.Suite, data: Path, name: str) -> dict[str, tuple[int, np.ndarray]]:
    """Label and pixels (3, 32, 32) of all images of a domain, by id, as a method gets them."""
    tiny = suite.model_copy(update={"domains": [name]})
    told = list(cache.items(tiny, data, 0, name))
    arrays: list[Any] = [cache.read(tiny, data, 0, name, part) for part in PARTS]
    images = np.concatenate([part.images for part in arrays])
    assert [item["label"] for item in told] == [int(x) for part in arrays for x in part.labels]
    return {item["id"]: (item["label"], image) for item, image in zip(told, images, strict=True)}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a server gives the files of a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
