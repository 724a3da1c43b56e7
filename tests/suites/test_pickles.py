"""Pickles of arrays, of every generation; and pickles that mean harm, of which nothing is run."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from suites import SuiteError
from suites.domains import _pickles
from suites.domains._raw import Arrays, Raw

RAW = Raw("a set", ("a.pkl",), "get it", lambda data, raw: Arrays([], [], []))
HELD = {
    "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "big": np.arange(5, dtype=">i4"),
    "floats": np.linspace(0, 1, 7),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 28, 28, 3), np.uint8),
    "view": np.arange(20)[::3],
}
# {"train": uint8 [[1, 200], [3, 4]], "n": int64 7} as Python 2 with numpy 1 writes it: raw bytes in text opcodes
PYTHON2 = (
    b"\x80\x02}q\x01(U\x05trainq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87"
    b"Rq\x05(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff"
    b"\xff\xffK\x00tb\x89U\x04\x01\xc8\x03\x04tbU\x01nq\x08cnumpy.core.multiarray\nscalar\nq\x09h\x06U\x02i8K\x00K\x01"
    b"\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08\x07\x00\x00\x00\x00\x00\x00\x00\x86Ru."
)


def load(folder: Path, content: object) -> dict:
    path = folder / "a.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return _pickles.load(RAW, path)


def refusal(folder: Path, content: object) -> str:
    with pytest.raises(SuiteError) as error:
        load(folder, content)
    text = str(error.value)
    assert "\n" not in text and f"a set: {folder / 'a.pkl'} " in text and text.endswith("a.pkl; get it")
    return text


@pytest.mark.parametrize("numpy", ["1", "2"])
@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_as_they_were(tmp_path, protocol, numpy):
    content = pickle.dumps(HELD, protocol)
    if numpy == "1":  # which called its modules so; the length before a name is part of a pickle since protocol 4
        content = content.replace(b"cnumpy._core", b"cnumpy.core")
        for old in (b"numpy._core.multiarray", b"numpy._core.numeric"):
            new = old.replace(b"_", b"")
            content = content.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)
        assert b"numpy._core" not in content
        if protocol >= 4:  # frames state their length: without them
            content = re.sub(rb"\x95.{8}", b"", content, flags=re.DOTALL)
    found = load(tmp_path, content)
    assert found.keys() == HELD.keys()
    for name, array in HELD.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert (found[name] == array).all()


def test_python_2_and_numpy_1(tmp_path):
    found = load(tmp_path, PYTHON2)
    assert found["train"].dtype == np.uint8 and found["train"].tolist() == [[1, 200], [3, 4]] and found["n"] == 7


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_numbers_lists_and_names_in_bytes(tmp_path, protocol):
    held = {b"train": [np.int64(3), 4], "x": [True, None, 0.5, "a"]}
    assert load(tmp_path, pickle.dumps(held, protocol)) == {"train": [3, 4], "x": [True, None, 0.5, "a"]}


class Harm:
    """Makes a folder when it is unpickled."""

    def __init__(self, at: str) -> None:
        self.at = at

    def __reduce__(self):
        return os.mkdir, (self.at,)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_run(tmp_path, protocol):
    content = pickle.dumps({"train": HELD["bytes"], "x": Harm(str(tmp_path / "harm"))}, protocol)
    assert "it names posix.mkdir, which is no array and is not run" in refusal(tmp_path, content)
    assert not (tmp_path / "harm").exists()
    pickle.loads(content)  # what the same bytes do elsewhere
    assert (tmp_path / "harm").exists()


REFUSED = {
    "eval": (b"cbuiltins\neval\n(S'1'\ntR.", "it names builtins.eval"),
    "another of numpy": (b"cnumpy\nload\n(S'x'\ntR.", "it names numpy.load"),
    "beside a known one": (b"cnumpy.core.multiarray\nfromstring\n.", "it names numpy.core.multiarray.fromstring"),
    "below a known one": (b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", "it names numpy.ndarray.dumps"),
    "torch": (b"ctorch._utils\n_rebuild_tensor_v2\n.", "it names torch._utils._rebuild_tensor_v2"),
    "a codec": (b"c_codecs\nencode\n(S'x'\nS'bz2'\ntR.", "text as 'bz2'"),
    "a type of objects": (b"cnumpy\ndtype\n(S'O'\ntR.", "an array of 'O'"),
    "an array of objects": ({"x": np.array([{}, []], dtype=object)}, "an array of 'O8'"),
    "an array of records": ({"x": np.zeros(2, dtype=[("a", "u1")])}, "an array of 'V1'"),
    "an array of dates": ({"x": np.array(["2020"], "M8[Y]")}, "an array of 'M8'"),
    "cut short": (pickle.dumps(HELD)[:-30], "cannot be read as a pickle of arrays"),
    "too few bytes": (
        PYTHON2.replace(b"U\x04\x01\xc8\x03\x04", b"U\x03\x01\xc8\x03"),
        "cannot reshape array of size 3",
    ),
    "empty": (b"", "Ran out of input"),
    "no pickle": (b"no pickle", "cannot be read as a pickle of arrays"),
    "no dict": (b"(lp0\n.", "holds no dict, but a list"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_is_no_dict_of_arrays_is_refused_in_one_line(tmp_path, how):
    content, message = REFUSED[how]
    assert message in refusal(tmp_path, content)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "a.pkl").mkdir()
    with pytest.raises(SuiteError, match="cannot be read"):
        _pickles.load(RAW, tmp_path / "a.pkl")
