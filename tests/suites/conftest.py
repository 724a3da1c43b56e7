"""One cache of digits-mini for all tests of this folder; it takes about three seconds to build."""

from __future__ import annotations

from pathlib import Path

import pytest

from suites import cache, schema


@pytest.fixture(scope="session")
def suite() -> schema.Suite:
    return schema.load_suite("digits-mini")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, suite: schema.Suite) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split_seed in (0, 1):
        cache.fingerprints(suite, folder, split_seed)
    return folder
